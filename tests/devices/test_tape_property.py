"""Whatever is written in whichever order, and whatever fails: files that were said to be good are
on the tape, and nothing else is taken for one."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

from attrs import define, evolve, field, frozen
from hypothesis import given, settings
from hypothesis import strategies as st

from devices.errors import DeviceError
from devices.interfaces import AccessMode, WriteEnd
from devices.tape import TapeDevice
from protocols.header import HeaderType
from tests.contract.device import PART, STAMP, read_rest
from tests.devices.tape_world import BLOCK, TapeWorld
from tests.fakes.tape import Fault

CALLS = ("read", "write", "write", "write", "REW", "WEOF", "FSF", "BSF", "EOM", "GET", "close")
CODES = ("EIO", "EIO", "ENOSPC", "ENXIO", "ENOMEM")


@frozen(kw_only=True)
class Session:
    """One start of the device, and what is written then: sizes of the pieces of each file.

    :ivar fresh: begin the volume anew; else go on with it.
    """

    fresh: bool
    files: list[list[int]]
    final: int


@frozen(kw_only=True)
class Case:
    capacity: int | None
    zone: int
    leom: bool
    knows: bool
    skills: dict[str, bool]
    faults: list[Fault]
    sessions: list[Session]


@st.composite
def cases(draw: st.DrawFn, *, faulty: bool) -> Case:
    sizes = st.lists(st.integers(1, 5).map(lambda n: n * BLOCK), max_size=3)
    # a short block is a file's last one
    file = st.tuples(sizes, st.integers(0, BLOCK)).map(lambda f: [*f[0], f[1]] if f[1] else f[0])
    session = st.builds(
        Session,
        fresh=st.booleans(),
        files=st.lists(file, max_size=4),
        final=st.sampled_from([1, 2]),
    )
    fault = st.builds(
        Fault,
        call=st.sampled_from(CALLS),
        code=st.sampled_from(CODES),
        after=st.integers(0, 25),
        times=st.integers(1, 2),
    )
    return Case(
        capacity=draw(st.none() | st.integers(2, 40).map(lambda n: n * BLOCK)),
        zone=draw(st.integers(0, 6)),
        leom=draw(st.booleans()),
        knows=draw(st.booleans()),
        skills=draw(
            st.fixed_dictionaries({n: st.booleans() for n in ("fsf", "bsf", "bsr", "eom")})
        ),
        faults=draw(st.lists(fault, min_size=1, max_size=3)) if faulty else [],
        sessions=draw(st.lists(session, min_size=1, max_size=4)),
    )


@define
class Model:
    """What is on the tape.

    :ivar good: by number, the data of files that the device said are good.
    :ivar maybe: numbers of files of which it did not.
    :ivar fillers: files with nothing in them that may be between the others.
    """

    label: str | None = None
    good: dict[int, bytes] = field(factory=dict)
    maybe: set[int] = field(factory=set)
    fillers: int = 0


def payload(seed: int, size: int) -> memoryview:
    """Bytes that no other piece has."""
    return memoryview((b"%08d" % seed * (size // 8 + 1))[:size])


def write_session(device: TapeDevice, session: Session, model: Model, number: int) -> None:
    """Do as the taper does: after any trouble the volume is given up."""
    label = f"TAPE-{number:02}"
    fresh = session.fresh or model.label is None
    if fresh:
        model.label, model.good, model.maybe, model.fillers = None, {}, set(), 0
        device.start(AccessMode.WRITE, label, STAMP)
        model.label = label
    else:
        device.start(AccessMode.APPEND)
        assert device.label == model.label
        last = max([0, *model.good, *model.maybe]) + model.fillers
        assert max([0, *model.good]) <= device.file <= last + 1
    for index, pieces in enumerate(session.files):
        start = device.start_file(evolve(PART, partnum=index + 1))
        if not start.number:
            return
        assert start.number not in model.good
        model.maybe.add(start.number)
        good, data = True, b""
        for seed, size in enumerate(pieces):
            piece = payload(number * 10000 + index * 100 + seed, size)
            written = device.write_blocks(piece)
            data += piece[: written.accepted]
            good = written.end is not WriteEnd.FAILED
            assert written.end in (WriteEnd.NONE, WriteEnd.EARLY, WriteEnd.FAILED)
            if written.end is not WriteEnd.NONE:
                break
        device.finish_file()
        if good:
            model.good[start.number] = data
            model.maybe.discard(start.number)
        if not good or device.is_eom:
            return


def read_back(device: TapeDevice, model: Model) -> None:
    """Every good file is there, and what is behind the last one is the end."""
    if model.label is None:
        return
    device.start(AccessMode.READ)
    assert device.label == model.label
    for number, data in sorted(model.good.items(), key=lambda item: -item[0] % 3):
        header = device.seek_file(number)
        assert header is not None
        assert (header.type, device.file) == (HeaderType.SPLIT_DUMPFILE, number)
        found = read_rest(device, 3 * BLOCK)
        assert found[: len(data)] == data
        padding = found[len(data) :]
        assert len(padding) < BLOCK
        assert not padding.strip(b"\0")
    if not model.maybe:
        last = max([0, *model.good])
        end = device.seek_file(last + 1)
        assert end is not None
        assert end.type is HeaderType.TAPEEND
    device.finish()


def attempt(work: Callable[[], None]) -> str | None:
    """Do it. :return: why it failed"""
    try:
        work()
    except DeviceError as error:
        return error.text
    return None


def run(case: Case) -> None:
    with tempfile.TemporaryDirectory() as directory:
        world = TapeWorld(Path(directory))
        early = None if case.capacity is None else max(case.capacity - case.zone * BLOCK, 0) - 1
        world.insert(capacity=case.capacity, early=early)
        model = Model()
        for number, session in enumerate(case.sessions):
            world.drive.change(faults=tuple(case.faults), knows_place=case.knows)
            properties = {**case.skills, "leom": case.leom, "final_filemarks": session.final}
            device = world.device(**properties)
            trouble = attempt(partial(write_session, device, session, model, number))
            assert trouble is None or case.faults or case.capacity is not None
            assert trouble in (None, device.error)
            trouble = attempt(device.finish)
            assert trouble is None or case.faults
            model.fillers += session.final == 1
        world.drive.change(faults=())
        read_back(world.device(**case.skills), model)


@settings(max_examples=40)
@given(cases(faulty=False))
def test_without_faults(case: Case) -> None:
    """Only the end of the tape is in the way."""
    run(case)


@settings(max_examples=80)
@given(cases(faulty=True))
def test_with_faults(case: Case) -> None:
    """Anything may fail at any moment."""
    run(case)

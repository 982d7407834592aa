"""Dumps on simulated tapes, whatever the sizes and bad spots: not a byte is lost or doubled."""

from __future__ import annotations

import contextlib
import faulthandler
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from attrs import frozen
from hypothesis import given, settings
from hypothesis import strategies as st

from devices.errors import DeviceError
from devices.interfaces import AccessMode, PartResult
from devices.tape import TapeDevice
from taper.core.splitting import CacheKind
from taper.plane.transfer import Transfer
from tests.devices.tape_world import BLOCK, TapeWorld
from tests.fakes.tape import Fault, records_on
from tests.plane.dumping import Dump, PiecesSource, Plan, SeekableSource, crc_of, write_dump

MODES = ("none", "memory", "disk", "holding")


@pytest.fixture(autouse=True, scope="module")
def _small_buffers() -> Iterator[None]:
    """Small enough that short dumps go round the ring; and a hang shows its threads."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("taper.plane.ring.CHUNK", 2 * BLOCK)
        patch.setattr("taper.plane.transfer.RING_SIZE", 6 * BLOCK)
        faulthandler.dump_traceback_later(240, exit=True)
        yield
        faulthandler.cancel_dump_traceback_later()


@frozen(kw_only=True)
class Case:
    """One dump to try; sizes in blocks, but for ``rest``."""

    mode: str
    blocks: int
    rest: int
    part_blocks: int
    capacity: int | None
    zone: int
    leom: bool
    pieces: list[int]
    faults: list[Fault]

    @property
    def data(self) -> bytes:
        # a period that is prime to every buffer size shows any misplaced byte
        size = self.blocks * BLOCK + self.rest
        return (bytes(range(251)) * (size // 251 + 1))[:size]


@st.composite
def cases(draw: st.DrawFn) -> Case:
    mode = draw(st.sampled_from(MODES))
    cached = mode in ("memory", "disk")
    fault = st.builds(
        Fault,
        call=st.sampled_from(["write", "write", "WEOF"]),
        code=st.sampled_from(["EIO", "ENOSPC", "SHORT", "ENXIO"]),
        after=st.integers(0, 30),
    ).filter(lambda fault: fault.call == "write" or fault.code != "SHORT")
    return Case(
        mode=mode,
        blocks=draw(st.integers(0, 25)),
        rest=draw(st.sampled_from([0, 1, BLOCK - 1])),
        part_blocks=draw(st.integers(1 if cached else 0, 9)),
        capacity=draw(st.none() | st.integers(3, 15)),
        zone=draw(st.integers(0, 4)),
        leom=draw(st.booleans()),
        pieces=draw(st.lists(st.integers(1, 3 * BLOCK), min_size=1, max_size=3)),
        faults=draw(st.lists(fault, max_size=2)),
    )


class Tapes:
    """Cartridge after cartridge in one drive."""

    def __init__(self, case: Case, directory: str) -> None:
        self._case = case
        self._world = TapeWorld(Path(directory))
        self._world.drive.change(faults=tuple(case.faults))
        self._count = 0
        self.cartridge = Path()

    def __iter__(self) -> Iterator[TapeDevice]:
        """Devices, started; a cartridge that cannot be labelled is put aside."""
        while True:
            device = self._next()
            try:
                device.start(AccessMode.WRITE, f"TAPE-{self._count:02}", "X")
            except DeviceError:
                self._finish(device)
                continue
            yield device
            self._finish(device)

    def _next(self) -> TapeDevice:
        case = self._case
        capacity = None if case.capacity is None else case.capacity * BLOCK
        early = None if capacity is None else max(capacity - case.zone * BLOCK, 0) - 1
        facts = {"capacity": capacity, "early": early}
        insert = self._world.insert_instead if self._count else self._world.insert
        self._count += 1
        self.cartridge = insert(f"cartridge{self._count}", **facts)
        return self._world.device(leom=case.leom)

    @staticmethod
    def _finish(device: TapeDevice) -> None:
        with contextlib.suppress(DeviceError):  # of a drive that has failed for good
            device.finish()


def run(case: Case, directory: str) -> Dump:
    cached = case.mode in ("memory", "disk")
    plan = Plan(
        part_size=case.part_blocks * BLOCK,
        block_size=BLOCK,
        buffer_size=BLOCK,
        cache=CacheKind(case.mode) if cached else CacheKind.NONE,
        cache_dir=directory,
    )
    kind = SeekableSource if case.mode == "holding" else PiecesSource
    tapes = Tapes(case, directory)

    def stored(_: TapeDevice, part: PartResult) -> bytes:
        found = records_on(tapes.cartridge, part.fileno)
        assert not found[part.size :].strip(b"\0")
        return found[: part.size]

    transfer = Transfer(kind(case.data, case.pieces), plan)
    return write_dump(transfer, iter(tapes), 30, stored_by=stored)


@settings(max_examples=40)
@given(cases())
def test_not_a_byte_is_lost(case: Case) -> None:
    """What good parts hold, one after the other, is the dump from its first byte on; and only
    trouble at a tape that cannot be repeated ends it early."""
    with tempfile.TemporaryDirectory() as directory:
        dump = run(case, directory)
    data = case.data
    assert dump.stored == data[: len(dump.stored)]
    assert dump.dest_crc == crc_of(bytes(dump.stored))
    if dump.results[-1].eof:
        assert dump.stored == data
        assert dump.source_crc == crc_of(data)
    else:
        tight = case.capacity is not None and case.capacity - case.zone < 4
        part = case.part_blocks or case.blocks + 1  # without a limit all of it is one part
        assert case.mode == "none" or tight or part + 3 > (case.capacity or 99)

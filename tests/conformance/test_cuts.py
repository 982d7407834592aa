"""Data connections cut at random bytes, on devices of every way that a dump can take, and the
rendezvous as well: what is DONE is whole, and no more than a window was sent twice.

And vaulted dumps, from mover to mover.

By default there are some small dumps; a thousand large ones, with ``--cuts all``, take hours.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

import pytest

from tests.conformance.cutting import (
    HEAD,
    LATE,
    WAYS,
    Cuts,
    Fate,
    Nights,
    Reader,
    check,
    check_content,
    random_cuts,
    tape_reader,
    vtape_reader,
)
from tests.conformance.cutting_vaults import Copy, Vaults, in_three_parts
from tests.conformance.harness import VTAPES, Options, World
from tests.conformance.test_tape_server import TREE, tree
from tests.conformance.vaulting_ndmp import TapeLibrary
from tests.fakes.ndmjob import NdmJob, missing_ndmjob
from tests.fakes.ndmp_runs import ENDLESS, options
from tests.tapeserver.process import TapeServerProcess

pytestmark = [pytest.mark.own_only, pytest.mark.usefixtures("rendezvous")]

SMALL = 8 << 20
ALL, LARGE = 1000, 64 << 20
ON_A_TAPE = 256 << 20
"""Bytes on a tape that is read as a whole."""

PEERS = "data-peers = 127.0.0.0/8"

HOWS = pytest.mark.parametrize("talks", [0, 1], ids=["data", "both"])


@pytest.fixture
def number(request: pytest.FixtureRequest) -> int:
    """How many dumps."""
    given = request.config.getoption("--cuts")
    return ALL if given == "all" else int(given)


@pytest.fixture
def size(request: pytest.FixtureRequest) -> int:
    """Bytes of each."""
    given = request.config.getoption("--cut-size")
    if given is None:
        return LARGE if request.config.getoption("--cuts") == "all" else SMALL
    return int(given) << 20


@HOWS
def test_a_device_of_this_host(world: World, number: int, size: int, talks: int) -> None:
    """``file:``: the part goes on in its middle."""
    nights = Nights(world, Options(usage_kib=None, leom=None, tapetype=ENDLESS))
    read = vtape_reader(world.path(VTAPES).glob("slot*"))
    for seed in range(number):
        run(nights, seed, size, talks, read)
    nights.talk.quit()


@HOWS
def test_a_tape_server_of_ours(world: World, number: int, size: int, talks: int) -> None:
    """The mover's part ends where its data are certain, and another one begins."""
    with tree(world, 1, 1 << 24) as server:
        nights = Nights(world, single(server.url("single")))
        read = vtape_reader(world.path(TREE).glob("slot*"))
        for seed in range(number):
            run(nights, seed, size, talks, read)
        nights.end()


@pytest.mark.parametrize("left", [1, 40_000])
@pytest.mark.parametrize("size", [1 << 20, (1 << 20) + 100])
def test_padding_hides_no_loss(world: World, size: int, left: int) -> None:
    """What looks like a good end comes within the last record, which the mover fills up: it has
    counted all the bytes then, or more, and has not got them."""
    with tree(world, 1, 1 << 24) as server:
        nights = Nights(world, single(server.url("single")))
        data = Random(size).randbytes(size)
        fate = nights.dump(data, Cuts(data=[(size - left, "end")]))
        check(fate, data)
        check_content(fate, data, vtape_reader(world.path(TREE).glob("slot*")))
        assert fate.application.meeting.given > size, "it was not cut"
        nights.end()


@contextmanager
def one_drive(make: str, fill: Callable[[Path], object]) -> Iterator[tuple[int, str, Path]]:
    """A server with one tape. :return: its port, its drive, and the tape

    :param make: of the server: ``ours`` or ``ndmjob``
    :param fill: puts something on the tape
    """
    if make == "ndmjob":
        with NdmJob() as other:
            tape = other.blank("tape")
            fill(tape)
            yield other.port, other.device("tape"), tape
        return
    server = TapeServerProcess("", PEERS)
    tape = server.directory / "tape"
    server.add(f"[drive d]\nfile = {tape}\n")
    tape.touch()
    fill(tape)
    with server:
        yield server.port, "d", tape


@pytest.mark.skipif(missing_ndmjob() is not None, reason="no ndmjob here")
@pytest.mark.parametrize(("source", "target"), [("ours", "ndmjob"), ("ndmjob", "ours")])
def test_padding_of_a_larger_record_hides_no_loss(
    world: World, number: int, source: str, target: str
) -> None:
    """From mover to mover: what looks like a good end comes within the last record, of which the
    source has a part in a record of its own; and the source has no reason to doubt."""
    dice = Random(source)
    whole = 20 * HEAD
    data = dice.randbytes(whole + 20_000)

    def fill(tape: Path) -> None:
        in_three_parts(TapeLibrary(world, tapes={"SRC01": tape}), data)

    with (
        one_drive(source, fill) as (port, drive, _),
        one_drive(target, lambda _: None) as (other, to, tape),
    ):
        vaults = Vaults(world, f"ndmp:127.0.0.1:{port}@{drive}", other, to, 2 * HEAD)
        cuts = [dice.randrange(whole + 1, len(data)) for _ in range(number // 2)]
        copies = [vaults.copy([(cut, LATE)]) for cut in cuts]
        vaults.end()
        read = tape_reader(tape)
        for copy in copies:
            check_copy(copy, data, read, 2 * HEAD)


@pytest.mark.skipif(missing_ndmjob() is not None, reason="no ndmjob here")
@HOWS
def test_ndmjob(world: World, number: int, size: int, talks: int) -> None:
    """A tape server that is not ours: what it does at a break is its own affair."""
    dumps = max(ON_A_TAPE // size, 1)
    for first in range(0, number, dumps):
        with NdmJob() as server:
            tape = server.blank("tape1")
            nights = Nights(world, single(server.url("tape1")))
            seeds = range(first, min(first + dumps, number))
            fates = [run(nights, seed, size, talks, None) for seed in seeds]
            nights.end()
            read = tape_reader(tape)
            for seed, fate in zip(seeds, fates, strict=True):
                check_content(fate, Random(seed).randbytes(size), read)


@contextmanager
def source_of(world: World, data: bytes) -> Iterator[TapeServerProcess]:
    """A tape server of ours with a dump to be vaulted on the volume in its drive ``old``."""
    server = TapeServerProcess("", PEERS)
    old = server.directory / "old"
    server.add(f"[drive old]\nfile = {old}\n")
    old.touch()
    in_three_parts(TapeLibrary(world, tapes={"SRC01": old}), data)
    with server:
        yield server


def test_from_mover_to_a_tape_server_of_ours(world: World, number: int, size: int) -> None:
    """A vaulted dump past this host: the source's mover begins anew behind what is certain."""
    data = Random(size).randbytes(size + 100)
    with source_of(world, data) as source, tree(world, 1, 1 << 24) as server:
        vaults = Vaults(world, source.url("old"), server.port, "single")
        read = vtape_reader(world.path(TREE).glob("slot*"))
        for seed in range(number):
            vault_once(vaults, seed, data, read)
        vaults.end()


@pytest.mark.skipif(missing_ndmjob() is not None, reason="no ndmjob here")
def test_from_mover_to_ndmjob(world: World, number: int, size: int) -> None:
    """The same onto a tape server that is not ours."""
    data = Random(size).randbytes(size + 100)
    dumps = max(ON_A_TAPE // size, 1)
    with source_of(world, data) as source:
        for first in range(0, number, dumps):
            with NdmJob() as server:
                tape = server.blank("tape1")
                vaults = Vaults(world, source.url("old"), server.port, server.device("tape1"))
                seeds = range(first, min(first + dumps, number))
                copies = [vault_once(vaults, seed, data, None) for seed in seeds]
                vaults.end()
                read = tape_reader(tape)
                for copy in copies:
                    check_copy(copy, data, read)


def vault_once(vaults: Vaults, seed: int, data: bytes, read: Reader | None) -> Copy:
    """One copy, cut in its own way.

    :param read: None: its content is looked at later
    """
    copy = vaults.copy([(Random(seed).randrange(1, len(data)), WAYS[seed % len(WAYS)])])
    if read is not None:
        check_copy(copy, data, read)
    return copy


def check_copy(copy: Copy, data: bytes, read: Reader, block: int = HEAD) -> None:
    """It is whole, but for what a mover adds to its last record, of so many bytes."""
    assert copy.line.startswith("DONE "), (copy.line, copy.cuts)
    found = read(copy.parts)
    assert found[: len(data)] == data, copy.cuts
    assert len(found) - len(data) < block
    assert not found[len(data) :].strip(b"\0")


def single(url: str) -> Options:
    """One drive, at once."""
    return options(f'tpchanger "chg-single:{url}"', tapetype=ENDLESS)


def run(nights: Nights, seed: int, size: int, talks: int, read: Reader | None) -> Fate:
    """One dump, cut in its own way.

    :param read: None: its content is looked at later
    """
    dice = Random(seed)
    data = dice.randbytes(size)
    fate = nights.dump(data, random_cuts(dice, size, talks))
    check(fate, data)
    if read is not None:
        check_content(fate, data, read)
    return fate

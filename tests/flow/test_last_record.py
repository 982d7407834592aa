"""The last record of a dump that goes from mover to mover is what was sent, or it comes again."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from twisted.internet.task import deferLater

from devices.errors import DriveFailed
from devices.ndmp_tape import Tape
from protocols.ndmp_server.interfaces import MoveEnd
from taper.flow.flows import Flows
from tests.contract.flow import BLOCK, DATA
from tests.fakes.ndmp_server import CONFORMING, PROFILES, Limits
from tests.fakes.turning import Turning, turning_reactor
from tests.flow.flowing import make_context
from tests.flow.test_spanning import PARTS, Volumes, dump
from tests.flow.vaulting import Vault

WHOLE = -(-len(DATA) // BLOCK) * BLOCK
"""Bytes that the source's mover sends."""


@pytest.fixture
def turning() -> Iterator[Turning]:
    with turning_reactor() as turning:
        yield turning


def vaulted(turning: Turning, source: Vault, volumes: Volumes) -> None:
    """Vault it; it must be whole."""
    context = source.context(make_context(turning.reactor))
    block = volumes.block
    plan = evolve(PARTS, block_size=block, part_size=20 * block)
    sent = -(-len(DATA) // source.record) * source.record if source.pads else len(DATA)
    flow = turning.run(dump(Flows(context), source.origin(context), source, volumes, plan))
    source.close()
    volumes.close()
    assert volumes.stored == DATA.ljust(-(-sent // block) * block, b"\0")
    assert flow.take_errors() == []


@pytest.mark.parametrize(
    ("name", "records"),
    [*((name, 2) for name in PROFILES), ("conforming", 7.5)],
)
def test_a_cut_in_it(turning: Turning, tmp_path: Path, name: str, records: float) -> None:
    """What looks like a good end comes within it, and its mover fills it up: all that it counts is
    as it should be."""
    source = Vault(turning, tmp_path, whole=True)
    block = int(records * BLOCK)
    volumes = Volumes(turning, "n", PROFILES[name], indirect=name == "product", block=block)
    tail = (WHOLE - 1) % block + 1
    volumes.cut([(WHOLE - tail // 2, "end"), (1, "end")], threading.Event())
    vaulted(turning, source, volumes)
    assert len(volumes.relays[-1].passed) == 3
    assert not source.said("MOVER_LISTEN")


def test_what_is_filled_up_is_counted_before_the_mover_halts(
    turning: Turning, tmp_path: Path
) -> None:
    """The source has reason to believe then that all whole records are there, and ends it all."""
    source = Vault(turning, tmp_path, whole=True)
    volumes = Volumes(turning, "n", CONFORMING, indirect=False)
    volumes.cut([(WHOLE - BLOCK + 3, "end")], threading.Event())
    drive = volumes.worlds["last"].server.drives["drive0"]
    do, late = drive.do, []

    async def do_late(work: Any) -> Any:
        found = await do(work)
        if found is MoveEnd.CLOSED and not late:
            late.append(found)
            while not source.said("MOVER_CLOSE"):
                await deferLater(turning.reactor, 0.01, lambda: None)
        return found

    drive.do = do_late  # type: ignore[method-assign]
    vaulted(turning, source, volumes)
    assert late
    assert len(volumes.relays[-1].passed) == 2


class Unpadded(Vault):
    """Written by a program of the tape host, on a vtape: its mover sends no padding."""

    pads = False


class Halved(Vault):
    """Its records are not as long as those of its headers."""

    record = BLOCK // 2


@pytest.mark.parametrize("made", [Unpadded, Halved])
def test_a_source_of_other_records_than_its_headers(
    turning: Turning, tmp_path: Path, made: type[Vault]
) -> None:
    """Its mover sends them as they are, and they are compared as they are."""
    source = made(turning, tmp_path, whole=True)
    volumes = Volumes(turning, "n", CONFORMING, indirect=False, block=2 * BLOCK)
    vaulted(turning, source, volumes)
    assert not source.said("MOVER_LISTEN")


async def cannot(*_: object) -> bytes:
    raise DriveFailed("NDMP MTIO operation 4 did not complete")


def test_a_source_that_does_not_read_it_again(
    turning: Turning, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What cannot be compared comes by this host: the last record, and what is behind it."""
    monkeypatch.setattr(Tape, "read_end", cannot)
    source = Vault(turning, tmp_path, whole=True)
    volumes = Volumes(turning, "n", CONFORMING, indirect=False, block=2 * BLOCK)
    vaulted(turning, source, volumes)
    assert source.said("MOVER_LISTEN") == 1
    assert volumes.parts[-1] <= 2 * volumes.block


def test_a_volume_that_does_not_read_it_again(
    turning: Turning, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody knows where it stands: the part comes again, on another one and by this host."""
    monkeypatch.setattr(Tape, "read_last_record", cannot)
    source = Vault(turning, tmp_path, whole=True)
    volumes = Volumes(turning, "nm", CONFORMING, indirect=False, block=2 * BLOCK)
    for medium in volumes.worlds["n"].media.values():
        medium.limits = Limits.of_size(1 << 30)
    vaulted(turning, source, volumes)
    assert volumes.failed == 1
    assert source.said("MOVER_LISTEN")

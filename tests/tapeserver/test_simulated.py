"""A tape in a file: what is written in one run is what is written record by record."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from protocols.ndmp_server.interfaces import TapeEnd
from taper.tapeserver.simulated import Limits, SimulatedTape

DATA = memoryview(bytes(range(256)) * 20)


@pytest.mark.parametrize("before", [0, 1, 3])
@pytest.mark.parametrize("size", [512, 1024])
def test_a_run_is_its_records(tmp_path: Path, before: int, size: int) -> None:
    """To the byte, behind a filemark, over what stood there, and at the beginning."""
    one, other = (SimulatedTape.in_file(tmp_path / name) for name in ("one", "other"))
    for tape in (one, other):
        for _ in range(4):
            tape.write(b"old record")
        tape.rewind()
        tape.forward_records(before)
    assert one.write_run(DATA, size) == (len(DATA), None)
    for at in range(0, len(DATA), size):
        assert other.write(DATA[at : at + size]) is None
    for tape in (one, other):
        tape.write_filemark()
        assert (tape.file_num, tape.blockno) == (1, 0)
        tape.close()
    assert (tmp_path / "one").read_bytes() == (tmp_path / "other").read_bytes()


def test_a_full_disk_takes_none_of_a_run_and_the_tape_ends_where_it_did(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tape = SimulatedTape.in_file(tmp_path / "tape")
    tape.write(b"first")
    put, tried = SimulatedTape._put, []

    def full(self: SimulatedTape, at: int, data: bytes) -> None:
        tried.append(at)
        if len(tried) > 1:
            return put(self, at, data)
        put(self, at, data[:100])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(SimulatedTape, "_put", full)
    assert tape.write_run(DATA, 512) == (0, TapeEnd.FULL)
    tape.close()
    again = SimulatedTape.in_file(tmp_path / "tape")
    assert again.read() == b"first"
    assert again.read() is TapeEnd.NOTHING
    again.close()


def test_limits_are_met_within_a_run() -> None:
    """Early warning once, then the end."""
    tape = SimulatedTape(Limits(early_records=3, end_records=5))
    assert tape.write_run(DATA, 512) == (3 * 512, TapeEnd.EARLY)
    assert tape.write_run(DATA, 512) == (2 * 512, TapeEnd.FULL)

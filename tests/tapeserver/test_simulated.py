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


@pytest.mark.parametrize("early", [0, 33, 1500, 1600, 3000])
@pytest.mark.parametrize("end", [1600, 3000, 3104, 9999])
def test_a_run_meets_limits_where_its_records_do(early: int, end: int) -> None:
    """Each time that it is tried again, to the byte."""
    one, other = SimulatedTape(Limits(early, end)), SimulatedTape(Limits(early, end))
    left, found, wanted = DATA, [], []
    while True:
        wrote, stop = one.write_run(left, 512)
        found.append((wrote, stop))
        left = left[wrote:]
        if stop is not TapeEnd.EARLY:
            break
    at = 0
    while at < len(DATA):
        stop = other.write(DATA[at : at + 512])
        at += 0 if stop else 512
        if stop:
            wanted.append((at, stop))
        if stop is TapeEnd.FULL:
            break
    told = sum(wrote for wrote, _ in found)
    assert (told, [stop for _, stop in found if stop]) == (at, [stop for _, stop in wanted])
    assert one.position == other.position


@pytest.mark.parametrize("size", [1, 100, 5000])
def test_a_run_that_is_read_is_its_records(size: int) -> None:
    """Each cut to the size; short ones, long ones, up to the filemark, and behind it."""
    one, other = SimulatedTape(), SimulatedTape()
    for tape in (one, other):
        for number in range(60):
            tape.write(bytes([number]) * (1, 100, 99, 5000, 3 << 19)[number % 5])
            if number in (29, 30, 59):
                tape.write_filemark()
        tape.rewind()
    buffer = memoryview(bytearray(3 * size))
    for _ in range(3):
        found, wanted = [], []
        while not isinstance(got := one.read_run(buffer, size), TapeEnd):
            found.append(bytes(buffer[:got]))
        while not isinstance(record := other.read(), TapeEnd):
            wanted.append(record[:size])
        assert (got, b"".join(found)) == (record, b"".join(wanted))
        assert (one.file_num, one.blockno) == (other.file_num, other.blockno)
        for tape in (one, other):
            tape.forward_filemarks(1)
    assert one.read_run(buffer, size) is TapeEnd.NOTHING


def test_a_file_that_may_not_be_written_is_write_protected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is read all the same; nothing is changed to find out."""
    tape = SimulatedTape.in_file(tmp_path / "tape")
    tape.write(b"record")
    tape.close()
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    again = SimulatedTape.in_file(tmp_path / "tape", durable=True)
    assert again.write_protected
    assert again.read() == b"record"
    again.flush()
    again.close()


def test_limits_are_met_within_a_run() -> None:
    """Early warning once, then the end."""
    tape = SimulatedTape(Limits(early_records=3, end_records=5))
    assert tape.write_run(DATA, 512) == (3 * 512, TapeEnd.EARLY)
    assert tape.write_run(DATA, 512) == (2 * 512, TapeEnd.FULL)

"""The simulated drive does what the kernel says that drives do, and keeps what ndmjob reads."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from zope.interface.verify import verifyObject

from devices import mtio
from devices.interfaces import AccessMode
from devices.mtio import Gmt, IDrive, Op
from protocols.header import HeaderType
from tests.contract.device import write_part
from tests.devices.tape_world import TapeWorld
from tests.fakes.ndmjob import NdmJob, give_to_dump_user, missing_ndmjob
from tests.fakes.tape import (
    SimulatedDrive,
    cartridge_in,
    files_on,
    load,
    make_cartridge,
    make_drive,
    stack,
    unload,
)
from tests.fakes.tape.speed import Speed
from tests.fakes.test_ndmp_server_stock import run_perl

KIB = 1024


def refused(call: Callable[[], object], number: int) -> None:
    """The call fails with this error."""
    with pytest.raises(OSError) as caught:
        call()
    assert caught.value.errno == number


@pytest.fixture
def drive(tmp_path: Path) -> SimulatedDrive:
    drive = make_drive(tmp_path / "nst0")
    load(drive.directory, make_cartridge(tmp_path / "cartridge", fresh=True))
    return drive


def opened(drive: SimulatedDrive, flags: int = os.O_RDWR) -> IDrive:
    handle = drive.open("", flags)
    assert verifyObject(IDrive, handle)
    return handle


def read(handle: IDrive, size: int = 100) -> bytes:
    buffer = memoryview(bytearray(size))
    return bytes(buffer[: handle.read(buffer)])


def test_what_is_read_where(drive: SimulatedDrive) -> None:
    """Nothing on a fresh tape is an error; a filemark is passed; the end of the data is told
    once behind a filemark, and then an error."""
    tape = opened(drive)
    refused(lambda: read(tape), errno.EIO)
    assert not mtio.state(tape).flags & Gmt.EOD
    for record in (b"a", b"bc"):
        assert tape.write(record) == len(record)
    mtio.operate(tape, Op.WEOF)
    tape.write(b"d")
    mtio.operate(tape, Op.REW)
    assert [read(tape) for _ in range(3)] == [b"a", b"bc", b""]
    assert (mtio.state(tape).file, mtio.state(tape).block) == (1, 0)
    assert [read(tape) for _ in range(3)] == [b"d", b"", b""]  # the rewind wrote a filemark
    assert mtio.state(tape).flags & Gmt.EOD
    refused(lambda: read(tape), errno.EIO)
    tape.close()
    assert files_on(drive.directory / "loaded") == [[b"a", b"bc"], [b"d"]]


def test_a_filemark_at_the_close(drive: SimulatedDrive) -> None:
    """What was written is ended, once; what was read is not."""
    tape = opened(drive)
    tape.write(b"a")
    tape.close()
    tape = opened(drive)
    assert (mtio.state(tape).file, mtio.state(tape).block) == (1, 0)
    mtio.operate(tape, Op.REW)
    read(tape)
    tape.close()
    assert files_on(drive.directory / "loaded") == [[b"a"]]


def test_spacing(drive: SimulatedDrive) -> None:
    """Forwards behind the filemark, backwards before it; short of it is an error."""
    tape = opened(drive)
    for record in (b"a", b"b", b"c"):
        tape.write(record)
        mtio.operate(tape, Op.WEOF)
    mtio.operate(tape, Op.BSF, 2)
    assert mtio.state(tape).file == 1
    assert read(tape) == b""
    assert read(tape) == b"c"
    mtio.operate(tape, Op.BSR)
    assert read(tape) == b"c"
    refused(lambda: mtio.operate(tape, Op.FSF, 2), errno.EIO)
    assert mtio.state(tape).flags & Gmt.EOD
    refused(lambda: mtio.operate(tape, Op.BSF, 4), errno.EIO)
    mtio.operate(tape, Op.EOM)
    assert mtio.state(tape).file == 3
    assert mtio.position(tape) == 6
    mtio.operate(tape, Op.REW)
    refused(lambda: mtio.operate(tape, Op.FSR, 2), errno.EIO)
    assert mtio.state(tape).file == 1
    tape.close()


def test_long_records_are_lost(drive: SimulatedDrive) -> None:
    """The read fails, and the next one gives what is behind them."""
    tape = opened(drive)
    tape.write(b"long record")
    tape.write(b"next")
    mtio.operate(tape, Op.REW)
    refused(lambda: read(tape, 5), errno.ENOMEM)
    assert mtio.state(tape).block == 1
    assert read(tape, 5) == b"next"
    tape.close()


def test_every_other_write_behind_the_warning(tmp_path: Path) -> None:
    """Until the real end: then none."""
    drive = make_drive(tmp_path / "nst0")
    load(drive.directory, make_cartridge(tmp_path / "cartridge", capacity=50, early=25))
    tape = opened(drive)
    full, written = -errno.ENOSPC, []
    for _ in range(10):
        try:
            written.append(tape.write(b"x" * 10))
        except OSError as error:
            written.append(-int(error.errno or 0))
    assert written == [10, 10, 10, full, 10, full, 10, full, full, full]
    mtio.operate(tape, Op.WEOF)
    tape.close()


def test_fixed_blocks(drive: SimulatedDrive) -> None:
    """Nothing else is written or read."""
    drive.change(block_size=10)
    tape = opened(drive)
    refused(lambda: tape.write(b"x" * 9), errno.EINVAL)
    tape.write(b"x" * 10)
    mtio.operate(tape, Op.REW)
    refused(lambda: read(tape, 9), errno.EINVAL)
    assert read(tape, 10) == b"x" * 10
    tape.close()


def test_who_may_open(tmp_path: Path) -> None:
    """One at a time, and for writing only what is not protected; an empty drive without waiting."""
    drive = make_drive(tmp_path / "nst0")
    refused(lambda: opened(drive), errno.ENOMEDIUM)
    tape = opened(drive, os.O_RDWR | os.O_NONBLOCK)
    refused(lambda: opened(drive, os.O_RDWR | os.O_NONBLOCK), errno.EBUSY)
    assert not mtio.state(tape).online
    refused(lambda: mtio.operate(tape, Op.NOP), errno.ENOMEDIUM)
    tape.close()
    load(drive.directory, make_cartridge(tmp_path / "cartridge", write_protected=True))
    refused(lambda: opened(drive), errno.EROFS)
    tape = opened(drive, os.O_RDONLY)
    refused(lambda: tape.write(b"x"), errno.EBADF)
    tape.close()
    refused(lambda: SimulatedDrive(tmp_path / "none").open("", 0), errno.ENOENT)


def test_robots_and_stacks(tmp_path: Path) -> None:
    """What is loaded is in it until it is taken; what is ejected gives way to the next."""
    drive = make_drive(tmp_path / "nst0")
    cartridges = [make_cartridge(tmp_path / name) for name in ("a", "b")]
    with pytest.raises(ValueError, match="is empty"):
        unload(drive.directory)
    load(drive.directory, cartridges[0])
    with pytest.raises(ValueError, match="holds"):
        load(drive.directory, cartridges[1])
    assert unload(drive.directory) == cartridges[0]
    stack(drive.directory, *cartridges)
    for cartridge in (*cartridges, cartridges[1]):
        assert cartridge_in(drive.directory) == cartridge
        if cartridge_in(drive.directory) is not None:
            tape = opened(drive, os.O_RDWR | os.O_NONBLOCK)
            if mtio.state(tape).online:
                mtio.operate(tape, Op.OFFL)
            refused(lambda tape=tape: mtio.operate(tape, Op.NOP), errno.ENOMEDIUM)
            tape.close()


def test_the_mechanics() -> None:
    """The buffer runs empty when nothing comes: a back-hitch; a filemark waits for it."""
    now = 0.0

    def wait(seconds: float) -> None:
        nonlocal now
        now += seconds

    speed = Speed(native=100, lowest=50, buffer=200, clock=lambda: now, wait=wait)
    for _ in range(10):
        speed.wrote(10)  # not half full: the tape has not begun
    assert (now, speed.hitches) == (0.0, 0)
    wait(1.0)  # 100 bytes are in it, and go at 50 a second
    speed.wrote(10)
    wait(1.1)
    speed.wrote(10)
    assert speed.hitches == 0
    wait(0.5)
    speed.wrote(10)
    assert speed.hitches == 1
    for _ in range(60):
        speed.wrote(10)  # faster than the tape: each waits for room
    assert 3.5 < now < 8
    before = now
    speed.flushed()
    assert (now - before, speed.filemarks) == (2.0, 1)
    assert speed.hitches == 1


@pytest.mark.skipif(missing_ndmjob() is not None, reason=str(missing_ndmjob()))
def test_ndmjob_writes_what_we_read_and_reads_what_we_write(tmp_path: Path) -> None:
    """Amanda writes a known stream by ndmjob; our device reads that tape and writes another of
    it; ndmjob gives that one to Amanda, which finds the stream again."""
    with NdmJob(tape_limit=8 * KIB * KIB) as job:
        sizes = (str(896 * KIB), str(384 * KIB))
        theirs = job.blank("theirs")
        said = run_perl("stock_ndmp_write.pl", "0", *sizes, job.url("theirs"))
        assert said[-1] == "END", said
        world = TapeWorld(tmp_path)
        load(world.node, theirs)
        source, target = world.device(), TapeWorld(tmp_path / "other")
        target.insert("ours")
        copy = target.device()
        assert source.read_label().label == "VOL-1"
        source.start(AccessMode.READ)
        copy.start(AccessMode.WRITE, "VOL-1", source.timestamp)
        for number in (1, 2, 3):
            header = source.seek_file(number)
            assert header is not None
            assert source.file == number
            buffer = memoryview(bytearray(KIB * KIB))
            size = source.read_blocks(buffer)
            assert write_part(copy, buffer[:size], header) == number
        end = source.seek_file(4)
        assert end is not None
        assert end.type is HeaderType.TAPEEND
        source.finish()
        copy.finish()
        ours = job.blank("ours")
        shutil.copyfile(tmp_path / "other" / "ours", ours)
        give_to_dump_user(ours)
        assert ours.read_bytes() == theirs.read_bytes()
        said = run_perl("stock_ndmp_read.pl", f"{job.url('ours')},1,2,3")
        assert said[0] == "VOLUME VOL-1", said
        assert said[-1] == "END", said
        assert [line for line in said if "ERROR" in line] == []

"""The operations of tape drives as the kernel knows them."""

from __future__ import annotations

import errno
import os
import platform
import shutil
import subprocess
from pathlib import Path

import pytest
from zope.interface.verify import verifyObject

from devices import mtio
from devices.mtio import Gmt, IDrive, LinuxDrive, Op, open_drive
from devices.tape import TapeDevice
from tests.devices.tape_world import TapeWorld

HEADER = Path("/usr/include/linux/mtio.h")

PROGRAM = r"""
#include <stdio.h>
#include <linux/mtio.h>
int main(void) {
    struct mtget get = {1, 2, 3, 4, 5, 6, 7};
    const unsigned char *byte = (const void *) &get;
    printf("%lu %lu %lu\n", MTIOCTOP, MTIOCGET, MTIOCPOS);
    printf("%zu %zu %zu\n", sizeof(struct mtop), sizeof(struct mtget), sizeof(struct mtpos));
    printf("%d %d %d %d %d %d %d %d %d %d\n",
           MTFSF, MTBSF, MTFSR, MTBSR, MTWEOF, MTREW, MTOFFL, MTNOP, MTEOM, MTCOMPRESSION);
    printf("%lu %lu %lu %lu %lu\n", GMT_EOF(~0ul), GMT_BOT(~0ul), GMT_EOT(~0ul), GMT_EOD(~0ul),
           GMT_WR_PROT(~0ul));
    printf("%lu %lu %lu\n", GMT_ONLINE(~0ul), GMT_DR_OPEN(~0ul), GMT_CLN(~0ul));
    for (unsigned at = 0; at < sizeof get; at++) printf("%02x", byte[at]);
    printf("\n");
    return 0;
}
"""


@pytest.mark.skipif(
    shutil.which("cc") is None or not HEADER.exists(), reason="needs cc and the kernel's headers"
)
def test_numbers_and_layouts_are_those_of_the_headers(tmp_path: Path) -> None:
    """A C program that includes them says the same."""
    source, program = tmp_path / "mtio.c", tmp_path / "mtio"
    source.write_text(PROGRAM)
    subprocess.run(["cc", "-o", str(program), str(source)], check=True)
    said = subprocess.run([str(program)], capture_output=True, text=True, check=True).stdout
    *numbers, layout = [line.split() for line in said.splitlines()]
    assert [[int(word) for word in line] for line in numbers] == [
        [mtio.MTIOCTOP, mtio.MTIOCGET, mtio.MTIOCPOS],
        [mtio.MTOP.size, mtio.MTGET.size, mtio.MTPOS.size],
        [Op.FSF, Op.BSF, Op.FSR, Op.BSR, Op.WEOF, Op.REW, Op.OFFL, Op.NOP, Op.EOM, Op.COMPRESSION],
        [Gmt.EOF, Gmt.BOT, Gmt.EOT, Gmt.EOD, Gmt.WR_PROT],
        [Gmt.ONLINE, Gmt.DR_OPEN, Gmt.CLN],
    ]
    assert layout == [mtio.MTGET.pack(1, 2, 3, 4, 5, 6, 7).hex()]


@pytest.mark.skipif(platform.machine() not in ("x86_64", "aarch64"), reason="of these machines")
def test_numbers() -> None:
    """As strace shows them."""
    assert mtio.MTIOCTOP == 0x40086D01
    assert mtio.MTIOCGET == 0x80306D02
    assert mtio.MTIOCPOS == 0x80086D03


def test_the_real_drive() -> None:
    """What is no tape drive is opened, written and read, and knows none of the operations."""
    drive = open_drive("/dev/zero", os.O_RDWR | os.O_NONBLOCK)
    assert isinstance(drive, LinuxDrive)
    assert verifyObject(IDrive, drive)
    drive.set_blocking()
    assert drive.write(b"12345") == 5
    buffer = bytearray(b"123456")
    assert drive.read(memoryview(buffer)[1:4]) == 3
    assert buffer == b"1\0\0\x0056"
    for call in (
        lambda: mtio.operate(drive, Op.REW),
        lambda: mtio.state(drive),
        lambda: mtio.position(drive),
    ):
        with pytest.raises(OSError) as caught:
            call()
        assert caught.value.errno == errno.ENOTTY
    drive.close()


def test_what_a_drive_tells(tmp_path: Path) -> None:
    """Flags, fixed blocks and the place, or that it does not know it."""
    world = TapeWorld(tmp_path)
    world.drive.change(block_size=4096)
    world.insert()
    drive = world.drive.open("", os.O_RDWR | os.O_NONBLOCK)
    told = mtio.state(drive)
    assert (told.online, told.write_protected, told.block_size) == (True, False, 4096)
    assert (told.file, told.block, told.flags & Gmt.BOT) == (0, 0, Gmt.BOT)
    mtio.operate(drive, Op.FSF)
    assert mtio.position(drive) == 1
    assert mtio.state(drive).file == 1
    drive.close()
    world.drive.change(knows_place=False)
    drive = world.drive.open("", os.O_RDWR | os.O_NONBLOCK)
    told = mtio.state(drive)
    assert (told.file, told.block) == (None, None)
    drive.close()


@pytest.mark.parametrize(
    ("node", "text"),
    [
        (
            "/dev/null",
            "File /dev/null is not a tape device: Inappropriate ioctl for device "
            "(ENOTTY, MTNOP on /dev/null): this is no tape drive; look at tapedev",
        ),
        (
            "/dev/nst99",
            "Can't open tape device /dev/nst99: No such file or directory "
            "(ENOENT, open on /dev/nst99): no such device file; see whether `lsscsi -g` shows the "
            "drive, and tapedev",
        ),
    ],
)
def test_what_is_no_drive(node: str, text: str) -> None:
    """The device says so, with the error, what was done where, and what to look at."""
    device = TapeDevice("tape", node)
    reading = device.read_label()
    assert (reading.status, reading.error, reading.header_type) == (1, text, None)
    assert (device.status, device.error) == (1, text)
    device.finish()

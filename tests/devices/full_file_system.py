"""What happens on a file system that is really full; run by test_file_full.py on a small tmpfs."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from devices.diskflat import DiskflatDevice
from devices.errors import Status
from devices.file import FileDevice
from devices.file_backed import FileBackedDevice
from devices.interfaces import AccessMode, FileStart, WriteEnd, Written
from tests.contract.device import PART, STAMP, read_rest, some_bytes

BLOCK = 32768
SIZE = 64 * BLOCK
DATA = some_bytes(SIZE)


def open_it(path: Path, **properties: str) -> FileBackedDevice:
    return begin(FileDevice("full", str(path)), **properties)


def begin(device: FileBackedDevice, **properties: str) -> FileBackedDevice:
    for name, value in properties.items():
        device.properties.set(name, value)
    device.start(AccessMode.WRITE, "TAPE-01", STAMP)
    assert device.start_file(PART) == FileStart(1, False)
    return device


def check_part(device: FileBackedDevice, size: int) -> None:
    """The part holds exactly the first ``size`` bytes."""
    device.finish()
    device.start(AccessMode.READ)
    assert device.seek_file(1) is not None
    assert read_rest(device, BLOCK) == DATA[:size]
    device.finish()


def warns(path: Path) -> None:
    """With monitoring the part ends four blocks before the file system is full."""
    device = open_it(path)
    written = device.write_blocks(DATA)
    assert written.end is WriteEnd.EARLY, written
    free = os.statvfs(path)
    assert free.f_bavail * free.f_frsize <= 4 * BLOCK
    assert free.f_bavail * free.f_frsize > 3 * BLOCK
    device.finish_file()
    check_part(device, written.accepted)


def runs_full(path: Path, leom: bool, flat: bool = False) -> None:
    """Without monitoring the write itself fails; whole blocks stay, freed room is used."""
    ballast = path / "ballast"
    ballast.write_bytes(bytes(5 * BLOCK + 4096))
    volume = DiskflatDevice("flat", f"{path}/TAPE-01") if flat else FileDevice("full", str(path))
    device = begin(volume, monitor_free_space="no", leom="yes" if leom else "no")
    written = device.write_blocks(DATA)
    assert written.end is (WriteEnd.SPACE if leom else WriteEnd.FAILED)
    assert 0 < written.accepted < SIZE
    assert written.accepted % BLOCK == 0
    assert device.is_eom
    assert device.status is Status.VOLUME_ERROR
    assert device.error == "No space left on device"
    again = device.write_blocks(DATA[written.accepted :])
    assert again == Written(0, written.end), again
    ballast.unlink()
    device.reset()
    more = device.write_blocks(DATA[written.accepted :])
    assert more.accepted >= 5 * BLOCK
    device.finish_file()
    check_part(device, written.accepted + more.accepted)


def next_header(path: Path) -> None:
    """No room for a header: nothing is left of it. A new label takes the old files' room."""
    device = open_it(path, monitor_free_space="no")
    device.write_blocks(DATA)
    device.finish_file()
    with (path / "filler").open("wb", buffering=0) as filler:
        try:
            while True:
                filler.write(bytes(1024))
        except OSError:
            before = sorted(os.listdir(path))
    device.reset()
    assert device.start_file(PART) == FileStart(0, True, space=True)
    assert sorted(os.listdir(path)) == before
    device.finish()
    device.start(AccessMode.WRITE, "TAPE-02", STAMP)
    assert sorted(os.listdir(path)) == ["00000.TAPE-02", "filler"]
    device.finish()


CASES = {
    "warns": warns,
    "space": lambda path: runs_full(path, True),
    "failed": lambda path: runs_full(path, False),
    "header": next_header,
    "flat_space": lambda path: runs_full(path, True, flat=True),
    "flat_failed": lambda path: runs_full(path, False, flat=True),
}

if __name__ == "__main__":
    CASES[sys.argv[1]](Path(sys.argv[2]))

"""Serial numbers of tape drives, as the kernel has read them."""

from __future__ import annotations

import os
from contextlib import suppress

SYSFS = "/sys/class/scsi_tape"

_HEAD = 4
_LONGEST = 256


def serial_of(node: str) -> str | None:
    """The serial number of the drive behind a device file, links to it followed.

    :return: None: it is no SCSI tape drive, or does not tell its number
    """
    name = os.path.basename(os.path.realpath(node))
    page = b""
    with suppress(OSError, ValueError), open(f"{SYSFS}/{name}/device/vpd_pg80", "rb") as file:
        page = file.read(_HEAD + _LONGEST)  # the SCSI page "unit serial number"
    length = int.from_bytes(page[2:_HEAD], "big")
    text = page[_HEAD : _HEAD + length].decode("ascii", "replace").strip(" \0")
    return text if text.isprintable() and text else None

"""Reading the tapelist file: changers that know volumes by it, and the taper itself, do."""

from __future__ import annotations

from devices.regular import open_regular, read_at_most
from protocols.tapelist import MAX_BYTES, Tapelist, parse_tapelist


def read_tapelist(path: str) -> Tapelist:
    """The list in the file, without locking; empty if there is no file.

    Raises TapelistError, and OSError for a file that is there and cannot be read: to take that
    for an empty list, as stock does, would free every label in it.
    """
    try:
        with open(path, "rb", opener=open_regular) as file:
            data = read_at_most(file, MAX_BYTES + 1)
    except FileNotFoundError:
        return Tapelist()
    return parse_tapelist(data, path)

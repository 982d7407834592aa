"""Reading the tapelist file: changers that know volumes by it, and the taper itself, do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from devices.errors import ChangerError, ChangerReason
from devices.regular import open_regular, read_at_most
from protocols.tapelist import MAX_BYTES, Tapelist, TapelistError, parse_tapelist

if TYPE_CHECKING:
    from protocols.conf.config import Config


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


def configured_tapelist(config: Config) -> Tapelist:
    """The list as a changer sees it.

    :raise ChangerError: it cannot be read
    """
    try:
        return read_tapelist(config.path(config.general.tapelist))
    except (TapelistError, OSError) as error:
        text = f"Could not read the tapelist: {error}"
        raise ChangerError(text, ChangerReason.UNKNOWN) from error

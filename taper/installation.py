"""The installation of Amanda that this one of ours works for, as ``taperctl install`` recorded it.

Everybody who needs one of Amanda's directories, or her user, without having been told it by a
configuration, asks here. The record lies in our own (virtual) environment, so each of several ours
on a machine may work for another Amanda. Where there is none, Amanda is as Debian builds her.
"""

from __future__ import annotations

import functools
import os
import stat

from devices.regular import open_regular, read_at_most
from protocols.installation import DEBIAN, LONGEST, Installation, InstallationError, parse
from taper.last_words import CannotStart, reason
from taper.places import RECORD, place_of, prefix_of


class Unusable(CannotStart):
    """There is a record, but it cannot be relied on; the text says why, and what to do."""

    taper_code = 8007


def record_path(python: str | None = None) -> str:
    """Where the record of an installation of ours is.

    :param python: the interpreter that runs it; None: ours
    """
    return place_of(RECORD, None if python is None else prefix_of(python))


def read_record(path: str) -> Installation | None:
    """Read a record; None if there is none.

    :raise Unusable: it is damaged, or somebody else than root and us could have written it
    """
    remedy = '"taperctl install", as root, writes it anew'
    try:
        with open(path, "rb", opener=open_regular) as file:
            facts = os.fstat(file.fileno())
            if facts.st_uid not in (0, os.geteuid()):
                raise Unusable(
                    f"{path} belongs to user {facts.st_uid}, expected root; remove it, and {remedy}"
                )
            if facts.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
                raise Unusable(f"{path} may be changed by others than its owner; {remedy}")
            return parse(read_at_most(file, LONGEST + 1))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as fault:
        raise Unusable(f"where Amanda keeps things cannot be read: {reason(fault)}") from fault
    except InstallationError as fault:
        raise Unusable(f"{path}, which says where Amanda keeps things: {fault}; {remedy}") from None


@functools.cache
def installation() -> Installation:
    """Amanda as recorded, or as Debian builds her; read once.

    :raise Unusable: see :func:`read_record`
    """
    return read_record(record_path()) or DEBIAN

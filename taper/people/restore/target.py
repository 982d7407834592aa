"""What stands behind ``--to``: a directory here, one of another host, or standard output."""

from __future__ import annotations

import re

from attrs import frozen

STDOUT = "-"
_FAR = re.compile(r"(?P<user>[^/:\[]*@)?\[(?P<address>[^/\]]*)\]:(?P<there>.*)", re.DOTALL)
_PLAIN = re.compile(r"(?P<host>[^/:]*):(?P<there>.*)", re.DOTALL)
_IN_NAMES = frozenset("._-+@%:")
"""What the name of a user or host may have besides letters and digits."""


@frozen(kw_only=True)
class FarTarget:
    """A directory of another host.

    :ivar host: as ssh is told it, with or without a user.
    :ivar directory: not empty; begins with ``/`` or ``./``, so that no program takes it for an
        option.
    """

    host: str
    directory: str


def far_target(to: str) -> FarTarget | None:
    """What ``HOST:DIR``, ``USER@HOST:DIR`` and ``[ADDRESS]:DIR`` mean; None: it is none of them, as
    a slash stands before the first colon, or there is no colon.

    :raise ValueError: it is one, and cannot be; the text says why
    """
    found = _FAR.fullmatch(to)
    if found is not None:
        host = f"{found['user'] or ''}{found['address']}"
    else:
        found = _PLAIN.fullmatch(to)
        if found is None:
            return None
        host = found["host"]
    there = found["there"]
    if not _is_host(host):
        raise ValueError(
            f"'{host}' names no host: HOST:DIR or USER@HOST:DIR expected; a directory here whose "
            f"name has a colon is ./{to}"
        )
    if not there:
        raise ValueError(f"'{to}' names no directory of {host}: HOST:DIR expected")
    if there.startswith("~"):
        raise ValueError(
            f"'{there}': no shell reads it; a directory that does not begin with / is below the "
            f"home directory there"
        )
    return FarTarget(host=host, directory=there if there.startswith("/") else f"./{there}")


def _is_host(host: str) -> bool:
    """Nothing that ssh, or what a person has let it run, could take for anything else."""
    user, at, name = host.rpartition("@")
    if not name or (at and not user) or name.startswith("-") or user.startswith("-"):
        return False
    return all(char.isalnum() or char in _IN_NAMES for char in host)

"""How the command that Amanda starts asks the daemon to serve its driver, over a unix socket.

The command says a greeting: a line ``TAPER-CLIENT 1 LENGTH``, and behind it so many bytes of
fields, each ``NAME=VALUE`` and a NUL. With its first byte come two descriptors: the command's error
output, and the end of a pipe on which the daemon tells the exit status. The daemon answers a line:
``WAIT REASON`` and later another one, ``REFUSED REASON``, or ``OFFER``. The daemon begins nothing
until the command says ``GO``, and the command takes nothing of the driver's until the daemon says
``BEGUN``; so a connection that ends before costs nobody anything, and the command can go on by
itself. From then on the connection is the driver's, and one that ends while nothing was told on the
pipe is that of a daemon that died.

Here is what the command needs, which is to be there in no time: this module imports next to
nothing. What the daemon makes of a greeting is in :mod:`protocols.greeting`.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence

WORD = b"TAPER-CLIENT"
VERSION = 1
LONGEST = 1 << 16
"""Bytes of a greeting; there is no driver whose command line and settings are longer."""
LONGEST_ANSWER = 4096

OFFER = b"OFFER\n"
GO = b"GO\n"
BEGUN = b"BEGUN\n"
REFUSED = "REFUSED"
WAIT = "WAIT"

SETTINGS = (
    "AMANDA_CONFIG_DIR",
    "AMANDA_DBGDIR",
    "AMANDA_STATE_DIR",
    "AMANDA_TMPDIR",
    "TZ",
)
"""What of an environment concerns us: Amanda's directories, and the zone of our times."""


def render(
    *,
    program: str,
    record: str,
    directory: str,
    words: Sequence[str],
    environment: Mapping[str, str],
) -> bytes | None:
    """A greeting, of what :class:`protocols.greeting.Greeting` says; None: it is too long, or has
    a NUL in it.

    :param environment: of which the settings are taken
    """
    fields = [f"program={program}", f"record={record}", f"directory={directory}"]
    fields += [f"word={word}" for word in words]
    fields += [f"setting={name}={environment[name]}" for name in SETTINGS if name in environment]
    if any("\0" in field for field in fields):
        return None
    # the bytes that this process was given, and would name files by, in whatever locale it is
    body = "".join(f"{field}\0" for field in fields).encode(
        sys.getfilesystemencoding(), sys.getfilesystemencodeerrors()
    )
    whole = b"%s %d %d\n%s" % (WORD, VERSION, len(body), body)
    return whole if len(whole) <= LONGEST else None


def answer(word: str, reason: str) -> bytes:
    """``REFUSED`` or ``WAIT`` with its reason, as a line."""
    text = f"{word} {' '.join(reason.split())}".encode("utf-8", "surrogateescape")
    return text[: LONGEST_ANSWER - 1] + b"\n"

"""How the command that Amanda starts asks the daemon to serve its driver, over a unix socket.

The command says a greeting: a line ``TAPER-CLIENT 1 LENGTH``, and behind it so many bytes of
fields, each ``NAME=VALUE`` and a NUL. With its first byte come two descriptors: the command's error
output, and the end of a pipe on which the daemon tells the exit status. The daemon answers a line:
``WAIT REASON`` and later another one, ``REFUSED REASON``, or ``OFFER``. The daemon begins nothing
until the command says ``GO``, and the command takes nothing of the driver's until the daemon says
``BEGUN``; so a connection that ends before costs nobody anything, and the command can go on by
itself. From then on the connection is the driver's, and one that ends while nothing was told on the
pipe is that of a daemon that died.

Here is what the command needs, which is to be there in no time: this module imports nothing. What
the daemon makes of a greeting is in :mod:`protocols.greeting`.
"""

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
    directory: bytes,
    words: list[bytes],
    environment: dict[bytes, bytes],
) -> bytes | None:
    """A greeting, of what :class:`protocols.greeting.Greeting` says; None: it is too long, or has
    a NUL in it.

    What names files is told by the bytes that the command was given, whatever letters its locale
    makes of them.

    :param environment: of which the settings are taken
    """
    fields = [f"program={program}".encode(), f"record={record}".encode(), b"directory=" + directory]
    fields += [b"word=" + word for word in words]
    for name in SETTINGS:
        value = environment.get(name.encode())
        if value is not None:
            fields.append(b"setting=%s=%s" % (name.encode(), value))
    if any(b"\0" in field for field in fields):
        return None
    body = b"".join(field + b"\0" for field in fields)
    whole = b"%s %d %d\n%s" % (WORD, VERSION, len(body), body)
    return whole if len(whole) <= LONGEST else None


def answer(word: str, reason: str) -> bytes:
    """``REFUSED`` or ``WAIT`` with its reason, as a line."""
    text = f"{word} {' '.join(reason.split())}".encode("utf-8", "surrogateescape")
    return text[: LONGEST_ANSWER - 1] + b"\n"

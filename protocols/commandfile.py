"""The command file: copies, flushes and restores that Amanda still has to do.

Read only: retention asks which volumes are sources of unfinished commands [config 3.6].
"""

from __future__ import annotations

from attrs import frozen

from protocols.quoting import split_line, unquote

MAX_BYTES = 64 << 20
"""Largest command file taken for one (bytes)."""

_VERSION = 1


@frozen(kw_only=True)
class Command:
    """One command.

    :ivar operation: ``COPY``, ``RESTORE`` or ``FLUSH``.
    :ivar src_storage: storage and pool to read from; empty for FLUSH. The pool ``HOLDING`` means
        that the source is a file, not a volume.
    :ivar source_labels: the volumes to read; none for FLUSH and from a holding disk.
    :ivar expires: until when a RESTORE holds, seconds since the epoch; then it is as good as done.
    :ivar status: ``TODO``, ``DONE`` or ``PARTIAL:bytes``.
    """

    id: int
    operation: str
    config: str
    src_storage: str = ""
    src_pool: str = ""
    source_labels: tuple[str, ...] = ()
    host: str
    disk: str
    timestamp: str
    level: int
    expires: int | None = None
    status: str

    def unfinished(self, now: float) -> bool:
        """Does it still have to be done at ``now``, seconds since the epoch?"""
        return self.status != "DONE" and (self.expires is None or self.expires > now)


@frozen
class CommandFile:
    """All commands of a file.

    :ivar bad_lines: lines that no reader can make sense of, to be told to somebody.
    """

    commands: tuple[Command, ...] = ()
    bad_lines: tuple[str, ...] = ()


def parse_command_file(data: bytes) -> CommandFile:
    """Read a whole file; a line that is not well formed spoils only itself."""
    if len(data) > MAX_BYTES:
        return CommandFile(bad_lines=(f"a file of {len(data)} bytes, over {MAX_BYTES}",))
    commands = []
    bad_lines = []
    for line in data.decode("utf-8", "surrogateescape").split("\n"):
        words = [unquote(word) for word in split_line(line.strip()) if word]
        if not words or words[0] == "ID":
            continue
        if words[0] == "VERSION":
            if words[1:] != [str(_VERSION)]:
                bad_lines.append(line)
            continue
        try:
            commands.append(_command(words))
        except (ValueError, IndexError):
            bad_lines.append(line)
    return CommandFile(tuple(commands), tuple(bad_lines))


def _command(words: list[str]) -> Command:
    """One line's words; raises ValueError or IndexError."""
    operation, config = words[1], words[2]
    expires = None
    if operation == "COPY":
        _, _, _, storage, pool, label, _, labels, _, host, disk, timestamp, level, *rest = words
        _dst_storage, _working, status = rest
        listed = tuple(part.strip() for part in labels.split(";") if part.strip())
        sources = listed if label in listed else (label, *listed)
    elif operation == "RESTORE":
        _, _, _, storage, pool, label, _, until, host, disk, timestamp, level, *rest = words
        _working, status = rest
        expires = int(until)
        sources = (label,) if pool != "HOLDING" else ()
    elif operation == "FLUSH":
        _, _, _, _file, host, disk, timestamp, level, *rest = words
        _dst_storage, _working, status = rest
        storage = pool = ""
        sources = ()
    else:
        raise ValueError(f"unknown operation {operation!r}")
    return Command(
        id=int(words[0]),
        operation=operation,
        config=config,
        src_storage=storage,
        src_pool=pool,
        source_labels=sources,
        host=host,
        disk=disk,
        timestamp=timestamp,
        level=int(level),
        expires=expires,
        status=status,
    )

"""What retention must know besides the tapelist: commands, trace logs, holding disks.

Reading them blocks, so it happens in a lane; what was read is kept as values. Trace logs and
holding disks are read only when a policy asks for them, and each log only when it has changed.
"""

from __future__ import annotations

import fcntl
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from zope.interface import implementer

from devices.patience import Patience, StopSet, TimeIsUp
from devices.regular import open_regular
from devices.tapelist_file import read_tapelist
from taper.core.interfaces import IHistory
from taper.core.retention import Retention

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred

    from protocols.catalog import DumpCopy
    from protocols.commandfile import Command
    from protocols.conf import Config
    from protocols.tapelist import Tapelist

_DAY = 86400
_LOCK_SECONDS = 60.0
_HEADER_SIZE = 32768
_MAX_LINE = 65536


class HistoryError(OSError):
    """What retention must know cannot be read. The text names the file and the reason."""


class Facts(NamedTuple):
    """What one reading gave.

    :ivar stamps: the volumes' timestamps whose logs were read; None: no policy needs logs.
    """

    commands: tuple[Command, ...] = ()
    dumps: tuple[DumpCopy, ...] = ()
    stamps: frozenset[str] | None = None


@implementer(IHistory)
class History:
    """Reads the facts and makes :class:`~taper.core.retention.Retention` of them.

    :param call: runs a blocking function elsewhere, one after the other, as ``Lane.call`` does.
    :param now: seconds since the epoch.
    :param note: is told of lines that make no sense.
    :param stop: once set, by any thread, no wait for the command file's lock goes on.
    """

    def __init__(
        self,
        config: Config,
        call: Callable[..., Deferred[Any]],
        *,
        now: Callable[[], float] = time.time,
        note: Callable[[str], object] = lambda text: None,
        stop: threading.Event | None = None,
    ) -> None:
        self._config = config
        self._stop = stop or threading.Event()
        self._call = call
        self._now = now
        self._note = note
        self.reading: Counter[str] = Counter()
        self._facts: Facts | None = None
        self._cache: dict[str, tuple[tuple[int, ...], tuple[DumpCopy, ...]]] = {}

    def refresh(self) -> Deferred[None]:
        """Read everything again. Fails with HistoryError, TapelistError or OSError."""
        return self._call(self.read)

    def retention(self, tapelist: Tapelist) -> Retention:
        """The rules over ``tapelist``, at this moment, with the facts last read. Any thread.

        Raises HistoryError before the first successful :meth:`refresh`.
        """
        facts = self._facts
        if facts is None:
            raise HistoryError("the command file and the trace logs were not read yet")
        now = self._now()
        unread = () if facts.stamps is None else _unread(tapelist, facts.stamps)
        return Retention(
            self._config,
            tapelist,
            stamp_days_ago=_calendar(now),
            dumps=facts.dumps,
            commands=(command for command in facts.commands if command.unfinished(now)),
            unread=unread,
            # copied in one go: this may be another thread than the one that counts
            reading=(label for label, dumps in tuple(self.reading.items()) if dumps > 0),
        )

    def read(self) -> None:
        """:meth:`refresh`, in this thread."""
        commands = self._read_commands()
        if not self._needs_logs():
            self._facts = Facts(commands)
            return
        stamps = frozenset(
            entry.datestamp
            for entry in read_tapelist(self._config.path(self._config.general.tapelist)).entries
        )
        logdir = self._config.path(self._config.general.logdir)
        files: dict[str, str | None] = dict(logs_of(logdir, stamps))
        files.update(dict.fromkeys(_holding_files(self._config), None))
        self._cache = {path: known for path, known in self._cache.items() if path in files}
        dumps = [dump for path, stamp in files.items() for dump in self._dumps_in(path, stamp)]
        self._facts = Facts(commands, tuple(dumps), stamps)

    def _needs_logs(self) -> bool:
        policies = (self._config.policy(storage.policy) for storage in self._config.storages())
        return any(
            policy is not None and (policy.retention_recover > 0 or policy.retention_full > 0)
            for policy in policies
        )

    def _read_commands(self) -> tuple[Command, ...]:
        path = self._config.path(self._config.general.command_file)
        data = read_locked(path, Patience(_LOCK_SECONDS, stop=self._stop))
        if not data:
            return ()
        from protocols.commandfile import parse_command_file  # most sites have no commands

        parsed = parse_command_file(data)
        for line in parsed.bad_lines:
            self._note(f"{path}: line not understood: {line[:500]}")
        return parsed.commands

    def _dumps_in(self, path: str, stamp: str | None) -> tuple[DumpCopy, ...]:
        """What one file tells: a log of that datestamp, or (None) one on a holding disk."""
        try:
            with open(path, "rb", opener=open_regular) as file:
                status = os.fstat(file.fileno())
                signature = (status.st_ino, status.st_size, status.st_mtime_ns)
                known = self._cache.get(path)
                if known is not None and known[0] == signature:
                    return known[1]
                if stamp is None:
                    dumps = _dump_in_holding(file.read(_HEADER_SIZE))
                else:
                    lines = iter(lambda: file.readline(_MAX_LINE), b"")
                    dumps = _dumps_in_log(
                        (line.decode("utf-8", "surrogateescape") for line in lines), stamp
                    )
        except FileNotFoundError:
            return ()  # flushed, or tidied away, since the directory was read
        self._cache[path] = signature, dumps
        return dumps


def _unread(tapelist: Tapelist, stamps: frozenset[str]) -> Iterator[str]:
    for entry in tapelist.entries:
        if entry.datestamp not in stamps and entry.datestamp not in ("0", "1"):
            yield entry.label


def _calendar(now: float) -> Callable[[int], str]:
    """Days back from ``now`` to a local time of 14 digits."""

    def stamp_days_ago(days: int) -> str:
        # no local time is defined for times far before the epoch
        return time.strftime("%Y%m%d%H%M%S", time.localtime(max(now - days * _DAY, 0)))

    return stamp_days_ago


def read_locked(path: str, patience: Patience) -> bytes:
    """A command file's content, read under the write lock its writers take (3.6).

    Nothing if there is no such file. Raises OSError, and HistoryError if it stays locked.
    """
    try:
        # closing unlocks
        file = open(path, "r+b", buffering=0, opener=open_regular)  # noqa: SIM115 (closed below)
    except FileNotFoundError:
        return b""
    with file:
        while True:
            try:
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return file.readall()
            except (BlockingIOError, PermissionError):
                _wait(path, patience)


def _wait(path: str, patience: Patience) -> None:
    try:
        patience.pause()
    except StopSet as error:
        raise HistoryError(f"{path} is locked by another process") from error
    except TimeIsUp as error:
        text = f"{path} is locked by another process for over {_LOCK_SECONDS:.0f} s"
        raise HistoryError(text) from error


def logs_of(logdir: str, stamps: frozenset[str]) -> Iterator[tuple[str, str]]:
    """Paths and datestamps of the logs that may tell of these volumes (3.5)."""
    for stamp in stamps:
        sequence = 0
        while os.path.exists(path := f"{logdir}/log.{stamp}.{sequence}"):
            yield path, stamp
            sequence += 1
        for path in (f"{logdir}/log.{stamp}", f"{logdir}/log.{stamp}.amflush"):
            if os.path.exists(path):
                yield path, stamp


def _holding_files(config: Config) -> Iterator[str]:
    """Files of dumps that wait on holding disks, second and further chunks among them."""
    for name in config.general.holdingdisk:
        section = config.holdingdisk(name)
        if section is None or not os.path.isdir(section.directory):
            continue
        for run in os.scandir(section.directory):
            if run.name.isascii() and run.name.isdigit() and run.is_dir():
                yield from (file.path for file in os.scandir(run) if file.is_file())


def _dumps_in_log(lines: Iterator[str], stamp: str) -> tuple[DumpCopy, ...]:
    from protocols.catalog import copies_of_dumps, parts_of_log  # only some policies need it

    return tuple(copies_of_dumps(parts_of_log(lines, stamp)))


def _dump_in_holding(block: bytes) -> tuple[DumpCopy, ...]:
    from protocols.catalog import DumpCopy
    from protocols.header import HeaderType, parse_header

    header = parse_header(block)
    if header.type != HeaderType.DUMPFILE:
        return ()
    return (
        DumpCopy(
            host=header.host,
            disk=header.disk,
            timestamp=header.datestamp,
            level=header.level,
            done=not header.is_partial,
        ),
    )

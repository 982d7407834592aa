"""What retention must know besides the tapelist: commands, trace logs, holding disks.

Reading them blocks, so it happens in a lane; what was read is kept as values. Trace logs and
holding disks are read only when a policy asks for them, and each file only when it has changed.
"""

from __future__ import annotations

import fcntl
import operator
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from zope.interface import implementer

from devices.patience import Patience, StopSet, TimeIsUp
from devices.regular import open_regular
from devices.tapelist_file import read_tapelist
from protocols.header import HeaderType, parse_header
from taper.core.interfaces import IHistory
from taper.core.retention import Retention
from taper.run.log_catalog import HistoryError, LogCatalog

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred

    from protocols.catalog import Disk, DumpCopy, DumpsTold
    from protocols.commandfile import Command
    from protocols.conf import Config
    from protocols.tapelist import Tapelist

_DAY = 86400
_LOCK_SECONDS = 60.0
_HEADER_SIZE = 32768


class Facts(NamedTuple):
    """What one reading gave.

    :ivar dumps: as :class:`~taper.core.retention.Retention` takes them.
    :ivar stamps: the volumes' timestamps whose logs were read; None: no policy needs logs.
    :ivar told: what each file told.
    """

    commands: tuple[Command, ...] = ()
    dumps: Mapping[Disk, Sequence[DumpCopy]] = MappingProxyType({})
    stamps: frozenset[str] | None = None
    told: tuple[DumpsTold, ...] = ()


@implementer(IHistory)
class History:
    """Reads the facts and makes :class:`~taper.core.retention.Retention` of them.

    :param call: runs a blocking function elsewhere, one after the other, as ``Lane.call`` does.
    :param now: seconds since the epoch.
    :param note: is told of lines that make no sense.
    :param stop: once set, by any thread, no wait for the command file's lock goes on.
    :param keep: what the trace logs tell is kept in an index beside them.
    """

    def __init__(
        self,
        config: Config,
        call: Callable[..., Deferred[Any]],
        *,
        now: Callable[[], float] = time.time,
        note: Callable[[str], object] = lambda text: None,
        stop: threading.Event | None = None,
        keep: bool = True,
    ) -> None:
        self._config = config
        self._stop = stop or threading.Event()
        self._call = call
        self._now = now
        self._note = note
        self.reading: Counter[str] = Counter()
        self._facts: Facts | None = None
        self._logs = LogCatalog(now, note, self._stop, keep=keep)
        self._holding: dict[str, tuple[tuple[int, ...], DumpsTold]] = {}

    def refresh(self) -> Deferred[None]:
        """Read everything again. Fails with HistoryError, TapelistError or OSError."""
        return self._call(self.read)

    def retention(self, tapelist: Tapelist) -> Retention:
        """The rules over ``tapelist``, at this moment, with the facts last read. Any thread.

        Raises HistoryError before the first successful :meth:`refresh`.
        """
        return self.retention_at(tapelist, self._now())

    def retention_at(self, tapelist: Tapelist, now: float) -> Retention:
        """The same at another moment.

        :param now: seconds since the epoch
        """
        facts = self._facts
        if facts is None:
            raise HistoryError("the command file and the trace logs were not read yet")
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

    @property
    def dumps(self) -> Mapping[Disk, Sequence[DumpCopy]]:
        """The dumps that are known, as :class:`~taper.core.retention.Retention` takes them; none
        where no policy asks for logs."""
        return MappingProxyType({}) if self._facts is None else self._facts.dumps

    def foresee(self, stamp: str, told: DumpsTold) -> None:
        """From now on, and until it is read again, there is a run that tells of these dumps, too.

        :param stamp: of the run
        """
        facts = self._facts
        if facts is None or facts.stamps is None:
            return  # nobody asks for dumps
        more = [*facts.told, told]
        self._facts = facts._replace(
            dumps=self._sorted(more), stamps=facts.stamps | {stamp}, told=tuple(more)
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
        told = self._logs.read(self._config.path(self._config.general.logdir), stamps)
        told += self._on_holding_disks()
        self._facts = Facts(commands, self._sorted(told), stamps, tuple(told))

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

    def _on_holding_disks(self) -> list[DumpsTold]:
        """What the files on holding disks tell, one after the other."""
        seen: dict[str, tuple[tuple[int, ...], DumpsTold]] = {}
        for path in holding_files(self._config):
            try:
                with open(path, "rb", opener=open_regular) as file:
                    facts = os.fstat(file.fileno())
                    state = (facts.st_ino, facts.st_size, facts.st_mtime_ns)
                    known = self._holding.get(path)
                    if known is None or known[0] != state:
                        known = state, _dump_in_holding(file.read(_HEADER_SIZE))
                    seen[path] = known
            except FileNotFoundError:
                continue  # flushed since the directory was read
            except OSError as fault:
                raise HistoryError(_unreadable_holding(path, fault)) from fault
        self._holding = seen
        return [told for _, told in seen.values()]

    def _sorted(self, told: list[DumpsTold]) -> Mapping[Disk, Sequence[DumpCopy]]:
        """By disk; not made again if every file says what it said before."""
        from protocols.catalog import by_disk  # only some policies need it

        known = self._facts
        same = known is not None and len(known.told) == len(told)
        if known is not None and same and all(map(operator.is_, known.told, told)):
            return known.dumps
        return by_disk(told)


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
    except OSError as fault:
        raise HistoryError(
            f"cannot read the command file {path}: {fault.strerror or fault}; "
            "what must be kept is not known without it"
        ) from fault
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


def holding_files(config: Config) -> Iterator[str]:
    """Files of dumps that wait on holding disks, second and further chunks among them.

    :raise HistoryError: a directory cannot be read
    """
    for name in config.general.holdingdisk:
        section = config.holdingdisk(name)
        if section is None or not os.path.isdir(section.directory):
            continue
        try:
            for run in os.scandir(section.directory):
                if run.name.isascii() and run.name.isdigit() and run.is_dir():
                    yield from [file.path for file in os.scandir(run) if file.is_file()]
        except OSError as fault:
            raise HistoryError(_unreadable_holding(section.directory, fault)) from fault


def _unreadable_holding(path: str, fault: OSError) -> str:
    return (
        f"cannot read {fault.filename or path} on a holding disk: {fault.strerror or fault}; "
        "what its dumps build on is not known without it"
    )


def _dump_in_holding(block: bytes) -> DumpsTold:
    from protocols.catalog import DumpCopy

    header = parse_header(block)
    if header.type != HeaderType.DUMPFILE:
        return {}
    copy = DumpCopy(header.datestamp, header.level, done=not header.is_partial)
    return {copy: ((header.host, header.disk),)}

"""What all the trace logs tell of dumps: each log is read when it has changed, and only then.

Reading blocks, so it happens in a lane.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, BinaryIO

from devices.regular import open_regular
from taper.run.log_index import load_index, save_index

if TYPE_CHECKING:
    from protocols.catalog import Disk, DumpsTold
    from protocols.logindex import KnownLog, Stamp

_BLOCK = 2**20
_MAX_LINE = 65536
_OF_DUMPS = (b"START ", b"PART ", b"PARTPARTIAL ", b"DONE ", b"PARTIAL ", b"FAIL ")
_AT_REST = 60.0
"""Seconds after which a log counts as written to its end. One that still grows is in no index."""


class HistoryError(OSError):
    """What retention must know cannot be read. The text names the file and the reason."""

    taper_code = 7001


class LogCatalog:
    """Reads logs, and knows those that it, or an index beside them, has seen in this state.

    :param now: seconds since the epoch, as times of files are.
    :param note: is told what is wrong with the index.
    :param stop: once set, by any thread, no further log is read.
    :param keep: what was learnt is kept in the index; else nothing is written.
    """

    def __init__(
        self,
        now: Callable[[], float],
        note: Callable[[str], object],
        stop: threading.Event,
        *,
        keep: bool = True,
    ) -> None:
        self._now = now
        self._note = note
        self._stop = stop
        self._keep = keep
        self._known: dict[str, KnownLog] | None = None
        self._disks: dict[Disk, Disk] = {}

    def read(self, logdir: str, stamps: Iterable[str]) -> list[DumpsTold]:
        """What the logs of these volumes tell.

        :raise HistoryError: one cannot be read, or we are to stop
        """
        names = _names(logdir)
        logs = sorted(_logs_among(names, stamps))
        if self._known is None:
            self._known = load_index(logdir, self._disks, self._note) if logs else {}
        known = {name: log for name, log in self._known.items() if name in names}
        told, learnt = [], False
        for name, stamp in logs:
            if self._stop.is_set():
                raise HistoryError(f"{logdir} was not read to the end: stopped")
            try:
                log, is_new = self._read(f"{logdir}/{name}", stamp, known.get(name))
            except FileNotFoundError:
                continue  # tidied away since the directory was read
            except OSError as fault:
                raise HistoryError(
                    f"cannot read the trace log {logdir}/{name}: {fault.strerror or fault}; "
                    "what must be kept is not known without it"
                ) from fault
            known[name] = log
            told.append(log.told)
            learnt = learnt or (is_new and self._is_at_rest(log))
        self._known = known
        if learnt and self._keep:
            others = load_index(logdir, self._disks, self._note)
            rest = {name: log for name, log in (others | known).items() if name in names}
            keep = {name: log for name, log in rest.items() if self._is_at_rest(log)}
            save_index(logdir, keep, self._note)
        return told

    def _is_at_rest(self, log: KnownLog) -> bool:
        return log.stamp.mtime < (self._now() - _AT_REST) * 1e9

    def _read(self, path: str, stamp: str, known: KnownLog | None) -> tuple[KnownLog, bool]:
        """What one log tells, and whether it had to be read for that."""
        from protocols.catalog import dumps_of_log  # only some policies need it
        from protocols.logindex import KnownLog

        if known is not None and known.stamp == _stamp(os.stat(path)):
            return known, False
        with open(path, "rb", opener=open_regular) as file:
            state = _stamp(os.fstat(file.fileno()))
            return KnownLog(state, dumps_of_log(_blocks(file), stamp, self._disks)), True


def _stamp(facts: os.stat_result) -> Stamp:
    from protocols.logindex import Stamp

    return Stamp(facts.st_ino, facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns)


def _blocks(file: BinaryIO) -> Iterator[str]:
    """The text in pieces that end with a line; a line that never ends is cut."""
    while block := file.read(_BLOCK):
        yield (block + file.readline(_MAX_LINE)).decode("utf-8", "surrogateescape")


def _names(logdir: str) -> frozenset[str]:
    """All names in the directory of the logs."""
    try:
        return frozenset(os.listdir(logdir))
    except FileNotFoundError:
        return frozenset()  # nothing was ever logged
    except OSError as fault:
        raise HistoryError(f"cannot read the directory {logdir}: {fault.strerror}") from fault


def dump_lines(path: str, kinds: tuple[bytes, ...] = _OF_DUMPS) -> list[str]:
    """Of a log, the lines that tell of dumps on volumes.

    :param kinds: how lines begin that are wanted instead
    :raise OSError: it cannot be read
    """
    with open(path, "rb", opener=open_regular) as file:
        lines = iter(lambda: file.readline(_MAX_LINE), b"")
        kept = [line for line in lines if line.startswith(kinds)]
    return [line.decode("utf-8", "surrogateescape") for line in kept]


def logs_of(logdir: str, stamps: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Paths and datestamps of the logs that may tell of these volumes [config 3.5].

    :raise HistoryError: the directory cannot be read
    """
    for name, stamp in _logs_among(_names(logdir), stamps):
        yield f"{logdir}/{name}", stamp


def _logs_among(names: frozenset[str], stamps: Iterable[str]) -> Iterator[tuple[str, str]]:
    for stamp in stamps:
        sequence = 0
        while (name := f"log.{stamp}.{sequence}") in names:
            yield name, stamp
            sequence += 1
        for name in (f"log.{stamp}", f"log.{stamp}.amflush"):
            if name in names:
                yield name, stamp

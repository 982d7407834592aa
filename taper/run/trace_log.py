"""The trace log of a run, shared with every other program of the run [protocol 6.1].

After DONE the driver deletes the holding file, and after a power cut only this log says on which
volume the dump is. So what the catalogue is made of is on the disk before it is told; one
synchronisation serves all records that were asked for meanwhile.
"""

from __future__ import annotations

import errno
import fcntl
import os
import threading
from collections import deque
from typing import TYPE_CHECKING, Any

from attrs import mutable
from twisted.internet.defer import fail
from zope.interface import implementer

from devices.datafile import sync_directory
from devices.patience import QUIT_GRACE, Patience, StopSet, TimeIsUp
from devices.regular import open_regular
from devices.threads import ThreadRefused
from protocols.tracelog import Done, Fail, Part, Partial, Start, encode
from taper.core.interfaces import ITraceLog

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred

    from devices.interfaces import ILane

CATALOGUE = (Start, Part, Done, Partial, Fail)
"""The records that a reply to the driver follows, and from which dumps are found again."""


class LogLocked(OSError):
    """Another program holds the lock of the log, and it was waited for long enough."""

    taper_code = 8006


def append_record(path: str, record: Any, patience: Patience | None = None) -> None:
    """Append one record under the lock that all Amanda programs take, whole or not at all; blocks.

    :raise OSError: the log cannot be opened, locked or written
    """
    log = _open_locked(path, patience or Patience())
    try:
        _write_line(log, encode(record))
    finally:
        os.close(log)  # which unlocks


def _open_locked(path: str, patience: Patience) -> int:
    log = open_regular(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600, or_null=True)
    try:
        _lock(log, path, patience)
    except BaseException:
        os.close(log)
        raise
    return log


def _lock(log: int, path: str, patience: Patience) -> None:
    while True:
        try:
            fcntl.lockf(log, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except (BlockingIOError, PermissionError):  # EAGAIN or EACCES: held elsewhere
            try:
                patience.pause()
            except (TimeIsUp, StopSet) as error:
                raise LogLocked(f"{path} is locked by another process") from error


def _write_line(log: int, line: bytes) -> None:
    end = os.fstat(log).st_size
    try:
        while line:
            line = line[os.write(log, line) :]
    except OSError:
        os.ftruncate(log, end)  # the next line must not begin inside this one
        raise


@mutable
class _Asked:
    """Records that are to be in the log, one after the other.

    :ivar settled: they are, or ``error`` says why not all of them are.
    """

    records: tuple[Any, ...]
    settled: bool = False
    error: Exception | None = None

    @property
    def to_be_synced(self) -> bool:
        return self.error is None and any(isinstance(one, CATALOGUE) for one in self.records)


@implementer(ITraceLog)
class TraceLog:
    """Appends in a lane, so that waiting for the lock or the disk holds up nothing else.

    Every record has its call in the lane; the call that finds its record waiting writes all that
    wait and synchronises once, and the calls behind it find theirs done. So each Deferred fires
    when its record is on the disk, in the order of asking.

    :param lane: of its own; the order of asking is the order in the file
    :param stop: once set, by any thread, the lock is not waited for any longer than a moment
    """

    def __init__(self, path: str, lane: ILane, stop: threading.Event | None = None) -> None:
        self._path = path
        self._lane = lane
        self._stop = stop
        self._grace = QUIT_GRACE
        # asked for in the reactor's thread, taken out in the lane's
        self._waiting: deque[_Asked] = deque()
        self._named = False  # the log's name is on the disk

    def append(self, *records: Any) -> Deferred[None]:
        asked = _Asked(records)
        try:
            self._lane.begin()  # before the record counts: another's call would write it
        except ThreadRefused as refusal:
            return fail(refusal)
        self._waiting.append(asked)
        return self._lane.call_surely(self._settle, asked)

    # In the lane

    def _settle(self, asked: _Asked) -> None:
        if not asked.settled:
            self._write([self._waiting.popleft() for _ in range(len(self._waiting))])
        if asked.error is not None:
            raise asked.error

    def _write(self, batch: list[_Asked]) -> None:
        try:
            log = self._open()
            try:
                if not os.fstat(log).st_size:
                    self._named = False  # it was made just now, perhaps in the place of another
                for one in batch:
                    _write_one(log, one)
                fcntl.lockf(log, fcntl.LOCK_UN)  # nobody need wait for our disk
                if any(one.to_be_synced for one in batch):
                    self._sync(log)
            finally:
                os.close(log)
        except OSError as error:
            for one in batch:
                if one.to_be_synced or not one.settled:
                    one.error = error
        for one in batch:
            one.settled = True

    def _open(self) -> int:
        try:
            return _open_locked(self._path, Patience(stop=self._stop, grace=self._grace))
        except LogLocked:
            self._grace = 0.0  # the moment is over for all records together
            raise

    def _sync(self, log: int) -> None:
        """Wait until the log is on the disk; once also its name, whoever made the file."""
        _sync_file(log)
        if not self._named:
            sync_directory(os.fsencode(os.path.dirname(self._path) or "."))
            self._named = True


def _write_one(log: int, asked: _Asked) -> None:
    try:
        for record in asked.records:
            _write_line(log, encode(record))
    except Exception as error:  # whatever it is, it belongs to the one who asked
        asked.error = error
    asked.settled = True


def _sync_file(log: int) -> None:
    try:
        os.fdatasync(log)
    except OSError as error:
        # what is no file, such as /dev/null, cannot be synchronised
        if error.errno != errno.EINVAL:
            raise

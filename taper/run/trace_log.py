"""The trace log of a run, shared with every other program of the run (taper-protocol 6.1)."""

from __future__ import annotations

import fcntl
import os
import threading
from typing import TYPE_CHECKING, Any

from zope.interface import implementer

from devices.patience import QUIT_GRACE, Patience, StopSet, TimeIsUp
from devices.regular import open_regular
from protocols.tracelog import encode
from taper.core.interfaces import ITraceLog

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred

    from devices.interfaces import ILane


class LogLocked(OSError):
    """Another program holds the lock of the log, and it was waited for long enough."""


def append_record(path: str, record: Any, patience: Patience | None = None) -> None:
    """Append one record under the lock that all Amanda programs take, whole or not at all; blocks.

    :raise OSError: the log cannot be opened, locked or written
    """
    line = encode(record)
    log = open_regular(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        _lock(log, path, patience or Patience())
        end = os.fstat(log).st_size
        try:
            while line:
                line = line[os.write(log, line) :]
        except OSError:
            os.ftruncate(log, end)  # the next line must not begin inside this one
            raise
    finally:
        os.close(log)  # which unlocks


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


@implementer(ITraceLog)
class TraceLog:
    """Appends in a lane, so that waiting for the lock holds up nothing else.

    :param lane: of its own; the order of asking is the order in the file
    :param stop: once set, by any thread, the lock is not waited for any longer than a moment
    """

    def __init__(self, path: str, lane: ILane, stop: threading.Event | None = None) -> None:
        self._path = path
        self._lane = lane
        self._stop = stop
        self._grace = QUIT_GRACE

    def append(self, record: Any) -> Deferred[None]:
        return self._lane.call(self._append, record)

    def _append(self, record: Any) -> None:
        try:
            append_record(self._path, record, Patience(stop=self._stop, grace=self._grace))
        except LogLocked:
            self._grace = 0.0  # the moment is over for all records together
            raise

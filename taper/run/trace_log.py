"""The trace log of a run, shared with every other program of the run (taper-protocol 6.1)."""

from __future__ import annotations

import fcntl
import os
from typing import TYPE_CHECKING, Any

from zope.interface import implementer

from protocols.tracelog import encode
from taper.core.interfaces import ITraceLog

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred

    from devices.interfaces import ILane


def append_record(path: str, record: Any) -> None:
    """Append one record under the lock that all Amanda programs take, whole or not at all; blocks.

    :raise OSError: the log cannot be opened, locked or written
    """
    line = encode(record)
    log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        fcntl.lockf(log, fcntl.LOCK_EX)
        end = os.fstat(log).st_size
        try:
            while line:
                line = line[os.write(log, line) :]
        except OSError:
            os.ftruncate(log, end)  # the next line must not begin inside this one
            raise
    finally:
        os.close(log)  # which unlocks


@implementer(ITraceLog)
class TraceLog:
    """Appends in a lane, so that waiting for the lock holds up nothing else.

    :param lane: of its own; the order of asking is the order in the file
    """

    def __init__(self, path: str, lane: ILane) -> None:
        self._path = path
        self._lane = lane

    def append(self, record: Any) -> Deferred[None]:
        return self._lane.call(append_record, self._path, record)

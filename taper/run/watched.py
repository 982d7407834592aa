"""A process that can be watched: what it tells, and the socket on which it does."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred

from devices.lane import Lane
from taper import __version__
from taper.core.watch import Watch

if TYPE_CHECKING:
    import socket

    from taper.run.setup import Setup
    from taper.run.status_door import StatusDoor

BEFORE = 0.5
"""Seconds after the begin until the socket is made: the driver waits for the start, and nobody for
this."""

PATIENCE = 2.0
"""Seconds to wait in the end until the socket is removed."""


class WatchedProcess:
    """Makes the status socket, and takes it away. What goes wrong with it is told in the debug log,
    and has no other consequence.

    :ivar watch: to be told what happens
    """

    def __init__(self, reactor: Any, setup: Setup, service: str) -> None:
        """:param service: ``stdio``, or ``daemon``: drivers come and go"""
        self._reactor = reactor
        self._setup = setup
        self._lane = Lane(reactor, "status")
        self._timer: Any = None
        self._door: StatusDoor | None = None
        self._path: str | None = None
        self._closed = False
        self.watch = Watch(
            {
                "pid": os.getpid(),
                "version": __version__,
                "service": service,
                "config": setup.config.name,
                "started": round(time.time(), 3),
            }
        )

    def begin(self) -> None:
        """Make the socket, a moment from now."""
        self._timer = self._reactor.callLater(BEFORE, self._open)

    def _open(self) -> None:
        opened = self._lane.call(self._prepare)
        opened.addCallback(self._opened).addErrback(self._failed)

    def _prepare(self) -> tuple[socket.socket, type[StatusDoor]]:
        """In a thread, as is all that takes time: import, directory, socket."""
        from taper.run.status_door import StatusDoor
        from taper.run.status_sockets import open_socket

        dumpuser = self._setup.config.general.dumpuser
        made, self._path = open_socket(self._setup.paths.tmpdir, dumpuser)
        return made, StatusDoor

    def _opened(self, prepared: tuple[socket.socket, type[StatusDoor]]) -> None:
        made, kind = prepared
        if self._closed:
            made.close()
            return
        note = self._setup.debug.write
        note(f"status socket {self._path}")
        self._door = kind(self._reactor, self.watch, made, note)

    def _failed(self, failure: Any) -> None:
        self._setup.debug.write(f"no status socket: {failure.getErrorMessage()}")

    def close(self, reason: str = "the taper ends") -> Deferred[None]:
        """Tell who watches that it is over, and remove the socket; safe to repeat."""
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        door, self._door = self._door, None
        if door is not None:
            door.close(reason)
        if self._lane.begun and not self._closed:
            self._lane.call(self._remove).addErrback(self._not_removed)
        self._closed = True
        # a directory that hangs must not keep us from ending
        return self._lane.stop().addTimeout(PATIENCE, self._reactor).addErrback(lambda _: None)

    def _remove(self) -> None:
        if self._path is not None:
            os.unlink(self._path)

    def _not_removed(self, failure: Any) -> None:
        self._setup.debug.write(f"the status socket stays: {failure.getErrorMessage()}")

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
    from collections.abc import Callable, Mapping

    from protocols.conf import Config
    from taper.run.paths import Paths
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

    def __init__(
        self,
        reactor: Any,
        service: str,
        paths: Paths,
        config: Config | None,
        note: Callable[[str], object],
        make: Callable[[Mapping[str, Any]], Watch] = Watch,
    ) -> None:
        """
        :param service: ``stdio``; ``daemon``: drivers come and go; ``command``: a person's
        :param config: of the process; None: each driver brings its own
        :param note: writes one text to the debug log
        :param make: of what never changes, a watch
        """
        self._reactor = reactor
        self._tmpdir = paths.tmpdir
        self._dumpuser = None if config is None else config.general.dumpuser
        self._note = note
        self._lane = Lane(reactor, "status")
        self._timer: Any = None
        self._opening: Deferred[None] | None = None
        self._door: StatusDoor | None = None
        self._path: str | None = None
        self._closed = False
        self.watch = make(
            {
                "pid": os.getpid(),
                "version": __version__,
                "service": service,
                "config": "" if config is None else config.name,
                "started": round(time.time(), 3),
            }
        )

    def begin(self) -> None:
        """Make the socket, a moment from now."""
        self._timer = self._reactor.callLater(BEFORE, self._open)

    def _open(self) -> None:
        opening = self._lane.call(self._prepare).addCallback(self._opened)
        self._opening = opening.addErrback(self._failed)

    async def settled(self) -> None:
        """Wait until the thread is not at work, if it is; it works under the rights of then."""
        if self._opening is not None:
            over: Deferred[None] = Deferred()
            self._opening.addCallback(over.callback)
            await over

    def _prepare(self) -> tuple[socket.socket, type[StatusDoor]]:
        """In a thread, as is all that takes time: import, directory, socket."""
        from taper.run.status_door import StatusDoor
        from taper.run.status_sockets import open_socket

        made, self._path = open_socket(self._tmpdir, self._dumpuser)
        return made, StatusDoor

    def _opened(self, prepared: tuple[socket.socket, type[StatusDoor]]) -> None:
        made, kind = prepared
        if self._closed:
            made.close()
            return
        note = self._note
        note(f"status socket {self._path}")
        self._door = kind(self._reactor, self.watch, made, note)

    def _failed(self, failure: Any) -> None:
        self._note(f"no status socket: {failure.getErrorMessage()}")

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
        self._note(f"the status socket stays: {failure.getErrorMessage()}")

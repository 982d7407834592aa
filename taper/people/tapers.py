"""The running tapers of this user: finds their status sockets, and follows what they tell."""

from __future__ import annotations

import os
import re
import socket
import stat
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory, Protocol

from protocols.status import Hearing, Refused, StatusError
from taper.last_words import reason
from taper.run.status_sockets import address, folder_of, opened_folder

if TYPE_CHECKING:
    from protocols.status import Event, Snapshot

LOOK = 1.0
"""Seconds between two looks for new tapers."""
AGAIN = 10.0
"""Seconds until a taper that did not let us in is asked again."""
PATIENCE = 3.0
"""Seconds that a taper has to tell its first line."""
MOST_TAPERS = 100
"""Tapers that are followed at a time."""
FRESH = 60.0
"""Seconds for which a socket nobody listens to may still be one that is about to be used."""
_CONNECTING = 0.5
"""Seconds for one that is too busy to take us."""
ENDED = "it has ended"
"""Why nothing more is heard of one that is gone."""
_SOCKET = re.compile(r"[0-9]{1,10}-[0-9a-f]{8}")


def connect_to_new(tmpdir: str, known: frozenset[str]) -> list[tuple[str, socket.socket]]:
    """Connect to the tapers that are not known yet, and sweep up after those that are dead; blocks.

    :param known: paths of their sockets
    :return: the paths of the others, and connections to them
    :raise OSError: the directory cannot be looked at; one that is not there is no error
    """
    found: list[tuple[str, socket.socket]] = []
    with suppress(FileNotFoundError), opened_folder(tmpdir) as folder:
        for name in sorted(name for name in os.listdir(folder) if _SOCKET.fullmatch(name)):
            path = os.path.join(folder_of(tmpdir), name)
            if path not in known and len(known) + len(found) < MOST_TAPERS:
                connection = _connect(path, folder)
                if connection is not None:
                    found.append((path, connection))
    return found


def _connect(path: str, folder: int) -> socket.socket | None:
    name = os.path.basename(path)
    caller = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    caller.settimeout(_CONNECTING)
    try:
        facts = os.stat(name, dir_fd=folder, follow_symlinks=False)
        if stat.S_ISSOCK(facts.st_mode):
            caller.connect(address(path, folder))
            caller.setblocking(False)
            return caller
    except ConnectionRefusedError:
        if time.time() - facts.st_ctime > FRESH:
            # somebody else is looking, too; or it cannot be taken away, and hides no other
            with suppress(OSError):
                os.unlink(name, dir_fd=folder)
    except OSError:
        caller.close()  # it has just ended, or is too busy: the next look tells
        return None
    caller.close()
    return None


class Taper:
    """One taper, as far as it has told.

    :ivar path: of its socket.
    :ivar over: why nothing more is heard of it; None: it is heard.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.over: str | None = None
        self.hearing = Hearing()

    @property
    def snapshot(self) -> Snapshot | None:
        """How it is now; None: it has told nothing yet."""
        return self.hearing.snapshot


class _Ear(Protocol):
    """The connection to one taper."""

    def __init__(self, tapers: Tapers, taper: Taper) -> None:
        self._tapers = tapers
        self._taper = taper
        self._patience: Any = None

    def connectionMade(self) -> None:
        self._patience = self._tapers.call_later(
            PATIENCE, lambda: self.leave("it does not tell anything")
        )

    def dataReceived(self, data: bytes) -> None:
        taper, opened = self._taper, self._taper.snapshot is not None
        if taper.over is not None:
            return
        try:
            events = taper.hearing.feed(data)
        except Refused as fault:
            self.leave(f"it lets nobody in: {fault}")
            return
        except StatusError as fault:
            self.leave(str(fault))
            return
        if taper.snapshot is not None:
            self._stop_waiting()
            if events or not opened:
                self._tapers.heard(taper, events)

    def leave(self, reason: str) -> None:
        """Hang up."""
        assert self.transport is not None
        if self._taper.over is None:
            self._taper.over = reason
        self.transport.abortConnection()  # type: ignore[attr-defined]

    def _stop_waiting(self) -> None:
        patience, self._patience = self._patience, None
        if patience is not None:
            patience.cancel()

    def connectionLost(self, reason: Any = None) -> None:
        if self._patience is not None and self._patience.active():
            self._patience.cancel()
        taper = self._taper
        if taper.over is None:
            dropped = taper.hearing.dropped
            taper.over = ENDED if dropped is None else f"it let us go: {dropped}"
        self._tapers.lost(taper, self)


class _Ears(Factory):
    noisy = False

    def __init__(self, ear: _Ear) -> None:
        self._ear = ear

    def buildProtocol(self, addr: Any) -> _Ear:
        return self._ear


class Tapers:
    """Follows all running tapers of this user; in the reactor's thread.

    :ivar running: those that are heard, by the paths of their sockets.
    :ivar ready: fires once all that were there in the beginning have told their first line, or are
        gone, or nobody can be looked for.
    """

    def __init__(
        self,
        reactor: Any,
        tmpdir: str,
        call: Callable[..., Deferred[Any]],
        told: Callable[[Taper, list[Event]], object],
        trouble: Callable[[str], object],
    ) -> None:
        """:param tmpdir: Amanda's temporary directory
        :param call: runs a function in a thread
        :param told: is given a taper that has told something, and the events that are folded into
            its snapshot: none of them with the first snapshot, and when it is ``over``
        :param trouble: is told why nobody can be looked for
        """
        self.running: dict[str, Taper] = {}
        self.ready: Deferred[None] = Deferred()
        self.call_later: Callable[..., Any] = reactor.callLater
        self._reactor = reactor
        self._tmpdir = tmpdir
        self._call = call
        self._told = told
        self._trouble = trouble
        self._ears: list[_Ear] = []
        self._not_before: dict[str, float] = {}
        self._looked = self._closed = False
        self._timer: Any = None
        self._last_trouble: str | None = None

    def begin(self) -> None:
        """Look for tapers, now and from now on."""
        self._timer = None
        now = self._reactor.seconds()
        self._not_before = {path: then for path, then in self._not_before.items() if then > now}
        known = frozenset((*self.running, *self._not_before))
        looking = self._call(connect_to_new, self._tmpdir, known)
        looking.addCallback(self._found).addErrback(self._failed).addCallback(self._rest)

    def _found(self, found: list[tuple[str, socket.socket]]) -> None:
        self._last_trouble = None
        for path, connection in found:
            with connection:
                if self._closed:
                    continue
                taper = self.running[path] = Taper(path)
                ear = _Ear(self, taper)
                self._ears.append(ear)
                self._reactor.adoptStreamConnection(connection.fileno(), socket.AF_UNIX, _Ears(ear))

    def _failed(self, failure: Any) -> None:
        fault = failure.value
        text = reason(fault) if isinstance(fault, OSError) else failure.getErrorMessage()
        if text != self._last_trouble and not self._closed:
            self._last_trouble = text
            self._trouble(text)

    def _rest(self, _: None) -> None:
        self._looked = True
        self._look_whether_ready()
        if not self._closed:
            self._timer = self.call_later(LOOK, self.begin)

    def _look_whether_ready(self) -> None:
        silent = any(taper.snapshot is None for taper in self.running.values())
        if self._looked and not silent and not self.ready.called:
            self.ready.callback(None)

    def heard(self, taper: Taper, events: list[Event]) -> None:
        """See :class:`Tapers`."""
        self._told(taper, events)
        self._look_whether_ready()

    def lost(self, taper: Taper, ear: _Ear) -> None:
        """It has ended, or we have hung up."""
        self._ears.remove(ear)
        del self.running[taper.path]
        self._not_before[taper.path] = self._reactor.seconds() + AGAIN
        if not self._closed:
            self._told(taper, [])
        self._look_whether_ready()

    def close(self) -> None:
        """Hang up everywhere; nothing is told any more. Safe to repeat."""
        self._closed = True
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        for ear in tuple(self._ears):
            ear.leave("nobody watches any more")

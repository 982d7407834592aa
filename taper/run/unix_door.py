"""The daemon's unix socket, as a file in a directory that may not be ours."""

from __future__ import annotations

import contextlib
import os
import re
import socket
import stat
from typing import Any

from twisted.internet import tcp, unix

from taper.ownership import Untrusted, refuse_strangers
from taper.run.setup import StartFailed


class SocketPort(unix.Port):
    """Ends well although the socket's file cannot be removed: it is gone, or stands in a directory
    of root's, who made it before we became the dump user."""

    def connectionLost(self, reason: Any) -> None:
        try:
            super().connectionLost(reason)  # type: ignore[no-untyped-call]
        except OSError:
            tcp.Port.connectionLost(self, reason)


class InheritedPort(unix.Port):
    """A port on a socket that somebody else has opened, whose name and mode are his, and who goes
    on listening when we do no more."""

    _shouldShutdown = False  # as tcp.Port has it for what it adopts, and unix.Port forgets

    def __init__(self, link: socket.socket, factory: Any, reactor: Any) -> None:
        super().__init__(os.fsencode(link.getsockname()), factory, reactor=reactor)
        self._inherited = link

    def startListening(self) -> None:
        """Take what it is given."""
        self.factory.doStart()  # type: ignore[union-attr]
        self.connected = True
        self.socket = self._inherited
        self.fileno = self.socket.fileno  # type: ignore[method-assign]
        self.numberAccepts = 100
        self.startReading()  # type: ignore[no-untyped-call]

    def connectionLost(self, reason: Any) -> None:
        """Leave the file of the socket to its owner."""
        tcp.Port.connectionLost(self, reason)


class Listening:
    """The reactor, but its unix sockets are such ports."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reactor, name)

    def listenUNIX(
        self,
        address: str | bytes,
        factory: Any,
        backlog: int = 50,
        mode: int = 0o600,
        wantPID: bool = False,
    ) -> SocketPort:
        """A socket that is left over is known by that nobody listens to it, so no lock file is
        made beside it, ``wantPID`` or not; we could not remove it from a directory of root's.

        :raise StartFailed: a stranger could put a socket of his in the place of ours
        """
        path = os.fsencode(address)
        if not path.startswith(b"\0"):
            clear_way(os.fsdecode(path))
        port = SocketPort(path, factory, backlog, mode, self._reactor)
        port.startListening()  # type: ignore[no-untyped-call]
        return port


_WORD = re.compile(r"(?:[^:\\]|\\.)+")
_ESCAPED = re.compile(r"\\(.)")


def endpoint_words(description: str) -> list[str]:
    """The words of an endpoint's description, between colons that no backslash precedes."""
    return _WORD.findall(description) or [""]


def socket_path(description: str) -> str | None:
    """The path of a unix endpoint."""
    kind, _, rest = description.partition(":")
    if kind != "unix":
        return None
    words = endpoint_words(rest)
    named = [word.removeprefix("address=") for word in words if word.startswith("address=")]
    return _ESCAPED.sub(r"\1", (named or words)[0])


def clear_way(path: str) -> None:
    """Take away the socket of a daemon that is no more, where no stranger can put one.

    :raise StartFailed: a stranger could
    """
    directory = os.path.dirname(os.path.abspath(path))
    try:
        refuse_strangers(directory)
        found = os.lstat(path)
    except FileNotFoundError:
        return  # the way is clear, or there is none, which is told when it is listened on
    except Untrusted as fault:
        raise StartFailed(f"no socket {path}: {fault}", code=5001) from fault
    if not stat.S_ISSOCK(found.st_mode):
        return  # told when it cannot be listened on
    with socket.socket(socket.AF_UNIX) as caller, contextlib.suppress(OSError):
        caller.setblocking(False)
        try:
            caller.connect(path)
        except ConnectionRefusedError:  # nobody listens there any more
            os.unlink(path)

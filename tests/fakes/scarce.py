"""A system that has no more threads or descriptors to give, at moments of the test's choice."""

from __future__ import annotations

import errno
import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest


class Scarce:
    """Something that is refused to whoever asks for it.

    :param refuses: is given the number of one that is asked for, from 0 on
    :ivar asked: how many were asked for since :meth:`begin`
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, refuses: Callable[[int], bool]) -> None:
        self.asked = 0
        self._begun = False
        self._refuses = refuses
        self._replace(monkeypatch)

    def begin(self) -> None:
        """From now on it is counted, and refused."""
        self._begun = True

    @contextmanager
    def plenty(self) -> Iterator[None]:
        """Not counted and not refused: what the test itself needs."""
        begun, self._begun = self._begun, False
        try:
            yield
        finally:
            self._begun = begun

    def _replace(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Put ``_scarce`` functions in the place of the system's."""
        raise NotImplementedError

    def _scarce(self, make: Callable[..., Any], error: Exception) -> Callable[..., Any]:
        def one(*args: Any, **kwargs: Any) -> Any:
            if self._begun:
                self.asked += 1
                if self._refuses(self.asked - 1):
                    raise error
            return make(*args, **kwargs)

        return one


class ScarceThreads(Scarce):
    """Threads, as with EAGAIN."""

    def _replace(self, monkeypatch: pytest.MonkeyPatch) -> None:
        error = RuntimeError("can't start new thread")
        start = self._scarce(threading.Thread.start, error)
        monkeypatch.setattr(threading.Thread, "start", start)


class ScarceDescriptors(Scarce):
    """Files, pipes and sockets of our own making, as with EMFILE."""

    def _replace(self, monkeypatch: pytest.MonkeyPatch) -> None:
        error = OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        for module, name in ((os, "open"), (os, "pipe"), (socket, "socketpair")):
            monkeypatch.setattr(module, name, self._scarce(getattr(module, name), error))
        make = self._scarce(socket.socket.__init__, error)
        monkeypatch.setattr(socket.socket, "__init__", make)

"""Status files: how far a running dump is, for amstatus [protocol 6.4]."""

from __future__ import annotations

import functools
import os
import random
import string
from collections.abc import Callable
from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred
from zope.interface import implementer

from taper.core.interfaces import IStatusFile, IStatusFiles
from taper.ownership import refuse_strangers
from taper.run.paths import make_private
from taper.run.tidying import tidy

if TYPE_CHECKING:
    from twisted.internet.interfaces import IDelayedCall, IReactorTime

    from devices.interfaces import ILane

REFRESH_SECONDS = 5.0

OLD = 7 * 86400.0
"""Seconds since a status file was written after which its taper is taken for dead."""

PREFIX = "taper_status_file_"


def sweep(directory: str, now: float) -> None:
    """Remove our user's status files that tapers which died have left; blocks.

    :param now: seconds since the epoch
    :raise OSError: they cannot be looked at, or one cannot be removed; all others are
    :raise Untrusted: the directory is a stranger's
    """
    try:
        refuse_strangers(directory)
        found = list(os.scandir(directory))
    except FileNotFoundError:
        return
    tidy(found, functools.partial(_remove_old, now=now))


def _remove_old(entry: os.DirEntry[str], now: float) -> None:
    if not entry.name.startswith(PREFIX) or not entry.is_file(follow_symlinks=False):
        return
    facts = entry.stat(follow_symlinks=False)
    if facts.st_uid == os.geteuid() and now - facts.st_mtime > OLD:
        os.unlink(entry.path)


def _create(directory: str, dumpuser: str | None) -> tuple[int, str]:
    make_private(directory, dumpuser)
    while True:
        # amstatus finds no name with a blank or a colon in it
        letters = "".join(random.choices(string.ascii_letters + string.digits, k=6))
        path = os.path.join(directory, f"{PREFIX}{letters}")
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        except FileExistsError:
            continue
        try:
            os.write(descriptor, b"0")
        except OSError:
            _remove(descriptor, path)
            raise
        return descriptor, path


def _rewrite(descriptor: int, written: int) -> None:
    text = b"%d" % written
    os.pwrite(descriptor, text, 0)
    os.ftruncate(descriptor, len(text))


def _remove(descriptor: int, path: str) -> None:
    os.close(descriptor)
    try:
        os.unlink(path)
    except FileNotFoundError:
        return  # somebody tidied up the temporary directory; it is gone, as it should be


@implementer(IStatusFile)
class StatusFile:
    """One status file; made by :class:`StatusFiles`."""

    def __init__(
        self,
        reactor: IReactorTime,
        lane: ILane,
        descriptor: int,
        path: str,
        progress: Callable[[], int],
    ) -> None:
        self.path = path
        self._reactor = reactor
        self._lane = lane
        self._descriptor = descriptor
        self._progress = progress
        self._timer: IDelayedCall | None = None
        self._wait()

    def _wait(self) -> None:
        self._timer = self._reactor.callLater(REFRESH_SECONDS, self._refresh)

    def _refresh(self) -> None:
        # A full temporary directory must not end a dump: the next refresh tries again.
        self._lane.call(_rewrite, self._descriptor, self._progress()).addErrback(lambda _: None)
        self._wait()

    def remove(self) -> Deferred[None]:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        return self._lane.call(_remove, self._descriptor, self.path)


@implementer(IStatusFiles)
class StatusFiles:
    """Makes the status files of one process."""

    def __init__(
        self,
        reactor: IReactorTime,
        lane: ILane,
        directory: str,
        dumpuser: str | None = None,
    ) -> None:
        self._reactor = reactor
        self._lane = lane
        self._directory = directory
        self._dumpuser = dumpuser

    def create(self, progress: Callable[[], int]) -> Deferred[IStatusFile]:
        made = self._lane.call(_create, self._directory, self._dumpuser)
        return made.addCallback(self._watch, progress)

    def _watch(self, created: tuple[int, str], progress: Callable[[], int]) -> IStatusFile:
        descriptor, path = created
        return StatusFile(self._reactor, self._lane, descriptor, path, progress)

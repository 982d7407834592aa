"""The tapelist file, shared with every other Amanda program [config 3.3].

Who changes it holds a POSIX record lock on ``tapelist.lock``, reads the list, writes a new file
beside it and renames that over it. Record locks belong to the process, and closing *any* descriptor
of the lock file drops them; so no other code of ours may open that file.

Where the tapelist is a symbolic link, what it leads to is replaced. Then the lock beside that is
held besides the one beside the link, which is the only one that stock programs know.
"""

from __future__ import annotations

import fcntl
import os
import stat
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, DeferredLock
from zope.interface import implementer

from devices.datafile import sync_directory
from devices.patience import QUIT_GRACE, pauses
from devices.regular import behind_link, open_regular
from devices.shield import undisturbed
from devices.tapelist_file import read_tapelist
from protocols.tapelist import Tapelist, TapelistError
from taper.core.interfaces import ITapelistStore

if TYPE_CHECKING:
    from twisted.internet.interfaces import IReactorTime
    from twisted.python.failure import Failure

# Lock files held by this process, since record locks do not exclude a process from itself.
_held: set[str] = set()
_held_guard = threading.Lock()


@implementer(ITapelistStore)
class TapelistStore:
    """Reads and changes the file in a lane of its own; updates happen in the order of asking.

    Waiting for another program's lock holds neither the lane nor the reactor: reads go on.

    :param path: of the tapelist.
    :param call: runs a blocking function elsewhere, one after the other, as ``Lane.call`` does.
    :param clock: times the retries on a busy lock.
    :param note: is told, once an update, that another program holds the lock.
    """

    def __init__(
        self,
        path: str,
        call: Callable[..., Deferred[Any]],
        clock: IReactorTime,
        note: Callable[[str], object] = lambda text: None,
    ) -> None:
        self._path = path
        self._call = call
        self._clock = clock
        self._note = note
        self._turn = DeferredLock()
        self._deadline: float | None = None

    def read(self) -> Deferred[Tapelist]:
        """The list as it is now. Fails with TapelistError or OSError."""
        return self._call(read_tapelist, self._path)

    def update(self, change: Callable[[Tapelist], Tapelist]) -> Deferred[Tapelist]:
        """Change the list under its lock (see :class:`ITapelistStore`).

        A ``change`` that gives the list back as it was writes nothing. Fails with what ``change``
        raises, TapelistError or OSError; the file is then as it was, or, where only its name could
        not be stored, changed. Cancelling ends the wait for the lock at once, with nothing
        changed; a change that has begun by then is still made as a whole, before the Deferred
        fails with CancelledError.
        """
        return Deferred.fromCoroutine(self._update(change))

    async def _update(self, change: Callable[[Tapelist], Tapelist]) -> Tapelist:
        await self._turn.acquire()
        try:
            noted, tries = False, pauses()
            while True:
                trial: Deferred[Tapelist | None] = self._call(try_update, self._path, change)
                changed = await undisturbed(trial)
                if changed is not None:
                    return changed
                if self._deadline is not None and self._clock.seconds() >= self._deadline:
                    raise TapelistError(f"{self._path}.lock is locked by another process")
                if not noted:
                    self._note(f"{self._path}.lock is locked by another process, waiting for it")
                    noted = True
                await self._pause(next(tries))
        finally:
            self._turn.release()

    def sweep(self) -> Deferred[list[str]]:
        """Remove the drafts of programs that were killed, unless the list is locked just now.

        Fires with their paths; what cannot be removed is noted and stays.
        """

        def cannot(failure: Failure) -> list[str]:
            failure.trap(OSError)
            self._note(f"cannot remove drafts of the tapelist: {failure.value}")
            return []

        removed: Deferred[list[str]] = self._turn.run(self._call, sweep, self._path)
        return removed.addErrback(cannot)

    def hurry(self) -> None:
        """The taper is to end: from now on no lock is waited for longer than a moment."""
        self._deadline = self._clock.seconds() + QUIT_GRACE

    def _pause(self, seconds: float) -> Deferred[None]:
        pause: Deferred[None] = Deferred(lambda _: timer.cancel())
        timer = self._clock.callLater(seconds, pause.callback, None)
        return pause


def try_update(path: str, change: Callable[[Tapelist], Tapelist]) -> Tapelist | None:
    """Lock, read, change, replace, unlock; None if somebody else holds the lock.

    Raises what ``change`` raises, TapelistError or OSError; the old file is then still there,
    unless it was the directory of the new one that could not be stored.
    """
    with _all_locked(path) as file:
        if file is None:
            return None
        old = read_tapelist(path)
        new = change(old)
        if new != old:
            _replace(path, file, new.format())
        return new


def sweep(path: str) -> list[str]:
    """Remove the drafts of programs that were killed while they wrote the list.

    Who writes one holds the lock, so what is there while we hold it nobody will finish. While
    somebody else holds it nothing is done.

    :return: the paths of those removed
    :raise OSError: the directory cannot be read, or a draft not be removed
    """
    if not _drafts(path, behind_link(path)):
        return []
    with _all_locked(path) as file:
        found = [] if file is None else _drafts(path, file)
        for draft in found:
            os.unlink(draft)
        return found


def _is_draft(name: str, prefix: str) -> bool:
    number = name.removeprefix(prefix)
    return number != name and number.isascii() and number.isdigit() and len(number) <= 20


def _drafts(path: str, file: str) -> list[str]:
    """Our user's drafts of a tapelist, beside the link and beside what it leads to."""
    found = []
    for name in {path, file}:
        prefix = os.path.basename(name) + "-new-"
        with os.scandir(os.path.dirname(name) or ".") as entries:
            drafts = [entry for entry in entries if _is_draft(entry.name, prefix)]
        for entry in drafts:
            with suppress(FileNotFoundError):  # its writer was about to finish
                facts = entry.stat(follow_symlinks=False)
                if stat.S_ISREG(facts.st_mode) and facts.st_uid == os.geteuid():
                    found.append(entry.path)
    return sorted(found)


@contextmanager
def _all_locked(path: str) -> Iterator[str | None]:
    """Hold all locks of a tapelist. Gives the file to replace, None if somebody else has one."""
    with _locked(f"{path}.lock") as locked:
        file = behind_link(path)
        ours, theirs = (os.path.realpath(f"{name}.lock") for name in (path, file))
        if not locked:
            yield None
        elif ours == theirs:
            yield file
        else:
            with _locked(f"{file}.lock") as locked_too:
                yield file if locked_too else None


@contextmanager
def _locked(path: str) -> Iterator[bool]:
    """Hold the lock on this file, created if missing; False if somebody else has it."""
    name = os.path.realpath(path)
    with _held_guard:
        if name in _held:
            yield False
            return
        _held.add(name)
    try:
        descriptor = open_regular(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            try:
                fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except (BlockingIOError, PermissionError):  # EAGAIN or EACCES: held elsewhere
                locked = False
            else:
                locked = True
            yield locked
        finally:
            os.close(descriptor)
    finally:
        with _held_guard:
            _held.discard(name)


def _replace(path: str, file: str, data: bytes) -> None:
    """Put a new file in the place of the old one, durably, with the steps others rely on.

    :param file: what ``path`` leads to
    """
    temporary = f"{file}-new-{int(time.time())}"
    last_writes = [f"{name}.last_write" for name in sorted({path, file})]
    try:
        _write_durably(temporary, data)
        # A program that finds its own pid here does not read the list again. So the link of the
        # writer before us must go first: without a link everybody reads.
        for last_write in last_writes:
            with suppress(FileNotFoundError):
                os.unlink(last_write)
        os.rename(temporary, file)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(temporary)
        raise
    # The new list is in place. What follows saves others work; a failure of it is none of the
    # update.
    for last_write in last_writes:
        with suppress(OSError):
            os.symlink(str(os.getpid()), last_write)
    # After a power cut the old list would be back, and in it a volume that is written tonight may
    # be one that can be written over.
    sync_directory(os.fsencode(os.path.dirname(file) or "."))


def _write_durably(path: str, data: bytes) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
    descriptor = os.open(path, flags, 0o600)
    with open(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(descriptor)

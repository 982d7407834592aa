"""The state file of a changer, shared with every other Amanda program [changers 2.6].

The lock is a POSIX record lock on the file itself, and the file is rewritten in place: others
hold or wait for this very inode. Such a lock belongs to the process and is lost when *any*
descriptor of the file is closed; hence one descriptor at a time and a guard per file.

Where there is no room for the state it stays in memory, and is written once there is.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import marshal
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from devices.changers.unsaved import Unsaved
from devices.datafile import NO_SPACE
from devices.errors import ChangerError, ChangerReason
from devices.patience import LOCK_TIMEOUT, LONGEST_PAUSE, Patience, StopSet, TimeIsUp
from devices.regular import open_regular, read_at_most
from protocols.perldata import PerlDataError, format_perl_data, parse_perl_data

#: Seconds a release still waits for the state file after the changer was told to stop. The driver
#: kills a taper six seconds after QUIT, and what a dead process holds is free all the same.
RELEASE_GRACE = 1.0

#: Larger files are refused: a library of 10000 slots needs some 6 MiB.
MAX_STATE_BYTES = 64 * 2**20

_log = logging.getLogger(__name__)


class WaitCancelled(ChangerError):
    """The wait for a lock was given up because the caller asked for it."""

    taper_code = 4011

    def __init__(self, path: str) -> None:
        super().__init__(f"Stopped waiting for the lock of '{path}'", ChangerReason.UNKNOWN)


class _NoRoom(Exception):
    """There is no room for the state on the disk."""


class _Guard:
    """In-process exclusion for one state file, and what of it is not on the disk."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.owner: int | None = None
        self.unsaved: Unsaved | None = None


_guards: dict[str, _Guard] = {}
_guards_lock = threading.Lock()


class StateFile:
    """One state file.

    :ivar path: the file; it and its parent directory are made when missing.
    :param lock_timeout: seconds to wait for the lock
    :param stop: when set, a wait ends at once with :class:`WaitCancelled`
    """

    def __init__(
        self,
        path: str,
        *,
        lock_timeout: float = LOCK_TIMEOUT,
        stop: threading.Event | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.path = path
        self.lock_timeout = lock_timeout
        self._stop = threading.Event() if stop is None else stop
        self._clock = clock

    @contextmanager
    def locked(self, grace: float = 0.0) -> Iterator[dict[str, Any]]:
        """Hold the lock; give the state as a dict to change, and write it back at the end.

        It is written back whether or not the body raises. A damaged file is an empty state. What
        there is no room for stays in memory for this process; where there is none for the file
        itself, there is no lock either.

        :param grace: seconds to go on waiting after the stop event was set
        :raise ChangerError: fatal: not locked in time, unreadable, not writable
        :raise WaitCancelled: the stop event was set while waiting
        """
        patience = Patience(self.lock_timeout, stop=self._stop, grace=grace, clock=self._clock)
        guard = self._enter_guard(patience)
        try:
            descriptor = self._open_locked(patience)
            try:
                data = b"" if descriptor is None else self._read(descriptor)
                stored, clean = self._parse(data)
                before = _print_of(stored) if clean else None
                unsaved = guard.unsaved
                state = stored if unsaved is None else unsaved.onto(stored)
                try:
                    yield state
                finally:
                    if _print_of(state) != before:
                        self._save(guard, descriptor, data, format_perl_data(state))
                    else:
                        guard.unsaved = None
            finally:
                if descriptor is not None:
                    os.close(descriptor)  # gives up the lock
        finally:
            guard.owner = None
            guard.lock.release()

    def _bear(self, go_on: Callable[[], None], error: OSError) -> None:
        try:
            go_on()
        except TimeIsUp:
            text = f"Timeout trying to lock '{self.path}': {error.strerror}"
            raise ChangerError(text) from error
        except StopSet:
            raise WaitCancelled(self.path) from error

    def _enter_guard(self, patience: Patience) -> _Guard:
        with _guards_lock:
            guard = _guards.setdefault(os.path.realpath(self.path), _Guard())
        if guard.owner == threading.get_ident():
            raise RuntimeError(f"state file {self.path!r} is locked twice by one thread")
        while not guard.lock.acquire(timeout=LONGEST_PAUSE):
            self._bear(patience.check, OSError(errno.EAGAIN, os.strerror(errno.EAGAIN)))
        guard.owner = threading.get_ident()
        return guard

    def _open_locked(self, patience: Patience) -> int | None:
        """Open and lock the file that bears the name at this moment. None: no room for one."""
        while True:
            try:
                descriptor = self._open()
                try:
                    fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    if self._is_current(descriptor):
                        return descriptor
                except BaseException:
                    os.close(descriptor)
                    raise
                os.close(descriptor)  # removed by somebody between our two calls: a new one
            except OSError as error:
                if error.errno in NO_SPACE:
                    return None
                # Unlike stock we do not take a file we may not open for a busy one
                # [changers quirk 19].
                if error.errno != errno.EAGAIN and not _is_lock_denial(error):
                    text = f"Error locking '{self.path}': {error.strerror}"
                    raise ChangerError(text) from error
                self._bear(patience.pause, error)

    def _open(self) -> int:
        flags = os.O_RDWR | os.O_CREAT
        try:
            return open_regular(self.path, flags)
        except FileNotFoundError:
            with suppress(FileExistsError):  # somebody else was as quick
                os.mkdir(os.path.dirname(self.path) or ".", 0o700)
            return open_regular(self.path, flags)

    def _is_current(self, descriptor: int) -> bool:
        ours = os.fstat(descriptor)
        try:
            named = os.stat(self.path)
        except FileNotFoundError:
            return False
        return (ours.st_dev, ours.st_ino) == (named.st_dev, named.st_ino)

    def _read(self, descriptor: int) -> bytes:
        size = os.fstat(descriptor).st_size
        if size > MAX_STATE_BYTES:
            text = f"State file '{self.path}' has {size} bytes, at most {MAX_STATE_BYTES} expected"
            raise ChangerError(text)
        try:
            with os.fdopen(descriptor, "rb", closefd=False) as file:
                return read_at_most(file, MAX_STATE_BYTES)
        except OSError as error:
            raise ChangerError(f"Error reading '{self.path}': {error.strerror}") from error

    def _parse(self, data: bytes) -> tuple[dict[str, Any], bool]:
        """The state, and whether the file was sound."""
        try:
            return parse_perl_data(data), True
        except PerlDataError as error:
            _log.warning("state file '%s' is damaged and starts afresh: %s", self.path, error)
            return {}, False

    def _save(self, guard: _Guard, descriptor: int | None, old: bytes, new: bytes) -> None:
        """Write the state, or if there is no room for it keep it in memory; say so once."""
        try:
            if descriptor is None:
                raise _NoRoom
            self._write(descriptor, old, new)
        except _NoRoom:
            if guard.unsaved is None:
                _log.warning(
                    "no room for state file '%s': going on with the state in memory", self.path
                )
            guard.unsaved = Unsaved(self._parse(old)[0], parse_perl_data(new))
        else:
            if guard.unsaved is not None:
                _log.warning("state file '%s' is written again", self.path)
            guard.unsaved = None

    def _write(self, descriptor: int, old: bytes, new: bytes) -> None:
        """Rewrite in place so that a crash or a full disk at any point leaves a readable file."""
        size = len(old)
        try:
            if len(new) > size:
                # Claim the room with blanks first: if there is none, the old state stays whole.
                try:
                    _write_all(descriptor, b"\n" * (len(new) - size), size)
                except OSError:
                    os.ftruncate(descriptor, size)
                    raise
            try:
                _write_all(descriptor, new.ljust(size, b"\n"), 0)
            except OSError:
                # A file system that never writes in place needs room for this, too. What it has
                # taken of the new state it takes again.
                with suppress(OSError):
                    _write_all(descriptor, old, 0)
                    os.ftruncate(descriptor, size)
                raise
            os.ftruncate(descriptor, len(new))
        except OSError as error:
            if error.errno in NO_SPACE:
                raise _NoRoom from error
            raise ChangerError(f"Error writing '{self.path}': {error.strerror}") from error


def _print_of(state: dict[str, Any]) -> bytes:
    """What another state has not; made far more quickly than the file's text."""
    try:
        return marshal.dumps(state, 2)  # later versions tell shared values from equal ones
    except ValueError:
        return format_perl_data(state)  # it has what plain data cannot express


def _is_lock_denial(error: OSError) -> bool:
    """EACCES from fcntl means busy; from open, which names the file, it means not allowed."""
    return error.errno == errno.EACCES and error.filename is None


def _write_all(descriptor: int, data: bytes, offset: int) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(descriptor, view, offset)
        view = view[written:]
        offset += written


def subhash(state: dict[str, Any], *keys: str) -> dict[str, Any]:
    """The hash at ``keys``, made where it is missing or where something else stands."""
    for key in keys:
        inner = state.get(key)
        if not isinstance(inner, dict):
            inner = state[key] = {}
        state = inner
    return state


def lookup(state: dict[str, Any], *keys: str) -> Any:
    """The value at ``keys``, or None; nothing is made on the way."""
    value: Any = state
    for key in keys:
        if not isinstance(value, dict):
            return None
        value = value.get(key)
    return value

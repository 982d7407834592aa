"""A vtape root on a disk that comes and goes [changers 3.1, quirk 17].

The disk is mounted when it is needed and unmounted when nobody needs it: every user holds a
shared lock on the lock file, and only who gets it exclusively unmounts.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import subprocess
import threading
from collections.abc import Callable, Sequence
from typing import IO, TYPE_CHECKING

from attrs import frozen

from devices.changers.state import WaitCancelled
from devices.errors import ChangerError, ChangerReason
from devices.patience import LONGEST_PAUSE, Patience, StopSet, TimeIsUp
from devices.regular import open_regular

if TYPE_CHECKING:
    from devices.changers.setup import ChangerSetup

_log = logging.getLogger(__name__)

#: Seconds that mount and umount may take before we give up on them.
COMMAND_TIMEOUT = 300.0

#: Seconds that they may still take once the taper is to end. What is begun goes on without us.
COMMAND_GRACE = 3.0


@frozen(kw_only=True)
class RemovableSettings:
    """The properties of a removable root.

    :ivar mount: run ``/bin/mount`` when nothing is mounted.
    :ivar umount: run ``/bin/umount`` when nobody uses it.
    :ivar lockfile: needed for unmounting; lies outside of the root.
    :ivar idle: seconds without use before unmounting; 0 at once; None: only at the end.
    """

    mount: bool = False
    umount: bool = False
    lockfile: str | None = None
    idle: int | None = None
    lock_timeout: float = 1000.0


def removable_root(setup: ChangerSetup, directory: str, lock_timeout: float) -> RemovableRoot:
    """The root as a changer's properties describe it."""
    settings = RemovableSettings(
        mount=setup.boolean("mount"),
        umount=setup.boolean("umount"),
        lockfile=setup.text("umount-lockfile"),
        idle=setup.integer("umount-idle"),
        lock_timeout=lock_timeout,
    )
    return RemovableRoot(directory, settings, setup.stop)


class _SharedLock:
    """One shared record lock per process and file, since the lock belongs to the process."""

    _held: dict[str, tuple[IO[bytes], int]] = {}  # noqa: RUF012 - of the process, on purpose
    _mutex = threading.Lock()

    def __init__(self, path: str) -> None:
        self.path = os.path.realpath(path)

    def take(self) -> bool:
        """Share the lock. :return: False while somebody holds it exclusively"""
        with self._mutex:
            if self.path in self._held:
                file, users = self._held[self.path]
                self._held[self.path] = file, users + 1
                return True
            file = open(self.path, "ab+", opener=open_regular)  # noqa: SIM115 - closed by drop
            try:
                fcntl.lockf(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except OSError as error:
                file.close()
                if error.errno in (errno.EACCES, errno.EAGAIN):
                    return False
                raise
            self._held[self.path] = file, 1
            return True

    def drop(self, alone: Callable[[], None]) -> None:
        """Stop sharing, and call ``alone`` under the exclusive lock if nobody else shares it."""
        with self._mutex:
            file, users = self._held.pop(self.path)
            if users > 1:
                self._held[self.path] = file, users - 1
                return
            with file:
                try:
                    fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except OSError as error:
                    if error.errno in (errno.EACCES, errno.EAGAIN):
                        return
                    raise
                alone()


class RemovableRoot:
    """The root directory of a changer with property ``removable``.

    :param run: runs a command line, for tests
    """

    def __init__(
        self,
        directory: str,
        settings: RemovableSettings,
        stop: threading.Event,
        run: Callable[[Sequence[str], threading.Event], None] | None = None,
    ) -> None:
        self._directory = directory
        self._settings = settings
        self._stop = stop
        self._run = run or _run
        self._lock = _SharedLock(settings.lockfile) if settings.lockfile else None
        self._mutex = threading.RLock()
        self._users = 0
        self._locked = False
        self._timer: threading.Timer | None = None

    def require(self) -> None:
        """Look whether the disk is there from the start, without waiting for anything: whoever
        makes a changer may not. What we may mount ourselves is mounted for its first use.

        :raise ChangerError: NOTFOUND: nothing is mounted, nor will be
        """
        if not self._settings.mount and not self._mounted():
            raise self._missing(ChangerReason.NOTFOUND)

    def _missing(self, reason: ChangerReason) -> ChangerError:
        return ChangerError(f"No removable disk mounted on '{self._directory}'", reason)

    def enter(self) -> None:
        """Begin to use the root, mounting it if need be and allowed.

        :raise ChangerError: nothing is mounted; the lock was not to be had
        """
        with self._mutex:
            self._cancel_timer()
            self._users += 1
            try:
                if not self._locked and self._lock is not None and self._settings.mount:
                    self._take_lock(self._lock)
                    self._locked = True
                if not self._mounted() and self._settings.mount:
                    self._run(["/bin/mount", self._directory], self._stop)
                if not self._mounted():
                    # no slot is missing, so it makes no sense to look for others
                    raise self._missing(ChangerReason.UNKNOWN)
            except BaseException:
                self._users -= 1
                if not self._users:
                    self._let_go()
                raise

    def leave(self) -> None:
        """End one use; the last one starts the wait before unmounting."""
        with self._mutex:
            self._users -= 1
            idle = self._settings.idle
            if self._users or idle is None:
                return
            if idle == 0:
                self._let_go()
                return
            timer = threading.Timer(idle, self._let_go_if_idle)
            timer.daemon = True
            try:
                timer.start()
            except (RuntimeError, MemoryError) as error:
                _log.warning("unmounting '%s' at once: %s", self._directory, error)
                self._let_go()
            else:
                self._timer = timer

    def close(self) -> None:
        """The end: unmount now unless a reservation is still out."""
        with self._mutex:
            self._cancel_timer()
            if not self._users:
                self._let_go()

    def _mounted(self) -> bool:
        try:
            own = os.stat(self._directory).st_dev
            parent = os.stat(os.path.dirname(os.path.abspath(self._directory))).st_dev
        except OSError as error:
            _log.warning("cannot look at '%s': %s", self._directory, error.strerror)
            return False
        return own != parent

    def _take_lock(self, lock: _SharedLock) -> None:
        patience = Patience(self._settings.lock_timeout, stop=self._stop)
        try:
            while not lock.take():
                patience.pause()
        except TimeIsUp as error:
            raise ChangerError(f"Timeout trying to lock '{lock.path}'") from error
        except StopSet as error:
            raise WaitCancelled(lock.path) from error
        except OSError as error:
            raise ChangerError(f"Error locking '{lock.path}': {error.strerror}") from error

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _let_go_if_idle(self) -> None:
        with self._mutex:
            if self._timer is threading.current_thread() and not self._users:
                self._timer = None
                self._let_go()

    def _let_go(self) -> None:
        """Give up the shared lock and unmount if nobody else uses the disk."""
        if self._locked and self._lock is not None:
            self._locked = False
            self._lock.drop(self._umount)
        elif self._lock is not None and not self._settings.mount and self._lock.take():
            # Without "mount" nobody shares the lock, but it still keeps two from unmounting.
            self._lock.drop(self._umount)

    def _umount(self) -> None:
        if self._settings.umount and self._mounted():
            self._run(["/bin/umount", self._directory], self._stop)


def _run(command: Sequence[str], stop: threading.Event) -> None:
    """Run mount or umount; whether it helped is seen from the directory afterwards."""
    name = " ".join(command)
    patience = Patience(COMMAND_TIMEOUT, stop=stop, grace=COMMAND_GRACE)
    try:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
    except OSError as error:
        _log.warning("%s: %s", name, error)
        return
    while True:
        try:
            said, _ = process.communicate(timeout=LONGEST_PAUSE)
            break
        except subprocess.TimeoutExpired:
            try:
                patience.check()
            except (TimeIsUp, StopSet):
                _log.warning("%s is not waited for any longer", name)
                return
    if process.returncode:
        text = said.decode("utf-8", "surrogateescape").strip()
        _log.warning("%s: status %d: %s", name, process.returncode, text)

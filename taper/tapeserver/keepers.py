"""Whose a drive's volume is: the drive's alone, or one of a tree that local tapers use, too."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable

from devices.errors import ChangerError
from protocols.ndmp.codes import ErrorCode
from protocols.ndmp_server.interfaces import Refused, Tape
from taper.tapeserver.drive import TapeDrive
from taper.tapeserver.slots import SlotTree


class FixedVolume:
    """A drive that always has the same volume: unloaded, it is loaded again when it is opened.

    While a client has it open, no other server of ours has: its directory or file is locked.

    :param path: of what is locked
    :param load: makes the tape; may raise OSError
    """

    def __init__(self, path: str, load: Callable[[], Tape]) -> None:
        self._path = path
        self._load = load
        self._lock: int | None = None

    def claim(self, drive: TapeDrive) -> None:
        try:
            lock = os.open(self._path, os.O_RDONLY)
        except FileNotFoundError:
            drive.medium = None
            return
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            raise Refused(
                ErrorCode.DEVICE_BUSY, f"{self._path} is used by another server"
            ) from None
        except OSError:
            os.close(lock)
            raise
        self._lock = lock
        if drive.medium is None:
            drive.medium = self._load()

    def let_go(self, drive: TapeDrive) -> None:
        lock, self._lock = self._lock, None
        if lock is not None:
            os.close(lock)

    def unload(self, drive: TapeDrive) -> None:
        drive.medium = None

    def load(self, drive: TapeDrive) -> None:
        if self._lock is not None:  # else it was not there when the drive was opened
            drive.medium = self._load()


class TreeVolume:
    """A drive of a robot: its volume is held by us, as by a taper, while a client has it open."""

    def __init__(self, tree: SlotTree) -> None:
        self._tree = tree
        self._held: tuple[int, str] | None = None

    def claim(self, drive: TapeDrive) -> None:
        slot = self._tree.slot_of(drive)
        if slot is None:
            return
        try:
            holder, mark = self._tree.take(slot)
        except ChangerError as fault:
            raise Refused(ErrorCode.IO, str(fault)) from fault
        if holder:
            raise Refused(ErrorCode.DEVICE_BUSY, holder)
        self._held = (slot, mark)

    def let_go(self, drive: TapeDrive) -> None:
        held, self._held = self._held, None
        if held is not None:
            try:
                self._tree.drop(*held)
            except ChangerError as fault:
                raise Refused(ErrorCode.IO, str(fault)) from fault

    def unload(self, drive: TapeDrive) -> None:
        """It waits in the drive for the robot."""
        if drive.medium is not None:
            drive.medium.rewind()

    def load(self, drive: TapeDrive) -> None:
        """It is still there."""

"""A tree of chg-disk as a library: its slots, its drives, and who has which volume [changers 3.1].

A volume never leaves its directory: that it is in a drive is a matter of this server, kept in one
small file of the tree. Who *uses* a volume stands in the changer's own state, under its own lock,
so that a client of ours and a taper on this host never have the same one.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from contextlib import suppress

from devices.changers.slots import SlotDirectories
from devices.changers.state import StateFile
from devices.changers.vtape_state import SlotHolders
from devices.datafile import sync_directory, write_all
from devices.errors import ChangerError
from devices.lane import Lane
from devices.patience import LOCK_TIMEOUT
from protocols.ndmp.codes import ErrorCode
from protocols.ndmp_server import smc
from protocols.ndmp_server.commands import BAD_ADDRESS
from protocols.ndmp_server.interfaces import (
    CheckCondition,
    Contents,
    Element,
    Refused,
    Shelf,
    Tape,
)
from taper.tapeserver.drive import TapeDrive, ask

STATE_NAME = "ndmp-tape-drives"
_MOST_STATE = 65536


class SlotTree:
    """The slots of a directory and what is in which drive. Blocks; belongs to one lane at a time.

    :param root: as of ``chg-disk:root``
    :param state: path of the changer's state file, shared with local tapers
    """

    def __init__(self, root: str, state: str) -> None:
        self.root = root
        self.slots = SlotDirectories(root)
        self._state = StateFile(state, lock_timeout=LOCK_TIMEOUT)
        self.loaded: dict[TapeDrive, int] = {}

    def slot_of(self, drive: TapeDrive) -> int | None:
        """Whose volume is in the drive."""
        return self.loaded.get(drive)

    def take(self, slot: int) -> tuple[str, str]:
        """Hold a slot. :return: who does already, as a text; or empty, and our mark"""
        with self._state.locked() as data:
            holders = SlotHolders(data)
            holder = holders.holder(slot)
            if holder is not None:
                by = f"drive '{holder.drive}' and process '{holder.pid}'"
                return f"slot {slot} of {self.root} is in use by {by}", ""
            return "", holders.take(slot)

    def drop(self, slot: int, mark: str) -> None:
        """Give back what :meth:`take` took."""
        with self._state.locked() as data:
            SlotHolders(data).drop(mark, slot)

    # what is in the drives, over a restart

    def remember(self, names: dict[TapeDrive, str]) -> None:
        """Write down what is in which drive. :raise OSError: it cannot be"""
        path = f"{self.root}/{STATE_NAME}"
        told = {names[drive]: slot for drive, slot in self.loaded.items()}
        draft = f"{path}.new"
        fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            write_all(fd, json.dumps(told).encode())
            os.fdatasync(fd)
        finally:
            os.close(fd)
        os.rename(draft, path)
        sync_directory(os.fsencode(self.root))

    def recall(self) -> dict[str, int]:
        """What was in which drive; what is damaged or gone counts as in none."""
        with suppress(OSError, ValueError), open(f"{self.root}/{STATE_NAME}", "rb") as file:
            told = json.loads(file.read(_MOST_STATE))
            if isinstance(told, dict):
                return {
                    str(name): slot
                    for name, slot in told.items()
                    if isinstance(slot, int) and self.slots.exists(slot)
                }
        return {}


class TreeRobot:
    """See :class:`protocols.ndmp_server.interfaces.Robot`; the arm moves nothing but names.

    :param lane: ours alone: a drive at work must not hold the robot
    :param drives: by device name, in order
    :param load: makes the tape of a directory
    """

    def __init__(
        self,
        lane: Lane,
        tree: SlotTree,
        drives: dict[str, TapeDrive],
        load: Callable[[str], Tape],
    ) -> None:
        self.user: object | None = None
        self.lane = lane
        self.tree = tree
        self._drives = drives
        self._names = {drive: name for name, drive in drives.items()}
        self._load = load

    @property
    def drives(self) -> Sequence[TapeDrive]:
        return list(self._drives.values())

    def begin(self) -> None:
        """Put into the drives what was in them. Blocks. :raise ChangerError: no tree"""
        self.tree.slots.numbers()
        for name, slot in self.tree.recall().items():
            drive = self._drives.get(name)
            if drive is not None and slot not in self.tree.loaded.values():
                with suppress(Refused, OSError):  # it is not there any more
                    drive.medium = self._load(self.tree.slots.path(slot))
                    self.tree.loaded[drive] = slot

    async def look(self) -> Contents:
        return await ask(self.lane, self._look)

    def _look(self) -> Contents:
        try:
            numbers = self.tree.slots.numbers()
        except ChangerError as fault:
            raise Refused(ErrorCode.IO, str(fault)) from fault
        away = set(self.tree.loaded.values())
        count = min(max(numbers, default=0), smc.MOST_SLOTS)
        there = set(numbers) - away
        return Contents(
            tuple(_barcode(n) if n in there else None for n in range(1, count + 1)),
            tuple(self._in(drive) for drive in self.drives),
        )

    def _in(self, drive: TapeDrive) -> tuple[str, int | None] | None:
        slot = self.tree.loaded.get(drive)
        return None if slot is None else (_barcode(slot), slot - 1)

    async def move(self, source: Element, target: Element) -> None:
        places = (source, target)
        drives = [self.drives[one.number] for one in places if one.kind is Shelf.DRIVE]
        for drive in drives:
            drive.user = self  # nobody opens it meanwhile
        try:
            await ask(self.lane, self._move, source, target)
        finally:
            for drive in drives:
                drive.user = None

    def _move(self, source: Element, target: Element) -> None:
        """:raise CheckCondition: a volume lives in its slot, and nowhere else"""
        loaded = self.tree.loaded
        if source.kind is Shelf.DRIVE:
            left = self.drives[source.number]
            slot = loaded[left]
            if target.kind is Shelf.SLOT and target.number != slot - 1:
                raise CheckCondition(BAD_ADDRESS)
            if left.medium is not None:
                left.medium.flush()
            left.medium = None
            del loaded[left]
        elif target.kind is Shelf.SLOT:
            raise CheckCondition(BAD_ADDRESS)
        else:
            slot = source.number + 1
        if target.kind is Shelf.DRIVE:
            drive = self.drives[target.number]
            drive.medium = self._load(self.tree.slots.path(slot))
            loaded[drive] = slot
        self.tree.remember(self._names)


def _barcode(slot: int) -> str:
    return f"SLOT{slot}"

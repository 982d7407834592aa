"""A real library: its robot by way of ``mtx``, as chg-robot moves it, its drives of this host.

Who uses which volume, and what is where, stands in the state file of chg-robot, under its lock
[changers 3.8]; so a client of ours and a taper of this host see the same library, and never have
the same drive.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from attrs import frozen

from devices.changers.laned_state import LanedState
from devices.changers.mtx import MtxRobot
from devices.changers.robot import state_file_name
from devices.changers.robot_arm import Arm
from devices.changers.robot_settings import RobotSettings
from devices.changers.robot_state import RobotState
from devices.changers.setup import ChangerSetup
from devices.changers.state import StateFile
from devices.context import DeviceContext
from devices.errors import ChangerError
from devices.lane import Lane
from devices.patience import LOCK_TIMEOUT
from devices.programs import Programs
from protocols.conf.config import Config
from protocols.conf.settings import GlobalSettings
from protocols.ndmp.codes import ErrorCode
from protocols.ndmp_server.commands import BAD_ADDRESS, REMOVAL_PREVENTED
from protocols.ndmp_server.interfaces import CheckCondition, Contents, Element, Refused, Shelf
from protocols.ndmp_server.smc import MOST_SLOTS
from protocols.twisted_transports.haste import Haste
from taper.tapeserver.drive import Keeper, TapeDrive

if TYPE_CHECKING:
    from collections.abc import Callable

PROGRAM = "ndmp-tape"
"""Whose current slot ours would be, in the state."""


@frozen
class Library:
    """What is to be known of a library.

    :ivar device: of the robot.
    :ivar program: path of mtx.
    :ivar state: of chg-robot's state file; empty: where that has it.
    :ivar tapes: device files of the drives, in the robot's order.
    """

    device: str
    program: str
    state: str
    tapes: tuple[str, ...]

    def settings(self) -> RobotSettings:
        """As chg-robot has them."""
        devices = tuple((str(n), f"tape:{node}") for n, node in enumerate(self.tapes))
        return RobotSettings(tape_devices=devices)


def _setup(library: Library, context: DeviceContext) -> ChangerSetup:
    config = Config(PROGRAM, "/", GlobalSettings(""), {})
    return ChangerSetup(
        name=f"chg-robot:{library.device}",
        kind="robot",
        argument=library.device,
        config=config,
        storage=None,
        section=None,
        context=context,
        open_device=_never,
        open_blocking=_never,
        open_child=_never,
    )


def _never(*_: object) -> NoReturn:
    raise AssertionError("the drives are opened by their clients")


class LibraryState:
    """The state file, for whoever is in a lane and for whoever is not."""

    def __init__(self, library: Library, context: DeviceContext) -> None:
        self.setup = _setup(library, context)
        self.settings = library.settings()
        self.path = library.state or f"{context.statedir}/{state_file_name(self.setup)}"
        self.laned = LanedState(self.setup, self.path, LOCK_TIMEOUT)

    def state(self, data: dict[str, Any]) -> RobotState:
        """Of what stands in the locked file."""
        return RobotState(data, self.setup, self.settings)

    def take(self, drive: str) -> bool:
        """Hold a drive. Blocks. :return: False: somebody else does"""
        with StateFile(self.path, lock_timeout=LOCK_TIMEOUT).locked() as data:
            state = self.state(data)
            state.drives.setdefault(drive, {})
            if state.is_held(drive):
                return False
            state.take(drive)
            return True

    def drop(self, drive: str) -> None:
        """Give back what :meth:`take` took. Blocks."""
        with StateFile(self.path, lock_timeout=LOCK_TIMEOUT).locked() as data:
            self.state(data).drop(drive)


class SharedDrive:
    """A drive of a library: held in the state of chg-robot while a client has it open.

    :param number: the robot's
    :param inner: opens what is in it
    """

    def __init__(self, state: LibraryState, number: str, inner: Keeper) -> None:
        self._state = state
        self._number = number
        self._inner = inner
        self._held = False

    def claim(self, drive: TapeDrive) -> None:
        try:
            if not self._state.take(self._number):
                text = f"drive {self._number} of {self._state.setup.argument} is used by another"
                raise Refused(ErrorCode.DEVICE_BUSY, text)
        except ChangerError as fault:
            raise Refused(ErrorCode.IO, str(fault)) from fault
        self._held = True
        self._inner.claim(drive)

    def let_go(self, drive: TapeDrive) -> None:
        held, self._held = self._held, False
        if not held:
            return
        try:
            self._inner.let_go(drive)
        finally:
            try:
                self._state.drop(self._number)
            except ChangerError as fault:
                raise Refused(ErrorCode.IO, str(fault)) from fault

    def put_out(self, drive: TapeDrive) -> None:
        """Eject what is in the drive, which no client has open: robots take nothing else. Blocks.

        :raise Refused: it cannot be
        """
        self._inner.claim(drive)
        if drive.medium is not None:  # else it was ejected before
            self._inner.unload(drive)

    def unload(self, drive: TapeDrive) -> None:
        self._inner.unload(drive)

    def load(self, drive: TapeDrive) -> None:
        self._inner.load(drive)


class MtxLibrary:
    """See :class:`protocols.ndmp_server.interfaces.Robot`. Slot N of the robot is slot N of mtx.

    :param drives: by device name, in the robot's order
    :param keepers: of these
    """

    def __init__(
        self,
        library: Library,
        context: DeviceContext,
        state: LibraryState,
        drives: Mapping[str, TapeDrive],
        keepers: Mapping[TapeDrive, SharedDrive],
    ) -> None:
        self.user: object | None = None
        self._drives = drives
        self._keepers = keepers
        self._state = state
        haste = Haste(context.reactor)
        programs = Programs(context.reactor, haste)
        robot = MtxRobot(programs, haste, library.program, library.device, barcodes=True)
        self._arm = Arm(robot, state.settings, context, haste)

    @property
    def drives(self) -> Sequence[TapeDrive]:
        return list(self._drives.values())

    async def look(self) -> Contents:
        try:
            async with self._state.laned.locked() as data:
                state = self._state.state(data)
                await self._arm.refresh(state)
                return self._contents(state)
        except ChangerError as fault:
            raise Refused(ErrorCode.IO, str(fault)) from fault

    def _contents(self, state: RobotState) -> Contents:
        """A volume in a drive is not in the slot that it came from."""
        numbers = [int(slot) for slot in state.slot_numbers()]
        slots = []
        for number in range(1, min(max(numbers, default=0), MOST_SLOTS) + 1):
            there = number in numbers and state.is_full(str(number))
            there = there and state.loaded_in(str(number)) is None
            slots.append(_barcode(state.slots[str(number)]) if there else None)
        drives: list[tuple[str, int | None] | None] = []
        for number in range(len(self._drives)):
            drive = str(number)
            home = state.in_drive(drive)
            held = (_barcode(state.drives[drive]), int(home) - 1 if home else None)
            drives.append(held if state.is_drive_full(drive) else None)
        return Contents(tuple(slots), tuple(drives))

    async def move(self, source: Element, target: Element) -> None:
        own = [self.drives[one.number] for one in (source, target) if one.kind is Shelf.DRIVE]
        for drive in own:
            drive.user = self  # nobody opens it meanwhile
        try:
            async with self._state.laned.locked() as data:
                await self._move(self._state.state(data), source, target)
        except ChangerError as fault:
            raise Refused(ErrorCode.IO, str(fault)) from fault
        finally:
            for drive in own:
                drive.user = None

    async def _move(self, state: RobotState, source: Element, target: Element) -> None:
        """:raise CheckCondition: a taper of this host has it, or it has no home"""
        for one in (source, target):
            if one.kind is Shelf.DRIVE and state.is_held(str(one.number)):
                raise CheckCondition(REMOVAL_PREVENTED)
        if source.kind is Shelf.SLOT and target.kind is Shelf.SLOT:
            await self._arm.transfer(state, _slot(source), _slot(target))
            return
        slot: str | None = _slot(source)
        if source.kind is Shelf.DRIVE:
            slot = _slot(target)
            if target.kind is Shelf.DRIVE:
                slot = state.in_drive(str(source.number))
            if slot is None:
                raise CheckCondition(BAD_ADDRESS)
            left = self.drives[source.number]
            await left.ask(self._keepers[left].put_out, left)
            await self._arm.unload(state, str(source.number), slot)
        if target.kind is Shelf.DRIVE and slot is not None:
            await self._arm.load(state, slot, str(target.number))


def _slot(element: Element) -> str:
    return str(element.number + 1)


def _barcode(entry: Mapping[str, Any]) -> str:
    found = entry.get("barcode")
    return "" if found is None else str(found)


def make_library(
    reactor: Any,
    library: Library,
    names: Sequence[str],
    make_keeper: Callable[[str], Keeper],
    *,
    write_protected: bool,
) -> tuple[MtxLibrary, dict[str, TapeDrive], list[Lane]]:
    """A library, its drives by name, and lanes to be stopped with them."""
    lanes: list[Lane] = []

    def make_lane(name: str) -> Lane:
        lanes.append(Lane(reactor, name))
        return lanes[-1]

    context = DeviceContext(reactor, make_lane)
    state = LibraryState(library, context)
    drives: dict[str, TapeDrive] = {}
    keepers: dict[TapeDrive, SharedDrive] = {}
    for number, (name, node) in enumerate(zip(names, library.tapes, strict=True)):
        keeper = SharedDrive(state, str(number), make_keeper(node))
        lane = Lane(reactor, f"drive {name}")
        drive = TapeDrive(lane, keeper=keeper, write_protected=write_protected)
        drives[name], keepers[drive] = drive, keeper
    return MtxLibrary(library, context, state, drives, keepers), drives, lanes

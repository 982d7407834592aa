"""A drive: what is in it, and the thread in which that is read and written."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar

from attrs import evolve
from twisted.internet.defer import Deferred

from devices.lane import Lane
from protocols.ndmp.codes import ErrorCode
from protocols.ndmp_server.interfaces import Place, Refused, Tape, Unfit
from taper.plane.memory import NoMemory

T = TypeVar("T")


class Keeper(Protocol):
    """Knows of a drive's volume what the drive does not: whose it is, and where it goes."""

    def claim(self, drive: TapeDrive) -> None:
        """Called in the lane when a client opens the drive.

        :raise Refused: somebody else has the volume
        """

    def let_go(self, drive: TapeDrive) -> None:
        """Called in the lane when it is closed."""

    def unload(self, drive: TapeDrive) -> None:
        """Called in the lane when its client unloads it."""

    def load(self, drive: TapeDrive) -> None:
        """Called in the lane when its client loads again what it has unloaded.

        :raise Refused: there is nothing
        """


class TapeDrive:
    """See :class:`protocols.ndmp_server.interfaces.Drive`.

    :ivar medium: the tape in it; None: none.
    :param lane: ours alone
    :param keeper: None: the volume is nobody else's, and stays in the drive
    :param write_protected: nothing is to be written here, whatever the tape
    """

    def __init__(
        self,
        lane: Lane,
        medium: Tape | None = None,
        keeper: Keeper | None = None,
        *,
        write_protected: bool = False,
    ) -> None:
        self.lane = lane
        self.keeper = keeper
        self.user: object | None = None
        self.block_size = 0
        self.record_size: int | None = None
        self._place = Place()
        self._unloaded = False
        self._working = False
        self._write_protected = write_protected
        self.medium = medium

    @property
    def medium(self) -> Tape | None:
        return self._medium

    @medium.setter
    def medium(self, medium: Tape | None) -> None:
        self._medium = medium
        self._unloaded = False
        self._place = Place() if medium is None else self._place_of(medium)

    @property
    def loaded(self) -> bool:
        return self._medium is not None and not self._unloaded

    @property
    def place(self) -> Place:
        medium = self._medium
        if not self._working or medium is None:
            return self._place
        # the mover stays within a file, so these two belong together
        return evolve(self._place, file_num=medium.file_num, blockno=medium.blockno)

    def refuse_record_size(self, size: int) -> None:
        if self.record_size is not None and size != self.record_size:
            raise Refused(
                ErrorCode.ILLEGAL_ARGS,
                f"records of {size} bytes; this drive has records of {self.record_size}",
            )

    async def do(self, work: Callable[[Tape], T]) -> T:
        if self._medium is None or self._unloaded:
            raise Refused(ErrorCode.NO_TAPE_LOADED)
        return await self.ask(self._work, self._medium, work)

    async def ask(self, function: Callable[..., T], *arguments: object) -> T:
        """Call something in the lane, see :func:`ask`."""
        return await ask(self.lane, function, *arguments)

    def _work(self, medium: Tape, work: Callable[[Tape], T]) -> T:
        self._working = True
        try:
            return work(medium)
        finally:
            self._working = False
            self._place = self._place_of(medium)

    def _place_of(self, medium: Tape) -> Place:
        protected = self._write_protected or medium.write_protected
        return Place(medium.file_num, medium.blockno, protected, medium.space)

    def settled(self) -> Deferred[None]:
        return self.lane.call_surely(_nothing)

    async def claim(self) -> None:
        self._unloaded = False  # it waited in the drive, and nobody has fetched it
        if self.keeper is not None:
            await self.ask(self.keeper.claim, self)

    async def let_go(self) -> None:
        if self.keeper is not None:
            await self.ask(self.keeper.let_go, self)

    async def unload(self) -> None:
        if self.keeper is not None:
            await self.ask(self.keeper.unload, self)
            self._unloaded = True
        else:
            self.medium = None

    async def load(self) -> None:
        if self.keeper is not None:
            await self.ask(self.keeper.load, self)
            self._unloaded = False
        if not self.loaded:
            raise Refused(ErrorCode.NO_TAPE_LOADED)


async def ask(lane: Lane, function: Callable[..., T], *arguments: object) -> T:
    """Call something in a lane.

    :raise Refused: for Unfit, for an OSError and for want of memory, too
    """
    try:
        return await lane.call_surely(function, *arguments)
    except Unfit as fault:
        raise Refused(ErrorCode.ILLEGAL_ARGS, str(fault)) from fault
    except OSError as fault:
        raise Refused(ErrorCode.IO, _why(fault)) from fault
    except NoMemory as fault:
        raise Refused(ErrorCode.NO_MEM, str(fault)) from fault


def _why(fault: OSError) -> str:
    where = f"{fault.filename!r}: " if fault.filename else ""
    return f"{where}{fault.strerror or fault}"


def _nothing() -> None:
    """What is asked for only to learn that all before it is done."""

"""A state file for changers that do not block: it is locked, read and written in a lane."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from twisted.internet.defer import Deferred, DeferredLock

from devices.changers.base import surely
from devices.changers.setup import ChangerSetup
from devices.changers.state import StateFile

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

T = TypeVar("T")


class LanedState:
    """The state file of one changer, in a lane of its own.

    :param path: see :class:`devices.changers.state.StateFile`
    :param lock_timeout: seconds to wait for the lock
    """

    def __init__(self, setup: ChangerSetup, path: str, lock_timeout: float) -> None:
        self._lane = setup.context.make_lane(f"changer {setup.name}")
        self._file = StateFile(path, lock_timeout=lock_timeout, stop=setup.stop)
        self._turn = DeferredLock()

    @asynccontextmanager
    async def locked(self, grace: float = 0.0) -> AsyncIterator[dict[str, Any]]:
        """As :meth:`devices.changers.state.StateFile.locked`, for one caller after another; the
        lock of one who is cancelled meanwhile is given up."""
        await self._turn.acquire()
        try:
            section = self._file.locked(grace)
            data = await self._lane.call_owning(
                lambda _: section.__exit__(None, None, None), section.__enter__
            )
            try:
                yield data
            finally:
                await surely(self._unlock(section))
        finally:
            self._turn.release()

    async def _unlock(self, section: AbstractContextManager[dict[str, Any]]) -> None:
        await self._lane.call_surely(section.__exit__, None, None, None)

    def in_lane(self, function: Callable[..., T], *args: Any) -> Deferred[T]:
        """Let the lane do something else that blocks, between two sections."""
        return self._lane.call(function, *args)

    async def settle(self) -> None:
        """Wait until a lock that nobody waits for any more has been given up."""
        if self._lane.begun:
            await self._lane.call_surely(lambda: None)

    async def stop(self) -> None:
        """The last thing."""
        await self._lane.stop()

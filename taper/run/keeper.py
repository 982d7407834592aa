"""Keeps a volume in its drive while the daemon serves nobody: reserved, so that nobody else gets
the drive, and loaded, so that the next driver need not wait for it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from attrs import define
from twisted.internet.defer import Deferred, DeferredLock, succeed
from twisted.logger import Logger

from devices.errors import ChangerError, DeviceError
from devices.interfaces import AccessMode, LoadRequest

if TYPE_CHECKING:
    from devices.interfaces import IAsyncChanger, IAsyncReservation

log = Logger()


@define
class _Kept:
    """:ivar stop: once set, no lock is waited for any more."""

    label: str
    changer: IAsyncChanger
    stop: threading.Event
    reservation: IAsyncReservation | None = None


class Keeper:
    """Keeps one volume at most."""

    def __init__(self) -> None:
        self._turn = DeferredLock()
        self._kept: _Kept | None = None

    @property
    def label(self) -> str | None:
        """Of the volume that is kept; None: none is."""
        kept = self._kept
        return None if kept is None or kept.reservation is None else kept.label

    def keep(
        self, label: str, open_changer: Callable[[threading.Event], IAsyncChanger]
    ) -> Deferred[None]:
        """Load and reserve a volume. What cannot be is logged, and hurts nobody.

        :param open_changer: opens the one that has it; given an event that ends its waits for locks
        """
        stop = threading.Event()
        try:
            self._kept = _Kept(label, open_changer(stop), stop)
        except (ChangerError, DeviceError) as fault:
            self._complain(label, fault)
            return succeed(None)
        return self._turn.run(lambda kept: Deferred.fromCoroutine(self._keep(kept)), self._kept)

    async def _keep(self, kept: _Kept) -> None:
        try:
            request = LoadRequest(label=kept.label, mode=AccessMode.READ)
            kept.reservation = await kept.changer.load(request)
        except (ChangerError, DeviceError) as fault:
            self._complain(kept.label, fault)
        else:
            log.info("volume {label} is kept", label=kept.label)

    def give_back(self) -> Deferred[None] | None:
        """Let the volume and its drive be had.

        :return: fires when they can be; None: they can
        """
        kept, self._kept = self._kept, None
        if kept is None:
            # who asked before us may have gone without waiting for it
            return self._turn.run(lambda: None) if self._turn.locked else None
        kept.stop.set()
        return self._turn.run(lambda: Deferred.fromCoroutine(self._give_back(kept)))

    async def _give_back(self, kept: _Kept) -> None:
        try:
            if kept.reservation is not None:
                await kept.reservation.release()
        except (ChangerError, DeviceError) as fault:
            self._complain(kept.label, fault)
        try:
            await kept.changer.close()
        except (ChangerError, DeviceError) as fault:
            self._complain(kept.label, fault)

    def _complain(self, label: str, fault: ChangerError | DeviceError) -> None:
        text = fault.message if isinstance(fault, ChangerError) else fault.text
        log.warn("volume {label} is not kept: {text}", label=label, text=text)

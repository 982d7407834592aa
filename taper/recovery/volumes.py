"""The volumes of one recovery: where they are looked for, and who is asked for those that are
missing [recovery 6.5]."""

from __future__ import annotations

import functools
import logging
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

from twisted.internet.defer import CancelledError, Deferred
from zope.interface import implementer

from devices.asynchronous import open_changer
from devices.context import DeviceContext
from devices.errors import ChangerError, DeviceError
from devices.lane import Lane
from protocols.errorcode import code_of
from protocols.twisted_transports.haste import Haste
from taper.core.clerk import Clerk
from taper.core.errors import SourceFault
from taper.core.interfaces import IClerk, IDriver, IVaults

if TYPE_CHECKING:
    from devices.interfaces import IAsyncChanger, IAsyncDevice
    from protocols.conf import Config
    from protocols.driver.messages import Message
    from taper.run.paths import Paths

T = TypeVar("T")

_log = logging.getLogger(__name__)

DRIVE_IN_USE = 3005
"""The code of a fault that another drive would have helped against."""

Ask = Callable[[str, str], "Deferred[str]"]
"""Asks a person for the volume of a label, and says why: the answer is the name of a storage or
changer to look in from now on, or nothing. Fails with SourceFault if nobody can be asked."""

Busy = Callable[[str, str], "Deferred[None]"]
"""Waits a while for the volume of a label, which somebody else has at this moment, and says why."""

_IN_USE = frozenset({3004, 3005})
"""Codes of volumes and drives that somebody else has."""


@implementer(IVaults)
class Shelves:
    """The storages and changers of a configuration, each by its name.

    :param haste: begins when all is to end
    """

    def __init__(self, reactor: Any, config: Config, paths: Paths, haste: Haste) -> None:
        self._config = config
        self.stop = threading.Event()
        self._context = DeviceContext(
            reactor,
            functools.partial(Lane, reactor),
            config.general.dtimeout + 1,
            paths.statedir,
            haste,
            config_root=paths.config_root,
            tmpdir=paths.tmpdir,
        )

    def open_changer(self, storage: str) -> IAsyncChanger:
        """That of a storage; or the changer of that name, with the configuration's first storage.

        :raise SourceFault: there is none
        """
        config = self._config
        found = config.storage(storage)
        name = None if found is not None else storage
        try:
            return open_changer(
                name,
                config,
                found or config.storage(config.default_storage_name()),
                self._context,
                stop=self.stop,
                warn=_log.info,
            )
        except ChangerError as fault:
            raise SourceFault(fault.message) from fault
        except DeviceError as fault:
            raise SourceFault(fault.text) from fault

    def where(self, device: str | None, storage: str) -> str:
        """Where volumes are looked for first.

        :param device: what the request names
        :param storage: that of the dump
        """
        if device is None or device in self._usual():
            return storage
        return device

    def _usual(self) -> set[str]:
        """What stands for "where they belong": amrecover-changer, and what Amanda tells amrecover
        where there is none."""
        general = self._config.general
        names = {general.amrecover_changer, general.tpchanger, general.tapedev}
        for storage in self._config.storages():
            names |= {storage.tpchanger, storage.tapedev}
        return names


@implementer(IDriver)
class _Story:
    """What a clerk would tell a driver, for the debug log."""

    def send(self, reply: Message) -> None:
        _log.info("%s", reply)


class _Around:
    """The clerk's surroundings."""

    def __init__(self, shelves: Shelves) -> None:
        self.driver: IDriver = _Story()
        self.vaults: IVaults = shelves
        self.clerks: list[IClerk] = []

    def debug_failure(self, text: str) -> None:
        _log.info("%s", text, exc_info=True)


@implementer(IClerk)
class AskingClerk:
    """A clerk that asks for volumes that it does not find, as often as it takes.

    :param where: the storage or changer that is looked in
    :param ask: None: nobody is asked, and :meth:`fetch` fails
    :param wanted: is told the label of each volume that is going to be loaded
    :param opened: is told it when the volume is open
    :param in_use: waits for those that somebody else has; None: they are asked for like the others
    """

    busy = False

    def __init__(
        self,
        shelves: Shelves,
        where: str,
        ask: Ask | None,
        wanted: Callable[[str], object] = lambda label: None,
        opened: Callable[[str], object] = lambda label: None,
        in_use: Busy | None = None,
    ) -> None:
        self._in_use = in_use
        self._shelves = shelves
        self._where = where
        self._ask = ask
        self._wanted = wanted
        self._opened = opened
        self._clerk = Clerk(_Around(shelves), "recovery")
        self._over = False
        self._asked: Deferred[Any] | None = None

    @property
    def label(self) -> str | None:
        return self._clerk.label

    @property
    def slot(self) -> str | None:
        """Of the volume that is open."""
        return self._clerk.slot

    async def begin(self, storage: str) -> None:
        """The dump's storage; whether it is where the volumes are is found out by ``fetch``."""

    async def fetch(
        self,
        label: str,
        handle: str,
        ready: Callable[[IAsyncDevice], Deferred[None]] | None = None,
    ) -> IAsyncDevice:
        refused = False

        def hand_over(device: IAsyncDevice) -> Deferred[None]:
            nonlocal refused
            refused = True
            assert ready is not None

            def taken(_: None) -> None:
                nonlocal refused
                refused = False

            return ready(device).addCallback(taken)

        while True:
            if self._over:
                raise SourceFault("the recovery was given up", code=4011)
            try:
                await self._clerk.begin(self._where)
                before = self._clerk.label
                if label != before:
                    self._wanted(label)
                device = await self._clerk.fetch(
                    label, handle, None if ready is None else hand_over
                )
                if label != before:
                    self._opened(label)
                return device
            except SourceFault as fault:
                if self._over or refused or self._ask is None:
                    raise
                if self._in_use is not None and code_of(fault) in _IN_USE:
                    with suppress(CancelledError):  # then it is over
                        await self._wait_for(self._in_use(label, fault.text))
                else:
                    await self._ask_for(self._ask, label, fault.text)

    async def _wait_for(self, awaited: Deferred[T]) -> T:
        self._asked = awaited
        try:
            return await awaited
        finally:
            self._asked = None

    async def _ask_for(self, ask: Ask, label: str, why: str) -> None:
        answer = await self._wait_for(ask(label, why))
        if answer:
            self._where = self._shelves.where(answer, self._where)

    def end(self, *, well: bool) -> None:
        self._clerk.end(well=well)

    def interrupt(self) -> None:
        self._over = True
        self._clerk.interrupt()
        if self._asked is not None:
            self._asked.cancel()

    async def close_volume(self, *, tell: bool) -> bool:
        return await self._clerk.close_volume(tell=tell)

    async def quit(self) -> None:
        """Give everything back."""
        self.interrupt()
        await self._clerk.quit()

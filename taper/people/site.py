"""One configuration, and what the commands for people work with."""

from __future__ import annotations

import functools
import os
import pwd
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from devices.context import DeviceContext
from devices.errors import ChangerError, DeviceError
from devices.lane import Lane
from protocols.twisted_transports.haste import Haste
from taper.last_words import CannotStart
from taper.ownership import refuse_strangers
from taper.people.rights import Rights
from taper.recovery.volumes import Shelves
from taper.run.as_root import become, look_up
from taper.run.history import History
from taper.run.options import Options
from taper.run.setup import check_user, load_config
from taper.run.status_sockets import folder_of

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred

    from devices.interfaces import IAsyncChanger
    from protocols.conf import Config, Storage
    from taper.people.screen import Screen
    from taper.run.paths import Paths

T = TypeVar("T")


def find_config(
    name: str, overrides: tuple[str, ...], paths: Paths, *, keep_root: bool = False
) -> Config:
    """Read the configuration as a taper does, and be its dump user if we are root.

    :param keep_root: root's rights can be had back, by :class:`~taper.people.rights.Rights`
    :raise CannotStart: it cannot be used, or we are somebody else
    """
    for override in overrides:
        if "=" not in override:
            raise CannotStart(f"-o {override}: KEY=VALUE expected")
    config = load_config(Options(config_name=name, overrides=overrides), paths)
    dumpuser = config.general.dumpuser
    if keep_root:
        Rights(dumpuser).settle()
        return config
    if os.geteuid() == 0 and dumpuser != pwd.getpwuid(0).pw_name:
        # locks and states that root makes would be closed to the tapers of tonight
        become(look_up(dumpuser))
    check_user(dumpuser)
    return config


def be_watcher(paths: Paths) -> None:
    """Be the user whose tapers are to be watched, if we are root: the one whose directory has their
    sockets.

    :raise CannotStart: he could not run us
    """
    if os.geteuid() != 0:
        return
    try:
        refuse_strangers(folder_of(paths.tmpdir))
        owner = os.stat(folder_of(paths.tmpdir)).st_uid
    except FileNotFoundError:
        return  # there is no taper
    except OSError as fault:
        raise CannotStart(str(fault)) from fault
    if owner:
        become(pwd.getpwuid(owner))


class Station:
    """What a command works with that needs no configuration.

    :ivar now: seconds since the epoch.
    :ivar screen: where people are told what goes on.
    :ivar leaving: what is to be called when all is to end.
    """

    def __init__(
        self, reactor: Any, paths: Paths, screen: Screen, now: Callable[[], float] = time.time
    ) -> None:
        self.reactor = reactor
        self.paths = paths
        self.screen = screen
        self.now = now
        self.leaving: list[Callable[[], object]] = []
        self._lane = Lane(reactor, "files")

    def call(self, function: Callable[..., T], *args: Any) -> Deferred[T]:
        """Run a function that blocks in a thread; one after the other."""
        return self._lane.call(function, *args)

    def hurry(self) -> None:
        """All is to end: nothing is waited for any longer than a moment."""
        for leave in tuple(self.leaving):
            leave()

    async def close(self) -> None:
        """End the threads."""
        await self._lane.stop()


class Site(Station):
    """A configuration with its storages, and who waits for them.

    :ivar shelves: the changers of all storages.
    """

    def __init__(
        self,
        reactor: Any,
        config: Config,
        paths: Paths,
        screen: Screen,
        now: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(reactor, paths, screen, now)
        self.config = config
        self._haste = Haste(reactor)
        self.shelves = Shelves(reactor, config, paths, self._haste)

    def history(self) -> History:
        """What retention must know; it keeps no index, as nothing is to be written."""
        return History(
            self.config,
            self._lane.call,
            now=self.now,
            note=self.screen.warn,
            stop=self.shelves.stop,
            keep=False,
        )

    def device_context(self) -> DeviceContext:
        """What a device that is named by a person is given to work with."""
        return DeviceContext(
            self.reactor,
            functools.partial(Lane, self.reactor),
            self.config.general.dtimeout + 1,
            self.paths.statedir,
            self._haste,
            config_root=self.paths.config_root,
            tmpdir=self.paths.tmpdir,
        )

    def storages(self, name: str | None) -> tuple[Storage, ...]:
        """The storages that are meant: of this name, or all that volumes are written to.

        :raise CannotStart: there is none of that name
        """
        config = self.config
        if name is not None:
            found = config.storage(name)
            if found is None:
                known = ", ".join(f"'{storage.name}'" for storage in config.storages())
                raise CannotStart(f"there is no storage '{name}' in {config.name}, but {known}")
            return (found,)
        used = dict.fromkeys(config.general.storage)
        for storage_name in tuple(used):
            storage = config.storage(storage_name)
            for target, _days in storage.vault if storage is not None else ():
                used.setdefault(target)
        for storage_name in config.general.vault_storage:
            used.setdefault(storage_name)
        return tuple(one for name in used if (one := config.storage(name)) is not None)

    def tonight(self, name: str | None) -> tuple[Storage, ...]:
        """The storages that a run writes to, or the one of this name.

        :raise CannotStart: there is none
        """
        if name is not None:
            return self.storages(name)
        names = dict.fromkeys(self.config.general.storage)
        found = tuple(one for name in names if (one := self.config.storage(name)) is not None)
        if not found:
            raise CannotStart(f"{self.config.name} has no storage that a run writes to")
        return found

    async def close_changer(self, changer: IAsyncChanger) -> None:
        """Give a changer back; it was only looked at, so nothing depends on how that ends."""
        try:
            await changer.close()
        except (ChangerError, DeviceError, OSError) as fault:
            self.screen.warn(f"closing changer {changer.name}: {fault}")

    def hurry(self) -> None:
        """All is to end: nothing is waited for any longer than a moment."""
        self._haste.begin()
        self.shelves.stop.set()
        super().hurry()

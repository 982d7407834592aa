"""Devices and changers by their asynchronous face, whatever their nature.

Those that block get a lane, those that are asynchronous by nature need none; who opens one here
cannot tell them apart. Which of them blocks is told by the interface that its class implements.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING

from devices.changers.blocking import LanedChanger
from devices.changers.setup import ChangerSetup
from devices.errors import ChangerError
from devices.interfaces import IChanger
from devices.lane import LaneDevice
from devices.patience import OwnStop
from devices.registry import (
    CHANGERS,
    device_factory,
    find_changer,
    load_factory,
    make_blocking,
    open_blocking_device,
    split_device_name,
)

if TYPE_CHECKING:
    import threading

    from devices.context import DeviceContext
    from devices.interfaces import IAsyncChanger, IAsyncDevice
    from devices.registry import DeviceSections
    from protocols.conf.config import Config
    from protocols.conf.sections import Storage


def open_device(
    name: str,
    context: DeviceContext,
    config: DeviceSections | None = None,
    warn: Callable[[str], None] | None = None,
) -> IAsyncDevice:
    """Open the device called ``name``, touching no hardware [volumes 2.1].

    :param name: the alias of a ``define device`` section, or ``TYPE:NODE``; the device keeps it
        as its name.
    :param config: where aliases are looked up.
    :param warn: hears of an old-style name without a colon.
    :raise DriveFailed: no such device type, or not a device name; text as stock words it.
    """
    scheme, rest = split_device_name(name, config, warn)
    blocking = make_blocking(scheme, name, rest, config, warn)
    if blocking is None:
        device: IAsyncDevice = device_factory(scheme)(name, rest, context)
        return device
    return LaneDevice(blocking, context.make_lane(f"device {name}"))


def open_changer(
    name: str | None,
    config: Config,
    storage: Storage | None,
    context: DeviceContext,
    *,
    stop: threading.Event | None = None,
    warn: Callable[[str], None] | None = None,
    above: tuple[str, ...] = (),
) -> IAsyncChanger:
    """Build the changer called ``name`` [config 2.8].

    :param name: a ``define changer`` section, ``chg-TYPE:REST``, a device section or a device;
        None: what the storage names, or without a storage the global parameters.
    :param stop: once set, by any thread, every wait for a lock ends; the changer never sets it.
    :param warn: hears of old-style device names.
    :param above: names of the changers of which this one is a part.
    :raise ChangerError: text as stock words it
    """
    setup = prepare_changer(name, config, storage, context, stop=stop, warn=warn, above=above)
    factory = load_factory(CHANGERS[setup.kind])
    if not IChanger.implementedBy(factory):
        changer: IAsyncChanger = factory(setup)
        return changer
    return LanedChanger(setup, factory(setup))


def prepare_changer(
    name: str | None,
    config: Config,
    storage: Storage | None,
    context: DeviceContext,
    *,
    stop: threading.Event | None = None,
    warn: Callable[[str], None] | None = None,
    above: tuple[str, ...] = (),
) -> ChangerSetup:
    """All that the changer is made of; see :func:`open_changer`."""
    found = find_changer(name, config, storage)
    own_stop = OwnStop(stop)
    path = (*above, found.name.lower())

    def open_child(child: str, for_storage: Storage | None) -> IAsyncChanger:
        if child.lower() in path:
            raise ChangerError(f"changer '{child}' is a part of itself")
        return open_changer(
            child, config, for_storage, context, stop=own_stop, warn=warn, above=path
        )

    return ChangerSetup(
        name=found.name,
        kind=found.kind,
        argument=found.argument,
        config=config,
        storage=storage,
        section=found.section,
        context=context,
        open_device=functools.partial(open_device, context=context, config=config, warn=warn),
        open_blocking=functools.partial(open_blocking_device, config=config, warn=warn),
        open_child=open_child,
        stop=own_stop,
    )

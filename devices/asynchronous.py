"""Devices and changers by their asynchronous face, whatever their nature.

Those that block get a lane, those that are asynchronous by nature need none; who opens one here
cannot tell them apart.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from attrs import frozen

if TYPE_CHECKING:
    import threading

    from devices.interfaces import IAsyncChanger, IAsyncDevice, ILane
    from devices.registry import DeviceSections
    from protocols.conf.config import Config
    from protocols.conf.sections import Storage
    from protocols.tx.haste import Haste


@frozen
class Surroundings:
    """What asynchronous devices and changers are given to work with.

    :ivar make_lane: makes a lane from a name.
    :ivar patience: seconds to wait for the peer of a data connection.
    :ivar now: seconds since the epoch, for what other programs are told; ``reactor.seconds`` may
        count from anywhere.
    :ivar haste: shortens all deadlines of other machines when all is to end; None: nobody says.
    :ivar statedir: for changer states that no configuration places elsewhere.
    """

    reactor: Any
    make_lane: Callable[[str], ILane]
    patience: float = 1800.0
    statedir: str = "/var/lib/amanda"
    haste: Haste | None = None
    now: Callable[[], float] = time.time


def open_async_device(
    name: str,
    surroundings: Surroundings,
    config: DeviceSections | None = None,
    warn: Callable[[str], None] | None = None,
) -> IAsyncDevice:
    """Open a device, touching no hardware; see :func:`devices.registry.open_device`.

    :raise DriveFailed: as from there
    """
    from devices.registry import ASYNC_DEVICES, device_factory, load_factory, split_device_name

    scheme, rest = split_device_name(name, config, warn)
    if scheme in ASYNC_DEVICES:
        factory = load_factory(ASYNC_DEVICES[scheme])
        device: IAsyncDevice = factory(
            name, rest, surroundings.reactor, surroundings.patience, surroundings.haste
        )
        return device
    from devices.lane import LaneDevice

    blocking = device_factory(scheme)(name, rest)
    return LaneDevice(blocking, surroundings.make_lane(f"device {name}"))


def open_async_changer(
    name: str | None,
    config: Config,
    storage: Storage | None,
    surroundings: Surroundings,
    *,
    stop: threading.Event | None = None,
    warn: Callable[[str], None] | None = None,
) -> IAsyncChanger:
    """Build a changer; see :func:`devices.registry.open_changer`.

    :raise ChangerError: text as stock words it
    """
    from devices.registry import ASYNC_CHANGERS, changer_factory, load_factory, prepare_changer

    setup = prepare_changer(name, config, storage, stop=stop, warn=warn)
    open_one = functools.partial(
        open_async_device, surroundings=surroundings, config=config, warn=warn
    )
    kind = setup.kind
    if kind == "single" and _is_asynchronous(setup.argument, config):
        kind = "single of an asynchronous device"
    if kind in ASYNC_CHANGERS:
        changer: IAsyncChanger = load_factory(ASYNC_CHANGERS[kind])(setup, surroundings, open_one)
        return changer
    from devices.lane import LaneChanger

    return LaneChanger(changer_factory(kind)(setup), surroundings.make_lane)


def _is_asynchronous(device_name: str, config: DeviceSections) -> bool:
    from devices.errors import DriveFailed
    from devices.registry import ASYNC_DEVICES, split_device_name

    try:
        return split_device_name(device_name, config)[0] in ASYNC_DEVICES
    except DriveFailed:
        return False  # the changer will say what is wrong with it

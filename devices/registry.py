"""The one table of devices and changers, and how a name becomes one of them.

A new device or changer is one file and one line here. Nothing is imported before it is used.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol

from devices.errors import ChangerError, DriveFailed
from devices.interfaces import IDevice
from protocols.records import Record

if TYPE_CHECKING:
    from protocols.conf.config import Config
    from protocols.conf.sections import ChangerSection, Section, Storage

# scheme -> "module:factory"; the factory of a device that blocks is a class that implements IDevice
# and takes (name as given, what follows the colon); that of a device that is asynchronous by nature
# takes a devices.context.DeviceContext besides
DEVICES: dict[str, str] = {
    "diskflat": "devices.diskflat:DiskflatDevice",
    "dvdrw": "devices.dvdrw:DvdrwDevice",
    "file": "devices.file:FileDevice",
    "ndmp": "devices.ndmp:open_ndmp",
    "null": "devices.null:NullDevice",
    "rait": "devices.rait:open_rait",
    "s3": "devices.s3:S3Device",
    "tape": "devices.tape:TapeDevice",
}

MADE_OF_DEVICES = frozenset({"rait"})
"""Those whose children are devices, which block as they do themselves."""

BESIDE_A_CONFIGURATION = frozenset({"s3"})
"""Those that keep something beside the configuration: they are given its directory besides."""

# kind -> "module:factory"; the factory takes a devices.changers.base.ChangerSetup, and that of a
# changer that blocks is a class that implements IChanger
CHANGERS: dict[str, str] = {
    "aggregate": "devices.changers.aggregate:AggregateChanger",
    "disk": "devices.changers.disk:DiskChanger",
    "diskflat": "devices.changers.diskflat:DiskflatChanger",
    "multi": "devices.changers.multi:MultiChanger",
    "ndmp": "devices.changers.ndmp:open_ndmp_changer",
    "null": "devices.changers.null:NullChanger",
    "rait": "devices.changers.rait:RaitChanger",
    "robot": "devices.changers.mtx:open_robot_changer",
    "single": "devices.changers.single:SingleChanger",
}


class DeviceSection(Protocol):
    """What is needed here of a ``define device`` section."""

    @property
    def tapedev(self) -> str | None: ...

    @property
    def device_property(self) -> Mapping[str, tuple[str, ...]]: ...


class DeviceSections(Protocol):
    """What is needed here of a configuration: ``protocols.conf.Config`` has it."""

    def device(self, name: str, /) -> DeviceSection | None: ...


def load_factory(entry: str) -> Callable[..., Any]:
    """Import what a table entry ``module:factory`` names."""
    module, _, factory = entry.partition(":")
    found: Callable[..., Any] = getattr(importlib.import_module(module), factory)
    return found


def open_blocking_device(
    name: str,
    config: DeviceSections | None = None,
    warn: Callable[[str], None] | None = None,
    above: tuple[str, ...] = (),
) -> IDevice:
    """As :func:`devices.asynchronous.open_device`, for whoever blocks himself.

    :param above: names of the devices of which this one is a part.
    :raise DriveFailed: as from there, or the device is asynchronous by nature
    """
    scheme, rest = split_device_name(name, config, warn)
    device = make_blocking(scheme, name, rest, config, warn, above)
    if device is None:
        raise DriveFailed(
            f'Device type "{scheme}" is asynchronous and cannot be used here', code=1006
        )
    return device


def make_blocking(
    scheme: str,
    name: str,
    rest: str,
    config: DeviceSections | None,
    warn: Callable[[str], None] | None,
    above: tuple[str, ...] = (),
) -> IDevice | None:
    """Make a device of this type; None: it is asynchronous by nature.

    :param above: names of the devices of which this one is a part.
    :raise DriveFailed: there is no such type, or no such device
    """
    factory = device_factory(scheme)
    device: IDevice
    if scheme in MADE_OF_DEVICES:
        path = (*above, name.lower())
        device = factory(name, rest, lambda child: _open_child(child, config, warn, path))
    elif IDevice.implementedBy(factory):
        more = (_directory(config),) if scheme in BESIDE_A_CONFIGURATION else ()
        device = factory(name, rest, *more)
    else:
        return None
    return device


def _directory(config: DeviceSections | None) -> str | None:
    """Of the configuration, if there is a whole one."""
    return getattr(config, "directory", None)


def _open_child(
    name: str,
    config: DeviceSections | None,
    warn: Callable[[str], None] | None,
    above: tuple[str, ...],
) -> IDevice:
    """A child of a device, with the properties of its own section only [volumes 2.7]."""
    if name.lower() in above:
        raise DriveFailed(f'Device "{name}" is a part of itself', code=1006)
    device = open_blocking_device(name, config, warn, above)
    section = config.device(name) if config is not None else None
    if section is not None and section.device_property:
        from devices.configure import configure_child  # few ever need it

        configure_child(device, section.device_property)
    return device


def split_device_name(
    name: str,
    config: DeviceSections | None = None,
    warn: Callable[[str], None] | None = None,
) -> tuple[str, str]:
    """The type of a device and what follows the colon, an alias being looked up.

    :raise DriveFailed: not a device name; text as stock words it
    """
    node = name
    section = config.device(name) if config is not None else None
    if section is not None:
        if not section.tapedev:
            raise DriveFailed(f'Device "{name}" has no tapedev', code=1006)
        node = section.tapedev
    if ":" not in node and node:
        if warn is not None:
            warn(
                f'"{node}" uses deprecated device naming convention; \n'
                f'using "tape:{node}" instead.\n'
            )
        node = f"tape:{node}"
    scheme, _, rest = node.partition(":")
    if not scheme:
        raise DriveFailed(f'"{node}" is not a valid device name', code=1006)
    return scheme, rest


def device_factory(scheme: str) -> Callable[..., Any]:
    """What makes devices of this type.

    :raise DriveFailed: there is no such type
    """
    if scheme not in DEVICES:
        from devices.unknown import unknown_device  # few ever need it

        raise DriveFailed(unknown_device(scheme, DEVICES, CHANGERS), code=1006)
    return load_factory(DEVICES[scheme])


def import_devices(names: Iterable[str], config: DeviceSections | None = None) -> None:
    """Import what makes these devices, so that nobody waits for it when one is opened while a dump
    stands still. What is wrong with a name is told then."""
    for name in names:
        with suppress(DriveFailed, ImportError):
            device_factory(split_device_name(name, config)[0])


class FoundChanger(Record):
    """What a changer's name stands for.

    :ivar kind: a key of :data:`CHANGERS`.
    :ivar argument: what follows ``chg-KIND:``, or the name of a device.
    """

    name: str
    section: ChangerSection | None
    kind: str
    argument: str


def find_changer(name: str | None, config: Config, storage: Storage | None) -> FoundChanger:
    """Look a changer up; see :func:`devices.asynchronous.open_changer`.

    :raise ChangerError: text as stock words it
    """
    if name is None:
        name = _configured_changer(config, storage)
    section = config.changer(name)
    uri = name if section is None else _section_uri(section)
    kind, argument = _split_uri(uri)
    if kind not in CHANGERS:
        if section is not None:
            raise ChangerError(_invalid_tpchanger(name, uri) + _defined("changer", section))
        kind, argument = "single", name
    return FoundChanger(name, section, kind, argument)


def only_drive(config: Config, storage: Storage) -> str | None:
    """The device of a storage that is a single drive; None: it has a library, or a bad name."""
    try:
        found = find_changer(None, config, storage)
        if found.kind != "single":
            return None
        return ":".join(split_device_name(found.argument, config))
    except (ChangerError, DriveFailed):
        return None  # whoever opens it will say what is wrong with it


_BOTH = "Cannot specify both 'tapedev' and 'tpchanger'"
_NEITHER = "You must specify one of 'tapedev' or 'tpchanger'"


def _configured_changer(config: Config, storage: Storage | None) -> str:
    if storage is not None:
        name = storage.tpchanger or storage.tapedev
        if not name:
            raise ChangerError(
                "You must specify the 'tapedev' or 'tpchanger'"
                f" in the '{storage.name}' storage section{_defined('storage', storage)}"
            )
        return name
    general = config.general
    if general.tpchanger and general.tapedev:
        raise ChangerError(_BOTH)
    name = general.tpchanger or general.tapedev
    if not name:
        raise ChangerError(_NEITHER)
    return name


def _defined(kind: str, section: Section) -> str:
    """Where a section stands, to follow a text; "" where nobody knows."""
    return f" ({kind} '{section.name}'{section.defined})" if section.defined else ""


def _section_uri(section: ChangerSection) -> str:
    """What a changer section stands for: it sets exactly one of its two parameters."""
    given = section.is_set("tpchanger"), section.is_set("tapedev")
    if all(given):
        raise ChangerError(_BOTH + _defined("changer", section))
    if not any(given):
        raise ChangerError(_NEITHER + _defined("changer", section))
    return section.tpchanger or section.tapedev or ""


def _invalid_tpchanger(name: str, uri: str) -> str:
    text = f"Changer '{name}' specifies invalid tpchanger '{uri}'"
    kind = uri.partition(":")[0].removeprefix("chg-")
    if not uri.startswith("chg-") or kind in CHANGERS:
        return text  # a device, or a changer without what it changes
    from devices.unknown import unknown_changer  # few ever need it

    return f"{text}: {unknown_changer(kind, CHANGERS)}"


def _split_uri(uri: str) -> tuple[str, str]:
    """``chg-TYPE:REST`` as (type, rest); ("", "") for anything else."""
    head, colon, rest = uri.partition(":")
    kind = head.removeprefix("chg-")
    word = kind.replace("_", "")
    if not colon or kind == head or not (kind and word.isascii() and (word.isalpha() or not word)):
        return "", ""
    return kind.lower(), rest

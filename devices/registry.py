"""The one table of devices and changers, and how a name becomes one of them.

A new device or changer is one file and one line here. Nothing is imported before it is used.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from devices.errors import ChangerError, DriveFailed

if TYPE_CHECKING:
    import threading

    from devices.changers.base import ChangerSetup
    from devices.interfaces import IChanger, IDevice
    from protocols.conf.config import Config
    from protocols.conf.sections import ChangerSection, Storage

# scheme -> "module:factory"; a device factory takes (name as given, what follows the colon)
DEVICES: dict[str, str] = {
    "diskflat": "devices.diskflat:DiskflatDevice",
    "file": "devices.file:FileDevice",
    "null": "devices.null:NullDevice",
}

# the same for devices that are asynchronous by nature; their factory takes (name as given, what
# follows the colon, reactor, patience)
ASYNC_DEVICES: dict[str, str] = {
    "ndmp": "devices.ndmp:open_ndmp",
}

# kind -> "module:factory"; a changer factory takes a devices.changers.base.ChangerSetup
CHANGERS: dict[str, str] = {
    "disk": "devices.changers.disk:DiskChanger",
    "diskflat": "devices.changers.diskflat:DiskflatChanger",
    "null": "devices.changers.null:NullChanger",
    "single": "devices.changers.single:SingleChanger",
}

# the same for changers that are asynchronous by nature; their factory takes (ChangerSetup,
# devices.asynchronous.Surroundings, opener of asynchronous devices)
ASYNC_CHANGERS: dict[str, str] = {
    "ndmp": "devices.changers.ndmp:open_ndmp_changer",
    "single of an asynchronous device": "devices.changers.async_single:AsyncSingleChanger",
}


class DeviceSection(Protocol):
    """What is needed here of a ``define device`` section."""

    @property
    def tapedev(self) -> str | None: ...


class DeviceSections(Protocol):
    """What is needed here of a configuration: ``protocols.conf.Config`` has it."""

    def device(self, name: str, /) -> DeviceSection | None: ...


def load_factory(entry: str) -> Callable[..., Any]:
    """Import what a table entry ``module:factory`` names."""
    module, _, factory = entry.partition(":")
    found: Callable[..., Any] = getattr(importlib.import_module(module), factory)
    return found


def open_device(
    name: str,
    config: DeviceSections | None = None,
    warn: Callable[[str], None] | None = None,
) -> IDevice:
    """Open the device called ``name``, touching no hardware (volumes-and-devices 2.1).

    :param name: the alias of a ``define device`` section, or ``TYPE:NODE``; the device keeps it
        as its name.
    :param config: where aliases are looked up.
    :param warn: hears of an old-style name without a colon.
    :raise DriveFailed: no such device type, or not a device name; text as stock words it.
    """
    scheme, rest = split_device_name(name, config, warn)
    return device_factory(scheme)(name, rest)


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
            raise DriveFailed(f'Device "{name}" has no tapedev')
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
        raise DriveFailed(f'"{node}" is not a valid device name')
    return scheme, rest


def device_factory(scheme: str) -> Callable[[str, str], IDevice]:
    """What makes blocking devices of this type.

    :raise DriveFailed: there is no such type
    """
    if scheme in ASYNC_DEVICES:
        raise DriveFailed(f'Device type "{scheme}" is asynchronous and cannot be used here')
    if scheme not in DEVICES:
        from devices.unknown import unknown_device  # few ever need it

        raise DriveFailed(unknown_device(scheme, {*DEVICES, *ASYNC_DEVICES}, _changer_kinds()))
    return load_factory(DEVICES[scheme])


def open_changer(
    name: str | None,
    config: Config,
    storage: Storage | None,
    *,
    stop: threading.Event | None = None,
    warn: Callable[[str], None] | None = None,
) -> IChanger:
    """Build the changer called ``name`` (config-and-state 2.8).

    :param name: a ``define changer`` section, ``chg-TYPE:REST``, a device section or a device;
        None: what the storage names, or without a storage the global parameters.
    :param stop: once set, by any thread, every wait for a lock ends.
    :param warn: hears of old-style device names.
    :raise ChangerError: text as stock words it
    """
    setup = prepare_changer(name, config, storage, stop=stop, warn=warn)
    return changer_factory(setup.kind)(setup)


def prepare_changer(
    name: str | None,
    config: Config,
    storage: Storage | None,
    *,
    stop: threading.Event | None = None,
    warn: Callable[[str], None] | None = None,
) -> ChangerSetup:
    """All that the changer is made of; see :func:`open_changer`."""
    from devices.changers.base import ChangerSetup

    if name is None:
        name = _configured_changer(config, storage)
    section = config.changer(name)
    uri = name if section is None else _section_uri(section)
    kind, argument = _split_uri(uri)
    if kind not in CHANGERS and kind not in ASYNC_CHANGERS:
        if section is not None:
            raise ChangerError(_invalid_tpchanger(name, uri))
        kind, argument = "single", name
    return ChangerSetup(
        name=name,
        kind=kind,
        argument=argument,
        config=config,
        storage=storage,
        section=section,
        open_device=functools.partial(open_device, config=config, warn=warn),
        **({} if stop is None else {"stop": stop}),
    )


def only_drive(config: Config, storage: Storage) -> str | None:
    """The device of a storage that is a single drive; None: it has a library, or a bad name."""
    try:
        setup = prepare_changer(None, config, storage)
        if setup.kind != "single":
            return None
        return ":".join(split_device_name(setup.argument, config))
    except (ChangerError, DriveFailed):
        return None  # whoever opens it will say what is wrong with it


def changer_factory(kind: str) -> Callable[[ChangerSetup], IChanger]:
    """What makes blocking changers of this kind.

    :raise ChangerError: its kind is asynchronous
    """
    if kind not in CHANGERS:
        raise ChangerError(f"Changer type '{kind}' is asynchronous and cannot be used here")
    return load_factory(CHANGERS[kind])


_BOTH = "Cannot specify both 'tapedev' and 'tpchanger'"
_NEITHER = "You must specify one of 'tapedev' or 'tpchanger'"


def _configured_changer(config: Config, storage: Storage | None) -> str:
    if storage is not None:
        name = storage.tpchanger or storage.tapedev
        if not name:
            raise ChangerError(
                "You must specify the 'tapedev' or 'tpchanger'"
                f" in the '{storage.name}' storage section"
            )
        return name
    general = config.general
    if general.tpchanger and general.tapedev:
        raise ChangerError(_BOTH)
    name = general.tpchanger or general.tapedev
    if not name:
        raise ChangerError(_NEITHER)
    return name


def _section_uri(section: ChangerSection) -> str:
    """What a changer section stands for: it sets exactly one of its two parameters."""
    given = section.is_set("tpchanger"), section.is_set("tapedev")
    if all(given):
        raise ChangerError(_BOTH)
    if not any(given):
        raise ChangerError(_NEITHER)
    return section.tpchanger or section.tapedev or ""


def _changer_kinds() -> set[str]:
    """Those that a configuration can name."""
    return {kind for kind in (*CHANGERS, *ASYNC_CHANGERS) if kind.isalpha()}


def _invalid_tpchanger(name: str, uri: str) -> str:
    text = f"Changer '{name}' specifies invalid tpchanger '{uri}'"
    kind = uri.partition(":")[0].removeprefix("chg-")
    if not uri.startswith("chg-") or kind in _changer_kinds():
        return text  # a device, or a changer without what it changes
    from devices.unknown import unknown_changer  # few ever need it

    return f"{text}: {unknown_changer(kind, _changer_kinds())}"


def _split_uri(uri: str) -> tuple[str, str]:
    """``chg-TYPE:REST`` as (type, rest); ("", "") for anything else."""
    head, colon, rest = uri.partition(":")
    kind = head.removeprefix("chg-")
    word = kind.replace("_", "")
    if not colon or kind == head or not (kind and word.isascii() and (word.isalpha() or not word)):
        return "", ""
    return kind.lower(), rest

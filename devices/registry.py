"""The one table of devices and changers, and how a name becomes one of them.

A new device or changer is one file and one line here. Nothing is imported before it is used.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from devices.errors import DriveFailed

if TYPE_CHECKING:
    from devices.interfaces import IDevice

# scheme -> "module:factory"; a device factory takes (name as given, what follows the colon)
DEVICES: dict[str, str] = {
    "file": "devices.file:FileDevice",
    "null": "devices.null:NullDevice",
}

CHANGERS: dict[str, str] = {}


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
    if scheme not in DEVICES:
        raise DriveFailed(f'Device type "{scheme}" is not known')
    device: IDevice = load_factory(DEVICES[scheme])(name, rest)
    return device

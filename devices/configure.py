"""Device properties from the configuration [volumes 2.7], [config 2.9]."""

from __future__ import annotations

import enum
import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING

from devices.errors import ChangerError, ChangerReason, DeviceError, DriveFailed
from devices.properties import (
    NOT_ALLOWED,
    NOT_TO_BE_SET,
    READ_ONLY,
    SECRET_NAMES,
    Kind,
    normal_name,
)
from protocols.conf.keeping import days_kept
from protocols.conf.values import NO_PROPERTIES, Properties
from protocols.records import Record

if TYPE_CHECKING:
    from devices.interfaces import IDeviceFacts
    from protocols.conf.config import Config
    from protocols.conf.sections import DeviceSection, Storage, Tapetype

_log = logging.getLogger(__name__)

OUR_OWN = frozenset(
    {
        *("fsync", "direct-io", "directtcp-address", "directtcp-peer-address", "degraded-write"),
        *("s3-retention", "s3-retention-mode"),
    }
)
"""Properties that Amanda's devices refuse. Its programs pass over a ``property`` that they do not
know, so that these may stand there."""


class _OnFailure(enum.Enum):
    FAIL = "the load fails"
    WARN = "worth a warning"
    IGNORE = "the device knows no such thing"


class _Wanted(Record):
    """The values of one property, what a refusal means, and where they stand; "" is not known."""

    values: tuple[str, ...]
    on_failure: _OnFailure = _OnFailure.FAIL
    place: str = ""


def configure_device(
    device: IDeviceFacts,
    config: Config,
    storage: Storage | None,
    device_section: DeviceSection | None,
    changer_properties: Mapping[str, tuple[str, ...]],
    changer_property: Mapping[str, tuple[str, ...]] = NO_PROPERTIES,
) -> None:
    """Set the properties of a freshly opened device.

    Sources, a later one replacing the whole list of values of an earlier one: what the tapetype
    implies, the global ``device-property``, the ``define device`` section, the changer's
    ``device-property``. The block size is set first, since others are judged by it. For how long a
    device locks what it stores is the storage's policy, if nothing else is said.

    :param changer_property: the changer's ``property``, where those of :data:`OUR_OWN` may stand,
        and so they may in the global ``property``; other sources come later
    :raise ChangerError: reason DEVICE: a property was refused
    """
    wanted = _implied(config, storage)
    known = {prop.name.replace("_", "-") for prop in device.properties}
    if "s3-retention" in known:
        wanted["s3-retention"] = _Wanted((str(days_kept(config, storage)),))
    passed_over = [config.general.property, changer_property]
    sources = [config.general.device_property, changer_properties]
    if device_section is not None:
        sources.insert(1, device_section.device_property)
    for number, source in enumerate([*passed_over, *sources]):
        places = source.places if isinstance(source, Properties) else {}
        for name, values in source.items():
            if number >= len(passed_over) or name in OUR_OWN & known:
                wanted[name] = _Wanted(tuple(values), place=places.get(name, ""))
    for name in sorted(wanted, key=lambda name: name != "block-size"):
        for value in wanted[name].values:
            _set(device, name, value, wanted[name])


def configure_child(device: IDeviceFacts, properties: Mapping[str, tuple[str, ...]]) -> None:
    """Set the properties of a device that is a part of another: those of its own section only.

    :raise DriveFailed: a property was refused
    """
    places = properties.places if isinstance(properties, Properties) else {}
    for name, values in properties.items():
        for value in values:
            try:
                device.properties.set(name, value)
            except DeviceError as error:
                raise DriveFailed(
                    _refusal(device, name, value, error, places.get(name)), code=1005
                ) from error


_EXPECTED = {
    Kind.BOOL: "yes or no",
    Kind.INT: "a whole number, perhaps with a unit",
    Kind.UINT: "a whole number, perhaps with a unit",
    Kind.UINT64: "a whole number, perhaps with a unit",
}


def _set(device: IDeviceFacts, name: str, value: str, wanted: _Wanted) -> None:
    try:
        device.properties.set(name, value)
    except DeviceError as error:
        text = _refusal(device, name, value, error, wanted.place)
        if wanted.on_failure is _OnFailure.FAIL:
            raise ChangerError(text, ChangerReason.DEVICE) from error
        if wanted.on_failure is _OnFailure.WARN:
            _log.warning("%s (ignored)", text)
        else:
            _log.debug("%s (ignored)", text)


def _refusal(
    device: IDeviceFacts, name: str, value: str, error: DeviceError, place: str | None
) -> str:
    shown = "***" if normal_name(name) in SECRET_NAMES else value
    text = (
        f"Error setting device property '{name}' to value '{shown}'"
        f" on device '{device.name}': {_reason(device, name, error)}"
    )
    return f"{text} ({place})" if place else text


def _reason(device: IDeviceFacts, name: str, error: DeviceError) -> str:
    """Stock's words, and what was expected where these do not say it."""
    if name not in device.properties:
        known = [prop.name for prop in device.properties if prop.access != READ_ONLY]
        names = ", ".join(sorted(name.replace("_", "-") for name in known))
        return f"{error.text}, expected one of {names}"
    prop = device.properties[name]
    if error.text == NOT_TO_BE_SET and prop.access == READ_ONLY:
        return f"{error.text}, expected no such line: the device itself says what it is"
    if error.text == NOT_ALLOWED:
        return f"{error.text}, expected {_EXPECTED[prop.kind]}"
    return error.text


def tapetype_of(config: Config, storage: Storage | None) -> Tapetype | None:
    """The storage's tapetype if it exists, else the global one."""
    names = [config.general.tapetype] if storage is None else [
        storage.tapetype,
        config.general.tapetype,
    ]  # fmt: skip
    found = (config.tapetype(name) for name in names if name)
    return next((tapetype for tapetype in found if tapetype is not None), None)


def _implied(config: Config, storage: Storage | None) -> dict[str, _Wanted]:
    """What the tapetype implies; only what its section sets counts. Sizes are KiB there."""
    tapetype = tapetype_of(config, storage)
    wanted: dict[str, _Wanted] = {}
    if tapetype is None:
        return wanted
    if tapetype.is_set("length"):
        wanted["max-volume-usage"] = _Wanted((str(tapetype.length * 1024),), _OnFailure.IGNORE)
    if tapetype.is_set("readblocksize"):
        size = str(tapetype.readblocksize * 1024)
        wanted["read-block-size"] = _Wanted((size,), _OnFailure.WARN)
    if tapetype.is_set("blocksize"):
        wanted["block-size"] = _Wanted((str(tapetype.blocksize * 1024),))
    return wanted

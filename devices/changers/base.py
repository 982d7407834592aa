"""What every blocking changer has in common (scan-and-changers 2).

A changer is built from one :class:`ChangerSetup`; operations it lacks fail with NOTIMPL.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, NoReturn

from attrs import field, frozen
from zope.interface import implementer

from devices.errors import ChangerError, ChangerReason
from devices.interfaces import IReservation, VolumeReading
from devices.properties import parse_boolean

if TYPE_CHECKING:
    from devices.interfaces import ChangerInfo, IDevice, InventoryEntry, LoadRequest
    from protocols.conf.config import Config
    from protocols.conf.sections import ChangerSection, Storage

_LARGEST = 10**9
"""Largest number of a property: more slots, or seconds, than anyone has."""
_MAX_DIGITS = 18

_log = logging.getLogger(__name__)


@frozen(kw_only=True)
class ChangerSetup:
    """All that a changer is made of (scan-and-changers 2.1).

    :ivar name: the name as given (section name, whole URI or device), a key in state files.
    :ivar kind: ``disk`` of ``chg-disk:...``.
    :ivar argument: what follows ``chg-disk:``.
    :ivar storage: None for a changer used without one.
    :ivar section: the ``define changer`` section, None for a bare URI or device.
    :ivar open_device: opens a device by alias or name; raises DeviceError.
    :ivar stop: once set, every wait for a lock ends; may be set by any thread.
    """

    name: str
    kind: str
    argument: str
    config: Config
    storage: Storage | None
    section: ChangerSection | None
    open_device: Callable[[str], IDevice]
    stop: threading.Event = field(factory=threading.Event)

    @property
    def storage_name(self) -> str:
        """The key of this storage in state files; the configuration's name without a storage."""
        return self.config.name if self.storage is None else self.storage.name

    @property
    def device_properties(self) -> Mapping[str, tuple[str, ...]]:
        return {} if self.section is None else self.section.device_property

    @property
    def changerfile(self) -> str:
        """Path of the state file named by the section, or an empty string."""
        if self.section is None or not self.section.changerfile:
            return ""
        return self.config.path(self.section.changerfile)

    def values(self, name: str) -> tuple[str, ...]:
        """All values of a changer property, ``()`` if it is not set."""
        return () if self.section is None else self.section.property.get(name, ())

    def text(self, name: str) -> str | None:
        """The first value of a changer property."""
        values = self.values(name)
        return values[0] if values else None

    def boolean(self, name: str, default: bool = False) -> bool:
        """A boolean changer property; as in stock, what is no boolean counts as not set."""
        values = self.values(name)
        if not values:
            return default
        try:
            (text,) = values
            return parse_boolean(text)
        except ValueError:
            _log.warning("%s: property '%s' should be yes or no, not %s", self.name, name, values)
            return default

    def integer(self, name: str, default: int | None = None) -> int | None:
        """A changer property that is a number from 0 up; as in stock, of what is no number the
        digits at its beginning count, and 0 if there are none."""
        text = self.text(name)
        if text is None:
            return default
        stripped = text.strip()
        digits = stripped[: len(stripped) - len(stripped.lstrip("0123456789"))]
        number = min(int(digits[:_MAX_DIGITS] or 0), _LARGEST)
        if digits != stripped or len(digits) >= _MAX_DIGITS:
            _log.warning(
                "%s: property '%s' should be a number from 0 to %d, not '%s', and counts as %d",
                *(self.name, name, _LARGEST, text[:100], number),
            )
        return number


class Changer:
    """Base of the blocking changers: provides IChanger by refusing what is not overridden."""

    has_inventory = True
    scan_require_update = False
    global_space = False

    def __init__(self, setup: ChangerSetup) -> None:
        self.setup = setup
        self.name = setup.name
        self.held: set[Reservation] = set()

    def _refuse(self, operation: str) -> NoReturn:
        text = f"'chg-{self.setup.kind}' does not support {operation}"
        raise ChangerError(text, ChangerReason.NOTIMPL)

    def load(self, request: LoadRequest) -> IReservation:
        self._refuse("loading volumes")

    def info(self) -> ChangerInfo:
        self._refuse("info")

    def inventory(self) -> list[InventoryEntry]:
        self._refuse("inventory")

    def reset(self) -> None:
        self._refuse("reset")

    def eject(self, drive: str | None = None) -> None:
        self._refuse("eject")

    def update(self, changed: str | None = None) -> None:
        self._refuse("update")

    def move(self, source: str, target: str) -> None:
        self._refuse("move")

    def close(self) -> None:
        for reservation in list(self.held):
            reservation.release()

    def open_configured(self, name: str) -> IDevice:
        """Open a device and set its properties from all their sources.

        :raise DeviceError: as from ``setup.open_device``, or a property was refused
        """
        from devices.configure import configure_device

        setup = self.setup
        device = setup.open_device(name)
        section = setup.config.device(name)
        configure_device(device, setup.config, setup.storage, section, setup.device_properties)
        return device


@implementer(IReservation)
class Reservation:
    """Base of the reservations: device and reading; release in the right order, and once.

    :param changer: knows what it handed out.
    :param give_back: the changer's part of a release, called with (eject, need_another) after
        the device was finished, also when finishing failed.
    """

    barcode: str | None = None
    meta: str | None = None

    def __init__(
        self,
        changer: Changer,
        slot: str,
        device: IDevice,
        reading: VolumeReading,
        give_back: Callable[[bool, bool], None],
    ) -> None:
        self.slot = slot
        self.device = device
        self.reading = reading
        self._changer = changer
        self._give_back = give_back
        self._released = False
        changer.held.add(self)

    def release(self, eject: bool = False, need_another: bool = False) -> None:
        if self._released:
            return
        self._released = True
        self._changer.held.discard(self)
        try:
            self.device.finish()
        finally:
            self._give_back(eject, need_another)

    def set_label(self, label: str | None) -> None:
        """This changer keeps no labels."""

    def set_device_error(self, reading: VolumeReading) -> None:
        """This changer keeps no readings."""

    def get_meta_label(self) -> str | None:
        return None

    def set_meta_label(self, meta: str | None) -> None:
        """This changer keeps no meta labels."""


def check_request(request: LoadRequest) -> None:
    """:raise ValueError: the request names not exactly one of label, slot, relative"""
    named = [part for part in (request.label, request.slot, request.relative) if part is not None]
    if len(named) != 1:
        raise ValueError(f"a load should name one of label, slot, relative: {request}")

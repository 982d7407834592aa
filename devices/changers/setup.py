"""What a changer is made of, and what its section says [changers 2.1]."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, NoReturn

from attrs import field, frozen

from devices.errors import ChangerError
from devices.patience import LOCK_TIMEOUT, OwnStop
from devices.properties import parse_boolean
from protocols.conf.values import Properties

if TYPE_CHECKING:
    from devices.context import DeviceContext
    from devices.interfaces import IAsyncChanger, IAsyncDevice, IDevice, IDeviceFacts
    from protocols.conf.config import Config
    from protocols.conf.sections import ChangerSection, Storage

_LARGEST = 10**9
"""Largest number of a property: more slots, or seconds, than anyone has."""
_MAX_DIGITS = 18

_LINE = ", line "

_log = logging.getLogger(__name__)


@frozen(kw_only=True)
class ChangerSetup:
    """All that a changer is made of [changers 2.1].

    :ivar name: the name as given (section name, whole URI or device), a key in state files.
    :ivar kind: ``disk`` of ``chg-disk:...``.
    :ivar argument: what follows ``chg-disk:``.
    :ivar storage: None for a changer used without one.
    :ivar section: the ``define changer`` section, None for a bare URI or device.
    :ivar context: what it and its devices are given to work with.
    :ivar open_device: opens a device by alias or name; raises DeviceError.
    :ivar open_blocking: the same for a changer that blocks, and wants a device that does.
    :ivar open_child: opens a changer by name for a storage, None for none, with which a changer of
        changers works; raises ChangerError.
    :ivar stop: once set, every wait of this changer for a lock ends; may be set by any thread.
    """

    name: str
    kind: str
    argument: str
    config: Config
    storage: Storage | None
    section: ChangerSection | None
    context: DeviceContext
    open_device: Callable[[str], IAsyncDevice]
    open_blocking: Callable[[str], IDevice]
    open_child: Callable[[str, Storage | None], IAsyncChanger]
    stop: threading.Event = field(factory=OwnStop)

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

    def mistake(self, text: str, expected: str) -> ChangerError:
        """A fatal error in what is said of this changer: the text for it, and where it stands.

        :param expected: what should be there
        """
        told = f"{text}: {expected} expected"
        where = self._where()
        return ChangerError(f"{told} ({where})" if where else told)

    def placed(self, text: str) -> str:
        """What is wrong with what is said of this changer, and where it stands if that is known.

        :param text: says by itself what is expected; one that tells a place already knows better
        """
        where = self._where()
        return f"{text} ({where})" if _LINE in where and _LINE not in text else text

    def _where(self) -> str:
        """The section that says what this changer is; "" if none does."""
        for kind, section in (("changer", self.section), ("storage", self.storage)):
            if section is not None:
                return f"{kind} '{section.name}'{section.defined}"
        return ""

    def lock_timeout(self) -> float:
        """Seconds to wait for the lock of the state: the property lock-timeout."""
        timeout = self.integer("lock-timeout")
        return LOCK_TIMEOUT if timeout is None else float(timeout)

    def values(self, name: str) -> tuple[str, ...]:
        """All values of a changer property, ``()`` if it is not set."""
        return () if self.section is None else self.section.property.get(name, ())

    def text(self, name: str) -> str | None:
        """The first value of a changer property."""
        values = self.values(name)
        return values[0] if values else None

    def refuse(self, name: str, text: str, expected: str) -> NoReturn:
        """Refuse what a changer property says, or that it says nothing.

        :param text: as stock words it
        :param expected: what should be there
        :raise ChangerError: fatal, with the place in the configuration
        """
        where = "" if self.section is None else f" in {self._where()}"
        place = self._property_place(name)
        raise ChangerError(f"{text}: {expected} expected{f' ({place})' if place else where}")

    def _property_place(self, name: str) -> str:
        """Where a property is set: ``'FILE', line N``; "" if it is not, or nobody knows."""
        properties = None if self.section is None else self.section.property
        return properties.places.get(name, "") if isinstance(properties, Properties) else ""

    def boolean(self, name: str, default: bool = False) -> bool:
        """A boolean changer property; as in stock, what is no boolean counts as not set."""
        values = self.values(name)
        if not values:
            return default
        try:
            (text,) = values
            return parse_boolean(text)
        except ValueError:
            told = ", ".join(f"'{value[:100]}'" for value in values)
            self.warn(name, f"should be yes or no, not {told}")
            return default

    def warn(self, name: str, text: str) -> None:
        """Of a property that is taken for something else than it says, as with stock."""
        place = self._property_place(name)
        where = f" ({place})" if place else ""
        _log.warning("%s: property '%s' %s%s", self.name, name, text, where)

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
            wanted = f"should be a number from 0 to {_LARGEST}"
            self.warn(name, f"{wanted}, not '{text[:100]}', and counts as {number}")
        return number

    def configure(self, device: IDeviceFacts) -> None:
        """Set the properties of a device that was just opened, from all their sources.

        :raise ChangerError: a property was refused
        """
        from devices.configure import configure_device  # not before a volume is loaded

        configure_device(
            device,
            self.config,
            self.storage,
            self.config.device(device.name),
            self.device_properties,
            {} if self.section is None else self.section.property,
        )

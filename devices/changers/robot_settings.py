"""What the properties of a robot's changer section say [changers 3.8]."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from attrs import frozen

from devices.errors import ChangerError
from devices.patience import LOCK_TIMEOUT

if TYPE_CHECKING:
    from devices.changers.base import ChangerSetup

MAX_SLOT = 100_000
"""Highest slot number that use-slots may name."""

_SLOTS = re.compile(r"([0-9]{1,6})(?:-([0-9]{1,6}))?")
_TIME = re.compile(r"([0-9]{1,7})(s|m)?")


@frozen
class Poll:
    """How to wait for a loaded volume: ``delay`` seconds, then every ``every`` until ``until``.

    :ivar every: 0: one try only.
    """

    delay: int = 0
    every: int = 2
    until: int = 120


@frozen(kw_only=True)
class RobotSettings:
    """The properties, read and checked.

    :ivar tape_devices: (drive, device name) in order of preference.
    :ivar use_slots: None: all slots.
    :ivar use_slots_text: as written, for error texts.
    """

    tape_devices: tuple[tuple[str, str], ...]
    use_slots: frozenset[int] | None = None
    use_slots_text: str = ""
    least_recently_used: bool = True
    eject_before_unload: bool = False
    eject_delay: int = 0
    unload_delay: int = 0
    fast_search: bool = True
    load_poll: Poll = Poll()
    status_interval: int = 2
    trust_own_slot: bool = False
    lock_timeout: float = LOCK_TIMEOUT

    def device_of(self, drive: str) -> str | None:
        """The device name of a drive, None for a drive that is not ours."""
        return dict(self.tape_devices).get(drive)

    def allows(self, slot: str) -> bool:
        """Whether use-slots lets us touch this slot."""
        return self.use_slots is None or (slot.isdigit() and int(slot) in self.use_slots)


def read_settings(setup: ChangerSetup) -> RobotSettings:
    """:raise ChangerError: fatal: a property says something impossible"""
    if setup.section is not None and setup.section.changerdev:
        raise ChangerError("'changerdev' is not allowed in a robot's changer section")
    choice = (setup.text("drive-choice") or "lru").lower()
    if choice not in ("lru", "firstavail"):
        raise ChangerError(f"invalid 'drive-choice' value '{choice}'")
    slots_text = ",".join(setup.values("use-slots"))
    return RobotSettings(
        tape_devices=_tape_devices(setup.values("tape-device")),
        use_slots=_slot_set(slots_text) if slots_text else None,
        use_slots_text=slots_text,
        least_recently_used=choice == "lru",
        eject_before_unload=setup.boolean("eject-before-unload"),
        eject_delay=_seconds(setup, "eject-delay", 0),
        unload_delay=_seconds(setup, "unload-delay", 0),
        fast_search=setup.boolean("fast-search", default=True),
        load_poll=_poll(setup),
        status_interval=_seconds(setup, "status-interval", 2),
        trust_own_slot=setup.boolean("broken-drive-loaded-slot"),
        lock_timeout=setup.lock_timeout(),
    )


def _tape_devices(values: Sequence[str]) -> tuple[tuple[str, str], ...]:
    if not values:
        raise ChangerError("no 'tape-device' property specified")
    devices: dict[str, str] = {}
    for value in values:
        number, equals, name = value.partition("=")
        if not (equals and name and number.isascii() and number.isdigit() and len(number) <= 6):
            raise ChangerError(f"invalid 'tape-device' property '{value}'")
        drive = str(int(number))
        if drive in devices:
            raise ChangerError(f"tape-device drive {drive} defined more than once")
        devices[drive] = name
    return tuple(devices.items())


def _slot_set(text: str) -> frozenset[int]:
    slots: set[int] = set()
    for item in text.replace(" ", "").split(","):
        match = _SLOTS.fullmatch(item)
        if match is None:
            raise ChangerError(f"invalid value '{text}' for 'use-slots'")
        first = int(match[1])
        last = int(match[2] or first)
        if last > MAX_SLOT:
            raise ChangerError(f"'use-slots' names slot {last}, at most {MAX_SLOT} expected")
        slots.update(range(first, last + 1))
    return frozenset(slots)


def _time(text: str) -> int | None:
    match = _TIME.fullmatch(text)
    if match is None:
        return None
    return int(match[1]) * (60 if match[2] == "m" else 1)


def _seconds(setup: ChangerSetup, name: str, default: int) -> int:
    text = setup.text(name)
    if text is None:
        return default
    seconds = _time(text.strip().lower())
    if seconds is None:
        raise ChangerError(f"invalid value '{text}' for '{name}'")
    return seconds


def _poll(setup: ChangerSetup) -> Poll:
    """``D [poll P [until U]]``; without ``poll`` there is one try only."""
    text = setup.text("load-poll")
    if text is None:
        return Poll()
    words = text.lower().split()
    numbers = [_time(word) for word in words[::2]]
    if words[1::2] not in ([], ["poll"], ["poll", "until"]) or len(words) % 2 == 0:
        raise ChangerError(f"invalid delay value '{text}' for 'load-poll'")
    times = [number for number in numbers if number is not None]
    if len(times) != len(numbers):
        raise ChangerError(f"invalid delay value '{text}' for 'load-poll'")
    defaults = [0, 0, Poll().until]
    delay, every, until = times + defaults[len(times) :]
    return Poll(delay, every, until)

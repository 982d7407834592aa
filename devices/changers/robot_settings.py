"""What the properties of a robot's changer section say [changers 3.8]."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from attrs import field, frozen

from devices.errors import ChangerError
from devices.patience import LOCK_TIMEOUT
from devices.properties import parse_boolean
from protocols.library import clean_number

if TYPE_CHECKING:
    from devices.changers.setup import ChangerSetup

_SLOTS = re.compile("([0-9]{1,18})(?:-([0-9]{1,18}))?", re.ASCII)
_TIME = r"([0-9]{1,7})(?:\s*([ms]))?"
_DELAY = re.compile("([0-9]{1,7})([ms])?", re.ASCII | re.IGNORECASE)
_POLL = re.compile(
    rf"{_TIME}(?:\s+poll\s+{_TIME}(?:\s+until\s+{_TIME})?)?", re.ASCII | re.IGNORECASE
)
_DIGITS = "0123456789"
_TIME_EXPECTED = "seconds, or minutes as in 2m"


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
    :ivar serials: serial numbers of drives whose device is to be found by them.
    :ivar use_slots: (first, last) of each range; None: all slots.
    :ivar use_slots_text: as written, for error texts.
    """

    tape_devices: tuple[tuple[str, str], ...]
    serials: Mapping[str, str] = field(factory=dict)
    use_slots: tuple[tuple[int, int], ...] | None = None
    use_slots_text: str = ""
    least_recently_used: bool = True
    eject_before_unload: bool = False
    eject_delay: int = 0
    unload_delay: int = 0
    fast_search: bool = True
    ignore_barcodes: bool = False
    load_poll: Poll = Poll()
    status_interval: int = 2
    trust_own_slot: bool = False
    lock_timeout: float = LOCK_TIMEOUT

    def device_of(self, drive: str) -> str | None:
        """The device name of a drive, None for a drive that is not ours."""
        return dict(self.tape_devices).get(drive)

    def allows(self, slot: str) -> bool:
        """Whether use-slots lets us touch this slot."""
        if self.use_slots is None:
            return True
        return slot.isdigit() and any(low <= int(slot) <= high for low, high in self.use_slots)


def read_settings(setup: ChangerSetup) -> RobotSettings:
    """:raise ChangerError: fatal: a property says something impossible"""
    section = setup.section
    if setup.config.general.changerdev if section is None else section.changerdev:
        raise ChangerError(
            f"'changerdev' is not allowed with chg-{setup.kind}: "
            f"the robot's device is what follows chg-{setup.kind}: in the changer's name"
        )
    slots_text = ",".join(setup.values("use-slots"))
    return RobotSettings(
        tape_devices=_tape_devices(setup),
        serials=_serials(setup),
        use_slots=_use_slots(setup, slots_text) if setup.values("use-slots") else None,
        use_slots_text=slots_text,
        least_recently_used=_drive_choice(setup) == "lru",
        eject_before_unload=_boolean(setup, "eject-before-unload"),
        eject_delay=_seconds(setup, "eject-delay", 0),
        unload_delay=_seconds(setup, "unload-delay", 0),
        fast_search=_boolean(setup, "fast-search", default=True),
        ignore_barcodes=_boolean(setup, "ignore-barcodes"),
        load_poll=_poll(setup),
        status_interval=_seconds(setup, "status-interval", 2),
        trust_own_slot=_boolean(setup, "broken-drive-loaded-slot"),
        lock_timeout=setup.lock_timeout(),
    )


def _tape_devices(setup: ChangerSetup) -> tuple[tuple[str, str], ...]:
    expected = '"DRIVE=DEVICE" with a number from 0 up, such as "0=tape:/dev/nst0",'
    values = setup.values("tape-device")
    if not values:
        section = setup.section
        tapedev = setup.config.general.tapedev if section is None else section.tapedev
        if tapedev == f"chg-{setup.kind}:{setup.argument}":
            setup.refuse("tape-device", "must specify a tape-device property", expected)
        if not tapedev:
            setup.refuse("tape-device", "no 'tape-device' property specified", expected)
        return (("0", tapedev),)
    devices: dict[str, str] = {}
    for value in values:
        # as in stock, what stands before the number is passed over
        drive, name = _numbered(value[len(value.partition("=")[0].rstrip(_DIGITS)) :])
        if drive is None:
            setup.refuse("tape-device", f"invalid 'tape-device' property '{value}'", expected)
        if drive in devices:
            text = f"tape-device drive {drive} defined more than once"
            setup.refuse("tape-device", text, "one device for each drive")
        devices[drive] = name
    return tuple(devices.items())


def _serials(setup: ChangerSetup) -> dict[str, str]:
    serials: dict[str, str] = {}
    for value in setup.values("drive-serial"):
        drive, serial = _numbered(value)
        if drive is None or drive in serials:
            text = f"invalid 'drive-serial' property '{value}'"
            setup.refuse("drive-serial", text, '"DRIVE=SERIAL", one for each drive,')
        serials[drive] = serial.strip()
    return serials


def _numbered(text: str) -> tuple[str | None, str]:
    """``NUMBER=TEXT`` in its parts; None for what is not."""
    number, _, rest = text.partition("=")
    return clean_number(number) if rest else None, rest


def _drive_choice(setup: ChangerSetup) -> str:
    choice = setup.text("drive-choice") or "lru"
    if choice.lower() not in ("lru", "firstavail"):
        setup.refuse(
            "drive-choice", f"invalid 'drive-choice' value '{choice}'", "lru or firstavail"
        )
    return choice.lower()


def _use_slots(setup: ChangerSetup, text: str) -> tuple[tuple[int, int], ...]:
    """As in stock, what stands round a range is passed over."""
    ranges = []
    for item in text.split(","):
        match = _SLOTS.search(item)
        if match is None:
            expected = "numbers and ranges of slots as in 1-5,11,20"
            setup.refuse("use-slots", f"invalid 'use-slots' value '{text}'", expected)
        _warn_of_rest(setup, "use-slots", item, match)
        ranges.append((int(match[1]), int(match[2] or match[1])))
    return tuple(ranges)


def _boolean(setup: ChangerSetup, name: str, default: bool = False) -> bool:
    values = setup.values(name)
    if not values:
        return default
    try:
        (text,) = values
        return parse_boolean(text)
    except ValueError:
        setup.refuse(name, f"invalid '{name}' value", f"yes or no, not {_quoted(values)},")


def _only(setup: ChangerSetup, name: str) -> str | None:
    """The value of a property that may have one only."""
    values = setup.values(name)
    if len(values) > 1:
        setup.refuse(name, f"only one value allowed for '{name}'", f"one, not {_quoted(values)},")
    return values[0] if values else None


def _quoted(values: tuple[str, ...]) -> str:
    return " ".join(f"'{value}'" for value in values)


def _warn_of_rest(setup: ChangerSetup, name: str, text: str, match: re.Match[str]) -> None:
    if match[0] != text.strip():
        setup.warn(name, f"is '{text}', of which only '{match[0]}' counts")


def _time(number: str, unit: str | None) -> int:
    return int(number) * (60 if unit in ("m", "M") else 1)


def _seconds(setup: ChangerSetup, name: str, default: int) -> int:
    text = _only(setup, name)
    if text is None:
        return default
    match = _DELAY.match(text)
    if match is None:
        setup.refuse(name, f"invalid time value '{text}' for '{name}'", _TIME_EXPECTED)
    _warn_of_rest(setup, name, text, match)
    return _time(match[1], match[2])


def _poll(setup: ChangerSetup) -> Poll:
    """``D [poll P [until U]]``; without ``poll`` there is one try only."""
    text = _only(setup, "load-poll")
    if text is None:
        return Poll()
    match = _POLL.fullmatch(text)
    if match is None:
        expected = (
            'a delay, perhaps with how often and how long to look, as in "10s poll 3s until 2m",'
        )
        setup.refuse("load-poll", f"invalid delay value '{text}' for 'load-poll'", expected)
    times = [
        _time(number, unit) if number else None
        for number, unit in zip(match.groups()[::2], match.groups()[1::2], strict=True)
    ]
    delay, every, until = times
    return Poll(delay or 0, every or 0, Poll().until if until is None else until)

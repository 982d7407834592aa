"""Which slot and which drive an operation of a robot means [changers 3.8]."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import frozen

from devices.errors import ChangerError, ChangerReason, Status
from devices.interfaces import LoadRequest, Relative

if TYPE_CHECKING:
    from devices.changers.robot_settings import RobotSettings
    from devices.changers.robot_state import RobotState


def choose_slot(state: RobotState, settings: RobotSettings, request: LoadRequest) -> str:
    """The slot to load: known, allowed, not excluded, full.

    :raise ChangerError: there is none, or the one asked for is not
    """
    slot = _asked_for(state, settings, request)
    if slot is None:
        raise _nothing_left(state, request)
    if not settings.allows(slot):
        raise _not_allowed(settings, slot, request.label)
    if slot in request.except_slots:
        raise _nothing_left(state, request)
    if not state.is_full(slot):
        raise ChangerError(f"slot {slot} is empty", ChangerReason.EMPTY, slot)
    return slot


def _asked_for(state: RobotState, settings: RobotSettings, request: LoadRequest) -> str | None:
    if request.label is not None:
        for slot in state.slot_numbers():
            if state.is_full(slot) and state.slots[slot].get("label") == request.label:
                return slot
        text = f"label '{request.label}' not recognized or not found"
        raise ChangerError(text, ChangerReason.NOTFOUND)
    if request.slot is not None:
        return _known(state, request.slot)
    current = state.current()
    if request.relative is Relative.CURRENT:
        return current if current in state.slots else None
    after = _known(state, request.after) if request.after is not None else current
    usable = [slot for slot in state.usable_slots() if slot not in request.except_slots]
    later = [slot for slot in usable if after is not None and int(slot) > int(after)]
    return next(iter(later + usable), None)


def _known(state: RobotState, text: str) -> str:
    number = text.strip()
    slot = str(int(number)) if number.isascii() and number.isdigit() and len(number) < 10 else ""
    if slot not in state.slots:
        raise ChangerError(f"invalid slot '{text}'", ChangerReason.INVALID, text)
    return slot


def _not_allowed(settings: RobotSettings, slot: str, label: str | None) -> ChangerError:
    outside = f"not in use-slots ({settings.use_slots_text})"
    if label is None:
        text = f"slot {slot} {outside}"
    else:
        text = f"label '{label}' is in slot {slot}, which is {outside}"
    return ChangerError(text, ChangerReason.INVALID, slot)


def _nothing_left(state: RobotState, request: LoadRequest) -> ChangerError:
    """The end of a scan."""
    known = [slot for slot in request.except_slots if slot in state.slots]
    empty = not any(state.is_full(slot) for slot in known)
    text = "all slots are empty" if empty else "all slots have been loaded"
    return ChangerError(text, ChangerReason.NOTFOUND)


def choose_drive(state: RobotState, settings: RobotSettings) -> str:
    """A drive of ours that nobody holds; it counts as used from now on.

    :raise ChangerError: they are all in use
    """
    ours = [drive for drive, _ in settings.tape_devices]
    if settings.least_recently_used:
        used = [drive for drive in state.lru() if drive in ours]
        ours = [drive for drive in ours if drive not in used] + used
    for drive in ours:
        if drive in state.drives and not state.is_held(drive):
            state.note_used(drive)
            return drive
    raise ChangerError("no drives available", ChangerReason.DRIVEINUSE)


@frozen
class UpdateWork:
    """What an update is to do: record ``label`` for, forget, or look into some slots."""

    recorded: tuple[str, ...] = ()
    label: str | None = None
    forgotten: tuple[str, ...] = ()
    looked_at: tuple[str, ...] = ()


def slots_to_update(state: RobotState, settings: RobotSettings, changed: str | None) -> UpdateWork:
    """Read the argument of an update [changers 2.2].

    :param changed: ``N=LABEL``, ``RANGES=``, ``RANGES`` (``error`` among them means those whose
        last reading failed), or None for all
    :raise ChangerError: a slot that it names is not to be had
    """
    if not changed:
        return UpdateWork(looked_at=tuple(state.usable_slots()))
    ranges, equals, label = changed.partition("=")
    slots = tuple(slot for item in ranges.split(",") for slot in _range(state, item.strip()))
    for slot in slots:
        if not settings.allows(slot):
            raise _not_allowed(settings, slot, None)
    if not equals:
        return UpdateWork(looked_at=tuple(slot for slot in slots if state.is_full(slot)))
    if not label:
        return UpdateWork(forgotten=slots)
    for slot in slots:
        if not state.is_full(slot):
            raise ChangerError(f"slot {slot} is empty", ChangerReason.INVALID, slot)
        if state.loaded_in(slot) is not None:
            raise ChangerError(f"slot {slot} is currently loaded", ChangerReason.INVALID, slot)
    return UpdateWork(recorded=slots, label=label)


def _range(state: RobotState, item: str) -> list[str]:
    if item == "error":
        return [slot for slot in state.slot_numbers() if _is_in_error(state, slot)]
    first, dash, last = item.partition("-")
    if not dash:
        return [_known(state, first)]
    low, high = int(_known(state, first)), int(_known(state, last))
    return [slot for slot in state.slot_numbers() if low <= int(slot) <= high]


def _is_in_error(state: RobotState, slot: str) -> bool:
    status = state.slots[slot].get("device_status")
    return status is not None and str(status) not in ("", str(int(Status.SUCCESS)))

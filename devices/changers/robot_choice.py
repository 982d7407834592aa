"""Which slot and which drive an operation of a robot means [changers 3.8]."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import frozen

from devices.errors import ChangerError, ChangerReason, Status
from devices.interfaces import LoadRequest, Relative
from protocols.library import clean_number

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
    slot = clean_number(text.strip())
    if slot is None or slot not in state.slots:
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
    """A drive of ours that nobody holds and that is empty or can be; it counts as used from now on.

    :raise ChangerError: there is none
    """
    ours = [drive for drive, _ in settings.tape_devices]
    if settings.least_recently_used:
        used = [drive for drive in state.lru() if drive in ours]
        ours = [drive for drive in ours if drive not in used] + used
    for drive in ours:
        if drive in state.drives and not state.is_held(drive) and state.can_be_emptied(drive):
            state.note_used(drive)
            return drive
    raise ChangerError("no drives available", ChangerReason.DRIVEINUSE)


@frozen
class UpdateWork:
    """What an update is to do: look into ``slots``, unless it says otherwise.

    :ivar label: the label to record for the only slot.
    :ivar forget: what is known of the slots is to be forgotten.
    """

    slots: tuple[str, ...]
    label: str | None = None
    forget: bool = False


def slots_to_update(state: RobotState, settings: RobotSettings, changed: str | None) -> UpdateWork:
    """Read the argument of an update [changers 2.2].

    :param changed: ``N=LABEL``, ``RANGES=``, ``RANGES`` (``error`` among them means those whose
        last reading failed), or None for all; only full slots that use-slots allows are meant
    :raise ChangerError: it is none of these, or the label cannot be recorded
    """
    if not changed:
        return UpdateWork(tuple(state.usable_slots()))
    ranges, equals, label = changed.partition("=")
    if equals and label:
        return UpdateWork((_recordable(state, settings, ranges),), label=label)
    named = {slot for item in ranges.split(",") for slot in _range(state, item.strip())}
    slots = tuple(slot for slot in state.usable_slots() if slot in named)
    return UpdateWork(slots, forget=bool(equals))


def _recordable(state: RobotState, settings: RobotSettings, text: str) -> str:
    slot = clean_number(text)
    if slot is None:
        raise ChangerError(f"slot '{text}': Invalid slot", ChangerReason.INVALID)
    if slot not in state.slots:
        why = "does not exist"
    elif not settings.allows(slot):
        why = "is not used by this changer"
    elif not state.is_full(slot):
        why = "is empty"
    elif state.loaded_in(slot) is not None:
        why = "is currently loaded"
    else:
        return slot
    raise ChangerError(f"slot {slot} {why}", ChangerReason.UNKNOWN, slot)


def _range(state: RobotState, item: str) -> list[str]:
    if item == "error":
        return [slot for slot in state.slot_numbers() if _is_in_error(state, slot)]
    first, dash, last = item.partition("-")
    low, high = clean_number(first), clean_number(last if dash else first)
    if low is None or high is None:
        text = f"slot '{item}': Invalid slot{'s range' if dash else ''}"
        raise ChangerError(text, ChangerReason.INVALID)
    return [slot for slot in state.slot_numbers() if int(low) <= int(slot) <= int(high)]


def _is_in_error(state: RobotState, slot: str) -> bool:
    status = state.slots[slot].get("device_status")
    return status is not None and str(status) not in ("", str(int(Status.SUCCESS)))

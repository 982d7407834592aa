"""What a scan tells about a slot, in the words of ``INFO taper`` lines [changers 1.3].

Slots, labels and errors are put in as they are; each function gives one line.
"""

from __future__ import annotations

NO_ACCEPTABLE_VOLUMES = "No acceptable volumes found"


def one_line(text: object) -> str:
    """The text of an error with its line ends turned into blanks, so that it stays one line."""
    return str(text).strip("\n").replace("\n", " ")


def none_found(trouble: str | None) -> str:
    """:param trouble: the last thing that was wrong, as :func:`in_slot` says it"""
    return NO_ACCEPTABLE_VOLUMES if trouble is None else f"{NO_ACCEPTABLE_VOLUMES}: {trouble}"


def in_slot(slot: str, error: str) -> str:
    return f"slot {slot}: {one_line(error)}"


def no_such_algorithm(name: str) -> str:
    return f"No such taperscan algorithm '{name}'"


def usable(slot: str, label: str) -> str:
    return f"Slot {slot} with label {label} is usable"


def can_be_labeled(slot: str) -> str:
    return f"Slot {slot} without label can be labeled"


def will_be_relabeled(slot: str, label: str) -> str:
    return f"Slot {slot} with label {label} will be relabeled"


def cannot_label(slot: str, error: str) -> str:
    return f"Can't label slot {slot}: {one_line(error)}"


def no_labelstr_match(slot: str, label: str) -> str:
    return f"Slot {slot} with label {label} do not match labelstr"


def not_in_tapelist(slot: str, label: str) -> str:
    return f"Slot {slot} with label {label} is not in the tapelist"


def other_config(slot: str, label: str, config: str) -> str:
    return f"Slot {slot} with label {label} is use by config {config}"


def other_pool(slot: str, label: str, pool: str) -> str:
    return f"Slot {slot} with label {label} is in pool {pool}"


def not_reusable(slot: str, label: str) -> str:
    return f"Slot {slot} with label {label} is not reusable"


def not_labelable(slot: str, label: str | None) -> str:
    """For a volume that fits no kind of volume that autolabel could be told to label."""
    bearing = "without label" if label is None else f"with label {label}"
    return f"Slot {slot} {bearing} is not labelable "


def refused_unlabeled(slot: str, kind: str, *, autolabel_set: bool) -> str:
    """For an unlabeled or bad volume that autolabel does not allow to label.

    :param kind: one of the three below.
    :param autolabel_set: there is a template, but its words leave this kind out.
    """
    return f"Slot {slot} is {kind}, autolabel {'disabled' if autolabel_set else 'not set'}"


EMPTY = "empty"
NON_AMANDA = "a non-amanda volume"


def volume_in_error(error: str) -> str:
    return f"a volume in error: {one_line(error)}"


def device_in_error(error: str) -> str:
    return f"a device in error: {one_line(error)}"

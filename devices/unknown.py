"""What is told of a device or changer that this taper has not: misspelt, Amanda's own, or neither.

The texts begin with stock's words.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection

AMANDA_DEVICES = frozenset({"s3"})
"""Those that Amanda has and we have not; of its changers none is missing."""

_CHANGER = "chg-"


def unknown_device(scheme: str, devices: Collection[str], changers: Collection[str]) -> str:
    """Why there is no device of this type.

    :param devices: types that there are
    :param changers: kinds of changers that there are, as their names need no section
    """
    text = f'Device type "{scheme}" is not known'
    if scheme in AMANDA_DEVICES:
        return f"{text} to this taper, though Amanda has it; {_choice('devices', devices)}"
    if scheme.lower().startswith(_CHANGER):
        kind = scheme[len(_CHANGER) :]
        if kind.lower() in changers:
            return f"{text}: it is a changer, and a device is wanted; {_choice('devices', devices)}"
        return f"{text}: {unknown_changer(kind, changers)}"
    meant = _meant(scheme, devices, AMANDA_DEVICES)
    return f"{text}{meant}; {_choice('devices', devices)}"


def unknown_changer(kind: str, changers: Collection[str]) -> str:
    """Why there is no changer ``chg-KIND``, as the end of a sentence."""
    meant = _meant(kind, changers, (), _CHANGER)
    why = f"there is no changer {_CHANGER}{kind}{meant}"
    return f"{why}; {_choice('changers', [_CHANGER + each for each in changers])}"


def _meant(name: str, ours: Collection[str], amandas: Collection[str], prefix: str = "") -> str:
    found = difflib.get_close_matches(name.lower(), sorted({*ours, *amandas}), n=1)
    return f' (did you mean "{prefix}{found[0]}"?)' if found else ""


def _choice(what: str, names: Collection[str]) -> str:
    return f"{what} here are {', '.join(sorted(names))}"

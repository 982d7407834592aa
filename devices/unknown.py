"""What is told of a device or changer that there is not: misspelt, or nothing at all.

The texts begin with stock's words.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection

_CHANGER = "chg-"


def unknown_device(scheme: str, devices: Collection[str], changers: Collection[str]) -> str:
    """Why there is no device of this type.

    :param devices: types that there are
    :param changers: kinds of changers that there are, as their names need no section
    """
    text = f'Device type "{scheme}" is not known'
    if scheme.lower().startswith(_CHANGER):
        kind = scheme[len(_CHANGER) :]
        if kind.lower() in changers:
            return f"{text}: it is a changer, and a device is wanted; {_choice('devices', devices)}"
        return f"{text}: {unknown_changer(kind, changers)}"
    meant = _meant(scheme, devices)
    return f"{text}{meant}; {_choice('devices', devices)}"


def unknown_changer(kind: str, changers: Collection[str]) -> str:
    """Why there is no changer ``chg-KIND``, as the end of a sentence."""
    meant = _meant(kind, changers, _CHANGER)
    why = f"there is no changer {_CHANGER}{kind}{meant}"
    return f"{why}; {_choice('changers', [_CHANGER + each for each in changers])}"


def _meant(name: str, known: Collection[str], prefix: str = "") -> str:
    found = difflib.get_close_matches(name.lower(), sorted(known), n=1)
    return f' (did you mean "{prefix}{found[0]}"?)' if found else ""


def _choice(what: str, names: Collection[str]) -> str:
    return f"{what} here are {', '.join(sorted(names))}"

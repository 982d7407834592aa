"""What is where in a library, whatever its robot is asked by.

What a robot tells comes from outside: a number of a slot becomes an argument of a command and a key
of the state file, a barcode becomes part of a label and a word in the tapelist. So both are looked
at here, by one function each, before anybody else sees them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from attrs import field, frozen

LARGEST_NUMBER = 65_535
"""Of slots and drives: more than any robot can address."""

_BARCODE = re.compile("[!-~]{1,64}")


def clean_barcode(text: str | None) -> str | None:
    """The barcode, or None for what is none: one word of printable ASCII, as no tapelist, label or
    line can hold another."""
    return text if text is not None and _BARCODE.fullmatch(text) else None


def clean_number(text: str) -> str | None:
    """The number of a slot or a drive in its one spelling, or None for what is none."""
    if not (text.isascii() and text.isdigit()):
        return None
    digits = text.lstrip("0") or "0"
    return digits if len(digits) <= 5 and int(digits) <= LARGEST_NUMBER else None


@frozen(kw_only=True)
class Place:
    """A slot or a drive as the robot sees it.

    :ivar barcode: of the volume in it; None: it has none, or none that can be used.
    :ivar source: of a full drive: the slot its volume came from, None if the robot cannot tell.
    """

    full: bool
    barcode: str | None = field(default=None, converter=clean_barcode)
    import_export: bool = False
    source: str | None = None


@frozen
class RobotStatus:
    """All slots and drives by number, in the robot's order."""

    slots: Mapping[str, Place] = field(factory=dict)
    drives: Mapping[str, Place] = field(factory=dict)

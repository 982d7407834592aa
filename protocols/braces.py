r"""Lists in braces: one name for several things, as ``chg-multi:{a,b}`` has it [changers 3.5].

``{a,b}`` stands for each of its alternates in turn, an alternate ``1..5`` for each of its numbers;
where the first begins with 0, all have as many digits as the longer of the two. Several groups
multiply. ``\`` takes away the meaning of ``{``, ``}``, ``,`` and ``\``. Groups do not nest. The
first character of any alternate but the first is taken as it is, whatever it is.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterable

MOST = 100_001
"""Names that one list may stand for; nobody has so many slots in one changer."""

_SPECIAL = frozenset("\\{},")
_RANGE = re.compile(r"([0-9]{1,18})\.\.([0-9]{1,18})")
_ESCAPED = re.compile(r"([\\{},])")


class BraceError(ValueError):
    """Not such a list, or one of more names than there can be."""

    taper_code = 1007


def expand_braces(text: str, most: int = MOST) -> tuple[str, ...]:
    """All that ``text`` stands for, in order; the last group varies first.

    :raise BraceError: a group does not end, or there are more than ``most`` names
    """
    groups = list(_groups(text, most))
    if math.prod(map(len, groups)) > most:
        raise BraceError(f"'{text}' stands for more than {most} names")
    return tuple("".join(choice) for choice in itertools.product(*groups))


def collapse_braces(names: Iterable[str]) -> str:
    """The list that stands for ``names``."""
    return "{" + ",".join(_ESCAPED.sub(r"\\\1", name) for name in names) + "}"


def _groups(text: str, most: int) -> Iterable[list[str]]:
    """What can stand at each place: one literal, or the alternates of a group."""
    literal: list[str] = []
    place = 0
    while place < len(text):
        if text[place] == "{":
            yield ["".join(literal)]
            literal = []
            alternates, place = _alternates(text, place + 1, most)
            yield alternates
        else:
            char, place = _char(text, place)
            literal.append(char)
    yield ["".join(literal)]


def _char(text: str, place: int) -> tuple[str, int]:
    """The character meant at ``place``, and where the next one begins."""
    if text[place] == "\\" and text[place + 1 : place + 2] in _SPECIAL:
        return text[place + 1], place + 2
    return text[place], place + 1


def _alternates(text: str, place: int, most: int) -> tuple[list[str], int]:
    """The alternates of the group whose inside begins at ``place``, and where it has ended."""
    alternates: list[str] = []
    begin, inner = place, ""
    taken_as_is = False
    while place < len(text):
        if text[place] in ",}" and not taken_as_is:
            alternates += _range(text[begin:place], most) or [inner]
            if len(alternates) > most:
                raise BraceError(f"'{text}' stands for more than {most} names")
            if text[place] == "}":
                return alternates, place + 1
            place += 1
            begin, inner, taken_as_is = place, "", True
        elif text[place] == "{" and not taken_as_is:
            raise BraceError(f"'{text}' has a '{{' inside of braces")
        else:
            char, place = _char(text, place)
            inner += char
            taken_as_is = False
    raise BraceError(f"'{text}' has a '{{' without its '}}'")


def _range(text: str, most: int) -> list[str]:
    """The numbers of ``1..5`` or ``01..10``; nothing if it is none."""
    match = _RANGE.fullmatch(text)
    if match is None:
        return []
    first, last = int(match[1]), int(match[2])
    width = max(map(len, match.groups())) if match[1].startswith("0") else 0
    if last - first >= most:
        raise BraceError(f"'{text}' stands for more than {most} names")
    return [f"{number:0{width}d}" for number in range(first, last + 1)]

"""Readers of numbers, texts, lists and properties [config 1.5, 1.7, 1.8].

A reader makes a value of the tokens after a keyword. It gets the cursor, the value that the
parameter has so far, and ``Sections`` for what names other sections; it leaves the cursor behind
the value. All raise ``Refused``.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

from protocols.conf.cursor import Cursor, Refused
from protocols.conf.grammar import FALSE_WORDS, TRUE_WORDS, UNITS
from protocols.conf.lexer import COMMA, END, INT, NEWLINE, REAL, RIGHT, STRING, WORD
from protocols.conf.values import Version, fold


class Property(NamedTuple):
    """One property: its values, whether its last mention said ``append``, whether it has
    ``priority``, and the place of that mention."""

    values: tuple[str, ...]
    append: bool
    priority: bool
    place: str


PropertyList = dict[str, Property]


class Sections(Protocol):
    """What a reader of a name or of an inline block needs."""

    def reference(self, cursor: Cursor, kind: str, title: str) -> str:
        """The name of a section of this kind, defined before or inline here; "" = none."""

    def warn(self, line: int, text: str) -> None:
        """Note a warning."""

    def place(self, line: int) -> str:
        """What a text calls a line: its file and number."""

    def is_older_than(self, version: Version) -> bool:
        """Whether the Amanda that reads this configuration, too, is known to be older."""


Reader = Callable[[Cursor, Any, Sections], Any]

_HALF32, _HALF64 = 2**31, 2**63


def _wrap(number: int, half: int) -> int:
    return (number + half) % (2 * half) - half


def _literal(text: str) -> int:
    """The number as stock reads it, in 64 bits of which an overflow is lost."""
    digits = text.lstrip("-")[-64:]  # what is left of these is a multiple of 2**64
    return _wrap(-int(digits) if text.startswith("-") else int(digits), _HALF64)


def _bounded(number: int, half: int, found: str) -> int:
    if number >= half:
        raise Refused(f"value too large (found {found})")
    if number < -half:
        raise Refused(f"value too small (found {found})")
    return number


def _integer(half: int, *, in_kib: bool = False) -> Reader:
    """Reader of a signed number of twice ``half`` values. ``in_kib``: without a suffix it counts
    KiB, and suffixes below that divide [config 1.7]."""

    def read(cursor: Cursor, _old: object, _sections: Sections) -> int:
        if cursor.take_word("inf"):
            return half - 1
        found = cursor.found()
        number = _bounded(_literal(cursor.take(INT)), half, found)
        factor = UNITS.get(cursor.value.lower()) if cursor.kind == WORD else None
        if factor is None:
            return number
        cursor.skip()
        if not in_kib or factor == 7:
            number *= factor
        elif factor == 1:
            number = abs(number) // 1024 * (1 if number > 0 else -1)
        else:
            number *= factor // 1024
        return _wrap(_bounded(number, _HALF64, found), half)

    return read


_read_int = _integer(_HALF32)


def _text(cursor: Cursor, _old: object, _sections: Sections) -> str:
    return cursor.take(STRING)


def _ident(cursor: Cursor, _old: object, _sections: Sections) -> str:
    return cursor.ident()


def _name(cursor: Cursor, _old: object, _sections: Sections) -> str:
    """Of a section: from 3.5.2 on without quotes, too, and then perhaps a keyword."""
    return cursor.take(WORD if cursor.kind == WORD else STRING)


def _real_number(cursor: Cursor) -> float:
    kind = INT if cursor.kind == INT else REAL
    return float(cursor.take(kind))


def _real(cursor: Cursor, _old: object, _sections: Sections) -> float:
    return _real_number(cursor)


def _rate(cursor: Cursor, _old: object, _sections: Sections) -> tuple[float, float]:
    first = _real_number(cursor)
    if cursor.kind == COMMA:
        cursor.skip()
        return first, _real_number(cursor)
    if cursor.kind == REAL:
        return first, _real_number(cursor)
    if cursor.kind == INT:  # stock wants a decimal point here, and so tells it from a new value
        cursor.refuse("a real number is expected")
    return first, first


def _plain_int(cursor: Cursor) -> int:
    found = cursor.found()
    return _bounded(_literal(cursor.take(INT)), _HALF32, found)


def _range(cursor: Cursor, _old: object, _sections: Sections) -> tuple[int, int]:
    first = _plain_int(cursor)
    if cursor.kind == COMMA:
        cursor.skip()
        return first, _plain_int(cursor)
    if cursor.kind not in (NEWLINE, END):
        cursor.refuse("an integer is expected")
    return first, first


def _truth(cursor: Cursor) -> bool | None:
    """The truth word or number under the cursor, which moves on; None if it is neither."""
    if cursor.kind == INT:
        value = _literal(cursor.value) != 0
    elif cursor.kind == WORD and fold(cursor.value) in TRUE_WORDS:
        value = True
    elif cursor.kind == WORD and fold(cursor.value) in FALSE_WORDS:
        value = False
    else:
        return None
    cursor.skip()
    return value


def _bool(cursor: Cursor, _old: object, _sections: Sections) -> bool:
    if cursor.kind == NEWLINE:
        return True
    value = _truth(cursor)
    if value is None:
        cursor.refuse("YES, NO, TRUE, FALSE, ON, OFF, 0, 1 expected")
    return value


def _no_yes_all(cursor: Cursor, _old: object, _sections: Sections) -> str:
    if cursor.kind == NEWLINE:
        return "yes"
    if cursor.take_word("all"):
        return "all"
    if cursor.kind == INT and _literal(cursor.value) == 2:
        cursor.skip()
        return "all"
    value = _truth(cursor)
    if value is None:
        cursor.refuse("YES, NO, ALL, TRUE, FALSE, ON, OFF, 0, 1, 2 expected")
    return "yes" if value else "no"


def _time(cursor: Cursor, _old: object, _sections: Sections) -> int:
    if cursor.kind != INT:
        cursor.refuse("a time is expected")
    return _plain_int(cursor)


def _int_or_text(cursor: Cursor, _old: object, _sections: Sections) -> str:
    if cursor.kind == INT:
        return str(_plain_int(cursor))
    if cursor.kind != STRING:
        cursor.refuse("an integer or a quoted string is expected")
    return cursor.take(STRING)


def _idents(cursor: Cursor, _old: object, _sections: Sections) -> tuple[str, ...]:
    names: list[str] = []
    while cursor.kind in (WORD, STRING):
        name = cursor.ident()
        if name:
            names.append(name)
        else:
            names.clear()
    if cursor.kind not in (NEWLINE, END, RIGHT):
        cursor.refuse("string expected")
    return tuple(names)


def _texts(cursor: Cursor, old: tuple[str, ...], _sections: Sections) -> tuple[str, ...]:
    texts = list(old) if cursor.take_word("append") else []
    while cursor.kind == STRING:
        texts.append(cursor.take(STRING))
    if cursor.kind not in (NEWLINE, END, RIGHT):
        cursor.refuse("string expected")
    return tuple(texts)


def _properties(cursor: Cursor, old: PropertyList, sections: Sections) -> PropertyList:
    place = sections.place(cursor.line)
    priority = cursor.take_word("priority")
    append = cursor.take_word("append")
    if not cursor.take_word("hidden"):
        cursor.take_word("visible")
    if cursor.kind != STRING:
        cursor.refuse("key expected")
    key = fold(cursor.take(STRING))
    values: list[str] = []
    while cursor.kind == STRING:
        values.append(cursor.take(STRING))
    if cursor.kind not in (NEWLINE, END, RIGHT):
        cursor.refuse("value expected")
    properties = dict(old)
    if not values:
        properties.pop(key, None)
    elif append and key in properties:
        before = properties[key]
        properties[key] = Property(
            (*before.values, *values), append, priority or before.priority, place
        )
    else:
        properties[key] = Property(tuple(values), append, priority, place)
    return properties


def inherited_properties(own: PropertyList, parent: PropertyList) -> PropertyList:
    """A list after an inheritance line: entries of the parent that said ``append`` add to the
    own ones, whose flags stay; the others replace them [config 1.4]."""
    merged = dict(own)
    for key, inherited in parent.items():
        if inherited.append and key in merged:
            merged[key] = merged[key]._replace(values=merged[key].values + inherited.values)
        else:
            merged[key] = inherited
    return merged


READERS: dict[str, Reader] = {
    "str": _text,
    "ident": _ident,
    "name": _name,
    "int": _read_int,
    "intk": _integer(_HALF32, in_kib=True),
    "int64k": _integer(_HALF64, in_kib=True),
    "size": _integer(_HALF64),
    "sizek": _integer(_HALF64, in_kib=True),
    "real": _real,
    "rate": _rate,
    "range": _range,
    "bool": _bool,
    "nya": _no_yes_all,
    "time": _time,
    "intstr": _int_or_text,
    "idlist": _idents,
    "strlist": _texts,
    "prop": _properties,
}
"""By type; the types of choices between words are in ``choices.READERS``."""

"""A configuration while it is being read: values by keyword, and the messages."""

from collections.abc import Iterator
from typing import Any

from protocols.conf.config import ConfMessage
from protocols.conf.cursor import Refused
from protocols.conf.grammar import BUILT_IN_DUMPTYPES, Table
from protocols.conf.readers import inherited_properties

_APPENDING = ("strlist", "idlist", "scripts")
MAX_ENTRIES = 10_000
"""Entries of a list, or values of a property list, that inheriting may make: sections that name one
parent twice double them."""


def _entries(value: Any) -> int:
    """Of a list, or of the values of all properties."""
    if isinstance(value, dict):
        return sum(len(each.values) for each in value.values())
    return len(value)


class Draft:
    """The parameters of one section, or the global ones, that were set so far.

    Keywords are folded, with ``-``; the tables that give their types are in ``grammar``.
    ``derived`` holds final values that do not count as set; they win over ``values``.
    """

    __slots__ = ("derived", "kind", "name", "overridden", "place", "values")

    def __init__(self, kind: str, name: str, place: str = "") -> None:
        self.kind = kind
        self.name = name
        self.place = place
        self.values: dict[str, Any] = {}
        self.derived: dict[str, Any] = {}
        self.overridden: set[str] = set()

    def inherit(self, parent: "Draft", table: Table) -> None:
        """Take over everything the parent set [config 1.4].

        :raise Refused: a list becomes longer than any that is meant
        """
        for keyword, value in parent.values.items():
            type_ = table[keyword][0]
            if type_ == "prop":
                value = inherited_properties(self.values.get(keyword, {}), value)
            elif type_ in _APPENDING:
                value = (*self.values.get(keyword, ()), *value)
            else:
                self.values[keyword] = value
                continue
            if _entries(value) > MAX_ENTRIES:
                raise Refused(f"{keyword} of {self.name} has more than {MAX_ENTRIES} entries")
            self.values[keyword] = value


class Drafts:
    """All that was read so far."""

    def __init__(self) -> None:
        self.general = Draft("", "")
        self.sections: dict[str, dict[str, Draft]] = {}
        self.used_holding: list[str] = []
        self.messages: list[ConfMessage] = []
        self.inline = 0
        self.deprecated: set[str] = set()
        for name, values in BUILT_IN_DUMPTYPES.items():
            draft = Draft("dumptype", name)
            draft.values.update(values)
            self.add(draft)

    def find(self, kind: str, name: str) -> Draft | None:
        """The section of that kind and name, in any case of letters."""
        return self.sections.get(kind, {}).get(name.lower())

    def add(self, draft: Draft) -> None:
        """Register a finished section."""
        self.sections.setdefault(draft.kind, {})[draft.name.lower()] = draft

    def of_kind(self, kind: str) -> Iterator[Draft]:
        """The sections of a kind in the order of definition."""
        return iter(tuple(self.sections.get(kind, {}).values()))

    def error(self, text: str) -> None:
        """Note an error; ``text`` with its prefix."""
        self._note("error", text)

    def warning(self, text: str) -> None:
        """Note a warning; ``text`` with its prefix."""
        self._note("warning", text)

    def _note(self, level: str, text: str) -> None:
        line = "".join(" " if char in "\n\r\0" else char for char in text)
        if len(self.messages) < _MOST_MESSAGES:
            self.messages.append(ConfMessage(level, line))


_MOST_MESSAGES = 10000
"""Bound on what a broken file can make us say."""

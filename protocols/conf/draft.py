"""A configuration while it is being read: values by keyword, and the messages."""

from collections.abc import Iterator
from typing import Any

from protocols.conf.config import ConfMessage
from protocols.conf.grammar import BUILT_IN_DUMPTYPES, Table
from protocols.conf.readers import inherited_properties

_APPENDING = ("strlist", "idlist", "scripts")


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
        """Take over everything the parent set (config-and-state 1.4)."""
        for keyword, value in parent.values.items():
            type_ = table[keyword][0]
            if type_ == "prop":
                value = inherited_properties(self.values.get(keyword, {}), value)
            elif type_ in _APPENDING:
                value = (*self.values.get(keyword, ()), *value)
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

"""How many steps the matcher of ``re`` takes: a slow copy of it that counts.

``re`` tries alternatives one after the other, so that an expression which can match the same text
in several ways may take time out of all proportion to it. Time cannot be tested on a busy machine,
and ``re`` does not count; this walks the parsed expression the same way and does.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from re import _constants as ops  # type: ignore[attr-defined]
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any

_CATEGORIES: dict[Any, Callable[[str], bool]] = {
    ops.CATEGORY_SPACE: str.isspace,
    ops.CATEGORY_NOT_SPACE: lambda char: not char.isspace(),
    ops.CATEGORY_DIGIT: str.isdigit,
    ops.CATEGORY_NOT_DIGIT: lambda char: not char.isdigit(),
    ops.CATEGORY_WORD: lambda char: char.isalnum() or char == "_",
    ops.CATEGORY_NOT_WORD: lambda char: not (char.isalnum() or char == "_"),
}


class TooManySteps(Exception):
    """The budget is used up."""


def text_of(pattern: re.Pattern[Any]) -> tuple[str, int]:
    """The pattern as text, whichever it is for, and its flags."""
    source = pattern.pattern
    if isinstance(source, bytes):
        return source.decode("latin-1"), pattern.flags & ~re.UNICODE | re.UNICODE
    return source, pattern.flags


class Counter:
    """Matches one expression and counts.

    :ivar end: where the last match ended; None: there was none.
    """

    def __init__(self, pattern: re.Pattern[Any]) -> None:
        source, flags = text_of(pattern)
        self.tree = list(parser.parse(source, flags))
        self.dotall = bool(flags & re.DOTALL)
        self.steps = 0
        self.budget = 0
        self.text = ""
        self.end: int | None = None
        self.groups: dict[int, tuple[int, int]] = {}

    def match(self, text: str, budget: int, *, whole: bool) -> int:
        """Steps that a match at the start of ``text`` takes, whether it succeeds or not.

        :param whole: the end must be reached, as ``fullmatch`` wants it.
        :raise TooManySteps: there would be more than ``budget``
        """
        self.steps, self.budget, self.text = 0, budget, text
        self.groups.clear()
        ends = self._sequence(self.tree, 0, 0)
        self.end = next((end for end in ends if not whole or end == len(text)), None)
        return self.steps

    def scan(self, text: str, budget: int) -> int:
        """Steps that going through the whole text takes, as ``search``, ``sub`` and the like do."""
        self.steps, self.budget, self.text = 0, budget, text
        at = 0
        while at <= len(text):
            self.groups.clear()
            end = next(self._sequence(self.tree, 0, at), at)
            at = max(end, at + 1)
        return self.steps

    def _step(self) -> None:
        self.steps += 1
        if self.steps > self.budget:
            raise TooManySteps

    def _sequence(self, items: Sequence[Any], index: int, at: int) -> Iterator[int]:
        """Every end of a match of the items from ``index`` on, in the order of trying."""
        if index == len(items):
            yield at
            return
        for end in self._item(items[index], at):
            yield from self._sequence(items, index + 1, end)

    def _item(self, item: Any, at: int) -> Iterator[int]:
        self._step()
        op, value = item
        if op in (ops.LITERAL, ops.NOT_LITERAL, ops.ANY, ops.IN):
            if at < len(self.text) and self._takes(op, value, self.text[at]):
                yield at + 1
        elif op is ops.BRANCH:
            for branch in value[1]:
                yield from self._sequence(list(branch), 0, at)
        elif op is ops.SUBPATTERN:
            group, _, _, body = value
            for end in self._sequence(list(body), 0, at):
                if group is not None:
                    self.groups[group] = at, end
                yield end
        elif op is ops.MAX_REPEAT:
            yield from self._repeat(value, at, 0)
        elif op is ops.POSSESSIVE_REPEAT:
            yield from self._possessive(value, at)
        elif op is ops.ATOMIC_GROUP:
            for end in self._sequence(list(value), 0, at):
                yield end
                return
        elif op is ops.GROUPREF:
            start, stop = self.groups.get(value, (0, 0))
            if value in self.groups and self.text.startswith(self.text[start:stop], at):
                yield at + stop - start
        elif op in (ops.ASSERT, ops.ASSERT_NOT):
            assert value[0] > 0, "look-behind is not counted here"
            found = any(True for _ in self._sequence(list(value[1]), 0, at))
            if found == (op is ops.ASSERT):
                yield at
        elif op is ops.AT:
            if self._is_at(value, at):
                yield at
        else:
            raise AssertionError(f"{op} is not counted here")

    def _is_at(self, where: Any, at: int) -> bool:
        if where in (ops.AT_END_STRING, ops.AT_END):
            return at == len(self.text)
        if where in (ops.AT_BEGINNING, ops.AT_BEGINNING_STRING):
            return at == 0
        assert where is ops.AT_BOUNDARY
        is_word = _CATEGORIES[ops.CATEGORY_WORD]
        around = [is_word(char) for char in self.text[max(at - 1, 0) : at + 1]]
        return len(set(around)) == 2 or (len(around) == 1 and around[0])

    def _takes(self, op: Any, value: Any, char: str) -> bool:
        if op is ops.ANY:
            return self.dotall or char != "\n"
        if op in (ops.LITERAL, ops.NOT_LITERAL):
            return (ord(char) == value) == (op is ops.LITERAL)
        negated = value[0][0] is ops.NEGATE
        return negated != any(_in_set(entry, char) for entry in value[negated:])

    def _repeat(self, value: Any, at: int, done: int) -> Iterator[int]:
        low, high, body = value
        # With a stack of its own, since texts are longer than Python calls may be deep.
        stack = [(at, self._sequence(list(body), 0, at) if done < high else iter(()))]
        while stack:
            here, ways = stack[-1]
            end = next(ways, None)
            self._step()
            if end is not None and (end > here or len(stack) <= low):
                more = len(stack) < high
                stack.append((end, self._sequence(list(body), 0, end) if more else iter(())))
                continue
            if end is None:
                stack.pop()
                if len(stack) >= low:
                    yield here

    def _possessive(self, value: Any, at: int) -> Iterator[int]:
        low, high, body = value
        done = 0
        while done < high:
            end = next(self._sequence(list(body), 0, at), None)
            self._step()
            if end is None or end == at:
                break
            at, done = end, done + 1
        if done >= low:
            yield at


def _in_set(entry: Any, char: str) -> bool:
    op, value = entry
    if op is ops.RANGE:
        return bool(value[0] <= ord(char) <= value[1])
    if op is ops.CATEGORY:
        return _CATEGORIES[value](char)
    assert op is ops.LITERAL
    return bool(ord(char) == value)


def alphabet(pattern: re.Pattern[Any]) -> list[str]:
    """A character for each letter and set that the expression knows, and one for none."""
    source, flags = text_of(pattern)
    found: dict[str, None] = {}

    def walk(items: Any) -> None:
        for op, value in items:
            if op in (ops.LITERAL, ops.NOT_LITERAL):
                found[chr(value)] = None
            elif op is ops.IN:
                for entry, what in value:
                    if entry is ops.LITERAL:
                        found[chr(what)] = None
                    elif entry is ops.RANGE:
                        found[chr(what[0])] = None
            elif op is ops.BRANCH:
                for branch in value[1]:
                    walk(branch)
            elif op is ops.SUBPATTERN:
                walk(value[3])
            elif op in (ops.MAX_REPEAT, ops.POSSESSIVE_REPEAT):
                walk(value[2])
            elif op in (ops.ASSERT, ops.ASSERT_NOT):
                walk(value[1])
            elif op is ops.ATOMIC_GROUP:
                walk(value)

    walk(parser.parse(source, flags))
    return [*found, "~", " "]


def ways_in(pattern: re.Pattern[Any]) -> list[str]:
    """The beginnings of texts that the expression matches, one for each place within it."""
    source, flags = text_of(pattern)
    found: dict[str, None] = {"": None}

    def walk(items: Any, before: str) -> str:
        for op, value in items:
            if op is ops.LITERAL:
                before += chr(value)
                continue  # a fixed letter is no place of its own
            if op is ops.IN:
                before += _member(value)
            elif op in (ops.ANY, ops.NOT_LITERAL):
                before += "~"
            elif op is ops.BRANCH:
                ends = [walk(branch, before) for branch in value[1]]
                before = ends[0]
            elif op is ops.SUBPATTERN:
                before = walk(value[3], before)
            elif op in (ops.MAX_REPEAT, ops.POSSESSIVE_REPEAT):
                for _ in range(max(value[0], 1)):
                    before = walk(value[2], before)
            elif op is ops.ATOMIC_GROUP:
                before = walk(value, before)
            found[before] = None
        return before

    walk(parser.parse(source, flags), "")
    return list(found)


def _member(entries: Any) -> str:
    negated = entries[0][0] is ops.NEGATE
    for char in "~a0 A'\"\\\n-":
        if negated != any(_in_set(entry, char) for entry in entries[negated:]):
            return char
    op, value = entries[0]
    return chr(value[0] if op is ops.RANGE else value)

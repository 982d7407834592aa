"""POSIX extended regular expressions, as ``regcomp(3)`` of the C locale understands them.

Label templates are such expressions [config 4.1], and they come from users: Python's
``re`` reads some of them otherwise (lazy and possessive operators, ``\\d``, look-around) and may
need exponential time for others. This one walks all alternatives at once, so a search takes at most
about text times states steps, whatever the pattern; and it remembers where a set of alternatives
leads, so that most searches take one step a byte. Unlike glibc, a backslash before any character
only makes it ordinary: no back references, no ``\\w``.
"""

from __future__ import annotations

from protocols.records import Record

MAX_PATTERN = 4096
MAX_STATES = 20_000
_MAX_REPEAT = 32_767
_MAX_DEPTH = 100
_MAX_BUILT = 4 * MAX_STATES
"""Pieces looked at while the states are made; some make none."""
_MAX_REMEMBERED = 100_000
"""States in all the sets that one expression remembers."""

_NEWLINE = 10
_END = 256
"""The end of the text, where a byte would be."""

_ANY = frozenset(range(256)) - {_NEWLINE}  # newline-sensitive: neither "." nor "[^x]" takes it
_CLASSES = {
    "alnum": "0-9A-Za-z",
    "alpha": "A-Za-z",
    "blank": " \t",
    "cntrl": "\x00-\x1f\x7f",
    "digit": "0-9",
    "graph": "!-~",
    "lower": "a-z",
    "print": " -~",
    "punct": "!-/:-@[-`{-~",
    "space": " \t-\r",
    "upper": "A-Z",
    "xdigit": "0-9A-Fa-f",
}


class EreError(Exception):
    """Not a valid extended regular expression; the text says why."""

    taper_code = 1007


class _Set(Record):
    """One byte out of ``bytes``."""

    bytes: frozenset[int]


class _Anchor(Record):
    """Start (``^``) or end (``$``) of a line."""

    at_start: bool


class _Sequence(Record):
    items: tuple[_Node, ...]


class _Choice(Record):
    branches: tuple[_Node, ...]


class _Repeat(Record):
    """``low`` to ``high`` times; None is without end."""

    item: _Node
    low: int
    high: int | None


_Node = _Set | _Anchor | _Sequence | _Choice | _Repeat
_EMPTY = _Sequence(())


def _repeat(node: _Node, low: int, high: int | None) -> _Node:
    """``node`` with a ``*``, ``+`` or ``?`` behind it; of several in a row one is made."""
    if isinstance(node, _Repeat) and node.low <= 1 and node.high in (1, None):
        return _Repeat(node.item, node.low * low, 1 if node.high == high == 1 else None)
    return _Repeat(node, low, high)


class _Parser:
    """Recursive descent over the pattern's bytes."""

    def __init__(self, pattern: bytes) -> None:
        self.pattern = pattern
        self.at = 0
        self.depth = 0

    def peek(self) -> str:
        return chr(self.pattern[self.at]) if self.at < len(self.pattern) else ""

    def choice(self) -> _Node:
        branches = [self.sequence()]
        while self.peek() == "|":
            self.at += 1
            branch = self.sequence()
            if branch != _EMPTY or _EMPTY not in branches:
                branches.append(branch)
        return branches[0] if len(branches) == 1 else _Choice(tuple(branches))

    def sequence(self) -> _Node:
        items: list[_Node] = []
        while (char := self.peek()) and char != "|" and not (char == ")" and self.depth):
            items.append(self.repeated())
        return items[0] if len(items) == 1 else _Sequence(tuple(items))

    def repeated(self) -> _Node:
        node = self.atom()
        intervals = 0
        while (char := self.peek()) and char in "*+?{":
            if isinstance(node, _Anchor):
                raise EreError("Invalid preceding regular expression")
            self.at += 1
            if char == "{":
                intervals += 1
                if intervals + self.depth > _MAX_DEPTH:
                    raise EreError("Regular expression too big")
                node = _Repeat(node, *self.interval())
            else:
                node = _repeat(node, int(char == "+"), 1 if char == "?" else None)
        return node

    def interval(self) -> tuple[int, int | None]:
        end = self.pattern.find(b"}", self.at)
        if end < 0:
            raise EreError("Unmatched {")
        low, comma, high = self.pattern[self.at : end].decode("latin-1").partition(",")
        for number in (low, high):
            if number and not (number.isascii() and number.isdigit()):
                raise EreError("Invalid content of {}")
        if not (low or comma):
            raise EreError("Invalid content of {}")
        self.at = end + 1
        if len(low.lstrip("0")) > 5 or len(high.lstrip("0")) > 5:
            raise EreError("Regular expression too big")
        least = int(low or 0)
        most = (int(high) if high else None) if comma else least
        if most is not None and most < least:
            raise EreError("Invalid content of {}")
        if max(least, most or 0) > _MAX_REPEAT:
            raise EreError("Regular expression too big")
        return least, most

    def atom(self) -> _Node:
        char = self.peek()
        if char in "*+?{":
            raise EreError("Invalid preceding regular expression")
        self.at += 1
        if char == "(":
            return self.group()
        if char == "[":
            return _Set(self.bracket())
        if char == ".":
            return _Set(_ANY)
        if char in "^$":
            return _Anchor(char == "^")
        if char == "\\":
            char = self.peek()
            if not char:
                raise EreError("Trailing backslash")
            self.at += 1
        return _Set(frozenset((ord(char),)))

    def group(self) -> _Node:
        self.depth += 1
        if self.depth > _MAX_DEPTH:
            raise EreError("Regular expression too big")
        node = self.choice()
        if self.peek() != ")":
            raise EreError("Unmatched (")
        self.at += 1
        self.depth -= 1
        # A group is never a bare anchor: "(^)*" is legal where "^*" is not.
        return _Sequence((node,)) if isinstance(node, _Anchor) else node

    def bracket(self) -> frozenset[int]:
        negated = self.peek() == "^"
        self.at += negated
        members: set[int] = set()
        first = self.at
        while True:
            if self.at > first and self.peek() == "]":
                self.at += 1
                break
            low = self.element()
            if self.peek() == "-" and self.pattern[self.at + 1 : self.at + 2] != b"]":
                self.at += 1
                high = self.element()
                if len(low) != 1 or len(high) != 1 or high[0] < low[0]:
                    raise EreError("Invalid range end")
                if high == b"-" and self.peek() != "]":
                    raise EreError("Invalid range end")
                members.update(range(low[0], high[0] + 1))
            else:
                if low == b"-" and self.at - 1 > first and self.peek() != "]":
                    raise EreError("Invalid range end")
                members.update(low)
        return _ANY - members if negated else frozenset(members)

    def element(self) -> bytes:
        """One member of a bracket expression: a byte, or all bytes of a class."""
        char = self.peek()
        if not char:
            raise EreError("Unmatched [")
        self.at += 1
        kind = self.peek()
        if char != "[" or kind not in (":", "=", "."):
            return self.pattern[self.at - 1 : self.at]
        end = self.pattern.find(f"{kind}]".encode(), self.at + 1)
        if end < 0:
            raise EreError("Unmatched [")
        name = self.pattern[self.at + 1 : end].decode("latin-1")
        self.at = end + 2
        if kind == ":":
            if name not in _CLASSES:
                raise EreError("Invalid character class name")
            return _class_members(_CLASSES[name])
        if len(name) != 1:
            raise EreError("Invalid collation character")
        return name.encode("latin-1")


def _class_members(ranges: str) -> bytes:
    members = bytearray()
    at = 0
    while at < len(ranges):
        wide = ranges[at + 1 : at + 2] == "-"
        members.extend(range(ord(ranges[at]), ord(ranges[at + 2 if wide else at]) + 1))
        at += 3 if wide else 1
    return bytes(members)


class _Place:
    """A set of alternatives that a search has come to, and where it leads.

    :ivar follows: the next place for a byte; None: the expression has matched before it.
    """

    __slots__ = ("at_start", "follows", "reached", "states")

    def __init__(self, states: frozenset[int], at_start: bool) -> None:
        self.states = states
        self.at_start = at_start
        self.follows: dict[int, _Place | None] = {}
        self.reached: dict[bool, set[int]] = {}


class Ere:
    """A compiled expression. Raises :class:`EreError` for one that is not valid.

    :ivar steps: work done by all searches so far: bytes, and states looked at.
    """

    def __init__(self, pattern: str) -> None:
        data = pattern.encode("utf-8", "surrogateescape")
        if len(data) > MAX_PATTERN:
            raise EreError("Regular expression too big")
        parser = _Parser(data)
        tree = parser.choice()
        self.steps = 0
        self._built = 0
        # State n: (bytes, anchor, next states). Bytes None: no byte is taken.
        self._takes: list[frozenset[int] | None] = [None]
        self._anchors: list[_Anchor | None] = [None]
        self._next: list[tuple[int, ...]] = [()]
        self._start = self._build(tree, 0)
        self._places: dict[tuple[frozenset[int], bool], _Place] = {}
        self._remembered = 0

    @property
    def states(self) -> int:
        """How many states the expression has."""
        return len(self._next)

    def search(self, text: str) -> bool:
        """Does the expression match anywhere in ``text``?"""
        data = text.encode("utf-8", "surrogateescape")
        place = self._place(frozenset((self._start,)), True)
        for byte in (*data, _END):
            self.steps += 1
            try:
                following = place.follows[byte]
            except KeyError:
                following = place.follows[byte] = self._follow(place, byte)
            if following is None:
                return True
            place = following
        return False

    def _place(self, states: frozenset[int], at_start: bool) -> _Place:
        place = self._places.get((states, at_start))
        if place is None:
            self._remember(len(states))
            place = self._places[states, at_start] = _Place(states, at_start)
        return place

    def _remember(self, size: int) -> None:
        """Make room for a set of this size, at the cost of all that is known."""
        self._remembered += size
        if self._remembered > _MAX_REMEMBERED:
            self._places.clear()
            self._remembered = size

    def _follow(self, place: _Place, byte: int) -> _Place | None:
        at_end = byte in (_NEWLINE, _END)
        reached = place.reached.get(at_end)
        if reached is None:
            reached = place.reached[at_end] = self._closure(place.states, place.at_start, at_end)
            self._remember(len(reached))
        if 0 in reached:
            return None
        self.steps += len(reached)
        states = {self._start}
        for state in reached:
            takes = self._takes[state]
            if takes is not None and byte in takes:
                states.update(self._next[state])
        return self._place(frozenset(states), byte == _NEWLINE)

    def _closure(self, states: frozenset[int], at_start: bool, at_end: bool) -> set[int]:
        """All states reached without taking a byte; state 0 is success."""
        reached: set[int] = set()
        todo = list(states)
        while todo:
            self.steps += 1
            state = todo.pop()
            if state in reached:
                continue
            reached.add(state)
            anchor = self._anchors[state]
            if anchor is not None and not (at_start if anchor.at_start else at_end):
                continue
            if self._takes[state] is None:
                todo.extend(self._next[state])
        return reached

    def _state(
        self,
        after: tuple[int, ...],
        takes: frozenset[int] | None = None,
        anchor: _Anchor | None = None,
    ) -> int:
        if len(self._next) >= MAX_STATES:
            raise EreError("Regular expression too big")
        self._takes.append(takes)
        self._anchors.append(anchor)
        self._next.append(after)
        return len(self._next) - 1

    def _build(self, node: _Node, after: int) -> int:
        """The state from which ``node`` and then ``after`` match."""
        self._built += 1
        if self._built > _MAX_BUILT:
            raise EreError("Regular expression too big")
        if isinstance(node, _Set):
            return self._state((after,), takes=node.bytes)
        if isinstance(node, _Anchor):
            return self._state((after,), anchor=node)
        if isinstance(node, _Choice):
            branches = (self._build(branch, after) for branch in node.branches)
            return self._state(tuple(dict.fromkeys(branches)))
        if isinstance(node, _Sequence):
            for item in reversed(node.items):
                after = self._build(item, after)
            return after
        return self._build_repeat(node, after)

    def _build_repeat(self, node: _Repeat, after: int) -> int:
        if node.high is None:
            loop = self._state(())
            self._next[loop] = (self._build(node.item, loop), after)
            after = loop
        else:
            end = after
            for _ in range(node.high - node.low):
                after = self._state((self._build(node.item, after), end))
        for _ in range(node.low):
            before, after = after, self._build(node.item, after)
            if after == before:
                break  # an empty item: more of it changes nothing
        return after

"""What may stand at the end of a command line that is not finished."""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator, Mapping, Sequence

from attrs import field, frozen

from taper.usage.program import Program, Word

Known = Callable[[str, "Line"], Mapping[str, str]]
"""The names of a kind that there are, and what is told of each; an empty text: nothing."""

MOST = 2000
"""So many are offered; nobody reads more."""


class Paths(enum.Enum):
    """What the shell itself knows."""

    NONE = "words"
    FILES = "files"
    DIRECTORIES = "directories"


@frozen(kw_only=True)
class Offer:
    """What may stand there.

    :ivar values: each with what is told of it
    :ivar paths: of the file system, besides
    """

    values: Mapping[str, str] = field(factory=dict)
    paths: Paths = Paths.NONE


@frozen(kw_only=True)
class Line:
    """What stands before the word that is not finished.

    :ivar program: the program, or the command that was named
    :ivar values: of the arguments that have their places, in their order
    :ivar options: values that options have, by their names
    :ivar waiting: the option whose value comes next
    :ivar names_over: ``--`` was there: what comes is no option
    """

    program: Program
    values: tuple[str, ...]
    options: Mapping[str, Sequence[str]]
    waiting: Word | None = None
    names_over: bool = False

    @property
    def place(self) -> Word | None:
        """Whose value comes next; None: nobody's."""
        places = self.program.places
        if len(self.values) < len(places):
            return places[len(self.values)]
        return places[-1] if places and places[-1].repeat == "*" else None

    def value(self, kind: str) -> str | None:
        """What was named of this kind; None: nothing."""
        for word, value in zip(self.program.places, self.values, strict=False):
            if word.kind == kind:
                return value
        return None


def read(program: Program, words: Sequence[str]) -> Line:
    """Understand what stands before the word that is not finished.

    :param words: without the program's name
    """
    values: list[str] = []
    options: dict[str, list[str]] = {}
    rest = iter(words)
    over = False
    for word in rest:
        if over or not word.startswith("-") or word == "-":
            command = _named(program, word)
            if command is None:
                values.append(word)
            else:
                program, values, options = command, [], {}
        elif word == "--":
            over = True
        else:
            name, equals, value = word.partition("=")
            option = _option(program, name)
            seen = options.setdefault(name if option is None else option.names[0], [])
            if option is None or not option.metavar or equals:
                seen += [value] if equals else []
                continue
            following = next(rest, None)
            if following is None:
                return _line(program, values, options, option)
            seen.append(following)
    return Line(program=program, values=tuple(values), options=options, names_over=over)


def _line(
    program: Program, values: list[str], options: dict[str, list[str]], waiting: Word
) -> Line:
    return Line(program=program, values=tuple(values), options=options, waiting=waiting)


def _named(program: Program, word: str) -> Program | None:
    return next((each for each in program.commands if each.name == word), None)


def _option(program: Program, name: str) -> Word | None:
    """The option of this name, or of the only one that begins so."""
    meant = [word for word in program.options if any(each.startswith(name) for each in word.names)]
    exact = [word for word in meant if name in word.names]
    return exact[0] if exact else meant[0] if len(meant) == 1 else None


def complete(program: Program, words: Sequence[str], known: Known) -> Offer:
    """What may stand in the place of the last word, and begins as it does.

    :param words: without the program's name; the last one is not finished, and may be empty
    :param known: is asked for the names of a kind only if they are wanted
    """
    *before, last = words
    line = read(program, before)
    if line.waiting is not None:
        return _begin(_of(line.waiting, line, known), last)
    if last.startswith("-") and not line.names_over:
        name, equals, value = last.partition("=")
        option = _option(line.program, name) if equals else None
        if option is None or not option.metavar:
            return _begin(Offer(values=dict(_unused(line))), last)
        return _begin(_of(option, line, known), value, f"{name}=")
    if line.program.commands and not line.values:
        commands = {each.name: each.help for each in line.program.commands}
        place = Offer() if line.place is None else _of(line.place, line, known)
        return _begin(Offer(values={**place.values, **commands}, paths=place.paths), last)
    return Offer() if line.place is None else _begin(_of(line.place, line, known), last)


def _of(word: Word, line: Line, known: Known) -> Offer:
    if word.choices:
        return Offer(values=dict.fromkeys(word.choices, ""))
    if word.kind == "file":
        return Offer(paths=Paths.FILES)
    if word.kind == "directory":
        return Offer(paths=Paths.DIRECTORIES)
    return Offer(values=known(word.kind, line) if word.kind else {})


def _unused(line: Line) -> Iterator[tuple[str, str]]:
    """The options that may still be given, by their longest names."""
    for option in line.program.options:
        if option.repeat == "append" or option.names[0] not in line.options:
            yield max(option.names, key=len), option.help


def _begin(offer: Offer, start: str, prefix: str = "") -> Offer:
    found = {
        f"{prefix}{value}": told
        for value, told in offer.values.items()
        if value.startswith(start) and value.isprintable()
    }
    return Offer(values=dict(list(found.items())[:MOST]), paths=offer.paths)

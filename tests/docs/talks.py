"""Who talks to whom, as a picture.

A source has a ``title:``, a ``desc:`` for those who cannot see the picture, the hosts with their
programs, and what these say to one another, in its order::

    host: Client host
      application: what is shown of it
    application -> dumper: something that is said
    application => mover: data

What is indented goes on with the line above it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from attrs import define, field, frozen

from tests.bench.figures import OURS
from tests.bench.svg import Drawing

_COLUMN = 132
_LEFT = 16
_TOP = 44
_BAND = 26
_ROW = 34
_CHARACTER = 6.4
"""Pixels of a character, about; what is written must have room."""
_ARROW = re.compile(r"(?P<one>\w+) (?P<kind>[-=])> (?P<other>\w+): (?P<text>.+)")


@frozen
class Arrow:
    """Something that goes from one program to another.

    :ivar data: it is the data of a dump, else words.
    """

    one: str
    other: str
    text: str
    data: bool


@frozen
class Host:
    """A machine, and the programs on it, by the names that arrows have for them."""

    title: str
    programs: dict[str, str] = field(factory=dict)


@define
class Talk:
    """What a source says."""

    title: str = ""
    description: str = ""
    hosts: list[Host] = field(factory=list)
    arrows: list[Arrow] = field(factory=list)

    @property
    def columns(self) -> list[str]:
        """The programs, from left to right."""
        return [name for host in self.hosts for name in host.programs]


def parse(text: str) -> Talk:
    """Read a source.

    :raise ValueError: it has a line that makes no sense, or something is missing
    """
    talk = Talk()
    for number, line in _lines(text):
        try:
            _take(talk, line)
        except ValueError as fault:
            raise ValueError(f"line {number}: {fault}") from None
    if not (talk.title and talk.description and talk.arrows):
        raise ValueError("a title, a desc and something that is said are expected")
    return talk


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """Each line that is not empty, with its number; a desc with all of its lines."""
    waiting = ""
    at = 0
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith("  ") and waiting.startswith("desc:"):
            waiting += f" {line.strip()}"
            continue
        if waiting:
            yield at, waiting
        at, waiting = number, line.rstrip()
    if waiting:
        yield at, waiting


def _take(talk: Talk, line: str) -> None:
    key, _, value = (part.strip() for part in line.partition(":"))
    arrow = _ARROW.fullmatch(line)
    if arrow is not None:
        for name in (arrow["one"], arrow["other"]):
            if name not in talk.columns:
                raise ValueError(f"there is no program {name}")
        talk.arrows.append(Arrow(arrow["one"], arrow["other"], arrow["text"], arrow["kind"] == "="))
    elif not value:
        raise ValueError(f"'{line}': NAME: TEXT or ONE -> OTHER: TEXT expected")
    elif line.startswith("  "):
        if not talk.hosts or key in talk.columns:
            raise ValueError(f"'{key}' is a program of no host, or of two")
        talk.hosts[-1].programs[key] = value
    elif key == "title":
        talk.title = value
    elif key == "desc":
        talk.description = value
    elif key == "host":
        talk.hosts.append(Host(value))
    else:
        raise ValueError(f"'{key}': title, desc or host expected")


def draw(talk: Talk) -> str:
    """The SVG.

    :raise ValueError: a text has no room
    """
    columns = talk.columns
    centre = {name: _LEFT + _COLUMN * (at + 0.5) for at, name in enumerate(columns)}
    width = 2 * _LEFT + _COLUMN * len(columns)
    below = _TOP + 2 * _BAND + 8
    bottom = below + _ROW * len(talk.arrows) + 8
    drawing = Drawing(width, bottom + 8, talk.title, talk.description)
    left: float = _LEFT
    for host in talk.hosts:
        right = left + _COLUMN * len(host.programs)
        drawing.rect(left + 3, _TOP, right - left - 6, _BAND, "grid")
        drawing.text((left + right) / 2, _TOP + 17, host.title, "head", at="middle")
        left = right
    for host in talk.hosts:
        for name, title in host.programs.items():
            drawing.text(centre[name], _TOP + _BAND + 20, title, at="middle")
            drawing.line(centre[name], below, centre[name], bottom, "grid", 2)
    for row, arrow in enumerate(talk.arrows):
        y = below + _ROW * (row + 1) - 8
        colour = OURS if arrow.data else "soft"
        one, other = centre[arrow.one], centre[arrow.other]
        drawing.arrow(one, other, y, colour, 4 if arrow.data else 1.5)
        half = len(arrow.text) * _CHARACTER / 2
        middle = (one + other) / 2
        if not half <= middle <= width - half:
            raise ValueError(f"there is no room for '{arrow.text}'")
        drawing.rect(middle - half, y - 20, 2 * half, 15, "back")  # the lines do not cross it
        drawing.text(middle, y - 7, arrow.text, "", OURS if arrow.data else "ink", "middle")
    return drawing.finish()

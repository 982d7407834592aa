"""Who talks to whom, as pictures: each ``docs/directtcp/NAME.svg`` is made from ``NAME.txt``.

A source has a ``title:``, a ``desc:`` for those who cannot see the picture, the hosts with their
programs, and what these say to one another, in its order::

    host: Client host
      application: what is shown of it
    application -> dumper: something that is said
    application => mover: data

What is indented goes on with the line above it. ``python -m tests.docs.pictures --write`` makes the
pictures; without ``--write`` the exit status is 1 if one is not as its source gives it.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from attrs import define, field, frozen

from tests.bench.figures import OURS
from tests.bench.svg import Drawing
from tests.docs.markdown import ROOT

FOLDER = ROOT / "docs" / "directtcp"

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
class Picture:
    """What a source says."""

    title: str = ""
    description: str = ""
    hosts: list[Host] = field(factory=list)
    arrows: list[Arrow] = field(factory=list)

    @property
    def columns(self) -> list[str]:
        """The programs, from left to right."""
        return [name for host in self.hosts for name in host.programs]


def parse(text: str) -> Picture:
    """Read a source.

    :raise ValueError: it has a line that makes no sense, or something is missing
    """
    picture = Picture()
    for number, line in _lines(text):
        try:
            _take(picture, line)
        except ValueError as fault:
            raise ValueError(f"line {number}: {fault}") from None
    if not (picture.title and picture.description and picture.arrows):
        raise ValueError("a title, a desc and something that is said are expected")
    return picture


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


def _take(picture: Picture, line: str) -> None:
    key, _, value = (part.strip() for part in line.partition(":"))
    arrow = _ARROW.fullmatch(line)
    if arrow is not None:
        for name in (arrow["one"], arrow["other"]):
            if name not in picture.columns:
                raise ValueError(f"there is no program {name}")
        picture.arrows.append(
            Arrow(arrow["one"], arrow["other"], arrow["text"], arrow["kind"] == "=")
        )
    elif not value:
        raise ValueError(f"'{line}': NAME: TEXT or ONE -> OTHER: TEXT expected")
    elif line.startswith("  "):
        if not picture.hosts or key in picture.columns:
            raise ValueError(f"'{key}' is a program of no host, or of two")
        picture.hosts[-1].programs[key] = value
    elif key == "title":
        picture.title = value
    elif key == "desc":
        picture.description = value
    elif key == "host":
        picture.hosts.append(Host(value))
    else:
        raise ValueError(f"'{key}': title, desc or host expected")


def draw(picture: Picture) -> str:
    """The SVG.

    :raise ValueError: a text has no room
    """
    columns = picture.columns
    centre = {name: _LEFT + _COLUMN * (at + 0.5) for at, name in enumerate(columns)}
    width = 2 * _LEFT + _COLUMN * len(columns)
    below = _TOP + 2 * _BAND + 8
    bottom = below + _ROW * len(picture.arrows) + 8
    drawing = Drawing(width, bottom + 8, picture.title, picture.description)
    left: float = _LEFT
    for host in picture.hosts:
        right = left + _COLUMN * len(host.programs)
        drawing.rect(left + 3, _TOP, right - left - 6, _BAND, "grid")
        drawing.text((left + right) / 2, _TOP + 17, host.title, "head", at="middle")
        left = right
    for host in picture.hosts:
        for name, title in host.programs.items():
            drawing.text(centre[name], _TOP + _BAND + 20, title, at="middle")
            drawing.line(centre[name], below, centre[name], bottom, "grid", 2)
    for row, arrow in enumerate(picture.arrows):
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


def sources() -> list[Path]:
    """All there are."""
    return sorted(FOLDER.glob("*.txt"))


def main(arguments: Sequence[str]) -> int:
    """Compare or write. :return: the exit status"""
    status = 0
    for source in sources():
        wanted = draw(parse(source.read_text()))
        place = source.with_suffix(".svg")
        if "--write" in arguments:
            place.write_text(wanted)
        elif not place.exists() or place.read_text() != wanted:
            print(f"{place.name} is not as {source.name} gives it;")
            print("python -m tests.docs.pictures --write")
            status = 1
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""The pictures of the documents, ``docs/pictures/NAME.svg``, each made from a text.

``NAME.txt`` tells who talks to whom (:mod:`tests.docs.talks`), ``NAME.dot`` what leads to what
(:mod:`tests.docs.graphs`); pictures of states have none but the machine (:mod:`tests.docs.states`).
``python -m tests.docs.pictures --write`` draws those that are not as their sources are, for which
graphs need Debian's ``graphviz``; without ``--write`` the exit status is 1 if there is one.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

from attrs import frozen

from tests.docs import graphs, talks
from tests.docs.markdown import ROOT
from tests.docs.states import MACHINES

FOLDER = ROOT / "docs" / "pictures"


@frozen
class Picture:
    """A picture, and what it is made from.

    :ivar name: without folder and ending.
    """

    name: str
    source: str
    draw: Callable[[str], str]
    agrees: Callable[[str, str], bool]


def _as_drawn(text: str, source: str) -> bool:
    return text == _draw_talk(source)


def _draw_talk(source: str) -> str:
    return talks.draw(talks.parse(source))


def pictures() -> list[Picture]:
    """All there are to be."""
    return [
        *(
            Picture(path.stem, path.read_text(), _draw_talk, _as_drawn)
            for path in sorted(FOLDER.glob("*.txt"))
        ),
        *(
            Picture(path.stem, path.read_text(), graphs.draw, graphs.agrees)
            for path in sorted(FOLDER.glob("*.dot"))
        ),
        *(
            Picture(machine.picture, machine.graph(), graphs.draw, graphs.agrees)
            for machine in MACHINES
        ),
    ]


def main(arguments: Sequence[str]) -> int:
    """Compare or write. :return: the exit status"""
    status = 0
    for picture in pictures():
        place = FOLDER / f"{picture.name}.svg"
        if place.exists() and picture.agrees(place.read_text(), picture.source):
            continue
        if "--write" in arguments:
            place.write_text(picture.draw(picture.source))
        else:
            print(f"docs/pictures/{place.name} is not as its source gives it;")
            print("python -m tests.docs.pictures --write")
            status = 1
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

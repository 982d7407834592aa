"""What our documents are made of: headings, anchors, links and fenced blocks."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from attrs import frozen

ROOT = Path(__file__).parents[2]

_FENCE = re.compile(r"^(?P<indent> {0,3})(?P<mark>`{3,}|~{3,})(?P<info>.*)$")
_HEADING = re.compile(r"^#{1,6} +(?P<text>.*?)(?: +#+)?$")
_ANCHOR = re.compile(r'<a id="(?P<id>[^"]+)"></a>')
_CODE = re.compile(r"(`+)(?!`).*?(?<!`)\1(?!`)")
_LINK = re.compile(r"(?<!!)\[(?:[^\[\]]|\[[^\[\]]*\])*\]\((?P<target>[^()\s]+)\)")
_IMAGE = re.compile(r"!\[(?P<told>[^\[\]]*)\]\((?P<target>[^()\s]+)\)")


@frozen
class Block:
    """A fenced block of a document.

    :ivar line: where it begins, counted from 1
    :ivar language: the first word behind the fence
    :ivar mark: what stands behind that word
    """

    document: str
    line: int
    language: str
    mark: str
    text: str


def documents() -> list[Path]:
    """The README and everything below docs."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def name_of(document: Path) -> str:
    """A document as the tests call it: its path from the top of the tree."""
    return str(document.relative_to(ROOT))


def blocks(name: str, text: str) -> list[Block]:
    """The fenced blocks of a document. :raise ValueError: one of them never ends"""
    return [part for part in _parts(name, text) if isinstance(part, Block)]


def prose(text: str) -> Iterator[tuple[int, str]]:
    """The lines that are in no fenced block, with their numbers."""
    for part in _parts("", text):
        if not isinstance(part, Block):
            yield part


def _parts(name: str, text: str) -> Iterator[Block | tuple[int, str]]:
    lines = iter(enumerate(text.splitlines(), start=1))
    for number, line in lines:
        fence = _FENCE.match(line)
        if fence is None:
            yield number, line
            continue
        inside: list[str] = []
        for _, following in lines:
            line = following.removeprefix(fence["indent"])
            if line.rstrip() == fence["mark"]:
                break
            inside.append(line)
        else:
            raise ValueError(f"{name}:{number}: a fenced block that never ends")
        language, _, mark = fence["info"].strip().partition(" ")
        yield Block(name, number, language, mark, "".join(f"{kept}\n" for kept in inside))


def anchors(text: str) -> list[str]:
    """All that a link into a document may name: anchors of ours, and those of headings."""
    found: list[str] = []
    slugs: dict[str, int] = {}
    for _, line in prose(text):
        found += _ANCHOR.findall(line)
        heading = _HEADING.match(line)
        if heading is not None:
            name = slug(_ANCHOR.sub("", heading["text"]))
            seen = slugs.get(name, 0)
            slugs[name] = seen + 1
            found.append(f"{name}-{seen}" if seen else name)
    return found


def slug(heading: str, blank: str = "-") -> str:
    """The anchor that a heading gets by itself, as GitHub makes it.

    :param blank: what becomes of one
    """
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading.strip()).lower()
    return re.sub(r"[^\w\- ]", "", text).replace(" ", blank)


def links(text: str) -> Iterator[tuple[int, str]]:
    """The targets of the links in a document, with the numbers of their lines."""
    for number, line in prose(text):
        for link in _LINK.finditer(_CODE.sub("", line)):
            yield number, link["target"]


def images(text: str) -> Iterator[tuple[int, str, str]]:
    """The images in a document: line, what is told of each, and where it is."""
    for number, line in prose(text):
        for image in _IMAGE.finditer(_CODE.sub("", line)):
            yield number, image["told"], image["target"]

"""What leads to what, as a picture: Graphviz says where all is, the colours are ours.

A source is a graph in the language of ``dot``. Its ``label`` is the title, its ``comment`` is for
those who cannot see the picture, and an edge of the class ``data`` has the colour of data.
"""

from __future__ import annotations

import hashlib
import re
import subprocess
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from xml.sax.saxutils import escape, quoteattr

from tests.bench.figures import OURS
from tests.bench.svg import STYLE

_SVG = "{http://www.w3.org/2000/svg}"
_SEAL = re.compile(r' data-seal="(\w*)"')
_MARGIN = 8
_DEFAULTS = (  # letters a little larger than ours are, as nobody knows which font will be there
    "-Gfontname=Helvetica",
    "-Gfontsize=16",
    "-Glabelloc=t",
    "-Glabeljust=l",
    "-Gbgcolor=transparent",
    "-Nfontname=Helvetica",
    "-Nfontsize=13.5",
    "-Nshape=box",
    "-Nstyle=rounded",
    "-Nheight=0.4",
    "-Efontname=Helvetica",
    "-Efontsize=13.5",
    "-Earrowsize=0.7",
)
_KEPT = {
    "path": ("d", "stroke-width", "stroke-dasharray"),
    "polygon": ("points", "stroke-width"),
    "polyline": ("points", "stroke-width"),
    "ellipse": ("cx", "cy", "rx", "ry"),
    "text": ("x", "y", "text-anchor"),
}
"""What is taken of Graphviz' elements; fonts and colours are not."""


def draw(source: str) -> str:
    """The SVG, with a seal of the source.

    :raise OSError: there is no Graphviz
    :raise ValueError: it does not understand the source
    """
    done = subprocess.run(
        ["dot", "-Tsvg", *_DEFAULTS], input=source, capture_output=True, text=True
    )
    if done.returncode or done.stderr:
        raise ValueError(done.stderr.strip())
    return _sealed(_in_our_colours(ET.fromstring(done.stdout), _comment(source)), source)


def agrees(text: str, source: str) -> bool:
    """Whether a picture was drawn from this source, as all pictures look now, and left alone since.

    It asks no Graphviz, whose releases draw the same graph otherwise.
    """
    return f"<style>{STYLE}</style>" in text and _sealed(text, source) == text


def _sealed(text: str, source: str) -> str:
    bare = _SEAL.sub("", text)
    seal = hashlib.sha256(f"{source}\0{bare}".encode()).hexdigest()
    return bare.replace("<svg ", f'<svg data-seal="{seal}" ', 1)


def _comment(source: str) -> str:
    found = re.search(r'^ *comment="([^"]+)"', source, re.MULTILINE)
    if found is None:
        raise ValueError("a comment is expected, for those who cannot see the picture")
    return " ".join(found[1].replace("\\\n", "").split())


def _in_our_colours(root: ET.Element, description: str) -> str:
    graph = root.find(f"{_SVG}g")
    if graph is None or graph.find(f"{_SVG}text") is None:
        raise ValueError("a label is expected, the title of the picture")
    title = str(graph.findtext(f"{_SVG}text"))
    _, _, width, height = map(float, str(root.get("viewBox")).split())
    width, height = round(width) + 2 * _MARGIN, round(height) + 2 * _MARGIN
    place = re.search(r"translate\([^)]*\)", str(graph.get("transform")))
    assert place is not None
    size = f'width="{width}" height="{height}" viewBox="0 0 {width} {height}"'
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img"'
            ' aria-labelledby="title" aria-describedby="desc">',
            f'<title id="title">{escape(title)}</title>',
            f'<desc id="desc">{escape(description)}</desc>',
            f"<style>{STYLE}</style>",
            f'<rect x="0" y="0" width="{width}" height="{height}" class="f-back"/>',
            f'<g transform="translate({_MARGIN} {_MARGIN}) {place[0]}">',
            *_elements(graph),
            "</g>",
            "</svg>\n",
        ]
    )


def _elements(graph: ET.Element) -> Iterator[str]:
    for element in graph:
        if element.tag == f"{_SVG}text":
            yield _element(element, "title f-ink")
        elif element.tag == f"{_SVG}g":
            whole = str(element.get("class")).split()
            for part in element.iter():
                colours = _colours(part.tag.removeprefix(_SVG), whole)
                if colours:
                    yield _element(part, colours)


def _colours(kind: str, whole: list[str]) -> str:
    """The classes of a part of a node or edge; empty for what is not shown."""
    line = OURS if "data" in whole else "soft"
    if kind == "text":
        return f"f-{OURS if 'data' in whole else 'ink'}"
    if kind not in _KEPT:
        return ""
    if "edge" in whole:
        return f"f-{line} s-{line}" if kind == "polygon" else f"s-{line}"
    return "f-ink" if kind == "ellipse" else "f-back s-soft"


def _element(element: ET.Element, colours: str) -> str:
    kind = element.tag.removeprefix(_SVG)
    kept = " ".join(
        f"{name}={quoteattr(value)}"
        for name in _KEPT[kind]
        if (value := element.get(name)) is not None
    )
    filled = "" if "f-" in colours else ' fill="none"'
    return f'<{kind} {kept} class="{colours}"{filled}>{escape(element.text or "").strip()}</{kind}>'

"""A drawing as SVG: readable on light and on dark pages, and without any library."""

from __future__ import annotations

from collections.abc import Sequence
from xml.sax.saxutils import escape, quoteattr

from tests.bench.figures import LIMIT, LOOP, OURS, STOCK

Colours = dict[str, str]

LIGHT: Colours = {
    "back": "#ffffff",
    "ink": "#1f2328",
    "soft": "#59636e",
    "grid": "#d9dee3",
    OURS: "#0b63c4",
    STOCK: "#d9730d",
    LIMIT: "#7a828b",
    LOOP: "#2d8a4e",
}
DARK: Colours = {
    "back": "#0f141a",
    "ink": "#e6edf3",
    "soft": "#9aa5b1",
    "grid": "#2c343d",
    OURS: "#58a6ff",
    STOCK: "#f0a04b",
    LIMIT: "#8d97a3",
    LOOP: "#56d364",
}
FONT = "system-ui, -apple-system, 'Segoe UI', Helvetica, Arial, sans-serif"


def _rules(colours: Colours) -> str:
    """Classes: ``f-NAME`` is filled with a colour, ``s-NAME`` is drawn with it."""
    return "".join(
        f".f-{name}{{fill:{colour}}}.s-{name}{{stroke:{colour}}}"
        for name, colour in colours.items()
    )


STYLE = (
    f"text{{font-family:{FONT};font-size:12px}}.title{{font-size:16px;font-weight:600}}"
    ".head{font-size:13px;font-weight:600}.small{font-size:11px}"
    f"line,polyline{{fill:none}}{_rules(LIGHT)}"
    f"@media (prefers-color-scheme:dark){{{_rules(DARK)}}}"
)


def number(value: float) -> str:
    """A coordinate, as short as can be."""
    return f"{value:.1f}".removesuffix(".0")


class Drawing:
    """Things drawn so far, on a background of its own.

    Colours are named as in :data:`LIGHT`; places are in pixels from the upper left corner.
    """

    def __init__(self, width: float, height: float, title: str, description: str = "") -> None:
        """:param description: what can be seen, for those who cannot see it"""
        self.width = width
        self.height = height
        self._title = title
        self._description = description
        self._things: list[str] = []
        self.rect(0, 0, width, height, "back")
        self.text(16, 26, title, "title")

    def text(
        self, x: float, y: float, text: str, kind: str = "", colour: str = "ink", at: str = "start"
    ) -> None:
        """:param kind: ``title``, ``head``, ``small`` or nothing
        :param at: what of the text is at the place: ``start``, ``middle`` or ``end``
        """
        self._things.append(
            f'<text x="{number(x)}" y="{number(y)}" class="{kind} f-{colour}" '
            f'text-anchor="{at}">{escape(text)}</text>'
        )

    def rect(
        self, x: float, y: float, width: float, height: float, colour: str, said: str = ""
    ) -> None:
        """:param said: shown when the pointer rests there"""
        place = f'x="{number(x)}" y="{number(y)}"'
        size = f'width="{number(width)}" height="{number(height)}"'
        self._things.append(f'<rect {place} {size} class="f-{colour}">{_said(said)}</rect>')

    def line(
        self, x1: float, y1: float, x2: float, y2: float, colour: str, width: float = 1
    ) -> None:
        ends = " ".join(
            f'{name}="{number(value)}"'
            for name, value in zip(("x1", "y1", "x2", "y2"), (x1, y1, x2, y2), strict=True)
        )
        self._things.append(f'<line {ends} class="s-{colour}" stroke-width="{number(width)}"/>')

    def lines(self, points: Sequence[tuple[float, float]], colour: str) -> None:
        """From point to point."""
        places = " ".join(f"{number(x)},{number(y)}" for x, y in points)
        self._things.append(f'<polyline points="{places}" class="s-{colour}" stroke-width="2"/>')

    def arrow(self, x1: float, x2: float, y: float, colour: str, width: float = 1) -> None:
        """A level arrow."""
        back = 7 if x2 < x1 else -7
        self.line(x1, y, x2, y, colour, width)
        self.lines([(x2 + back, y - 4), (x2, y), (x2 + back, y + 4)], colour)

    def dot(self, x: float, y: float, colour: str, said: str = "") -> None:
        self._things.append(
            f'<circle cx="{number(x)}" cy="{number(y)}" r="3.5" class="f-{colour}">'
            f"{_said(said)}</circle>"
        )

    def finish(self) -> str:
        """The whole file."""
        size = f'width="{number(self.width)}" height="{number(self.height)}"'
        box = f'viewBox="0 0 {number(self.width)} {number(self.height)}"'
        told, named = [], f"aria-label={quoteattr(self._title)}"
        if self._description:
            told = [
                f'<title id="title">{escape(self._title)}</title>',
                f'<desc id="desc">{escape(self._description)}</desc>',
            ]
            named = 'aria-labelledby="title" aria-describedby="desc"'
        return "\n".join(
            [
                f'<svg xmlns="http://www.w3.org/2000/svg" {size} {box} role="img" {named}>',
                *told,
                f"<style>{STYLE}</style>",
                *self._things,
                "</svg>\n",
            ]
        )


def _said(text: str) -> str:
    return f"<title>{escape(text)}</title>" if text else ""

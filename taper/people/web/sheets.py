"""The templates. Whatever they show is made harmless here, in one place: it is printable, and it is
escaped."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import jinja2
import markupsafe
from markupsafe import Markup

from taper.people.telling import count, moment, printable, size
from taper.people.web.asked import address
from taper.people.web.charts import clock

if TYPE_CHECKING:
    from taper.people.web.asked import Asked

MOST_LETTERS = 1000
"""Of one text on a page."""


def shown(value: Any) -> Any:
    """What stands on a page for a value: texts in letters that can be printed, and no more of them
    than anybody reads."""
    if value is None:
        return ""
    if isinstance(value, Markup) or not isinstance(value, str):
        return value
    text = printable(value)
    return text if len(text) <= MOST_LETTERS else f"{text[:MOST_LETTERS]}..."


def checksum(crc: Any) -> str:
    """Of a dump, as the trace log has it; not known: nothing."""
    return str(crc) if crc.known else ""


def whole(text: str) -> Markup:
    """What would be wrong if it were cut, as an address or a command."""
    return markupsafe.escape(printable(text))


@functools.cache
def _templates() -> jinja2.Environment:
    templates = jinja2.Environment(
        loader=jinja2.PackageLoader("taper.people.web"),
        autoescape=True,
        finalize=shown,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters.update(size=size, moment=moment, checksum=checksum, clock=clock, whole=whole)
    templates.globals.update(address=address, count=count)
    return templates


def prepare() -> None:
    """Compile all templates, so that nobody waits for it later."""
    for name in _templates().list_templates():
        _templates().get_template(name)


def sheet(name: str, **values: Any) -> str:
    """A page."""
    return _templates().get_template(f"{name}.html").render(name=name, **values)


def ask(asked: Asked, name: str) -> str:
    """A word that was asked for; "": none."""
    return asked.text(name) or ""


def of_volume(volume: Mapping[str, Any]) -> tuple[str, str]:
    """Why a volume is kept, as a class of the style sheet and in words."""
    if volume["written"] is None:
        return "new", "never written"
    if volume["overwritable"]:
        return "free", "may be written over"
    if not volume["reuse"]:
        return "locked", volume["reason"] or "no-reuse"
    return "kept", volume["reason"] or "kept"

"""What docs/status.md says of the lines of the status socket, to compare lines with."""

from __future__ import annotations

import math
import re
from typing import Any

from protocols.status import MOST_TEXT
from tests.docs.markdown import ROOT

PAGE = (ROOT / "docs" / "status.md").read_text()

_SECTION = re.compile(r"^#{2,3} (.+?)(?: <a id=.*)?$", re.MULTILINE)
_LINK = re.compile(r"\[([a-z ]+)\]\(#[a-z-]+\)")


def _sections() -> dict[str, list[list[str]]]:
    """The rows of the tables, by the heads of their sections."""
    pieces = _SECTION.split(PAGE)
    found = {}
    for name, text in zip(pieces[1::2], pieces[2::2], strict=True):
        lines = [line for line in text.splitlines() if line.startswith("| ")]
        rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
        found[name] = [
            row for row in rows if row[0] not in ("key", "event", "type", "state", "for")
        ]
    return found


SECTIONS = _sections()
OBJECTS: dict[str, dict[str, str]] = {
    name: {key.strip("`"): kind for key, kind, *_ in rows}
    for name, rows in SECTIONS.items()
    if rows and all(len(row) == 3 for row in rows)
}
STATES = {row[0].strip("`") for row in SECTIONS["states"]}
WAITS = {row[0].strip("`") for row in SECTIONS["waits"]}
READING_WAITS = {row[0].strip("`") for row in SECTIONS["reading waits"]}
DRIVE_STATES = {row[0].strip("`") for row in SECTIONS["drive states"]}


def _events() -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    event = ""
    for row in SECTIONS["Events"]:
        event = row[0].strip("`") or event
        keys = found.setdefault(event, {"event": "text", "at": "moment"})
        if row[1]:
            keys[row[1].strip("`")] = row[2]
    return found


EVENTS = _events()


def check_line(message: dict[str, Any]) -> None:
    """:raise AssertionError: it is not as documented"""
    if "taper" in message:
        assert message["taper"] == 1
        if "refused" in message:
            _check("text", message["refused"], "refused")
            assert set(message) == {"taper", "refused"}
            return
        assert set(message) == {"taper", "snapshot"}
        _check_object(OBJECTS["snapshot"], message["snapshot"], "snapshot")
        return
    _check_object(EVENTS[message["event"]], message, message["event"])


def _check_object(keys: dict[str, str], found: Any, where: str) -> None:
    assert isinstance(found, dict), where
    assert set(found) == set(keys), where
    for key, kind in keys.items():
        _check(kind, found[key], f"{where}.{key}")
    if where.endswith(".worker"):
        assert found["state"] in STATES, where
    if where.endswith(".wait"):
        reads = where.endswith("reading.wait")
        assert found["for"] in (READING_WAITS if reads else WAITS), where
    if where.endswith(".drive"):
        assert found["state"] in DRIVE_STATES, where


def _check(kind: str, found: Any, where: str) -> None:
    bare = kind.removesuffix(" or null")
    if found is None:
        assert bare != kind, f"{where} is null"
        return
    link = _LINK.search(bare)
    if link is None:
        _CHECKS[bare](found, where)
    elif bare.startswith("by name, "):
        for name, one in found.items():
            assert isinstance(name, str)
            _check_object(OBJECTS[link[1]], one, f"{where}.{link[1]}")
    elif bare.startswith("list of "):
        for one in found:
            _check_object(OBJECTS[link[1]], one, where)
    else:
        _check_object(OBJECTS[link[1]], found, where)


def _text(found: Any, where: str) -> None:
    assert isinstance(found, str), where
    assert len(found) <= MOST_TEXT, where


def _number(found: Any, where: str) -> None:
    assert type(found) is int, where
    assert found >= 0, where


def _seconds(found: Any, where: str) -> None:
    assert type(found) in (int, float), where
    assert found >= 0, where
    assert math.isclose(round(found, 3), found), where


def _share(found: Any, where: str) -> None:
    assert type(found) is float, where
    assert 0 <= found <= 1, where


def _truth(found: Any, where: str) -> None:
    assert type(found) is bool, where


_CHECKS = {
    "text": _text,
    "number": _number,
    "seconds": _seconds,
    "moment": _seconds,
    "share": _share,
    "true or false": _truth,
}

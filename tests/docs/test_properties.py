"""The tables of our own properties in docs/administrator.md are those of the code."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import attrs

from devices.properties import KNOWN_NAMES
from devices.registry import open_blocking_device
from protocols.application import Properties
from taper.flow.port import HEADER_SILENCE, header_silence
from tests.docs.markdown import ROOT

FACTS = ROOT / "docs" / "facts"
READERS = frozenset(
    {
        "text",
        "values",
        "boolean",
        "integer",
        "get",
        "seconds",
        "_seconds",
        "_only",
        "_boolean",
        "flag",
    }
)
"""Functions whose first or second argument may name a property of a section."""


def tables() -> list[dict[str, list[str]]]:
    """The tables of the chapter: name as in the code to the other cells."""
    text = (ROOT / "docs" / "administrator.md").read_text()
    chapter = text.partition('<a id="properties"></a>')[2].partition("\n## ")[0]
    found: list[dict[str, list[str]]] = []
    for line in chapter.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("| property "):
            found.append({})
        elif name := re.fullmatch(r"`([A-Za-z-]+)`", cells[0]):
            found[-1][name[1].lower()] = cells[1:]
    return found


def usual(cell: str) -> str:
    """A default as the table has it, ``none`` and what it then means apart."""
    return "none" if cell.startswith("none") else cell.strip("`")


def properties_read(package: str) -> Iterator[tuple[str, Path]]:
    """Names of properties that the programs of a package ask a configuration for."""
    for path in (ROOT / package).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call):
                continue
            function = node.func
            called = function.attr if isinstance(function, ast.Attribute) else ""
            called = function.id if isinstance(function, ast.Name) else called
            of_section = ast.unparse(function).endswith(("property.get", "properties.get"))
            if called not in READERS or (called == "get" and not of_section):
                continue
            for argument in node.args[:2]:
                if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                    yield argument.value.lower(), path


def facts(document: str, first: str = "", last: str = "") -> str:
    """What a document tells, or its part from one anchor to another."""
    text = (FACTS / f"{document}.md").read_text()
    if not first:
        return text
    _, anchor, rest = text.partition(f'<a id="{first}"></a>')
    part, end, _ = rest.partition(f'<a id="{last}"></a>')
    assert anchor, f"{document}.md has no {first}"
    assert end, f"{document}.md has no {last}"
    return part


def amandas(name: str, *told: str) -> bool:
    """Whether Amanda has a property of this name."""
    pattern = re.compile(rf"(?<![\w-]){re.sub('[-_]', '[-_]', name)}(?![\w-])", re.I)
    return any(pattern.search(text) for text in told)


def test_properties_of_devices() -> None:
    """Those that Amanda's devices do not have are in the table."""
    listed = tables()[0]
    told = facts("volumes", "3", "4"), facts("volumes", "5.6", "5.7"), facts("ndmp", "3.11", "3.12")
    ours = {name.replace("_", "-") for name in KNOWN_NAMES if not amandas(name, *told)}
    assert ours == {name for name, cells in listed.items() if "device" in cells[0]}


def test_properties_of_sections() -> None:
    """Global ones, those of changers and of interactivities."""
    listed = tables()[0]
    asked = [*properties_read("devices/changers"), *properties_read("taper/flow")]
    asked += properties_read("taper/run")
    names = {name.replace("_", "-") for name, _ in asked if re.fullmatch(r"[a-z][a-z_-]+", name)}
    assert {"num-slot", "load-poll", "check-file", "directtcp-header-wait"} <= names
    told = facts("changers"), facts("config", "1", "3"), facts("volumes", "3", "4")
    ours = {name for name in names if not amandas(name, *told)}
    assert ours == {name for name, cells in listed.items() if "device" not in cells[0]}


def test_defaults(tmp_path: Path) -> None:
    """Of devices and of the configuration."""
    listed = tables()[0]
    properties = open_blocking_device(f"file:{tmp_path}").properties
    assert usual(listed["fsync"][1]) == {True: "yes", False: "no"}[properties.flag("fsync")]
    assert properties["directtcp_address"].value is None
    assert usual(listed["directtcp-address"][1]) == "none"
    assert usual(listed["directtcp-header-wait"][1]) == f"{HEADER_SILENCE:g}"
    assert header_silence(None) == HEADER_SILENCE


def test_properties_of_the_application() -> None:
    """All of them, with their defaults."""
    listed = tables()[1]
    fields = {field.name.replace("_", "-"): field for field in attrs.fields(Properties)}
    assert list(listed) == list(fields)
    given = Properties()
    for name, cells in listed.items():
        value = getattr(given, fields[name].name)
        if name == "gnutar-path":
            assert (usual(cells[0]), value) == ("the usual places", None)
            continue
        shown = {True: "yes", False: "no"}.get(value) if isinstance(value, bool) else str(value)
        assert usual(cells[0]) == ("none" if value in (None, (), {}) else shown), name

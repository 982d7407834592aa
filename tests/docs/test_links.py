"""Links of the documents lead somewhere, and what they name in the code is there."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.docs.markdown import ROOT, anchors, documents, links, name_of, prose

README_LIMIT = 6144
GUIDES = [path for path in documents() if path.parent.name not in ("facts", "changes")]
_CODE = re.compile(r"`([^`]+)`")
_PACKAGES = ("taper", "protocols", "devices", "twisted", "tests")


@pytest.mark.parametrize("document", documents(), ids=name_of)
def test_links(document: Path) -> None:
    """Within the tree: the file is there, and the anchor in it."""
    text = document.read_text()
    faults = []
    for line, target in links(text):
        if re.match(r"https?://", target):
            continue
        path, _, anchor = target.partition("#")
        other = (document.parent / path).resolve() if path else document
        if not other.exists():
            faults.append(f"line {line}: there is no {target}")
        elif anchor and anchor not in anchors(other.read_text()):
            faults.append(f"line {line}: no anchor {target}")
    assert faults == []


@pytest.mark.parametrize("document", documents(), ids=name_of)
def test_anchors_are_unique(document: Path) -> None:
    """Two of the same name would make a link ambiguous."""
    found = anchors(document.read_text())
    assert len(found) == len(set(found)), {name for name in found if found.count(name) > 1}


def test_every_document_can_be_reached() -> None:
    """From the README, by links."""
    seen: set[Path] = set()
    waiting = [ROOT / "README.md"]
    while waiting:
        document = waiting.pop()
        if document in seen:
            continue
        seen.add(document)
        for _, target in links(document.read_text()):
            path = (document.parent / target.partition("#")[0]).resolve()
            if path.suffix == ".md" and path.exists():
                waiting.append(path)
    fragments = set((ROOT / "docs" / "changes").glob("+*.md"))
    assert set(documents()) - fragments - seen == set()


def test_the_readme_is_short() -> None:
    """What it cannot say in this space stands in docs."""
    assert len((ROOT / "README.md").read_bytes()) <= README_LIMIT


# What the documents name in the code


@functools.cache
def code() -> dict[str, str]:
    """All programs, by path."""
    return {
        str(path.relative_to(ROOT)): path.read_text()
        for package in _PACKAGES
        for path in (ROOT / package).rglob("*.py")
    }


def homes(name: str, among: Iterable[str] | None = None) -> list[str]:
    """The programs that have this class, function or constant."""
    made = re.compile(rf"^\s*(?:(?:class|def|async def) {name}\b|{name}\s*[:=])", re.MULTILINE)
    return [path for path in (code() if among is None else among) if made.search(code()[path])]


def fault_of(quoted: str) -> str | None:
    """What is wrong with a text between backquotes, if it names something of ours."""
    path, colons, function = quoted.partition("::")
    if re.fullmatch(r"[\w./*-]+\.py|(?:[\w-]+/)+", path):
        if not any(list(ROOT.glob(f"{above}{path}")) for above in ("", "taper/", "tests/")):
            return f"there is no {path}"
        if colons and f"def {function}(" not in code().get(path, ""):
            return f"{path} has no {function}"
        return None
    if re.fullmatch(r"(?:[A-Z][a-z]+){2,}\w*|[A-Z]\w+\.[a-z_]\w+|I[A-Z]\w+", quoted):
        found: list[str] | None = None
        for name in quoted.split("."):
            found = homes(name, found)
            if not found:
                return f"nothing is called {name}"
    return None


@pytest.mark.parametrize("document", GUIDES, ids=name_of)
def test_names_of_the_code(document: Path) -> None:
    """Files, tests and classes that the guides name are there."""
    faults = [
        f"line {line}: {fault}"
        for line, text in prose(document.read_text())
        for quoted in _CODE.findall(text)
        if (fault := fault_of(quoted)) is not None
    ]
    assert faults == []


_PLACED = re.compile(r"`([\w.]+)`(?: and `(\w+)`)? in `([\w/]+\.py)`")


def misplaced(text: str) -> list[str]:
    """Names that are said to be in a file and are not there, function or not."""
    return [
        f"{path} has no {name}"
        for one, other, path in _PLACED.findall(text)
        for name in (*one.split("."), *([other] if other else []))
        if path not in homes(name)
    ]


@pytest.mark.parametrize("document", GUIDES, ids=name_of)
def test_names_are_in_the_files_that_are_told(document: Path) -> None:
    """Where a guide says ``name`` in ``file``."""
    faults = [
        f"line {line}: {fault}"
        for line, text in prose(document.read_text())
        for fault in misplaced(text)
    ]
    assert faults == []


def test_names_in_another_file() -> None:
    here = "tests/docs/test_links.py"
    assert (
        misplaced(f"`misplaced` and `homes` in `{here}`, `Dump.run` in `taper/core/dump.py`") == []
    )
    assert misplaced(f"`walk` in `{here}`") == [f"{here} has no walk"]
    assert misplaced("`Dump.walk` in `taper/core/dump.py`") == ["taper/core/dump.py has no walk"]


def test_names_that_are_not_there() -> None:
    """Such as after a file was moved or a function renamed."""
    assert fault_of("core/rules.py") is None
    assert fault_of("core/rulez.py") == "there is no core/rulez.py"
    assert fault_of("Dump.run") is None
    assert fault_of("Dump.walk") == "nothing is called walk"
    assert fault_of("LaneTransfers") == "nothing is called LaneTransfers"
    here = "tests/docs/test_links.py"
    assert fault_of(f"{here}::test_links") is None
    assert fault_of(f"{here}::test_nothing") == f"{here} has no test_nothing"
    assert fault_of("FILE-WRITE") is None
    assert fault_of("amanda.conf") is None

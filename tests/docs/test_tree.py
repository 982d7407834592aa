"""The guides for developers name whatever is in the tree: nobody adds a folder in silence."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs.markdown import ROOT


def packages(place: str) -> list[str]:
    return [
        str(path.parent.relative_to(ROOT)) for path in sorted((ROOT / place).glob("*/__init__.py"))
    ]


def unnamed(document: str, names: list[str]) -> list[str]:
    text = (ROOT / "docs" / document).read_text()
    return [name for name in names if f"`{name}`" not in text and f"`{name}/`" not in text]


@pytest.mark.parametrize("place", ["taper", "taper/people", "taper/flow"])
def test_every_room_is_in_the_architecture(place: str) -> None:
    assert unnamed("architecture.md", packages(place)) == []


def test_every_folder_of_tests_is_in_the_testing_guide() -> None:
    assert unnamed("testing.md", packages("tests")) == []


def test_every_program_of_the_bench_is_in_the_testing_guide() -> None:
    names = [
        f"bench/{path.name}"
        for path in sorted(Path(ROOT / "tests" / "bench").glob("*.py"))
        if not path.name.startswith("__")
    ]
    assert unnamed("testing.md", names) == []

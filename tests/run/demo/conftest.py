"""A demonstration that was kept, for many tests."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from taper.demo.stage import remove_tree
from tests.run.demo.playing import make_source, play


@pytest.fixture(scope="module")
def top() -> Iterator[Path]:
    # not pytest's own directory, whose rules for old ones stumble over read-only directories
    directory = tempfile.mkdtemp(prefix="demo.")
    yield Path(directory)
    remove_tree(directory)


@pytest.fixture(scope="module")
def source(top: Path) -> Path:
    return make_source(top)


@pytest.fixture(scope="module")
def played(top: Path, source: Path) -> tuple[Path, str]:
    """A demonstration that was kept: where, and what it said."""
    kept = top / "kept"
    status, said = play("--source", str(source), "--keep", str(kept), tmp=top)
    assert status == 0, said
    return kept, said

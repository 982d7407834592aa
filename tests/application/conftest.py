"""A disk to dump, and the options that every call has."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
from attrs import frozen

from tests.application.taper_side import TaperSide


@frozen
class Disk:
    """A directory to dump, and where the application keeps what it knows of it."""

    place: Path
    source: Path
    lists: Path

    def options(self, level: int = 0, **more: str) -> list[str]:
        """Options of a dump; ``more`` adds properties."""
        words = ["--message", "line", "--config", "NONE", "--host", "localhost"]
        words += ["--disk", "/data", "--device", str(self.source), "--level", str(level)]
        words += ["--gnutar-listdir", str(self.lists)]
        for name, value in more.items():
            words += [f"--{name.replace('_', '-')}", value]
        return words


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    source, lists = tmp_path / "source", tmp_path / "lists"
    lists.mkdir()
    (source / "sub").mkdir(parents=True)
    (source / "ü\n").write_bytes(b"odd name\n")
    (source / "sub" / "large").write_bytes(Random(7).randbytes(3_000_000))
    (source / "link").symlink_to("nowhere")
    return Disk(tmp_path, source, lists)


@pytest.fixture
def taper() -> Iterator[TaperSide]:
    """Somebody to meet."""
    side = TaperSide()
    yield side
    side.close()

"""`pytest tests/crash --crash-images all`: the recordings, and how much is made of them."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.crash.scenarios import SCENARIOS, UNSAFE
from tests.crash.stage import Recording

images: Counter[str] = Counter()
"""How many different images were judged, by scenario."""
starts: Counter[str] = Counter()
"""On how many of them our taper was started."""
MEMORY = Path("/dev/shm")
AN_HOUR = 3600


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the suite's options."""
    group = parser.getgroup("crash")
    group.addoption(
        "--crash-images",
        metavar="some|all|N",
        help="how many mixtures of losses are tried after each event (all: many, and our taper is "
        "started on every image)",
    )


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how much was tried."""
    if images:
        count = f"{sum(images.values())} images of {len(images)} scenarios"
        terminalreporter.write_line(f"crash points: {count}, {sum(starts.values())} started from")


@pytest.fixture(scope="session")
def stages() -> Iterator[Path]:
    """A place for scenarios, in memory where that can be."""
    where = MEMORY if os.access(MEMORY, os.W_OK) else None
    with TemporaryDirectory(prefix="taper-crash-", dir=where) as base:
        yield Path(base)


@pytest.fixture(scope="session")
def recordings(stages: Path) -> Mapping[str, Recording]:
    """All scenarios, played once."""
    return record(stages, *SCENARIOS, *UNSAFE)


def record(base: Path, *names: str, prefix: tuple[str, ...] = ()) -> dict[str, Recording]:
    """Play scenarios in a process of its own.

    :param prefix: a program that runs it, with its arguments
    """
    target = base / "recordings"
    words = [*prefix, sys.executable, "-m", "tests.crash.record", str(base), str(target), *names]
    done = subprocess.run(words, capture_output=True, text=True, timeout=AN_HOUR)
    assert done.returncode == 0, done.stderr[-3000:]
    found: list[Recording] = pickle.loads(target.read_bytes())
    return {one.name: one for one in found}

"""Records scenarios, in a process of its own: so the pids in what they leave are of a dead one.

``python -m tests.crash.record DIRECTORY FILE SCENARIO ...`` plays the scenarios in directories
below the first and writes what was recorded to the file.
"""

from __future__ import annotations

import pickle
import sys
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.task import react

from tests.crash.scenarios import SCENARIOS, UNSAFE
from tests.crash.stage import Recording, Stage


async def play(name: str, base: Path) -> Recording:
    """Play one scenario."""
    stage = Stage(name, base / name)
    scenario = (SCENARIOS | UNSAFE)[name]
    scenario.prepare(stage)
    with stage.recorder.recording():
        await scenario.play(stage)
    return stage.recorded()


async def _play_all(base: Path, target: Path, names: list[str]) -> None:
    recordings = [await play(name, base) for name in names]
    target.write_bytes(pickle.dumps(recordings))


def main(reactor: Any, base: str, target: str, *names: str) -> Deferred[None]:
    """Play scenarios."""
    return ensureDeferred(_play_all(Path(base), Path(target), list(names)))


if __name__ == "__main__":
    react(main, sys.argv[1:])

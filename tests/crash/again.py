"""Records the run that follows a crash, in a process of its own.

``python -m tests.crash.again INPUT OUTPUT``: recordings with a crash of each, pickled; and what was
recorded of the runs that followed.
"""

from __future__ import annotations

import pickle
import sys
from pathlib import Path
from typing import Any

from attrs import evolve
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.task import react

from tests.crash.events import Call
from tests.crash.images import Crash
from tests.crash.recorder import Recorder
from tests.crash.restart import NextRun, put_down
from tests.crash.stage import Recording


async def follow(recording: Recording, crash: Crash) -> Recording:
    """Let a run follow a crash, and record it; what was told before it comes first."""
    root = Path(recording.root)
    put_down(crash.image, root)
    run, recorder = NextRun(recording), Recorder(recording.root)
    holding = run.prepare()
    with recorder.recording():
        fault = await run.play(holding, recorder)
    assert not fault, f"{recording.name} after event {crash.moment}, {crash.kind}: {fault}"
    return evolve(
        recording,
        tree=recorder.tree,
        events=[*crash.told, *(event for event, _ in recorder.events)],
        calls=[*(Call("", "") for _ in crash.told), *(call for _, call in recorder.events)],
        dumps={**recording.dumps, run.dump.handle: run.dump},
        kept=recording.kept - recording.expendable,
        expendable=frozenset(),
    )


async def _follow_all(source: Path, target: Path) -> None:
    crashed: list[tuple[Recording, Crash]] = pickle.loads(source.read_bytes())
    target.write_bytes(pickle.dumps([await follow(*one) for one in crashed]))


def main(reactor: Any, source: str, target: str) -> Deferred[None]:
    """Play what follows."""
    return ensureDeferred(_follow_all(Path(source), Path(target)))


if __name__ == "__main__":
    react(main, sys.argv[1:])

"""The run that follows a crash crashes as well."""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from random import Random

import pytest
from pytest_twisted import ensureDeferred

from tests.crash.checker import Checker
from tests.crash.conftest import AN_HOUR
from tests.crash.images import Crash, crashes
from tests.crash.promises import Promises
from tests.crash.restart import faults_of_next_run
from tests.crash.stage import Recording
from tests.crash.test_crash_points import distinct

ROOMY = (
    "first_label",
    "parts",
    "from_a_port",
    "relabelling_by_inventory",
    "lone_volume",
    "flat_volume",
    "slot_labels",
    "new_slots",
    "after_a_crash",
    "linked_tapelist",
)
"""Scenarios after which there are volumes for two more runs."""
SAMPLES, STARTS = 2, 25


def some_crash(recording: Recording) -> Crash:
    """One that mixes losses, in the second half, when much has been told."""
    found = [one for one in distinct(recording, 1) if one.moment > len(recording.events) // 2]
    mixed = [one for one in found if one.kind.startswith("sample")]
    return Random(recording.name).choice(mixed)


@pytest.fixture(scope="module")
def followed(recordings: Mapping[str, Recording], stages: Path) -> Mapping[str, Recording]:
    """Recordings of the runs that follow."""
    crashed = [(recordings[name], some_crash(recordings[name])) for name in ROOMY]
    source, target = stages / "crashed", stages / "followed"
    source.write_bytes(pickle.dumps(crashed))
    words = [sys.executable, "-m", "tests.crash.again", str(source), str(target)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=AN_HOUR)
    assert done.returncode == 0, done.stderr[-3000:]
    found: list[Recording] = pickle.loads(target.read_bytes())
    return {one.name: one for one in found}


@pytest.mark.parametrize("name", ROOMY)
@ensureDeferred
async def test_a_second_crash(name: str, followed: Mapping[str, Recording]) -> None:
    """What was told before the first one is still there, and the run after the second goes on."""
    recording = followed[name]
    checker = Checker(recording)
    faults: list[str] = []
    for number, crash in enumerate(
        crashes(recording.tree, recording.events, recording.name, SAMPLES)
    ):
        promises = Promises.made(crash.told, recording.dumps)
        found = checker.faults(crash.image, promises)
        if number % STARTS == 0:
            found += await faults_of_next_run(crash, recording, checker, 2)
        faults += [f"after event {crash.moment}, {crash.kind}: {fault}" for fault in found]
    assert not faults, faults[:20]

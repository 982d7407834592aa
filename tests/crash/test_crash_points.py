"""After a crash at any moment all that was told is stored, and the next run goes on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pytest
from pytest_twisted import ensureDeferred

from tests.crash.checker import Checker
from tests.crash.conftest import images, starts
from tests.crash.images import Crash, crashes
from tests.crash.promises import Promises
from tests.crash.restart import faults_of_next_run
from tests.crash.scenarios import SCENARIOS
from tests.crash.stage import Recording

SAMPLES, MANY = 6, 20
STARTS = 7
"""Of so many images our taper is started on one; ``all``: on each."""
ENOUGH = 20_000


def distinct(recording: Recording, samples: int) -> Iterator[Crash]:
    """The crashes of a recording, each image once for each thing that was told meanwhile."""
    seen = set()
    for crash in crashes(recording.tree, recording.events, recording.name, samples):
        key = (crash.image.digest, len(crash.told))
        if key not in seen:
            seen.add(key)
            yield crash


@pytest.mark.parametrize("name", SCENARIOS)
@ensureDeferred
async def test_every_crash_point(
    name: str, recordings: Mapping[str, Recording], request: pytest.FixtureRequest
) -> None:
    """Nothing that was told is lost, no volume is touched that must not be, no label given twice;
    and the next run begins, writes its dump, ends, and has harmed nothing of it either."""
    wanted = request.config.getoption("--crash-images", default=None) or "some"
    samples = {"some": SAMPLES, "all": MANY}.get(wanted) or int(wanted)
    step = 1 if wanted == "all" else STARTS
    recording = recordings[name]
    checker = Checker(recording)
    faults: list[str] = []
    found: dict[bytes, Crash] = {}
    for crash in distinct(recording, samples):
        promises = Promises.made(crash.told, recording.dumps)
        faults += _named(crash, checker.faults(crash.image, promises))
        found[crash.image.digest] = crash  # the last of its kind, to which most was told
    for number, crash in enumerate(found.values()):
        if number % step == 0:
            starts[name] += 1
            faults += _named(crash, await faults_of_next_run(crash, recording, checker))
    images[name] = len(found)
    assert not faults, "\n".join([f"{len(faults)} faults", *faults[:20]])


def _named(crash: Crash, faults: list[str]) -> list[str]:
    return [f"after event {crash.moment}, {crash.kind}: {fault}" for fault in faults]


def test_there_were_enough() -> None:
    """The count of the documents is no boast."""
    assert len(SCENARIOS) >= 30
    if len(images) < len(SCENARIOS):
        pytest.skip("counted where all scenarios are played, in one process")
    assert sum(images.values()) >= ENOUGH

"""ndmjob's own conformance tests, its client against our server."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from pytest_twisted import async_yield_fixture, ensureDeferred
from twisted.internet.threads import deferToThread

from tests.fakes.ndmjob import conformance, missing_ndmjob, run_client
from tests.tapeserver.serving import Serving, write_settings

pytestmark = pytest.mark.skipif(missing_ndmjob() is not None, reason=str(missing_ndmjob()))


FEWER = 57
"""Steps of the mover test where no LOCAL data connections are offered."""
Make = Callable[[str], Serving]


@async_yield_fixture
async def make(tmp_path: Path) -> AsyncIterator[Make]:
    made: list[Serving] = []

    def serve(personality: str) -> Serving:
        made.append(Serving(write_settings(tmp_path, f"personality = {personality}")))
        return made[-1]

    yield serve
    for serving in made:
        await serving.end()


@pytest.mark.parametrize(
    ("personality", "agent"),
    [("conforming", "4m"), ("conforming", "3t"), ("conforming", "2m"), ("ndmjob", "4m")],
)
@ensureDeferred
async def test_the_mover_test_passes(make: Make, personality: str, agent: str) -> None:
    """All 100 steps, in every version, by text and by md5; where no LOCAL data connections are
    offered, it leaves those steps out."""
    port = make(personality).server.port
    _, said = await deferToThread(conformance, "test-mover", port, tape="sim", agent=agent)
    steps = 100 if personality == "ndmjob" else FEWER
    assert f"FINAL test-mover Passed -- pass={steps} warn=0 fail=0" in said


@pytest.mark.parametrize("agent", ["4m", "3t", "2m"])
@ensureDeferred
async def test_the_tape_test_passes_up_to_what_its_client_cannot_say(
    make: Make, agent: str
) -> None:
    """The zero-length write of T-BW #6 is never sent by it [ndmp 5.6]; what comes after that is
    played by tests/ndmp_conformance/ndmjobs.py."""
    port = make("conforming").server.port
    _, said = await deferToThread(conformance, "test-tape", port, tape="sim", agent=agent)
    assert "T-OC Passed -- pass=8" in said
    assert "T-BGS Passed -- pass=4" in said
    assert "T-BW #6 -- Failed" in said


@ensureDeferred
async def test_the_query_tells_all_drives(make: Make) -> None:
    """And that they take SCSI commands, and can be opened raw."""
    where = f"127.0.0.1:{make('conforming').server.port}/4m,ndmp,ndmp"
    status, said = await deferToThread(run_client, ["-v", "-q", "-T", where])
    assert status == 0, said
    for name in ("vt", "sim", "d0", "d1"):
        assert f'device     {name}"' in said, said
    assert said.count("EXECUTE_CDB") == 4, said

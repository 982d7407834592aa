"""ndmjob's own conformance tests, its client against our server."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from pytest_twisted import async_yield_fixture, ensureDeferred
from twisted.internet.threads import deferToThread

from tests.fakes.ndmjob import conformance, missing_ndmjob
from tests.tapeserver.serving import Serving, write_settings

pytestmark = pytest.mark.skipif(missing_ndmjob() is not None, reason=str(missing_ndmjob()))


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


@pytest.mark.parametrize("agent", ["4m", "3t", "2m"])
@ensureDeferred
async def test_the_mover_test_passes(make: Make, agent: str) -> None:
    """All 100 steps, in every version, by text and by md5."""
    port = make("ndmjob").server.port
    _, said = await deferToThread(conformance, "test-mover", port, tape="sim", agent=agent)
    assert "FINAL test-mover Passed -- pass=100 warn=0 fail=0" in said


@ensureDeferred
async def test_the_mover_test_wants_a_window_before_a_record_size(make: Make) -> None:
    """Which the draft of version 4 has otherwise [ndmp-server 4.3]."""
    port = make("conforming").server.port
    _, said = await deferToThread(conformance, "test-mover", port, tape="vt")
    assert "M-IDLE #6 -- Failed NDMP4_MOVER_SET_WINDOW" in said


@ensureDeferred
async def test_the_tape_test_passes_up_to_what_its_client_cannot_say(make: Make) -> None:
    """The zero-length write of T-BW #6 is never sent by it [ndmp 5.6]."""
    port = make("conforming").server.port
    _, said = await deferToThread(conformance, "test-tape", port, tape="sim")
    assert "T-OC Passed -- pass=8" in said
    assert "T-BGS Passed -- pass=4" in said
    assert "T-BW #6 -- Failed" in said

"""A state file that is locked in a lane: one section after the other, whoever gives up."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from twisted.internet.defer import CancelledError, Deferred

from devices.changers.laned_state import LanedState
from devices.changers.setup import ChangerSetup
from devices.patience import OwnStop
from tests.fakes.changers import SteppedLanes, result_of
from tests.fakes.lane import SteppedLane


@pytest.fixture
def lanes() -> SteppedLanes:
    return SteppedLanes()


@pytest.fixture
def state(lanes: SteppedLanes, tmp_path: Path) -> LanedState:
    setup = SimpleNamespace(name="c", context=lanes.context, stop=OwnStop())
    return LanedState(cast(ChangerSetup, setup), str(tmp_path / "state"), 10.0)


def note(state: LanedState, word: str) -> Deferred[Any]:
    """Add a word to what is there. :return: what was there before"""

    async def section() -> list[str]:
        async with state.locked() as data:
            before = list(data.get("words", ()))
            data["words"] = [*before, word]
            return before

    return Deferred.fromCoroutine(section())


def nothing(lane: SteppedLane) -> None:
    """The lane has not begun."""


def lock(lane: SteppedLane) -> None:
    """The lane has the lock, and nobody knows yet."""
    assert lane.work()


@pytest.mark.parametrize("moment", [nothing, lock])
def test_the_next_one_waits_until_a_cancelled_one_has_given_up_its_lock(
    state: LanedState, lanes: SteppedLanes, moment: Any
) -> None:
    first = note(state, "first")
    moment(lanes.lanes[0])
    first.cancel()
    with pytest.raises(CancelledError):
        result_of(first)
    second, third = note(state, "second"), note(state, "third")
    lanes.drain()
    assert (result_of(second), result_of(third)) == ([], ["second"])


def test_who_is_cancelled_while_it_waits_for_its_turn_leaves_it_to_the_next(
    state: LanedState, lanes: SteppedLanes
) -> None:
    first, second, third = (note(state, word) for word in ("first", "second", "third"))
    second.cancel()
    with pytest.raises(CancelledError):
        result_of(second)
    lanes.drain()
    assert (result_of(first), result_of(third)) == ([], ["first"])

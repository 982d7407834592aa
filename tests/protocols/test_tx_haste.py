"""Deadlines of conversations, and how they are shortened when all is to end."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock

from protocols.twisted_transports.haste import CLOSE_PATIENCE, Haste

TIMES = st.floats(0, 10_000)


@given(st.lists(st.tuples(TIMES, TIMES)), TIMES)
def test_once_all_is_to_end_nothing_lasts_longer(
    asked: list[tuple[float, float]], begins: float
) -> None:
    """No wait ends later than it was asked for, and none much later than CLOSE_PATIENCE after the
    beginning of the end, or a moment after it began itself."""
    clock = Clock()
    haste = Haste(clock)
    clock.callLater(begins, haste.begin)
    ends: dict[int, float] = {}
    for number, (begin, seconds) in enumerate(asked):

        def wait(number: int = number, seconds: float = seconds) -> None:
            haste.call_later(seconds, lambda: ends.setdefault(number, clock.seconds()))

        clock.callLater(begin, wait)
    while clock.getDelayedCalls():
        clock.advance(max(min(c.getTime() for c in clock.getDelayedCalls()) - clock.seconds(), 0))
    for number, (begin, seconds) in enumerate(asked):
        latest = max(begins + CLOSE_PATIENCE, begin + 1.0)
        assert abs(ends[number] - min(begin + seconds, latest)) < 1e-6


def test_one_wait_can_be_shortened() -> None:
    """And is never made longer; what is over stays over."""
    clock = Clock()
    haste = Haste(clock)
    ended: list[str] = []
    long = haste.call_later(1000, ended.append, "long")
    short = haste.call_later(1, ended.append, "short")
    over = haste.call_later(0, ended.append, "over")
    clock.advance(0)
    for call in (long, short, over):
        haste.shorten(call)
    clock.advance(1)
    assert ended == ["over", "short"]
    clock.advance(CLOSE_PATIENCE - 1)
    assert ended == ["over", "short", "long"]

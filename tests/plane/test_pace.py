"""When a dump is read by a thread of its own."""

from __future__ import annotations

import pytest

from taper.plane.pace import GAIN, LEAST, WINDOW, Pace, Way


class Run:
    """A dump at given speeds."""

    def __init__(self) -> None:
        self.now = 50.0
        self.position = 0
        self.reading = 0.0
        self.pace = Pace(lambda: self.now)
        assert self.judge() is Way.AS_NOW

    def judge(self) -> Way:
        return self.pace.judge(self.position, self.reading)

    def window(self, share: float, size: int = LEAST) -> Way:
        """A window of twice the least time, of which a share was reading."""
        self.now += 2 * WINDOW
        self.reading += share * 2 * WINDOW
        self.position += size
        return self.judge()


@pytest.mark.parametrize("share", [0.0, 0.1, 0.9, 1.0])
def test_a_slow_end_is_not_helped_by_a_second_thread(share: float) -> None:
    run = Run()
    assert [run.window(share) for _ in range(50)] == [Way.AS_NOW] * 50
    assert not run.pace.settled


def test_a_second_thread_that_helps_stays() -> None:
    run = Run()
    assert run.window(0.5) is Way.TOGETHER
    assert run.window(0.5) is Way.AS_NOW  # it has hardly begun
    assert run.window(0.5, int(LEAST * GAIN) + 1) is Way.AS_NOW
    assert run.pace.settled


def test_a_second_thread_that_does_not_help_goes() -> None:
    run = Run()
    assert run.window(0.5) is Way.TOGETHER
    assert run.window(0.5, 2 * LEAST) is Way.AS_NOW
    assert run.window(0.5, int(LEAST * GAIN) - 1) is Way.ALONE
    assert run.pace.settled


def test_a_few_bytes_say_nothing() -> None:
    run = Run()
    assert run.window(0.5, LEAST - 1) is Way.AS_NOW
    assert run.window(0.5, 1) is Way.TOGETHER


def test_a_device_that_turns_out_slow_is_met_in_mid_dump() -> None:
    run = Run()
    for _ in range(20):
        assert run.window(0.95) is Way.AS_NOW
    assert run.window(0.4) is Way.TOGETHER


def test_the_time_between_parts_does_not_count() -> None:
    run = Run()
    run.now += WINDOW / 2
    run.position += LEAST
    run.reading += WINDOW / 4
    run.pace.rest()
    run.now += 3600
    assert run.judge() is Way.AS_NOW
    assert run.window(0.5) is Way.TOGETHER


def test_a_second_thread_that_is_refused_is_asked_for_again() -> None:
    run = Run()
    assert run.window(0.5) is Way.TOGETHER
    run.pace.refused()
    assert run.window(0.5) is Way.TOGETHER
    assert not run.pace.settled

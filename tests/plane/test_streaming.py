"""Whether a tape keeps running: dumps onto simulated drives with speeds and a buffer.

All in a time that only passes when everybody waits, see :mod:`tests.plane.streaming`.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.plane.streaming import BUFFER, LOWEST, MIB, PIECE, dump


@st.composite
def bursts(draw: st.DrawFn) -> list[float]:
    """A feed whose pieces come at one rate, with gaps between; not slower in the mean than the
    slowest speed of the tape, and no gap longer than half the drive's buffer lasts."""
    delays: list[float] = []
    for _ in range(draw(st.integers(2, 5))):
        count = draw(st.integers(12, 40))
        covered = min(BUFFER / 2 / LOWEST, count * PIECE / LOWEST)
        gap = draw(st.floats(0.0, 0.9 * covered))
        pace = draw(st.floats(0.0, 1.0)) * (count * PIECE / LOWEST - gap) / count
        delays += [gap + pace, *[pace] * (count - 1)]
    return delays


@settings(max_examples=15)
@given(bursts())
def test_the_tape_never_stops(delays: list[float]) -> None:
    """Where the feed's mean is at least the slowest speed, and the buffer covers its gaps."""
    with tempfile.TemporaryDirectory() as directory:
        assert dump(Path(directory), delays).hitches == 0


def test_a_feed_that_is_too_slow(tmp_path: Path) -> None:
    """Then it must stop; as seldom as the drive's buffer allows."""
    half = [PIECE / (LOWEST / 2)] * 160
    speed = dump(tmp_path, half)
    # forty MiB: while half a buffer goes to the tape a quarter comes
    assert 2 <= speed.hitches <= 40 * MIB / (BUFFER / 2)


def test_parts(tmp_path: Path) -> None:
    """Between parts it stops once, for the filemark, and begins again with a full ring."""
    speed = dump(tmp_path, [PIECE / (1.2 * LOWEST)] * 128, 8 * MIB)
    assert speed.hitches == 0
    assert speed.filemarks == 1 + 4 + 1

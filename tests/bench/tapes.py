"""How often a tape has to stop that our data plane writes, on a drive with speeds and a buffer.

In virtual time, so that it is exact whatever the machine is doing; Amanda's taper cannot be had
there. The feed comes in bursts, in the mean at least as fast as the slowest speed of the tape, and
with no gap that is longer than half the drive's buffer lasts.
"""

from __future__ import annotations

import random
import tempfile
from pathlib import Path

from tests.bench.figures import OURS, Figures, Round
from tests.plane.streaming import BUFFER, LOWEST, PIECE, dump

BURSTS = 5


def round_of(number: int) -> Round:
    """One dump, of the feed of this number."""
    delays = _feed(random.Random(number))
    with tempfile.TemporaryDirectory() as directory:
        ours = dump(Path(directory), delays)
    return {OURS: Figures(stops=ours.hitches)}


def _feed(chance: random.Random) -> list[float]:
    """Seconds before each piece."""
    delays: list[float] = []
    for _ in range(BURSTS):
        count = chance.randint(12, 40)
        covered = min(BUFFER / 2 / LOWEST, count * PIECE / LOWEST)
        gap = chance.uniform(0.5, 0.9) * covered
        pace = chance.random() * (count * PIECE / LOWEST - gap) / count
        delays += [gap + pace, *[pace] * (count - 1)]
    return delays

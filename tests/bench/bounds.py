"""What must hold, and whether it does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

from tests.bench.cases import Case, Ground, Way
from tests.bench.figures import LIMIT, LOOP, OURS, STOCK, Figures, Round


@dataclass(frozen=True)
class Row:
    """One figure: what it is called, and how it is shown."""

    name: str
    unit: str
    places: int
    get: Callable[[Figures], float]


RATE = Row("rate", "MB/s", 0, lambda figures: figures.rate)
SLOW_RATE = Row("rate", "MB/s", 2, lambda figures: figures.rate)
COST = Row("CPU of the dump", "s/GiB", 2, lambda figures: figures.cost)
SHORT_TIME = Row("time", "s", 3, lambda figures: figures.seconds)
TIME = Row("time", "s", 1, lambda figures: figures.seconds)
START = Row("TAPER-OK after", "s", 3, lambda figures: figures.start)
LIFE = Row("CPU of the process", "s", 3, lambda figures: figures.life)
MEMORY = Row("peak memory", "MiB", 1, lambda figures: figures.memory)
SHARE = Row("CPU in flow", "% of core", 2, lambda figures: figures.share)
STOPS = Row("back-hitches", "of a dump", 0, lambda figures: figures.stops)
STALL = Row("source's stall", "ms", 0, lambda figures: 1000 * figures.stall)
SPREAD = Row("slowest/fastest", "dump", 2, lambda figures: figures.spread)

PAGE = Row("slowest page", "s", 3, lambda figures: figures.seconds)


def rows(case: Case) -> tuple[Row, ...]:
    """What is shown of a case."""
    if case.read:
        if case.mib:
            return (SHORT_TIME, LIFE)
        return (TIME, LIFE) if case.grown else (RATE, COST)
    if case.way is Way.IDLE:
        return (START, LIFE, MEMORY)
    if case.way is Way.TAPE:
        return (STOPS,)
    if case.way.changes:
        return (STALL,)
    if case.way is Way.PAGE:
        return (PAGE,)
    if case.restored:
        return (RATE, COST)
    if case.grown:
        return (SLOW_RATE, COST, LIFE, MEMORY)
    if case.way is Way.DIRECT:
        return (RATE, SHARE, LIFE, MEMORY)
    if case.way is Way.MOVER:
        return (RATE, COST, MEMORY)
    if case.workers > 1:
        return (RATE, SPREAD, COST, LIFE, MEMORY)
    return (RATE, COST, LIFE, MEMORY)


@dataclass(frozen=True)
class Bound:
    """A demand on one figure of ours.

    :ivar beside: the column whose figure ours is divided by; empty: it is ours alone that counts.
        Of ratios the median over the rounds counts, of ours alone the worst.
    :ivar usual: of ours alone the median counts, too: what is so short is longer whenever the
        system does something else.
    :ivar least: it is at least so much; None: no such demand.
    :ivar most: at most.
    """

    row: Row
    beside: str = STOCK
    least: float | None = None
    most: float | None = None
    usual: bool = False

    @property
    def text(self) -> str:
        """The demand in words."""
        what = f"of {self.beside}" if self.beside else self.row.unit
        word, value = ("at most", self.most) if self.least is None else ("at least", self.least)
        usually = " usually" if self.usual else ""
        return f"{self.row.name}{usually} {word} {value:g} {what}"


def _dump(rate: float, cost: float, limit: float | None = None) -> list[Bound]:
    found = [Bound(RATE, least=rate), Bound(COST, most=cost)]
    if limit is not None:
        found.append(Bound(RATE, LIMIT, least=limit))
    return found


BY_WAY = {
    Way.FILE: _dump(1.2, 0.7, 0.85),
    Way.PORT: _dump(1.4, 0.5, 0.85),
    Way.SHM: _dump(1.1, 0.8, 0.85),
    Way.VAULT: _dump(1.1, 0.8, 0.85),
    Way.DIRECT: [Bound(RATE, least=0.95), Bound(SHARE, "", most=2.0)],
}
"""One dump on a file system in memory, without a cache; and DirectTCP."""
CLONED = _dump(8.0, 0.15)
DURABLE = [Bound(RATE, least=0.95)]
"""Ours is on the disk, Amanda's is not."""
OTHERS = [Bound(RATE, least=0.8), Bound(LIFE, most=1.2)]
"""Dumps in other circumstances: caches, several volumes or dumps at once, many small ones."""
MOVED = [Bound(RATE, least=1.0), Bound(COST, most=0.5)]
"""A mover of ours against ndmjob's, onto a disk."""
MOVED_IN_MEMORY = [Bound(RATE, least=1.0), Bound(COST, most=1.0)]
"""The same where the file system is memory: both copies of the data are to be made, and ours sums
them too."""
READ = [Bound(RATE, least=0.95)]
"""What we wrote is read as fast as what Amanda wrote."""
TOLD = [Bound(RATE, least=1.0)]
"""People wait no longer for our commands than for Amanda's."""
BEGUN = [Bound(SHORT_TIME, most=1.0)]
"""Nor where little is to be done, and the start is all that counts."""
REBUILT = [Bound(TIME, "", most=60.0)]
"""Nor long where all was lost."""
STORED = [Bound(RATE, LOOP, least=2.0)]
"""Requests beside each other, against one after the other."""
STREAMED = [Bound(STOPS, "", most=0)]
"""A tape never stops where the feed is fast enough in the mean."""
CHANGED = [Bound(STALL, "", most=50)]
"""The source waits for the mount, and hardly longer."""
SHOWN = [Bound(PAGE, "", most=0.3)]
"""Nobody waits for a page, however much there is."""
STARTED = [Bound(START, most=1.0)]
SERVED = [
    Bound(START, most=0.5),
    Bound(START, "", most=0.02, usual=True),
    Bound(START, LIMIT, most=2.5),
]
"""Half of the 20 ms is what Python alone takes; on another machine the ratio tells what is ours."""
GROWN = [Bound(START, most=1.2)]
SMALL = 45.0
"""MiB of memory at most, whatever the dump's size."""
SERVING = 64.0
"""Of a tape server."""
SMALL_MANY = 64.0
"""The same with 16 dumps at once."""
IN_FLIGHT = 160.0
"""The same with boto3, and the blocks that are on their way."""


def bounds(case: Case) -> list[Bound]:
    """What must hold of a case. A part cache in memory is as large as it is."""
    if case.restored:
        return READ
    if case.read:
        if case.mib:
            return BEGUN
        return REBUILT if case.grown else TOLD
    if case.bucket:
        return [*STORED, Bound(MEMORY, "", most=IN_FLIGHT)]
    if case.way is Way.TAPE:
        return STREAMED
    if case.way.changes:
        return CHANGED
    if case.way is Way.PAGE:
        return SHOWN
    if case.way is Way.MOVER:
        moved = MOVED if case.ground is Ground.DISK else MOVED_IN_MEMORY
        return [*moved, Bound(MEMORY, "", most=SERVING)]
    most = SMALL_MANY if case.workers > 1 else SMALL
    memory = [Bound(MEMORY, "", most=most + (case.part if case.cache == "memory" else 0))]
    if case.served:
        return SERVED + memory
    if case.way is Way.IDLE:
        return (GROWN if case.grown else STARTED) + memory
    if case.ground is Ground.XFS:
        return CLONED + memory
    if case.ground is Ground.DISK:
        return DURABLE + memory
    if case.cache or case.grown or case.rait or case.workers > 1:
        return OTHERS + memory
    return BY_WAY[case.way] + memory


def judgeable(found: Sequence[Bound], rounds: Sequence[Round]) -> list[Bound]:
    """Those that can be judged: figures that were kept may lack a column of today."""
    return [bound for bound in found if not bound.beside or bound.beside in rounds[0]]


@dataclass(frozen=True)
class Verdict:
    """:ivar value: the ratio or figure that was judged."""

    bound: Bound
    value: float
    holds: bool


def ratios(row: Row, rounds: Sequence[Round], beside: str) -> list[float]:
    """Ours divided by another column, round by round; 1 where that column has nothing."""
    pairs = [(row.get(one[OURS]), row.get(one[beside])) for one in rounds]
    return [ours / other if other else 1.0 for ours, other in pairs]


def judge(bound: Bound, rounds: Sequence[Round]) -> Verdict:
    """Hold the figures against a demand."""
    if bound.beside:
        value = median(ratios(bound.row, rounds, bound.beside))
    else:
        values = [bound.row.get(one[OURS]) for one in rounds]
        if bound.usual:
            values = [median(values)]
        value = max(values) if bound.least is None else min(values)
    low = bound.least is None or value >= bound.least
    high = bound.most is None or value <= bound.most
    return Verdict(bound, value, low and high)

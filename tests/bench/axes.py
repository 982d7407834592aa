"""How the cost grows: the same case with more and more of one thing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from tests.bench.bounds import MEMORY, RATE, START, Bound, Row, bounds
from tests.bench.cases import CASES, MIB, Case

BY_NAME = {case.name: case for case in CASES}


@dataclass(frozen=True)
class Axis:
    """What grows.

    :ivar what: what the values count.
    :ivar values: smallest first.
    :ivar case: the case with so much of it; the second argument is the command line's size in
        bytes.
    :ivar row: the figure that is shown.
    :ivar remembers: the memory is shown, too.
    """

    name: str
    what: str
    values: tuple[int, ...]
    case: Callable[[int, int], Case]
    row: Row
    remembers: bool = False


def _sized(value: int, size: int) -> Case:
    return replace(BY_NAME["file"], size=value * MIB)


def _parted(value: int, size: int) -> Case:
    part = max(size // MIB // value, 1)
    return replace(BY_NAME["file"], text=f"FILE-WRITE, parts: {value}", size=size, part=part)


def _grown(name: str) -> Callable[[int, int], Case]:
    return lambda value, size: replace(BY_NAME[name], many=value)


def _at_once(value: int, size: int) -> Case:
    text = f"FILE-WRITE, dumps at once: {value}"
    return replace(BY_NAME["four"], text=text, size=size, workers=value)


SECONDS = Row("time", "s", 2, lambda figures: figures.seconds)
EACH = Row("time of each", "ms", 2, lambda figures: 1000 * figures.seconds)

AXES = (
    Axis("by-size", "MiB of the dump", (64, 256, 1024, 4096), _sized, SECONDS, True),
    Axis("by-parts", "parts of the dump", (1, 4, 16, 64, 256), _parted, SECONDS),
    Axis("by-workers", "dumps at once", (1, 2, 4, 8, 16), _at_once, RATE, True),
    Axis("by-dumps", "dumps on one volume", (10, 100, 1000), _grown("dumps"), EACH),
    Axis("by-slots", "slots", (10, 100, 1000), _grown("slots"), START),
    Axis("by-logs", "trace logs of old", (10, 100, 1000), _grown("logs"), START),
)


def memory_bounds(case: Case) -> list[Bound]:
    """What must hold at each point of an axis."""
    return [bound for bound in bounds(case) if bound.row is MEMORY]

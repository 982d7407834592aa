"""All figures of a run, as they are kept: a file of JSON with every single one."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from tests.bench.axes import AXES, BY_NAME
from tests.bench.figures import Measured

OF_OURS = "ours"
SAME = ("machine", "processor flags", "kernel", "Python", "libraries", "ours", "stock")
"""What must agree where figures of several runs are put together."""

KNOWN = {*BY_NAME, *(axis.name for axis in AXES)}


class NotOneRun(ValueError):
    """Figures that cannot be put together: of different machines, or of different programs."""


@dataclass
class Results:
    """:ivar about: the head of the report, see :func:`tests.bench.machine.describe`.
    :ivar cases: in the order of measuring.
    :ivar growth: the points of the axes, likewise.
    """

    about: dict[str, str]
    cases: list[Measured] = field(default_factory=list)
    growth: list[Measured] = field(default_factory=list)

    @property
    def idle(self) -> bool:
        """Nobody else was at work when measuring began."""
        return self.about["idle"] == "yes"

    def save(self, path: Path) -> None:
        """Write them to a file, a line for each case or point."""
        lists = [
            ",\n".join(json.dumps(one.plain()) for one in many)
            for many in (self.cases, self.growth)
        ]
        about = json.dumps(self.about, indent=1)
        text = '{{"about": {},\n"cases": [\n{}\n],\n"growth": [\n{}\n]}}\n'
        path.write_text(text.format(about, *lists))

    @classmethod
    def load(cls, path: Path) -> Results:
        """Read them back.

        :raise ValueError: the file does not hold figures of ours
        """
        try:
            plain = json.loads(path.read_text())
            cases, growth = (
                [Measured.of(one) for one in plain[name]] for name in ("cases", "growth")
            )
            results = cls(dict(plain["about"]), cases, growth)
            for one in (*cases, *growth):
                if one.name not in KNOWN:
                    raise ValueError(f"nothing that is measured is called {one.name!r}")
            return results
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"{path} does not hold figures of the bench: {error!r}") from error


def together(parts: Sequence[Results]) -> Results:
    """Figures of several runs on one machine as those of one; what came later replaces.

    :raise NotOneRun: they are of different machines or programs
    """
    first = parts[0]
    for part in parts:
        _check_same(first, part, SAME)
    busy = [part for part in parts if not part.idle]
    return _joined((busy or [first])[0].about, parts)


def beside(kept: Results, new: Results) -> Results:
    """Figures that were kept, of an earlier version of ours, with those measured now, which replace
    what is there of the same. Each of the old ones tells of what and when it is.

    :raise NotOneRun: the machine or another program is not what it was, or one was busy
    """
    _check_same(kept, new, (*(name for name in SAME if name != OF_OURS), "idle"))
    at = f"{kept.about[OF_OURS]}; {kept.about['measured']}"
    old_cases, old_growth = (
        [replace(one, at=one.at or at) for one in many] for many in (kept.cases, kept.growth)
    )
    return _joined(new.about, [Results(kept.about, old_cases, old_growth), new])


def _check_same(one: Results, other: Results, names: Sequence[str]) -> None:
    for name in names:
        mine, its = one.about[name], other.about[name]
        if mine != its:
            raise NotOneRun(f"not one run: {name} is {mine!r}, and {its!r}")


def _joined(about: dict[str, str], parts: Sequence[Results]) -> Results:
    """What comes later replaces; in the order in which cases are declared."""
    cases: dict[str, Measured] = {}
    growth: dict[tuple[str, int], Measured] = {}
    for part in parts:
        cases |= {one.name: one for one in part.cases}
        growth |= {(one.name, one.value): one for one in part.growth}
    order = list(BY_NAME)
    return Results(
        dict(about),
        sorted(cases.values(), key=lambda one: order.index(one.name)),
        list(growth.values()),
    )

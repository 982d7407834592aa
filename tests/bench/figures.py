"""What one run cost, and the rounds of a case."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from tests.bench.cases import GIB

OURS, STOCK, LIMIT, LOOP = "ours", "stock", "limit", "loop"
COLUMNS = (OURS, STOCK, LIMIT, LOOP)
"""Our taper; Amanda's; the kernel's way without a checksum; a plain loop with one, in Python."""


@dataclass(frozen=True)
class Figures:
    """One run of one program. What was not measured is 0.

    :ivar seconds: of the dump, from its command, or READY, to DONE (see :class:`Case`); of all
        dumps, where there are several at once; of one on the average, where there are many.
    :ivar rate: MB/s in these seconds.
    :ivar cpu: seconds, user and system, that the process took in these seconds, all its threads.
    :ivar start: seconds from the start of the process to TAPER-OK.
    :ivar life: CPU seconds of the process from its start to its end.
    :ivar memory: MiB, at most (VmHWM).
    :ivar spread: seconds of the slowest of several dumps at once, divided by those of the fastest.
    :ivar crc: of the dump, as DONE has it.
    :ivar stops: of a tape that ran out of data, and had to go back.
    :ivar stall: seconds that the source stood still at a change of volumes, at most, beyond those
        that the mount took.
    """

    seconds: float = 0.0
    rate: float = 0.0
    cpu: float = 0.0
    start: float = 0.0
    life: float = 0.0
    memory: float = 0.0
    spread: float = 0.0
    crc: str = ""
    stops: int = 0
    stall: float = 0.0

    @property
    def cost(self) -> float:
        """CPU seconds for a GiB."""
        amount = self.rate * 1e6 * self.seconds / GIB
        return self.cpu / amount if amount else 0.0

    @property
    def share(self) -> float:
        """Percent of one core that the process took while the dump was written."""
        return 100 * self.cpu / self.seconds if self.seconds else 0.0


Round = dict[str, Figures]
"""One run of each column that a case has."""


@dataclass(frozen=True)
class Measured:
    """The rounds of a case, without the first, which warms the caches.

    :ivar name: of the case, or of the axis of growth.
    :ivar title: what was measured, for people.
    :ivar value: where on the axis of growth.
    :ivar at: which version of ours it was, and when; empty: as the head of the figures says.
    """

    name: str
    title: str
    value: int = 0
    rounds: list[Round] = field(default_factory=list)
    at: str = ""

    def plain(self) -> dict[str, Any]:
        """As JSON has it."""
        return asdict(self)

    @classmethod
    def of(cls, plain: dict[str, Any]) -> Measured:
        """Read back what :meth:`plain` gave.

        :raise TypeError: it is something else
        """
        rounds = [
            {column: Figures(**figures) for column, figures in one.items()}
            for one in plain["rounds"]
        ]
        return cls(**{**plain, "rounds": rounds})

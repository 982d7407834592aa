"""The dumps of nights to come, as far as they can be foreseen: each disk goes on as it did.

Pure. Only retention asks for them, so the levels alone matter, and the volumes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from protocols.catalog import Disk, DumpCopy, DumpsTold
from protocols.stored import full_stamp

_STAMP = "%Y%m%d%H%M%S"
_STILL_DUMPED = timedelta(days=7)
"""A disk whose last dump is so much older than the newest of all is dumped no more."""


def next_level(levels: Sequence[int]) -> int:
    """The level that follows.

    :param levels: of all runs so far, the newest first. From one full dump to the next they are
        repeated; where there were no two full dumps, every cycle is as long as this one.
    """
    fulls = [place for place, level in enumerate(levels) if level == 0]
    if not fulls:
        return 0
    since = fulls[0]
    if len(fulls) < 2:
        return 1 if since == 0 and len(levels) == 1 else 0
    cycle = list(reversed(levels[fulls[0] + 1 : fulls[1] + 1]))
    return cycle[(since + 1) % len(cycle)]


def foreseen(
    dumps: Mapping[Disk, Sequence[DumpCopy]], stamp: str, labels: Iterable[str]
) -> DumpsTold:
    """What the log of a night will tell: one dump of each disk, on all volumes of the night.

    :param dumps: of each disk, the newest first
    :param stamp: of the night
    """
    volumes = frozenset((label, stamp) for label in labels)
    newest = max((copies[0].timestamp for copies in dumps.values() if copies), default="")
    levels: dict[int, list[Disk]] = {}
    for disk, copies in dumps.items():
        if copies and _is_near(copies[0].timestamp, newest):
            runs = {copy.timestamp: copy.level for copy in reversed(copies)}
            told = [runs[run] for run in sorted(runs, reverse=True)]
            levels.setdefault(next_level(told), []).append(disk)
    return {DumpCopy(stamp, level, volumes): tuple(disks) for level, disks in levels.items()}


def _is_near(stamp: str, newest: str) -> bool:
    try:
        first, last = (datetime.strptime(full_stamp(it), _STAMP) for it in (stamp, newest))
    except ValueError:
        return True
    return last - first <= _STILL_DUMPED

"""Checks of the dumps that there are. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from taper.people.catalogue import HeldDump
from taper.people.doctor.advice import Advice, Weight
from taper.people.telling import count, moment, printable

if TYPE_CHECKING:
    from taper.people.catalogue import Catalogue, Copy

_HELD_DAYS = 3
"""For which a dump may wait without being told of."""

DaysAgo = Callable[[int], str]
"""Days back from now to a local time of 14 digits."""


def disks(
    known: Sequence[tuple[str, str]], catalogue: Catalogue, dumpcycle: int, ago: DaysAgo
) -> Iterator[Advice]:
    """Disks that cannot be restored, or only as they were long ago.

    :param known: hosts and disks of the disklist that are to be dumped
    """
    for host, disk in known:
        name = f"{printable(host)} {printable(disk)}"
        dumps = [dump for dump in catalogue.of(host, disk) if dump.restorable]
        if not dumps:
            yield Advice(
                check="no-dump",
                code=7030,
                weight=Weight.WRONG,
                what=f"There is no dump of {name} that can be restored.",
                values={"DISK": name},
            )
            continue
        newest = max(_stamp(dump) for dump in dumps)
        if not any(_level(dump) == "0" for dump in dumps):
            yield Advice(
                check="no-full-dump",
                code=7031,
                weight=Weight.WRONG,
                what=f"There is no full dump of {name}; only what changed can be restored.",
                values={"DISK": name},
            )
        if newest < ago(2 * max(dumpcycle, 1)):
            yield Advice(
                check="old-dump",
                code=7032,
                weight=Weight.RISK,
                what=f"The newest dump of {name} is of {moment(newest)}.",
            )


def oldest_base(known: Sequence[tuple[str, str]], catalogue: Catalogue) -> str | None:
    """Since when something was made that the newest dumps may build on: the oldest of the disks'
    newest full dumps. None: there is no full dump."""
    newest = (
        max((_stamp(dump) for dump in catalogue.of(*disk) if _is_full(dump)), default=None)
        for disk in known
    )
    return min((stamp for stamp in newest if stamp is not None), default=None)


def _is_full(dump: Copy | HeldDump) -> bool:
    return dump.restorable and _level(dump) == "0"


def chains(
    known: Sequence[tuple[str, str]], catalogue: Catalogue, past: Catalogue
) -> Iterator[Advice]:
    """Disks whose newest dump builds on one that is gone. A dump builds on the last one of a lower
    level before it that was whole.

    :param past: of runs of which no volume is in the tapelist any more
    """
    for host, disk in known:
        there: dict[tuple[str, int], bool] = {}
        for dump in (*catalogue.of(host, disk), *past.of(host, disk)):
            if _level(dump).isdecimal() and (dump.restorable or _was_whole(dump)):
                key = _stamp(dump), int(_level(dump))
                there[key] = there.get(key, False) or dump.restorable
        broken = _broken_link(there)
        full = any(restorable and level == 0 for (_, level), restorable in there.items())
        if broken is None or not full:  # that there is no full dump at all is another check's
            continue
        (newest, level), (gone, below) = broken
        name = f"{printable(host)} {printable(disk)}"
        yield Advice(
            check="base-gone",
            code=7035,
            weight=Weight.WRONG,
            what=(
                f"The newest dump of {name}, level {level} of {moment(newest)}, builds on level "
                f"{below} of {moment(gone)}, which can not be restored any more."
            ),
            values={"DISK": name},
        )


def _broken_link(
    there: Mapping[tuple[str, int], bool],
) -> tuple[tuple[str, int], tuple[str, int]] | None:
    """The newest dump, and the first of those that it builds on that is gone; None: none is.

    :param there: datestamps and levels of whole dumps, and whether they can be restored still
    """
    newest = max((key for key, restorable in there.items() if restorable), default=None)
    here = newest
    while newest is not None and here is not None:
        stamp, level = here
        here = max((key for key in there if key[0] < stamp and key[1] < level), default=None)
        if here is not None and not there[here]:
            return newest, here
    return None


def _was_whole(dump: Copy | HeldDump) -> bool:
    return not isinstance(dump, HeldDump) and dump.dump.is_whole


def _stamp(dump: Copy | HeldDump) -> str:
    return dump.datestamp if isinstance(dump, HeldDump) else dump.dump.name.datestamp


def _level(dump: Copy | HeldDump) -> str:
    return dump.level if isinstance(dump, HeldDump) else dump.dump.name.level


def last_run(catalogue: Catalogue) -> Iterator[Advice]:
    """What the last run has not written as a whole."""
    copies = [copy for copy in catalogue.copies if not copy.gone]
    newest = max((copy.dump.written for copy in copies), default="")
    for copy in copies:
        lacks = copy.lacks
        if copy.dump.written == newest and lacks is not None:
            name = copy.dump.name
            yield Advice(
                check="last-run",
                code=7033,
                weight=Weight.WRONG,
                what=(
                    f"The run of {moment(newest)} has not written all of "
                    f"{printable(name.host)} {printable(name.disk)} level {name.level}: "
                    f"{printable(lacks)}."
                ),
            )


def held(catalogue: Catalogue, ago: DaysAgo) -> Iterator[Advice]:
    """Dumps that wait for a volume, and nobody writes them."""
    old = [dump for dump in catalogue.held if dump.restorable and dump.datestamp < ago(_HELD_DAYS)]
    if old:
        yield Advice(
            check="held",
            code=7034,
            weight=Weight.RISK,
            what=(
                f"{count(len(old), 'dump')} on holding disks since "
                f"{moment(min(dump.datestamp for dump in old))}."
            ),
        )


def clock(catalogue: Catalogue, ago: DaysAgo) -> Iterator[Advice]:
    """Volumes of the future."""
    tomorrow = ago(-1)
    stamps = [entry.datestamp for entry in catalogue.tapelist.entries]
    late = max((stamp for stamp in stamps if stamp.ljust(14, "0") > tomorrow), default=None)
    if late is not None:
        yield Advice(
            check="clock",
            code=8023,
            weight=Weight.WRONG,
            what=f"The tapelist has a volume that was written on {moment(late)}, which is to come.",
        )

"""Checks of the dumps that there are. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
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

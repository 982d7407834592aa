"""``taperctl simulate``: the next nights, on paper."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import frozen

from taper.core.scan import ScanFailed
from taper.last_words import CannotStart
from taper.people.exits import Exit
from taper.people.foreseeing import foreseen
from taper.people.reading import read_catalogue
from taper.people.telling import Answer, Column, Table, count, moment, printable
from taper.people.tonight import Night, Taken, put_on_paper, stamp_of

if TYPE_CHECKING:
    import argparse

    from protocols.conf import Storage
    from protocols.tapelist import Tapelist
    from taper.people.paper import PaperChanger
    from taper.people.site import Site
    from taper.run.history import History

MOST_NIGHTS = 1000
_DAY = 86400
_COLUMNS = (Column("night", right=True), Column("date"), Column("volumes"))


@frozen(kw_only=True)
class Passed:
    """A night on paper.

    :ivar failed: why there was no volume, or not enough; None: there were.
    """

    stamp: str
    taken: tuple[Taken, ...]
    failed: str | None = None


async def simulate(site: Site, options: argparse.Namespace) -> Answer:
    """See :mod:`taper.people.commands`."""
    if not 1 <= options.nights <= MOST_NIGHTS:
        raise CannotStart(f"{options.nights} nights: 1 to {MOST_NIGHTS} expected", code=1001)
    if options.volumes is not None and options.volumes < 1:
        raise CannotStart(f"--volumes {options.volumes}: 1 or more expected", code=1001)
    catalogue = await site.call(read_catalogue, site.config)
    history = site.history()
    await history.refresh()
    shown: list[str | Table] = []
    records, short = [], False
    for storage in site.tonight(options.storage):
        paper = await put_on_paper(site, storage, load=options.load)
        volumes = options.volumes or max(storage.runtapes, 1)
        nights = await _pass(site, storage, paper, catalogue.tapelist, history, options, volumes)
        shown += _shown(storage, nights, paper, volumes)
        short = short or nights[-1].failed is not None
        records.append(_record(storage, nights, paper))
    return Answer(
        record={"schema": "taper/simulate/1", "config": site.config.name, "storages": records},
        shown=shown,
        exit=Exit.FOUND if short else Exit.WELL,
    )


async def _pass(
    site: Site,
    storage: Storage,
    paper: PaperChanger,
    tapelist: Tapelist,
    history: History,
    options: argparse.Namespace,
    volumes: int,
) -> list[Passed]:
    """The nights, up to the first one that has too few volumes."""
    nights: list[Passed] = []
    begin = site.now()
    for number in range(options.nights):
        moment_of_night = begin + number * _DAY
        stamp = stamp_of(moment_of_night)

        def retention(now: Tapelist, at: float = moment_of_night) -> Any:
            return history.retention_at(now, at)

        night = Night(site.config, storage, paper, tapelist, retention, stamp)
        taken: list[Taken] = []
        failed = None
        try:
            while len(taken) < volumes and failed is None:
                one = await night.take()
                failed = one.refused
                taken += [one] if failed is None else []
        except ScanFailed as fault:
            failed = fault.text
        nights.append(Passed(stamp=stamp, taken=tuple(taken), failed=failed))
        if failed is not None:
            break
        tapelist = night.tapelist
        labels = [one.label for one in taken]
        history.foresee(stamp, foreseen(history.dumps, stamp, labels))
    return nights


def _shown(
    storage: Storage, nights: list[Passed], paper: PaperChanger, volumes: int
) -> list[str | Table]:
    name, last = printable(storage.name), nights[-1]
    shown: list[str | Table] = [
        Table(_COLUMNS, [_row(number, night) for number, night in enumerate(nights, 1)])
    ]
    if last.failed is not None:
        there = f"only {len(last.taken)} of {volumes} volumes are" if last.taken else "no volume is"
        shown.append(
            f"Storage {name}: on night {len(nights)}, {moment(last.stamp)}, {there} left: "
            f"{printable(last.failed)}"
        )
    else:
        shown.append(f"Storage {name}: there are volumes for {count(len(nights), 'night')}.")
    if paper.asked:
        slots = ", ".join(map(printable, paper.asked))
        shown.append(f"Slots of unknown content were not counted: {slots}; --load looks at them.")
    return shown


def _row(number: int, night: Passed) -> tuple[str, ...]:
    words = []
    for taken in night.taken:
        new = " (new)" if taken.is_new else ""
        words.append(f"{printable(taken.label)} in slot {printable(taken.slot)}{new}")
    return (str(number), moment(night.stamp), ", ".join(words) or "none")


def _record(storage: Storage, nights: list[Passed], paper: PaperChanger) -> dict[str, Any]:
    return {
        "storage": storage.name,
        "nights": [
            {
                "datestamp": night.stamp,
                "taken": [
                    {"slot": taken.slot, "label": taken.label, "new_label": taken.is_new}
                    for taken in night.taken
                ],
                "failed": night.failed,
            }
            for night in nights
        ],
        "unknown_slots": list(paper.asked),
    }

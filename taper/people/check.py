"""``taperctl check``: a dry run of tonight."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import field, frozen

from devices.errors import ChangerError, DeviceError, Status
from protocols.errorcode import coded
from taper.core.errors import SourceFault
from taper.core.scan import ScanFailed
from taper.people import keeping
from taper.people.exits import Exit
from taper.people.reading import read_catalogue
from taper.people.telling import Answer, Column, Table, printable
from taper.people.tonight import Fated, Night, Taken, put_on_paper, stamp_of

if TYPE_CHECKING:
    import argparse

    from protocols.conf import Storage
    from taper.core.retention import Retention
    from taper.people.paper import PaperChanger, PaperSlot
    from taper.people.site import Site
    from taper.run.history import History

_COLUMNS = (Column("slot"), Column("volume"), Column("tonight"))


@frozen(kw_only=True)
class Foretold:
    """What tonight's run would do with one storage.

    :ivar taken: the volumes, in their order.
    :ivar fates: what becomes of the other slots.
    :ivar failed: why no volume was found, or none after those; None: there were as many as the run
        may take.
    :ivar asked: slots of unknown content that would be loaded on the way.
    """

    storage: Storage
    taken: tuple[Taken, ...] = ()
    fates: tuple[Fated, ...] = ()
    notes: tuple[str, ...] = ()
    failed: str | None = None
    asked: tuple[str, ...] = field(factory=tuple)


async def check(site: Site, options: argparse.Namespace) -> Answer:
    """See :mod:`taper.people.commands`."""
    catalogue = await site.call(read_catalogue, site.config)
    history = site.history()
    await history.refresh()
    retention = history.retention(catalogue.tapelist)
    told = [
        await _foretell(site, storage, history, retention, load=options.load)
        for storage in site.tonight(options.storage)
    ]
    shown: list[str | Table] = []
    for one in told:
        shown += _shown(one)
    return Answer(
        record={
            "schema": "taper/check/1",
            "config": site.config.name,
            "storages": [_record(one, retention) for one in told],
        },
        shown=shown,
        exit=Exit.WELL if all(_is_well(one) for one in told) else Exit.FOUND,
    )


def _is_well(one: Foretold) -> bool:
    return bool(one.taken) and one.taken[0].refused is None


async def _foretell(
    site: Site, storage: Storage, history: History, retention: Retention, *, load: bool
) -> Foretold:
    try:
        paper = await put_on_paper(site, storage, load=load)
        night = Night(
            site.config,
            storage,
            paper,
            retention.tapelist,
            history.retention,
            stamp_of(site.now()),
        )
    except ScanFailed as fault:
        return Foretold(storage=storage, failed=coded(fault.text, fault))
    except (SourceFault, ChangerError, DeviceError) as fault:
        return Foretold(storage=storage, failed=coded(str(fault), fault))
    return await _scan(storage, paper, night)


async def _scan(storage: Storage, paper: PaperChanger, night: Night) -> Foretold:
    taken: list[Taken] = []
    failed = None
    fates = night.fates()  # before the first volume is written, as the first scan finds them
    try:
        while len(taken) < max(storage.runtapes, 1):
            one = await night.take()
            taken.append(one)
            if one.refused is not None:
                break
    except ScanFailed as fault:
        failed = fault.text
    slots = {one.slot for one in taken}
    return Foretold(
        storage=storage,
        taken=tuple(taken),
        fates=tuple(fated for fated in fates if fated.slot.name not in slots),
        notes=tuple(night.notes),
        failed=failed,
        asked=tuple(paper.asked),
    )


def _shown(one: Foretold) -> list[str | Table]:
    name = printable(one.storage.name)
    lines: list[str | Table] = []
    if one.taken:
        first, *others = one.taken
        lines.append(f"Storage {name}: tonight's first volume is {_told(first)}.")
        lines += [f"If more is needed, the next one is {_told(other)}." for other in others]
        if one.failed is not None and others:
            lines.append("After that there is none.")
        elif one.failed is not None:
            lines.append("If more is needed, there is none.")
    else:
        lines.append(f"Storage {name}: no volume is found tonight: {printable(one.failed or '')}")
    if one.asked:
        slots = ", ".join(map(printable, one.asked))
        lines.append(
            f"On its way the scan would load slots of unknown content: {slots}. What is in them "
            "may be taken instead; --load looks."
        )
    if one.fates:
        lines.append(Table(_COLUMNS, [_row(fated) for fated in one.fates]))
    return lines


def _told(taken: Taken) -> str:
    label = printable(taken.label)
    words = f"slot {printable(taken.slot)}, "
    words += f"labelled {label}" if taken.is_new else f"{label}, which is written over"
    return words if taken.refused is None else f"{words}; but {printable(taken.refused)}"


def _row(fated: Fated) -> tuple[str, ...]:
    sign = {"usable": "later", "refused": "no", "unknown": "unknown"}[fated.fate]
    return (
        printable(fated.slot.name),
        printable(_label(fated.slot) or "-"),
        f"{sign}: {printable(fated.reason)}",
    )


def _label(slot: PaperSlot) -> str | None:
    if slot.reading is None:
        return slot.entry.label
    return slot.reading.label if slot.reading.status is Status.SUCCESS else None


def _record(one: Foretold, retention: Retention) -> dict[str, Any]:
    return {
        "storage": one.storage.name,
        "taken": [
            {
                "slot": taken.slot,
                "label": taken.label,
                "new_label": taken.is_new,
                "refused": taken.refused,
            }
            for taken in one.taken
        ],
        "failed": one.failed,
        "unknown_slots": list(one.asked),
        "slots": [_slot(fated, retention) for fated in one.fates],
        "notes": list(one.notes),
    }


def _slot(fated: Fated, retention: Retention) -> dict[str, Any]:
    label = _label(fated.slot)
    entry = None if label is None else retention.tapelist.lookup(label)
    kept = () if entry is None else retention.kept_by(entry.label)
    return {
        "slot": fated.slot.name,
        "label": label,
        "barcode": fated.slot.barcode,
        "fate": fated.fate,
        "reason": fated.reason,
        "kept_by": [keeping.recorded(rule, entry.datestamp) for rule in kept if entry is not None],
    }

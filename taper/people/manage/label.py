"""``taperctl label``: a volume gets a label, as a taper would give it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import frozen
from twisted.internet.defer import Deferred

from devices.errors import ChangerError, ChangerReason, Status
from devices.interfaces import LoadRequest, Relative
from devices.shield import undisturbed
from protocols.header import HeaderType
from protocols.labels import LabelError, LabelScheme, check_fitting_label
from taper.core.interruption import Interruption
from taper.core.labelling import (
    UNWRITTEN,
    ByHand,
    LabellingFailed,
    label_volume,
    permit_label,
)
from taper.core.scan.interfaces import ScanResult
from taper.last_words import CannotStart
from taper.people.exits import Exit
from taper.people.manage.workbench import (
    agree,
    content_of,
    described,
    lost_with,
    record_active,
    record_lost,
    storage_of,
    tell_lost,
    tell_planner,
    workbench,
)
from taper.people.medium import release
from taper.people.reading import read_catalogue
from taper.people.telling import Answer, Table, printable
from taper.people.tonight import stamp_of

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping, Sequence

    from devices.interfaces import IAsyncReservation, VolumeReading
    from taper.core.labelling import Permission
    from taper.people.catalogue import Catalogue, Copy
    from taper.people.manage.workbench import Workbench
    from taper.people.site import Site


@frozen(kw_only=True)
class _Plan:
    """What is to be done with a slot.

    :ivar active: the volumes that are needed and would be lost, each with the reason.
    :ivar refused: why it is not done, whoever is asked; None: it may be.
    :ivar stay: labels in the tapelist that no volume will bear any more.
    """

    label: str
    held: IAsyncReservation
    active: Mapping[str, str]
    lost: Sequence[Copy]
    refused: str | None
    stay: Sequence[str]

    @property
    def reading(self) -> VolumeReading:
        return self.held.reading


async def label(site: Site, options: argparse.Namespace) -> Answer:
    """See :mod:`taper.people.manage.declared`."""
    catalogue = await site.call(read_catalogue, site.config)
    storage = storage_of(site, options.storage)
    async with workbench(site, storage, stamp_of(site.now())) as bench:
        held = await bench.changer.load(_request(options))
        try:
            plan = await _plan(bench, held, catalogue, options)
            return await _follow(site, bench, plan, catalogue, options)
        finally:
            await release(site, held)


def _request(options: argparse.Namespace) -> LoadRequest:
    if options.slot is None:
        return LoadRequest(relative=Relative.CURRENT)
    return LoadRequest(slot=options.slot)


async def _plan(
    bench: Workbench,
    held: IAsyncReservation,
    catalogue: Catalogue,
    options: argparse.Namespace,
) -> _Plan:
    reading, wanted = held.reading, options.label
    active = bench.active(catalogue.tapelist, reading, held.barcode)
    claimed = catalogue.tapelist.lookup(wanted)
    if claimed is not None and claimed.datestamp == "1" and wanted not in active:
        active[wanted] = "somebody has begun to give this label to a volume"
    old = reading.label if reading.status == Status.SUCCESS else None
    gone = dict.fromkeys([*active, *([] if old is None else [old])])
    return _Plan(
        label=wanted,
        held=held,
        active=active,
        lost=[copy for one in gone for copy in lost_with(catalogue, one)],
        refused=await _why_not(bench, held, catalogue, wanted, force=options.force),
        stay=[one for one in gone if one != wanted and catalogue.tapelist.lookup(one)],
    )


async def _why_not(
    bench: Workbench,
    held: IAsyncReservation,
    catalogue: Catalogue,
    wanted: str,
    *,
    force: bool,
) -> str | None:
    """What no name that is typed can help against."""
    scheme = LabelScheme.of(bench.config, bench.storage)
    try:
        check_fitting_label(scheme.evolve(barcode=held.barcode, meta=held.meta), wanted)
    except LabelError as fault:
        return fault.text
    reading = held.reading
    entry = catalogue.tapelist.lookup(wanted)
    if entry is not None and entry.datestamp != "1" and reading.label != wanted:
        return f"the tapelist has a volume {wanted} already, and this slot has {described(reading)}"
    elsewhere = await _other_slot(bench, held.slot, wanted)
    if elsewhere is not None:
        return f"there is a volume {wanted} already, in slot {elsewhere}"
    return _unfit(reading, force=force)


def _unfit(reading: VolumeReading, *, force: bool) -> str | None:
    """What of the medium is against it [changers 2.7]."""
    status = reading.status
    if status & Status.VOLUME_UNLABELED:
        if reading.header_type in (None, HeaderType.EMPTY) or force:
            return None
    elif status not in (Status.SUCCESS, Status.VOLUME_ERROR):
        return reading.error or "the device is in error"
    elif force:
        return None
    return f"the slot has {described(reading)}; --force labels it all the same"


async def _other_slot(bench: Workbench, slot: str, wanted: str) -> str | None:
    """Where else the changer has a volume of this label."""
    try:
        entries = await bench.changer.inventory()
    except ChangerError as fault:
        if fault.reason is not ChangerReason.NOTIMPL:
            raise
        return None
    return next((one.slot for one in entries if one.label == wanted and one.slot != slot), None)


async def _follow(
    site: Site,
    bench: Workbench,
    plan: _Plan,
    catalogue: Catalogue,
    options: argparse.Namespace,
) -> Answer:
    told = _told(plan)
    if options.dry_run:
        exit = Exit.WELL if plan.refused is None else Exit.FOUND
        return Answer(record=_record(bench, plan, done=False), shown=told, exit=exit)
    await agree(site, told, plan.refused, plan.active, options.name)
    await _write(site, bench, plan, catalogue)
    shown = [f"Slot {printable(plan.held.slot)} has volume {printable(plan.label)} now."]
    shown += [
        f"Volume {printable(old)} stays in the tapelist; amrmtape {bench.config.name} "
        f"{printable(old)} takes it out, if there is no other one of that label."
        for old in plan.stay
    ]
    shown += tell_planner(site, plan.lost)
    return Answer(record=_record(bench, plan, done=True), shown=shown)


async def _write(site: Site, bench: Workbench, plan: _Plan, catalogue: Catalogue) -> None:
    """Label it, and see that it is. Cancelled before the tapelist has the label, it does nothing;
    after that all of it.

    :raise CannotStart: it is not labelled
    """
    known = catalogue.tapelist.lookup(plan.label) is not None
    found = ScanResult(
        reservation=plan.held,
        label=plan.label,
        is_new=not (known and plan.reading.label == plan.label),
        tapelist=catalogue.tapelist,
    )

    async def write(permission: Permission) -> None:
        await label_volume(bench, found, permission, UNWRITTEN, Interruption(site.reactor))
        await _see(site, plan.held, plan.label)

    try:
        permission = await permit_label(
            bench, found, bench.stamp, ByHand(given_up=frozenset(plan.active))
        )
        await undisturbed(Deferred.fromCoroutine(write(permission)))
    except LabellingFailed as fault:
        raise CannotStart(fault.text) from fault


async def _see(site: Site, held: IAsyncReservation, wanted: str) -> None:
    """Read the new label, and let the changer know of it."""
    await held.device.finish()
    now = await held.device.read_label()
    if (now.status, now.label, now.timestamp) != (Status.SUCCESS, wanted, UNWRITTEN):
        raise CannotStart(
            f"slot {held.slot} was labelled {wanted}, but what is read there now is "
            f"{now.label or now.error}",
            code=8013,
        )
    try:
        await held.set_label(wanted)
    except ChangerError as fault:
        site.screen.warn(
            f"the changer does not know yet of volume {wanted}: {fault.message}", fault
        )


def _told(plan: _Plan) -> list[Table | str]:
    words = f"Slot {printable(plan.held.slot)} has {described(plan.reading)}."
    shown: list[Table | str] = [f"{words} It gets the label {printable(plan.label)}."]
    if plan.refused is not None:
        shown.append(f"It does not: {printable(plan.refused)}")
    shown += [
        f"Volume {printable(one)} is active: {printable(reason)}."
        for one, reason in plan.active.items()
    ]
    return [*shown, *tell_lost(plan.lost)]


def _record(bench: Workbench, plan: _Plan, *, done: bool) -> dict[str, Any]:
    return {
        "schema": "taper/label/1",
        "config": bench.config.name,
        "storage": bench.storage.name,
        "slot": plan.held.slot,
        "barcode": plan.held.barcode,
        "label": plan.label,
        "content": content_of(plan.reading),
        "old_label": plan.reading.label,
        "active": record_active(plan.active),
        "lost": record_lost(plan.lost),
        "refused": plan.refused,
        "stay_listed": list(plan.stay),
        "done": done,
    }

"""``taperctl erase``: a volume is emptied, as a taper would do it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import evolve, frozen
from twisted.internet.defer import Deferred

from devices.errors import ChangerError, ChangerReason, Status
from devices.interfaces import LoadRequest
from devices.shield import undisturbed
from taper.core.erasing import erase_held
from taper.core.permission import VolumeStillActive
from taper.last_words import CannotStart
from taper.people.exits import Exit, NotAtHand
from taper.people.manage.workbench import (
    agree,
    described,
    lost_with,
    record_active,
    record_lost,
    tell_lost,
    tell_planner,
    workbench,
)
from taper.people.medium import release
from taper.people.reading import read_catalogue
from taper.people.show import where
from taper.people.telling import Answer, Table, printable
from taper.people.tonight import stamp_of

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping, Sequence

    from devices.interfaces import IAsyncReservation
    from protocols.tapelist import TapelistEntry
    from taper.people.catalogue import Catalogue, Copy
    from taper.people.manage.workbench import Workbench
    from taper.people.site import Site


@frozen(kw_only=True)
class _Plan:
    """What is to be done with a volume.

    :ivar active: it, if it is needed, with the reason.
    :ivar refused: why it is not done, whoever is asked; None: it may be.
    """

    label: str
    held: IAsyncReservation
    active: Mapping[str, str]
    lost: Sequence[Copy]
    refused: str | None
    keep_label: bool


async def erase(site: Site, options: argparse.Namespace) -> Answer:
    """See :mod:`taper.people.manage.declared`."""
    catalogue = await site.call(read_catalogue, site.config)
    wanted, why = options.label, "there is no storage"
    storages = site.storages(options.storage)
    for name in where(wanted, catalogue.tapelist, storages):
        storage = next(one for one in storages if one.name == name)
        async with workbench(site, storage, stamp_of(site.now())) as bench:
            try:
                held = await bench.changer.load(LoadRequest(label=wanted))
            except ChangerError as fault:
                if fault.reason is not ChangerReason.NOTFOUND:
                    raise
                why = fault.message
                continue
            try:
                plan = _plan(bench, held, catalogue, options)
                return await _follow(site, bench, plan, catalogue, options)
            finally:
                await release(site, held)
    raise NotAtHand(f"volume '{wanted}' is not at hand: {why}")


def _plan(
    bench: Workbench,
    held: IAsyncReservation,
    catalogue: Catalogue,
    options: argparse.Namespace,
) -> _Plan:
    wanted, reading = options.label, held.reading
    active: Mapping[str, str] = {}
    refused = None
    if reading.status != Status.SUCCESS or reading.label != wanted:
        refused = f"slot {held.slot} has {described(reading)}"
    elif not held.device.facts.properties.flag("full_deletion"):
        refused = f"{held.device.facts.name} cannot erase"
    else:
        active = bench.active(catalogue.tapelist, reading, held.barcode)
    return _Plan(
        label=wanted,
        held=held,
        active=active,
        lost=lost_with(catalogue, wanted) if refused is None else (),
        refused=refused,
        keep_label=options.keep_label,
    )


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
    erasing = erase_held(
        *(bench, plan.held, plan.label, catalogue.tapelist, bench.stamp),
        given_up=plan.active,
        rest=_emptied if plan.keep_label else None,
    )
    try:
        await undisturbed(Deferred.fromCoroutine(erasing))
    except VolumeStillActive as fault:
        raise CannotStart(fault.text) from fault
    shown = [f"Volume {printable(plan.label)} is erased."]
    return Answer(
        record=_record(bench, plan, done=True), shown=shown + tell_planner(site, plan.lost)
    )


def _emptied(entry: TapelistEntry) -> TapelistEntry:
    """As amrmtape leaves it: what is marked no-reuse stays so [config 4.4]."""
    return evolve(entry, datestamp="0", storage=None, config=None)


def _told(plan: _Plan) -> list[Table | str]:
    label = printable(plan.label)
    shown: list[Table | str] = []
    if plan.refused is not None:
        shown.append(f"Volume {label} is not erased: {printable(plan.refused)}")
        return shown
    rest = "it keeps its label" if plan.keep_label else "it loses its label, too"
    found = f"Slot {printable(plan.held.slot)} has {described(plan.held.reading)}."
    shown.append(f"{found} It is erased; {rest}.")
    shown += [f"Volume {label} is active: {printable(why)}." for why in plan.active.values()]
    return [*shown, *tell_lost(plan.lost)]


def _record(bench: Workbench, plan: _Plan, *, done: bool) -> dict[str, Any]:
    return {
        "schema": "taper/erase/1",
        "config": bench.config.name,
        "storage": bench.storage.name,
        "slot": plan.held.slot,
        "barcode": plan.held.barcode,
        "label": plan.label,
        "keep_label": plan.keep_label,
        "active": record_active(plan.active),
        "lost": record_lost(plan.lost),
        "refused": plan.refused,
        "done": done,
    }

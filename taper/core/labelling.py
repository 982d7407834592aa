"""Labelling one volume: the moment at which old data dies.

So everything is looked at once more here: what is on the medium, and what the tapelist, read under
its lock, says of it. Order of the steps: [data-plane 3.4], [config 3.4, 4.4].
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from attrs import evolve
from twisted.internet.defer import CancelledError

from devices.errors import ChangerError, DeviceError, Status
from devices.interfaces import AccessMode, VolumeReading
from protocols.labels import (
    LabelError,
    LabelScheme,
    check_fitting_label,
    make_fitting_label,
    make_meta_label,
)
from protocols.records import Record
from protocols.tapelist import TapelistEntry, TapelistError
from protocols.tracelog import Info
from taper.core.errors import Interrupted
from taper.core.permission import VolumeStillActive, dead_claims, refuse_overwrite
from taper.core.scan.texts import one_line

if TYPE_CHECKING:
    from devices.interfaces import IAsyncReservation
    from protocols.tapelist import Tapelist
    from taper.core.interruption import Interruption
    from taper.core.scan import ScanResult
    from taper.core.workplace import Workplace

UNWRITTEN = "X"
"""The timestamp in the label of a volume that no run has written [volumes 1.11]."""

_BLANK_TAPE = Status.VOLUME_UNLABELED | Status.VOLUME_ERROR


class LabellingFailed(Exception):
    """The volume was not labelled and must not be written.

    :ivar text: for the trace log.
    """

    taper_code = 2300

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text


class Permission(Record):
    """This volume may be labelled, as the tapelist says; a new label is claimed there.

    :ivar meta: the meta label to go with it.
    """

    label: str
    meta: str | None


@contextmanager
def _telling() -> Iterator[None]:
    """Turn whatever can go wrong into the text for the trace log."""
    try:
        yield
    except (LabelError, VolumeStillActive, DeviceError) as fault:
        raise LabellingFailed(f"while labeling new volume: {fault.text}") from fault
    except ChangerError as fault:
        raise LabellingFailed(f"while labeling new volume: {fault.message}") from fault
    except (TapelistError, OSError) as fault:
        raise LabellingFailed(f"while labeling new volume: {fault}") from fault


class ByHand(Record):
    """It is a person who wants a volume to have a label, the very one that is told, and no scan.

    :ivar given_up: labels of active volumes that this person has named to be lost.
    """

    given_up: frozenset[str] = frozenset()


async def permit_label(
    world: Workplace, found: ScanResult, timestamp: str, by_hand: ByHand | None = None
) -> Permission:
    """Look at the medium again, and ask the tapelist whether the volume a scan found may be
    written.

    Another program may hold the tapelist's lock for long. So this may be cancelled, and has then
    changed nothing; once the claim of a new label is being written, cancelling has no effect.

    :param timestamp: the run's
    :param by_hand: not a scan but a person has chosen volume and label
    :raise LabellingFailed: the caller releases the reservation
    """
    await _check_medium(found)
    with _telling():
        await world.history.refresh()
        meta = found.reservation.meta or await found.reservation.get_meta_label()
        if found.is_new:
            return await _announce_new_label(world, found, meta, timestamp, by_hand)
        given_up = frozenset() if by_hand is None else by_hand.given_up
        return await _check_known_label(world, found, meta, timestamp, given_up)


async def label_volume(
    world: Workplace,
    found: ScanResult,
    permission: Permission,
    timestamp: str,
    interruption: Interruption,
) -> None:
    """Write the label of a volume, and its tapelist entry: :func:`write_label`, and then
    :func:`record_label`, which say more of what they are given.

    :raise LabellingFailed: the caller releases the reservation
    """
    await write_label(world, found, permission, timestamp, interruption)
    await record_label(world, found.reservation, permission, timestamp, interruption)


async def write_label(
    world: Workplace,
    found: ScanResult,
    permission: Permission,
    timestamp: str,
    interruption: Interruption,
) -> None:
    """Write the label of a volume.

    :param timestamp: the run's; UNWRITTEN: it is labelled for a later run
    :param interruption: of the dump. What other programs hold up is done all the same, without
        being waited for once the dump is to end
    :raise LabellingFailed: the device was told; the caller releases the reservation
    """
    with _telling():
        try:
            await _start(found.reservation, permission.label, timestamp, interruption)
        except _NotStarted as refused:
            if found.is_new:
                await _settle_claim(world, found, permission.label, interruption)
            raise refused.fault from refused
    world.written.add(permission.label)


class _NotStarted(Exception):
    """The device says that it could not write the label."""

    def __init__(self, fault: DeviceError) -> None:
        super().__init__(fault.text)
        self.fault = fault


async def _settle_claim(
    world: Workplace,
    found: ScanResult,
    label: str,
    interruption: Interruption,
) -> None:
    """Free a claimed label, but only if the medium surely does not bear it: an error may come
    when the label is already there, and must then not be given to a second volume."""
    try:
        reading = await interruption.wait(_read_label(found))
        bearing = _describe(reading)
        lacks = _surely_lacks(reading, label)
    except (DeviceError, Interrupted) as fault:
        bearing, lacks = f"unknown ({fault or 'the dump was ended'})", False
    if lacks:
        await interruption.see_through(
            world.tapelists.update(lambda tapelist: tapelist.removing(label))
        )
        return
    await world.note(
        Info(
            f"label {label} stays taken: slot {found.reservation.slot} may hold it, "
            f"what is read there is {one_line(bearing)}"
        )
    )


async def _read_label(found: ScanResult) -> VolumeReading:
    return await found.reservation.device.read_label()


def _surely_lacks(reading: VolumeReading, label: str) -> bool:
    if reading.status == Status.SUCCESS:
        return reading.label != label
    # a blank tape is a volume error besides [volumes 2.9]
    unlabelled = reading.status in (Status.VOLUME_UNLABELED, _BLANK_TAPE)
    return unlabelled and reading.header_type is not None


async def _check_medium(found: ScanResult) -> None:
    """Refuse when the medium is not the one the scan judged, perhaps hours ago."""
    before = found.reservation.reading
    now = await found.reservation.device.read_label()
    refused = "while reading label on new volume: "
    if not found.is_new and now.status and not now.status & Status.VOLUME_UNLABELED:
        raise LabellingFailed(refused + (now.error or "unreadable"))
    if (now.status, now.label, now.timestamp) != (before.status, before.label, before.timestamp):
        raise LabellingFailed(
            f"{refused}slot {found.reservation.slot} now holds {_describe(now)}, "
            f"the scan saw {_describe(before)}"
        )


def _describe(reading: VolumeReading) -> str:
    if reading.label is None:
        return f"no label ({reading.error or 'blank'})"
    return f"label {reading.label} of {reading.timestamp}"


async def _start(
    reservation: IAsyncReservation, label: str, timestamp: str, interruption: Interruption
) -> None:
    try:
        await reservation.device.start(AccessMode.WRITE, label, timestamp)
    except DeviceError as fault:
        await interruption.see_through(
            reservation.set_device_error(VolumeReading(fault.status, error=fault.text))
        )
        raise _NotStarted(fault) from fault


async def record_label(
    world: Workplace,
    reservation: IAsyncReservation,
    permission: Permission,
    timestamp: str,
    interruption: Interruption,
) -> None:
    """Let the tapelist say that a volume bears its label; a part may be written there meanwhile.

    :param timestamp: as of :func:`write_label`, which comes first
    :raise LabellingFailed: the caller releases the reservation
    """
    meta = permission.meta
    entry = TapelistEntry(
        datestamp="0" if timestamp == UNWRITTEN else timestamp,
        label=permission.label,
        barcode=reservation.barcode,
        meta=meta,
        blocksize=reservation.device.facts.block_size // 1024,
        pool=world.storage.tapepool,
        storage=world.storage.name,
        config=world.config.name,
    )
    with _telling():
        await interruption.see_through(
            world.tapelists.update(lambda tapelist: _recording(tapelist, entry))
        )
        if meta is not None:
            await interruption.see_through(reservation.set_meta_label(meta))


def _recording(tapelist: Tapelist, entry: TapelistEntry) -> Tapelist:
    """Replace the label's entry, keeping its comment."""
    old = tapelist.lookup(entry.label)
    if old is not None:
        entry = evolve(entry, comment=old.comment)
    return tapelist.replacing(entry)


def _forgotten(world: Workplace, tapelist: Tapelist) -> list[TapelistEntry]:
    """Labels that we gave in this run, and that somebody has taken from the tapelist since."""
    lost = sorted(label for label in world.written if tapelist.lookup(label) is None)
    return [TapelistEntry(datestamp="1", label=label) for label in lost]


def _make_label(
    world: Workplace, scheme: LabelScheme, tapelist: Tapelist, wanted: str | None, given_up: bool
) -> str:
    """The label for a volume that gets a new one.

    :param wanted: by a person; None: it is made
    :param given_up: where somebody has claimed it, that one may be passed over
    """
    if wanted is None:
        return make_fitting_label(scheme, [*tapelist.entries, *_forgotten(world, tapelist)])
    check_fitting_label(scheme, wanted)
    entry = tapelist.lookup(wanted)
    if entry is not None and not (given_up and entry.datestamp == "1"):
        raise LabelError(f"Label '{wanted}' already exists", exists=True)
    return wanted


async def _announce_new_label(
    world: Workplace,
    found: ScanResult,
    meta: str | None,
    timestamp: str,
    by_hand: ByHand | None,
) -> Permission:
    """Choose the label under the tapelist's lock and claim it with a ``1 ... no-reuse`` entry."""
    chosen: list[TapelistEntry] = []
    storage, config = world.storage, world.config
    reservation = found.reservation
    retention = world.history.retention
    wanted = None if by_hand is None else found.label
    given_up = frozenset() if by_hand is None else by_hand.given_up

    def claim(tapelist: Tapelist) -> Tapelist:
        refuse_overwrite(
            tapelist,
            retention(tapelist),
            storage,
            reservation.reading,
            timestamp,
            barcode=reservation.barcode,
            scanned=found.tapelist,
            written=world.written,
            given_up=given_up,
        )
        for dead in dead_claims(tapelist, config.name, reservation.reading, reservation.barcode):
            tapelist = tapelist.removing(dead)
        meta_label = meta
        if meta_label is None and storage.meta_autolabel:
            meta_label = make_meta_label(
                storage.meta_autolabel, tapelist.entries, config=config.name, org=config.general.org
            )
        scheme = LabelScheme.of(config, storage).evolve(
            barcode=reservation.barcode,
            meta=meta_label,
            slot=reservation.slot,
            stays=world.changer.global_space,
        )
        label = _make_label(world, scheme, tapelist, wanted, wanted in given_up)
        entry = TapelistEntry(
            datestamp="1",
            label=label,
            reuse=False,
            barcode=reservation.barcode,
            meta=meta_label,
            pool=storage.tapepool,
            storage=storage.name,
            config=config.name,
        )
        chosen.append(entry)
        return tapelist.removing(label).adding(entry)  # of that label is a dead claim at most

    try:
        await world.tapelists.update(claim)
    except CancelledError:
        if not chosen:
            raise
    return Permission(chosen[-1].label, chosen[-1].meta)


async def _check_known_label(
    world: Workplace,
    found: ScanResult,
    meta: str | None,
    timestamp: str,
    given_up: frozenset[str],
) -> Permission:
    """Ask the tapelist, under its lock, whether this label may be written again."""
    reservation = found.reservation
    known: list[TapelistEntry] = []

    def check(tapelist: Tapelist) -> Tapelist:
        entry = tapelist.lookup(found.label)
        if entry is not None:
            if reservation.barcode and entry.barcode and reservation.barcode != entry.barcode:
                raise LabelError(
                    f"tapelist for label '{found.label}' have barcode '{entry.barcode}' "
                    f"but changer report '{reservation.barcode}'"
                )
            known.append(entry)
        refuse_overwrite(
            tapelist,
            world.history.retention(tapelist),
            world.storage,
            reservation.reading,
            timestamp,
            barcode=reservation.barcode,
            scanned=found.tapelist,
            written=world.written,
            given_up=given_up,
        )
        return tapelist

    await world.tapelists.update(check)
    if meta is None and known:
        meta = known[-1].meta
    return Permission(found.label, meta)

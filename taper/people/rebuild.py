"""``taperctl verify --rebuild-catalogue``: a tapelist and trace logs from the volumes alone."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from attrs import define, field

from devices.errors import ChangerError, DeviceError, Status
from devices.interfaces import AccessMode, LoadRequest, SlotState
from protocols.errorcode import coded
from protocols.stored import full_stamp
from protocols.tapelist import Tapelist
from taper.last_words import CannotStart
from taper.people.catalogue import Catalogue
from taper.people.exits import Exit
from taper.people.findings import Finding, Wrong
from taper.people.inspecting import Inspection, Watch
from taper.people.medium import read, release
from taper.people.read_watch import Place, Telling
from taper.people.relogging import (
    FoundDump,
    FoundFile,
    FoundVolume,
    Proof,
    make_logs,
    make_tapelist,
    put_together,
)
from taper.people.telling import Answer, Column, Table, count, moment, printable, size
from taper.people.tonight import entries_of
from taper.people.weighing import Weighing

if TYPE_CHECKING:
    import argparse

    from devices.interfaces import IAsyncChanger, IAsyncReservation
    from protocols.conf import Storage
    from taper.people.read_watch import DriveWatch, ReadWatch
    from taper.people.screen import IProgress
    from taper.people.site import Site
    from taper.plane.volumes import IReader

_COLUMNS = (
    Column("volume"),
    Column("labelled"),
    Column("slot"),
    Column("files", right=True),
    Column("read", right=True),
)


@define
class Gathering:
    """All that was read.

    :ivar slots: of the volumes, in their order.
    :ivar troubles: what could not be read.
    """

    volumes: list[FoundVolume] = field(factory=list)
    slots: list[str] = field(factory=list)
    findings: list[Finding] = field(factory=list)
    troubles: list[str] = field(factory=list)
    size: int = 0


async def rebuild(site: Site, options: argparse.Namespace, log: str | None) -> Answer:
    """Read all volumes that are in the changers, and write what they tell.

    :param log: where all that is said is kept
    """
    directory = options.rebuild_catalogue
    await site.call(_make_directory, directory)
    gathering = Gathering()
    progress = site.screen.progress("reading all volumes", None)
    telling = Telling(site, "rebuild")
    watch = telling.watch
    watch.know(to=directory, log=log)
    watch.done = lambda: gathering.size
    try:
        for storage in site.storages(options.storage):
            await _read_all(site, storage, gathering, progress, watch)
    finally:
        progress.close()
        await telling.close("all volumes are read")
    dumps = put_together(gathering.volumes)
    await site.call(_write, directory, gathering.volumes, dumps)
    return _answer(site, directory, gathering, dumps)


def _make_directory(directory: str) -> None:
    """:raise CannotStart: something is there, or it cannot be made"""
    try:
        os.mkdir(directory, 0o700)
    except FileExistsError:
        if os.path.isdir(directory) and not os.listdir(directory):
            return
        text = f"{directory} is there already: a new or empty directory expected"
        raise CannotStart(text) from None


def _write(directory: str, volumes: list[FoundVolume], dumps: Iterable[FoundDump]) -> None:
    os.mkdir(os.path.join(directory, "log"), 0o700)
    for stamp, text in make_logs(volumes, dumps):
        _write_new(os.path.join(directory, "log", f"log.{stamp}.0"), text)
    _write_new(os.path.join(directory, "tapelist"), make_tapelist(volumes).format())


def _write_new(path: str, data: bytes) -> None:
    with open(path, "xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


async def _read_all(
    site: Site, storage: Storage, gathering: Gathering, progress: IProgress, watch: ReadWatch
) -> None:
    changer = site.shelves.open_changer(storage.name)
    drive = watch.drive(1)
    try:
        info = await changer.info()
        entries = await entries_of(changer, info.slots)
        full = [entry for entry in entries if entry.state is not SlotState.EMPTY]
        for number, entry in enumerate(full, 1):
            watch.know(step=number, steps=len(full))
            drive.be("loading", entry.label, entry.slot)
            await _read_slot(site, storage, changer, entry.slot, gathering, progress, drive)
    finally:
        drive.be("empty")
        await site.close_changer(changer)


async def _read_slot(
    site: Site,
    storage: Storage,
    changer: IAsyncChanger,
    slot: str,
    gathering: Gathering,
    progress: IProgress,
    drive: DriveWatch,
) -> None:
    try:
        held = await changer.load(LoadRequest(slot=slot, mode=AccessMode.READ))
    except ChangerError as fault:
        if fault.fatal:
            raise
        gathering.troubles.append(coded(f"slot {slot} of {changer.name}: {fault.message}", fault))
        return
    try:
        await _read_volume(site, storage, held, gathering, progress, drive)
    except (DeviceError, OSError) as fault:
        gathering.troubles.append(coded(f"slot {slot} of {changer.name}: {fault}", fault))
    finally:
        await release(site, held)


async def _read_volume(
    site: Site,
    storage: Storage,
    held: IAsyncReservation,
    gathering: Gathering,
    progress: IProgress,
    drive: DriveWatch,
) -> None:
    label, stamp = held.reading.label, held.reading.timestamp
    if held.reading.status is not Status.SUCCESS or label is None or stamp is None:
        if not held.reading.status & Status.VOLUME_UNLABELED:
            gathering.troubles.append(f"slot {held.slot}: {held.reading.error}")
        return
    if any(volume.label == label for volume in gathering.volumes):
        gathering.troubles.append(f"slot {held.slot}: volume {label} was read already elsewhere")
        return
    await held.device.start(AccessMode.READ)

    before, at = gathering.size, 0

    def advance(more: int) -> None:
        gathering.size += more
        progress.advance(gathering.size, label or "")

    def begins(number: int, *_: object) -> None:
        nonlocal at
        at = number

    drive.reads(
        label, held.slot, None, lambda: Place(file=at or None, read=gathering.size - before)
    )

    inspection = Inspection(
        label=label,
        catalogue=Catalogue(Tapelist(), ()),
        weighing=Weighing(),
        wanted=lambda _: True,
        watch=Watch(site.shelves.stop.is_set, advance, begins),
    )

    def work(reader: IReader) -> None:
        inspection.run(reader, stamp)

    await read(site, held.device, work)
    gathering.findings += [
        finding for finding in inspection.findings if finding.wrong is not Wrong.UNLISTED
    ]
    volume = FoundVolume(
        label=label,
        stamp=full_stamp(stamp),
        storage=storage.name,
        pool=storage.tapepool,
        config=site.config.name,
        block_size=held.device.facts.block_size,
        barcode=held.barcode,
        meta=held.meta,
    )
    unreadable = {finding.file for finding in gathering.findings if finding.volume == label}
    last = max((file.number for file in inspection.files), default=0)
    for file in inspection.files:
        if file.header is None or file.crc is None or file.number in unreadable:
            continue
        if file.header.is_dump and (file.crc.size or file.number != last):
            volume.files.append(
                FoundFile(
                    volume=volume,
                    number=file.number,
                    header=file.header,
                    crc=file.crc,
                    last=file.number == last,
                )
            )
    gathering.volumes.append(volume)
    gathering.slots.append(held.slot)


def _answer(site: Site, directory: str, gathering: Gathering, dumps: list[FoundDump]) -> Answer:
    rows = [
        (
            printable(volume.label),
            moment(volume.stamp),
            printable(slot),
            str(len(volume.files)),
            size(sum(file.crc.size for file in volume.files)),
        )
        for volume, slot in zip(gathering.volumes, gathering.slots, strict=True)
    ]
    proven = [dump for dump in dumps if dump.proof is Proof.CHECKSUM]
    unproven = [dump for dump in dumps if dump.proof is Proof.NONE]
    lacking = [dump for dump in dumps if dump.proof is Proof.LACKING]
    lines = [f"{count(len(proven), 'dump')}: whole, by the checksum in the header"]
    if not gathering.volumes:
        lines = ["No labelled volume was found in a changer, so this catalogue is empty."]
    if unproven:
        lines.append(f"{count(len(unproven), 'dump')}: as it seems whole, nothing proves it")
        lines += [f"  {_named(dump)}" for dump in unproven]
    if lacking:
        lines.append(f"{count(len(lacking), 'dump')}: not whole")
        lines += [f"  {_named(dump)}: {printable(dump.lacks)}" for dump in lacking]
    wrong = bool(gathering.findings or gathering.troubles or lacking or not gathering.volumes)
    return Answer(
        record={
            "schema": "taper/rebuild/1",
            "config": site.config.name,
            "directory": directory,
            "volumes": [_record(volume) for volume in gathering.volumes],
            "dumps": [_record_of(dump) for dump in dumps],
            "findings": [finding.record() for finding in gathering.findings],
            "troubles": gathering.troubles,
        },
        shown=(
            Table(_COLUMNS, rows),
            *map(str, gathering.findings),
            *map(printable, gathering.troubles),
            *lines,
            f"Tapelist and trace logs are in {printable(directory)}.",
        ),
        exit=Exit.FOUND if wrong else Exit.WELL,
    )


def _named(dump: FoundDump) -> str:
    header = dump.header
    who = f"{printable(header.host)}:{printable(header.disk)}"
    return f"{who} level {header.level} of {moment(full_stamp(header.datestamp))}"


def _record(volume: FoundVolume) -> dict[str, Any]:
    return {
        "label": volume.label,
        "labelled": volume.stamp,
        "storage": volume.storage,
        "files": len(volume.files),
        "read": sum(file.crc.size for file in volume.files),
    }


def _record_of(dump: FoundDump) -> dict[str, Any]:
    header = dump.header
    return {
        "host": header.host,
        "disk": header.disk,
        "datestamp": full_stamp(header.datestamp),
        "level": header.level,
        "parts": len(dump.parts),
        "proof": dump.proof.value,
        "lacks": dump.lacks or None,
    }

"""``taperctl show``: what is on a volume, as it is there, against what the logs say."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from protocols.header import Header
from protocols.stored import BrokenPart, full_stamp
from taper.people.exits import Exit
from taper.people.findings import Finding
from taper.people.inspecting import Inspection, SeenFile, Watch
from taper.people.medium import Volumes, opened, read
from taper.people.reading import read_catalogue
from taper.people.telling import Answer, Column, Table, count, moment, printable, size
from taper.people.weighing import Weighing

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from devices.interfaces import IAsyncDevice
    from protocols.conf import Config, Storage
    from protocols.tapelist import Tapelist
    from taper.people.catalogue import Catalogue
    from taper.people.site import Site
    from taper.plane.volumes import IReader

_COLUMNS = (
    Column("file", right=True),
    Column("host"),
    Column("disk"),
    Column("dumped"),
    Column("level", right=True),
    Column("part", right=True),
    Column("kind"),
    Column("size", right=True),
    Column("the log"),
)


async def show(site: Site, options: argparse.Namespace) -> Answer:
    """See :mod:`taper.people.commands`."""
    storages = site.storages(options.storage)
    catalogue = await site.call(read_catalogue, site.config)
    name = options.volume
    if names_a_device(name, site.config, catalogue.tapelist):
        return await _in_device(site, catalogue, name)
    volumes = Volumes(site)
    try:
        device = await volumes.fetch(name, where(name, catalogue.tapelist, storages))
        return await _shown(site, catalogue, device, name)
    finally:
        await volumes.close()


def names_a_device(name: str, config: Config, tapelist: Tapelist) -> bool:
    """It is a device or changer that is meant, not the label of a volume."""
    if tapelist.lookup(name) is not None:
        return False
    known = config.device(name) is not None or config.changer(name) is not None
    return known or ":" in name


def where(label: str, tapelist: Tapelist, storages: Sequence[Storage]) -> list[str]:
    """The storages in which a volume is looked for: its own first."""
    names = [storage.name for storage in storages]
    entry = tapelist.lookup(label)
    if entry is not None and entry.storage in names:
        names.remove(entry.storage)
        names.insert(0, entry.storage)
    return names


async def _in_device(site: Site, catalogue: Catalogue, name: str) -> Answer:
    async with opened(site, name) as medium:
        if medium.label is None:
            text = printable(medium.reading.error or "it has no label")
            return Answer(
                record={
                    **_head(site, None, None, catalogue),
                    "files": [],
                    "findings": [],
                    "error": medium.reading.error,
                },
                shown=(f"No labelled volume is in {printable(medium.place)}: {text}",),
                exit=Exit.FOUND,
            )
        return await _shown(site, catalogue, medium.device, medium.label)


async def _shown(site: Site, catalogue: Catalogue, device: IAsyncDevice, label: str) -> Answer:
    weighing = Weighing()
    inspection = Inspection(
        label=label,
        catalogue=catalogue,
        weighing=weighing,
        wanted=lambda _: False,
        watch=Watch(site.shelves.stop.is_set),
    )
    timestamp = device.facts.timestamp

    def work(reader: IReader) -> None:
        inspection.run(reader, timestamp)

    await read(site, device, work)
    findings = [*inspection.findings, *weighing.findings()]
    listed = catalogue.tapelist.lookup(label) is not None
    head = f"Volume {printable(label)}, labelled {moment(timestamp or '')}"
    head += f", {count(len(inspection.files), 'file')}"
    if not listed:
        head += "; it is not in the tapelist"
    return Answer(
        record={
            **_head(site, label, timestamp, catalogue),
            "files": [_record(file) for file in inspection.files],
            "findings": [finding.record() for finding in findings],
            "error": None,
        },
        shown=(
            head,
            Table(_COLUMNS, [_row(file, findings) for file in inspection.files]),
            *map(str, findings),
        ),
        exit=Exit.FOUND if findings else Exit.WELL,
    )


def _head(
    site: Site, label: str | None, timestamp: str | None, catalogue: Catalogue
) -> dict[str, Any]:
    return {
        "schema": "taper/show/1",
        "config": site.config.name,
        "label": label,
        "labelled": None if timestamp is None else full_stamp(timestamp),
        "listed": label is not None and catalogue.tapelist.lookup(label) is not None,
    }


def _row(file: SeenFile, findings: Sequence[Finding]) -> tuple[str, ...]:
    told = file.part
    about = "" if told is None else size(told.about)
    wrong = any(finding.file == file.number for finding in findings)
    if isinstance(told, BrokenPart):
        verdict = f"not a good part: {printable(told.why)}"
    elif file.again is not None:
        verdict = f"has it at {printable(file.again)}: here was no room"
    elif told is None:
        verdict = "does not tell of it"
    else:
        verdict = "differs" if wrong else "agrees"
    if file.header is None:
        return (str(file.number), *[""] * 6, about, verdict)
    header = file.header
    return (
        str(file.number),
        *(printable(header.host), printable(header.disk), moment(header.datestamp)),
        *(str(header.level), str(header.partnum), _kind(header)),
        about,
        verdict,
    )


def _kind(header: Header) -> str:
    """What made it, and what was done to it."""
    words = [header.application or header.program]
    if header.comp_suffix:
        words.append(f"compressed ({header.comp_suffix})")
    if header.encrypt_suffix:
        words.append(f"encrypted ({header.encrypt_suffix})")
    return printable(", ".join(word for word in words if word))


def _record(file: SeenFile) -> dict[str, Any]:
    header, told = file.header, file.part
    return {
        "file": file.number,
        "header": None if header is None else recorded(header),
        "written_instead": file.again,
        "logged": None
        if told is None or file.copy is None
        else {
            "host": file.copy.dump.name.host,
            "disk": file.copy.dump.name.disk,
            "datestamp": file.copy.dump.name.datestamp,
            "level": file.copy.dump.name.level,
            "part": told.number,
            "size": told.about,
            "good": not isinstance(told, BrokenPart),
        },
    }


def recorded(header: Header) -> dict[str, Any]:
    """A header for ``--json``: its fields by their names."""
    fields = {
        "type": header.type.name,
        "datestamp": header.datestamp,
        "host": header.host,
        "disk": header.disk,
        "level": header.level,
        "part": header.partnum,
        "total_parts": header.totalparts,
        "program": header.program,
        "application": header.application,
        "compression": header.comp_suffix,
        "encryption": header.encrypt_suffix,
        "server_custom_compress": header.server_custom_compress,
        "client_custom_compress": header.client_custom_compress,
        "server_encrypt": header.server_encrypt,
        "client_encrypt": header.client_encrypt,
        "original_kib": header.orig_size,
        "partial": header.is_partial,
    }
    for name in ("server_crc", "client_crc", "native_crc"):
        crc = getattr(header, name)
        fields[name] = str(crc) if crc.known else None
    return fields

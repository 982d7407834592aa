"""``taperctl monitor``: the state of dumps and volumes for Nagios and Icinga."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from attrs import evolve, frozen
from twisted.internet.defer import CancelledError

from devices.errors import ChangerError, DeviceError
from devices.regular import open_regular
from protocols.disklist import read_disklist
from protocols.errorcode import coded
from protocols.stored import End
from taper.core.errors import SourceFault
from taper.core.scan import ScanFailed
from taper.flow.made_header import NoDumptype, dumptype_of
from taper.last_words import CannotStart, sentence
from taper.people import watching
from taper.people.catalogue import Copy
from taper.people.exits import State
from taper.people.last_night import KINDS, Run, last_of, read_run
from taper.people.plugin_text import Finding, report, worst
from taper.people.reading import lives, log_names, read_catalogue
from taper.people.restore.finding import as_restorable, disk_of, level_number
from taper.people.restore.plan import Restorable
from taper.people.running import EXPECTED, told
from taper.people.telling import Answer
from taper.people.tonight import Night, put_on_paper, stamp_of
from taper.people.watching import KnownDisk, Left, Limits, parse_age
from taper.run.log_catalog import HistoryError, dump_lines

if TYPE_CHECKING:
    import argparse

    from protocols.conf import Config, Storage
    from protocols.tapelist import Tapelist
    from taper.people.catalogue import Catalogue, HeldDump
    from taper.people.last_night import DiskName
    from taper.people.site import Site
    from taper.run.history import History

_MOST_RUNS = 20
"""Runs that are looked at for disks that the newer ones did not have."""


async def monitor(site: Site, options: argparse.Namespace) -> Answer:
    """See :mod:`taper.people.commands`. It never fails: what goes wrong is an answer, too."""
    try:
        return await _look(site, options)
    except CancelledError:
        return _unknown(site.config.name, "it was interrupted")
    except Exception as fault:
        text = told(fault) if isinstance(fault, EXPECTED) else sentence(fault)
        return _unknown(site.config.name, coded(text, fault))


def _unknown(name: str, text: str) -> Answer:
    return _answer(name, [Finding(state=State.UNKNOWN, text=text)], ())


def _answer(
    name: str, findings: Sequence[Finding], summary: Sequence[str], **more: list[dict[str, Any]]
) -> Answer:
    lines, state = report(findings, summary), worst(findings)
    return Answer(
        record={
            "schema": "taper/monitor/1",
            "config": name,
            "state": state.name,
            "found": [{"state": one.state.name, "text": one.text} for one in findings],
            "data": lines[0].partition(" | ")[2] or None,
            **{key: [] for key in ("disks", "volumes", "failures")},
            **more,
        },
        shown=lines,
        exit=state,
    )


@frozen(kw_only=True)
class _Facts:
    """What files tell.

    :ivar runs: those that are over, the newest first.
    :ivar under_way: another one is going on.
    """

    tapelist: Tapelist
    disks: tuple[KnownDisk, ...]
    runs: tuple[Run, ...]
    under_way: bool


async def _look(site: Site, options: argparse.Namespace) -> Answer:
    config, now, limits = site.config, site.now(), _limits(options)
    facts = await site.call(_read, config, options.disk)
    disks = [(disk, disk.last()) for disk in facts.disks]
    volumes = await _volumes(site, facts.tapelist) if limits.wants_volumes else []
    wanted = {_key(disk.host, disk.disk) for disk in facts.disks}
    judged = {name: one for name, one in last_of(facts.runs).items() if _key(*name) in wanted}
    of_disks = [watching.judge_disk(disk, last, limits, now) for disk, last in disks]
    of_volumes = [watching.judge_volumes(left, limits) for left in volumes]
    of_run = evolve(
        watching.judge_run(facts.runs[0] if facts.runs else None, under_way=facts.under_way),
        data=tuple(watching.sum_of_failures(judged)),
    )
    findings = [*of_disks, *of_volumes, of_run, *watching.judge_failures(judged)]
    lasts = [last for _, last in disks if last is not None]
    return _answer(
        config.name,
        findings,
        watching.summary_of(len(disks), lasts, of_volumes, of_run, now),
        disks=[_disk(disk, last, now) for disk, last in disks],
        volumes=[_left(left) for left in volumes],
        failures=[
            {
                "host": one.failure.host,
                "disk": one.failure.disk,
                "run": one.stamp,
                "kind": one.failure.fate.value,
                "text": one.failure.text,
            }
            for one in judged.values()
            if one.failure is not None
        ],
    )


def _limits(options: argparse.Namespace) -> Limits:
    try:
        limits = Limits(
            warning=parse_age(options.warning or watching.DEFAULT_WARNING),
            critical=parse_age(options.critical or watching.DEFAULT_CRITICAL),
            volumes_warning=options.volumes_warning,
            volumes_critical=options.volumes_critical,
        )
    except ValueError as fault:
        raise CannotStart(str(fault), code=1001) from fault
    complaint = limits.complaint()
    if complaint is not None:
        raise CannotStart(complaint, code=1015)
    return limits


# Files


def _read(config: Config, wanted: Sequence[str]) -> _Facts:
    names = _choose(config, read_disks(config), wanted)
    catalogue = read_catalogue(config)
    runs, under_way = _read_runs(config, names)
    return _Facts(
        tapelist=catalogue.tapelist,
        disks=known_disks(names, catalogue),
        runs=tuple(runs),
        under_way=under_way,
    )


def known_disks(names: Iterable[DiskName], catalogue: Catalogue) -> tuple[KnownDisk, ...]:
    """Disks with the dumps that the catalogue has of them."""
    dumps: dict[DiskName, list[Copy | HeldDump]] = {}
    for dump in catalogue.of():
        dumps.setdefault(_key(*disk_of(dump)), []).append(dump)
    return tuple(_known(name, dumps.get(_key(*name), ())) for name in names)


def read_disks(config: Config) -> list[DiskName]:
    """The disks that are to be dumped.

    :raise CannotStart: a dumptype is not there
    :raise OSError: a file cannot be read
    """

    def read(path: str) -> bytes:
        with open(config.path(path), "rb", opener=open_regular) as file:
            return file.read()

    known = []
    for entry in read_disklist(config.path(config.general.diskfile), read):
        try:
            dumptype = dumptype_of(entry, config)
        except NoDumptype as fault:
            raise CannotStart(f"the disklist: {fault}", code=1015) from fault
        if not dumptype.ignore and dumptype.strategy.lower() != "skip":
            known.append((entry.host, entry.disk))
    return known


def _choose(config: Config, known: list[DiskName], wanted: Sequence[str]) -> list[DiskName]:
    """Those that are wanted, or all.

    :param wanted: ``HOST`` or ``HOST:DISK``
    :raise CannotStart: there is none of that name, or none at all
    """
    name = config.path(config.general.diskfile)
    if not known:
        raise CannotStart(f"{name} has no disk that is to be dumped", code=1015)
    chosen: dict[DiskName, None] = {}
    for text in wanted:
        host, colon, disk = text.partition(":")
        found = [one for one in known if one[0].lower() == host.lower() and disk in ("", one[1])]
        if not found or (colon and not disk):
            raise CannotStart(
                f"--disk {text}: {name} has no such disk that is to be dumped", code=1015
            )
        chosen |= dict.fromkeys(found)
    return list(chosen) if wanted else known


def _known(name: DiskName, dumps: Iterable[Copy | HeldDump]) -> KnownDisk:
    there: dict[tuple[str, int], Restorable] = {}
    told = {}
    for dump in dumps:
        if dump.restorable:
            one = as_restorable(dump)
            there.setdefault(one.key, one)
        elif isinstance(dump, Copy) and dump.dump.end is End.DONE:
            of = dump.dump.name
            one = Restorable(datestamp=of.datestamp, level=level_number(of.level), size=None)
            told[one.key] = one
    return KnownDisk(
        host=name[0], disk=name[1], dumps=tuple((told | there).values()), there=frozenset(there)
    )


def _read_runs(config: Config, names: Sequence[DiskName]) -> tuple[list[Run], bool]:
    """The runs that are over, back to the last one that had all the disks.

    :return: those, and whether another one is going on
    """
    logdir = config.path(config.general.logdir)
    missing = {_key(*name) for name in names}
    runs: list[Run] = []
    under_way = False
    for name, stamp in log_names(listed(logdir)):
        path = f"{logdir}/{name}"
        try:
            run = read_run(dump_lines(path, KINDS), stamp)
        except FileNotFoundError:
            continue  # tidied away since the directory was read
        except OSError as fault:
            text = f"cannot read the trace log {path}: {fault.strerror or fault}"
            raise HistoryError(text) from fault
        if run is None:
            continue
        if not run.finished and run.pid is not None and lives(run.pid):
            under_way = True
            continue
        runs.append(run)
        missing -= {_key(*disk) for disk in run.disks}
        if not missing or len(runs) == _MOST_RUNS:
            break
    return runs, under_way


def listed(logdir: str) -> list[str]:
    """Names of what is in the directory of the logs.

    :raise HistoryError: it cannot be read
    """
    try:
        return os.listdir(logdir)
    except FileNotFoundError:
        return []  # nothing was ever logged
    except OSError as fault:
        raise HistoryError(f"cannot read the directory {logdir}: {fault.strerror}") from fault


def _key(host: str, disk: str) -> DiskName:
    return host.lower(), disk


# Volumes


async def _volumes(site: Site, tapelist: Tapelist) -> list[Left]:
    history = site.history()
    await history.refresh()
    return [await _count(site, storage, history, tapelist) for storage in site.tonight(None)]


async def _count(site: Site, storage: Storage, history: History, tapelist: Tapelist) -> Left:
    try:
        paper = await put_on_paper(site, storage, load=False, touch=False)
        stamp = stamp_of(site.now())
        night = Night(site.config, storage, paper, tapelist, history.retention, stamp)
        fates = [fated.fate for fated in night.fates()]  # before the first one is written
        refused = await _refused(night) if "usable" in fates else None
    except (ChangerError, DeviceError, SourceFault, ScanFailed) as fault:
        return Left(storage=storage.name, trouble=coded(str(fault), fault))
    return Left(
        storage=storage.name,
        usable=fates.count("usable"),
        unknown=fates.count("unknown"),
        slots=len(fates),
        runtapes=storage.runtapes,
        refused=refused,
    )


async def _refused(night: Night) -> str | None:
    """Why the scan of tonight takes none of those that it could."""
    try:
        return (await night.take()).refused
    except ScanFailed as fault:
        return fault.text


# Records


def _disk(disk: KnownDisk, last: Restorable | None, now: float) -> dict[str, Any]:
    begun = None if last is None else watching.seconds_of(last.datestamp)
    return {
        "host": disk.host,
        "disk": disk.disk,
        "datestamp": None if last is None else last.datestamp,
        "level": None if last is None else last.level,
        "size": None if last is None else last.size,
        "age": None if begun is None else int(now - begun),
    }


def _left(left: Left) -> dict[str, Any]:
    return {
        "storage": left.storage,
        "left": None if left.trouble is not None else left.usable,
        "unknown_slots": left.unknown,
        "refused": left.refused,
        "trouble": left.trouble,
    }

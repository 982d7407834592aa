"""``taperctl doctor``: all checks, one after another."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any

from devices.regular import open_regular
from protocols.disklist import read_disklist
from taper.flow.made_header import NoDumptype, dumptype_of
from taper.people.doctor import by_config, by_dumps, by_machine
from taper.people.doctor.advice import Advice, Weight
from taper.people.exits import Exit
from taper.people.reading import read_catalogue, read_past
from taper.people.shelf import look
from taper.people.telling import Answer, count

if TYPE_CHECKING:
    import argparse

    from protocols.conf import Config, Storage
    from taper.people.catalogue import Catalogue
    from taper.people.shelf import Shelf
    from taper.people.site import Site

_DAY = 86400


async def doctor(site: Site, options: argparse.Namespace) -> Answer:
    """See :mod:`taper.people.commands`."""
    config, storages = site.config, site.storages(None)
    catalogue = await site.call(read_catalogue, config)
    shelves = await look(site, storages)
    found = await site.call(examine, config, storages, catalogue, shelves, site.now())
    return tell(config.name, found)


def examine(
    config: Config,
    storages: Sequence[Storage],
    catalogue: Catalogue,
    shelves: Sequence[Shelf],
    now: float,
) -> list[Advice]:
    """All checks, the worst first; it blocks.

    :param shelves: what the changers have; none: nobody asked them
    :param now: seconds since the epoch
    """

    def ago(days: int) -> str:
        moment = time.localtime(max(now - days * _DAY, 0))
        return time.strftime("%Y%m%d%H%M%S", moment)

    known, faults = _disks(config)
    since = by_dumps.oldest_base(known, catalogue)
    past = catalogue if since is None else read_past(config, catalogue.tapelist, since)
    found = [
        *faults,
        *chain(
            by_machine.run_in_progress(config),
            by_machine.places(config, storages),
            by_config.changers(shelves),
            by_config.part_size(config, storages, catalogue),
            by_config.retention(config, storages),
            by_config.slots(config, shelves),
            by_dumps.last_run(catalogue),
            by_dumps.disks(known, catalogue, config.general.dumpcycle, ago),
            by_dumps.chains(known, catalogue, past),
            by_dumps.held(catalogue, ago),
            by_dumps.clock(catalogue, ago),
            by_machine.room(config, storages, catalogue),
            by_machine.shared_disks(config, storages),
            by_machine.taper_in_place(),
        ),
    ]
    return sorted(found, key=lambda advice: advice.weight is Weight.RISK)


def _disks(config: Config) -> tuple[list[tuple[str, str]], list[Advice]]:
    """The disks that are to be dumped, and what is wrong with the disklist."""
    name = config.path(config.general.diskfile)
    known: list[tuple[str, str]] = []
    faults: list[Advice] = []

    def read(path: str) -> bytes:
        with open(config.path(path), "rb", opener=open_regular) as file:
            return file.read()

    def fault(what: str) -> None:
        faults.append(
            Advice(
                check="disklist",
                code=1015,
                weight=Weight.WRONG,
                what=what,
                values={"DISKLIST": name},
            )
        )

    try:
        for entry in read_disklist(name, read):
            try:
                dumptype = dumptype_of(entry, config)
            except NoDumptype as error:
                fault(f"{error}.")
                continue
            if not dumptype.ignore and dumptype.strategy.lower() != "skip":
                known.append((entry.host, entry.disk))
    except OSError as error:
        fault(f"The disklist {name} cannot be read: {error.strerror}.")
    return known, faults


def tell(name: str, found: Sequence[Advice]) -> Answer:
    """What was found, in this order."""
    return Answer(
        record={
            "schema": "taper/doctor/1",
            "config": name,
            "found": [_record(advice) for advice in found],
        },
        shown=[*(line for advice in found for line in _lines(advice)), _sum(found)],
        exit=Exit.FOUND if found else Exit.WELL,
    )


def _record(advice: Advice) -> dict[str, Any]:
    return {
        "check": advice.check,
        "code": advice.kind.label,
        "weight": advice.weight.value,
        "what": advice.what,
        "cause": advice.cause,
        "remedy": advice.remedy,
    }


def _lines(advice: Advice) -> Iterator[str]:
    yield f"{advice.weight.value.upper()}  {advice.what}  [{advice.check}, {advice.kind.label}]"
    yield f"  {advice.cause}"
    yield f"  -> {advice.remedy}"


def _sum(found: Sequence[Advice]) -> str:
    wrong = sum(advice.weight is Weight.WRONG for advice in found)
    if not found:
        return "Nothing wrong was found."
    return f"{count(wrong, 'thing')} wrong, {count(len(found) - wrong, 'risk')}."

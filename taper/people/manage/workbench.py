"""What people label and erase volumes with: the taper's own code for it, around which this is."""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from devices.lane import Lane
from protocols.header import HeaderType
from protocols.labels import LabelError
from protocols.stored import full_stamp
from taper.core.permission import VolumeStillActive, refuse_overwrite
from taper.last_words import CannotStart
from taper.people import keeping
from taper.people.restore.dialogue import Dialogue
from taper.people.telling import Answer, Column, Table, moment, printable
from taper.run.tapelist_store import TapelistStore

if TYPE_CHECKING:
    from collections.abc import Sequence

    from devices.interfaces import IAsyncChanger, VolumeReading
    from protocols.conf import Config, Storage
    from protocols.tapelist import Tapelist
    from protocols.tracelog import Info
    from taper.people.catalogue import Catalogue, Copy
    from taper.people.site import Site

_LOST = (Column("host"), Column("disk"), Column("dumped"), Column("level", right=True))


class Workbench:
    """One storage, with its changer, and the tapelist; see :class:`taper.core.workplace.Workplace`.

    :ivar stamp: of this moment, 14 digits.
    """

    def __init__(self, site: Site, storage: Storage, changer: IAsyncChanger, stamp: str) -> None:
        config = site.config
        self.config: Config = config
        self.storage = storage
        self.changer = changer
        self.tapelists = TapelistStore(
            config.path(config.general.tapelist), site.call, site.reactor, site.screen.warn
        )
        self.history = site.history()
        self.written: set[str] = set()
        self.stamp = stamp
        self._site = site

    async def note(self, record: Info) -> None:
        """What a taper would write to its trace log."""
        self._site.screen.warn(record.text)

    def active(
        self, tapelist: Tapelist, reading: VolumeReading, barcode: str | None
    ) -> dict[str, str]:
        """The volumes that are lost if this one is written over, though they are needed: their
        labels, and why they are. More than one only where several have its barcode.

        :param reading: what is on the medium
        :raise CannotStart: it must not be written over, whoever says so
        """
        retention = self.history.retention(tapelist)
        found: dict[str, str] = {}
        while True:
            try:
                refuse_overwrite(
                    tapelist,
                    retention,
                    self.storage,
                    reading,
                    self.stamp,
                    barcode=barcode,
                    given_up=found,
                )
            except VolumeStillActive as fault:
                if fault.label in found:
                    raise CannotStart(fault.text) from fault
                entry = tapelist.lookup(fault.label)
                found[fault.label] = fault.reason
                if entry is not None:
                    rules = retention.kept_by(fault.label)
                    words = keeping.with_rules(fault.reason, rules, entry.datestamp)
                    found[fault.label] = words
            except LabelError as fault:
                raise CannotStart(fault.text) from fault
            else:
                return found


@asynccontextmanager
async def workbench(site: Site, storage: Storage, stamp: str) -> AsyncIterator[Workbench]:
    """Open the changer of a storage, and give it back.

    :raise SourceFault: there is no such changer
    """
    changer = site.shelves.open_changer(storage.name)
    try:
        bench = Workbench(site, storage, changer, stamp)
        site.leaving.append(bench.tapelists.hurry)
        try:
            await bench.history.refresh()
            yield bench
        finally:
            site.leaving.remove(bench.tapelists.hurry)
    finally:
        await site.close_changer(changer)


def storage_of(site: Site, name: str | None) -> Storage:
    """The storage of this name, or that of a taper to which nobody has named one.

    :raise CannotStart: there is none
    """
    return site.tonight(name)[0]


def dialogue_of(site: Site) -> Dialogue:
    """Whom a command talks to."""
    return Dialogue(site.screen, functools.partial(Lane, site.reactor))


async def agree(
    site: Site,
    told: Sequence[Table | str],
    refused: str | None,
    active: Collection[str],
    named: Collection[str],
) -> None:
    """Show a plan, and see that it may be followed.

    :param refused: why it may not, whoever is asked
    :param active: volumes that are needed, of which each has to be named: all on them will be lost
    :param named: what was named on the command line
    :raise CannotStart: it may not, or somebody has not named them
    """
    if refused is not None:
        raise CannotStart(f"nothing was done: {printable(refused)}", code=8013)
    dialogue = dialogue_of(site)
    dialogue.show(Answer(record={}, shown=told))
    for label in active:
        if label not in named:
            await _have_named(dialogue, label)


async def _have_named(dialogue: Dialogue, label: str) -> None:
    shown = printable(label)
    if not dialogue.interactive:
        raise CannotStart(
            f"nothing was done, as {shown} is active; --name {shown} gives it up", code=8013
        )
    try:
        typed = await dialogue.ask(f"To lose what is on {shown}, type its name: ")
    except EOFError:
        typed = ""
    if typed not in (label, shown):
        raise CannotStart(f"nothing was done, as the name of {shown} was not typed", code=8013)


# what is on a volume, and what is lost with it


def content_of(reading: VolumeReading) -> str:
    """What is on a medium, in a word, as :func:`taper.people.shelf.content` says it."""
    if reading.label is not None:
        return "labelled"
    if reading.header_type is HeaderType.WEIRD:
        return "foreign"
    return "blank" if reading.header_type is HeaderType.EMPTY else "error"


def described(reading: VolumeReading) -> str:
    """What is on a medium, for people."""
    content = content_of(reading)
    if content == "labelled":
        stamp = reading.timestamp or ""
        written = "never written" if stamp == "X" else f"written {moment(full_stamp(stamp))}"
        return f"volume {printable(reading.label or '')}, {written}"
    if content == "foreign":
        return "what is not a volume of Amanda's"
    if content == "blank":
        return "a blank volume"
    return f"what cannot be read: {printable(reading.error or 'no label')}"


def lost_with(catalogue: Catalogue, label: str) -> list[Copy]:
    """The dumps that can be restored, and cannot any more without this volume."""
    kept = {
        _key(copy)
        for copy in catalogue.copies
        if copy.restorable and all(part.label != label for part in copy.dump.places)
    }
    kept |= {
        (held.host, held.disk, held.datestamp, held.level)
        for held in catalogue.held
        if held.restorable
    }
    return [copy for copy in catalogue.on(label) if copy.restorable and _key(copy) not in kept]


def _key(copy: Copy) -> tuple[str, str, str, str]:
    """Which dump it is a copy of."""
    name = copy.dump.name
    return (name.host, name.disk, name.datestamp, name.level)


def tell_lost(lost: Sequence[Copy]) -> list[Table | str]:
    """The dumps that are lost, for people."""
    if not lost:
        return []
    rows = [
        (printable(host), printable(disk), moment(stamp), level)
        for host, disk, stamp, level in map(_key, lost)
    ]
    return ["These dumps can not be restored any more then:", Table(_LOST, rows)]


def tell_planner(site: Site, lost: Sequence[Copy]) -> list[str]:
    """What is to be done that no dump builds on those that are lost."""
    disks = dict.fromkeys((copy.dump.name.host, copy.dump.name.disk) for copy in lost)
    return [
        "Amanda's planner may build on what is lost, unless you say: "
        f"amadmin {site.config.name} force {printable(host)} {printable(disk)}"
        for host, disk in disks
    ]


def record_lost(lost: Sequence[Copy]) -> list[Mapping[str, Any]]:
    """The same for ``--json``."""
    names = ("host", "disk", "datestamp", "level")
    return [dict(zip(names, _key(copy), strict=True)) for copy in lost]


def record_active(active: Mapping[str, str]) -> list[Mapping[str, Any]]:
    """The volumes that are needed, for ``--json``."""
    return [{"label": label, "reason": reason} for label, reason in active.items()]

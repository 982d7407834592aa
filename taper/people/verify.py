"""``taperctl verify``: every part is read, and compared with all that is known of it."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from attrs import define, field, frozen

from devices.errors import ChangerError, DeviceError
from devices.tapelist_file import read_tapelist
from protocols.errorcode import coded
from protocols.stored import full_stamp
from taper.last_words import CannotStart
from taper.people.catalogue import is_written_as
from taper.people.exits import Exit
from taper.people.findings import Finding, Wrong
from taper.people.inspecting import Inspection, Watch
from taper.people.medium import NotAtHand, Volumes, read, wrong_label
from taper.people.reading import read_catalogue
from taper.people.rebuild import rebuild
from taper.people.shelf import doubled, look
from taper.people.show import where
from taper.people.telling import Answer, Column, Table, count, moment, printable, size
from taper.people.weighing import Verdict, Weighed, Weighing

if TYPE_CHECKING:
    import argparse

    from devices.interfaces import IAsyncDevice
    from protocols.conf import Storage
    from taper.people.catalogue import Catalogue, Copy
    from taper.people.site import Site
    from taper.plane.volumes import IReader

_COLUMNS = (
    Column("volume"),
    Column("files", right=True),
    Column("read", right=True),
    Column("verdict"),
)


@frozen
class Task:
    """What is to be verified.

    :ivar labels: the volumes, in the order of loading.
    :ivar copies: the dumps that are read; None: all that is on the volumes.
    """

    labels: tuple[str, ...]
    copies: frozenset[int] | None = None

    def wants(self, copy: Copy | None) -> bool:
        """A part of this dump is to be read; None: one that no log tells of."""
        return self.copies is None or (copy is not None and id(copy) in self.copies)


@define
class Outcome:
    """One volume.

    :ivar absent: why it was not verified; None: it was.
    """

    label: str
    files: int = 0
    size: int = 0
    findings: list[Finding] = field(factory=list)
    absent: str | None = None


async def verify(site: Site, options: argparse.Namespace) -> Answer:
    """See :mod:`taper.people.commands`."""
    if options.rebuild_catalogue is not None:
        return await rebuild(site, options)
    storages = site.storages(options.storage)
    catalogue = await site.call(read_catalogue, site.config)
    task = choose(catalogue, storages, options, random.SystemRandom(), site.config.name)
    verifying = Verifying(site, catalogue, task, storages)
    await verifying.run()
    return verifying.answer()


def choose(
    catalogue: Catalogue,
    storages: Iterable[Storage],
    options: argparse.Namespace,
    dice: random.Random,
    config: str,
) -> Task:
    """What the command line asks for. Where it names no storage, also volumes of one that is no
    more: they may be in any changer.

    :param config: name of the configuration
    :raise CannotStart: it asks for nothing, or for several things at once
    """
    ways = [bool(options.volumes), options.all, options.sample is not None]
    if sum(ways) != 1:
        raise CannotStart("name the volumes to verify, or say --all or --sample PERCENT", code=1001)
    if options.volumes:
        return Task(tuple(dict.fromkeys(options.volumes)))
    names = {storage.name for storage in storages}
    labels = tuple(
        entry.label
        for entry in reversed(catalogue.tapelist.entries)
        if entry.datestamp not in ("0", "1")
        and (
            entry.storage in (None, *names)
            or (options.storage is None and entry.config in (None, config))
        )
    )
    if options.all:
        return Task(labels)
    return _sample(catalogue, labels, _percent(options.sample), dice)


def _percent(text: str) -> float:
    """:raise CannotStart: it is none"""
    try:
        percent = float(text.removesuffix("%"))
    except ValueError:
        percent = 0.0
    if not 0 < percent <= 100:
        raise CannotStart(f"--sample {text}: a number over 0 up to 100 expected", code=1001)
    return percent


def _sample(
    catalogue: Catalogue, labels: tuple[str, ...], percent: float, dice: random.Random
) -> Task:
    """Whole dumps, as only they have checksums, drawn until there are so many bytes."""
    known = set(labels)
    there = [copy for copy in catalogue.copies if copy.restorable and known & {*copy.dump.labels}]
    wanted = sum(copy.dump.size for copy in there) * percent / 100
    dice.shuffle(there)
    chosen: list[Copy] = []
    size_of_all = 0
    while there and (not chosen or size_of_all < wanted):
        chosen.append(there.pop())
        size_of_all += chosen[-1].dump.size
    needed = {label for copy in chosen for label in copy.dump.labels}
    order = [entry.label for entry in reversed(catalogue.tapelist.entries)]
    return Task(tuple(label for label in order if label in needed), frozenset(map(id, chosen)))


class Verifying:
    """The volumes of one task, one after the other.

    :ivar outcomes: of all of them.
    """

    def __init__(
        self, site: Site, catalogue: Catalogue, task: Task, storages: Sequence[Storage]
    ) -> None:
        self._site = site
        self._catalogue = catalogue
        self._task = task
        self._storages = storages
        self._weighing = Weighing()
        self._done = 0
        self.outcomes: list[Outcome] = []
        self._of_dumps: list[Finding] = []
        self._weighed: list[Weighed] = []
        self._unlisted: list[str] = []

    async def run(self) -> None:
        """Verify them all."""
        volumes = Volumes(self._site)
        shelves = await look(self._site, self._storages)
        twice = doubled(shelves)
        known = self._catalogue.tapelist.lookup
        labels = [entry.label for shelf in shelves for entry in shelf.entries]
        self._unlisted = sorted({label for label in labels if label and known(label) is None})
        progress = self._site.screen.progress("verifying", self._total())
        try:
            for label in self._task.labels:
                outcome = await self._verify(volumes, label, progress.advance)
                if label in twice:
                    text = f"several volumes have this label: {twice[label]}"
                    outcome.findings.append(Finding(wrong=Wrong.LABEL, text=text, volume=label))
                self.outcomes.append(outcome)
                progress.advance(self._done, label)
        finally:
            progress.close()
            await volumes.close()
        self._of_dumps = self._weighing.findings()
        weighed = self._weighing.weighed()
        self._weighed = [one for one in weighed if self._task.wants(one.copy)]

    def _total(self) -> int:
        return sum(
            part.about
            for label in self._task.labels
            for copy, part in self._catalogue.parts_on(label)
            if self._task.wants(copy)
        )

    async def _verify(
        self, volumes: Volumes, label: str, advance: Callable[[int, str], None]
    ) -> Outcome:
        storages = self._where(label)
        try:
            device = await volumes.fetch(label, storages)
        except NotAtHand as fault:
            return await self._not_had(label, storages, fault)
        try:
            return await self._inspect(device, label, advance)
        except (ChangerError, DeviceError, OSError) as fault:
            return Outcome(label, absent=coded(str(fault), fault))
        finally:
            await volumes.give_back()

    def _where(self, label: str) -> list[str]:
        return where(label, self._catalogue.tapelist, self._storages)

    async def _not_had(self, label: str, storages: list[str], fault: NotAtHand) -> Outcome:
        """A volume that is there, and whose label cannot be read, is a damaged one."""
        wrong = await wrong_label(self._site, label, storages)
        if wrong is None:
            return Outcome(label, absent=fault.text)
        for copy in self._catalogue.on(label):
            if label in copy.dump.labels:
                self._weighing.spoilt(copy)
        return Outcome(label, findings=[Finding(wrong=Wrong.LABEL, text=wrong, volume=label)])

    async def _inspect(
        self, device: IAsyncDevice, label: str, advance: Callable[[int, str], None]
    ) -> Outcome:
        def read_on(size: int) -> None:
            self._done += size
            advance(self._done, label)

        inspection = Inspection(
            label=label,
            catalogue=self._catalogue,
            weighing=self._weighing,
            wanted=self._task.wants,
            watch=Watch(self._site.shelves.stop.is_set, read_on),
        )
        timestamp, before = device.facts.timestamp, self._done
        if await self._was_written_again(label, timestamp):
            return Outcome(label, absent="a run has written it again since verifying began")

        def work(reader: IReader) -> None:
            inspection.run(reader, timestamp)

        await read(self._site, device, work)
        if any(finding.wrong is Wrong.UNLISTED for finding in inspection.findings):
            await self._forget_new_files(inspection)
        files = inspection.files
        return Outcome(
            label,
            files=sum(file.header is not None for file in files),
            size=self._done - before,
            findings=inspection.findings,
        )

    async def _was_written_again(self, label: str, timestamp: str | None) -> bool:
        """Not what is known of it is on it, and that is right."""
        known = self._catalogue.tapelist.lookup(label)
        if known is None or timestamp is None or is_written_as(known, full_stamp(timestamp)):
            return False
        config = self._site.config
        tapelist = await self._site.call(read_tapelist, config.path(config.general.tapelist))
        now = tapelist.lookup(label)
        return now != known and is_written_as(now, full_stamp(timestamp))

    async def _forget_new_files(self, inspection: Inspection) -> None:
        """Files of which a log tells by now are those that a run has written meanwhile."""
        catalogue = await self._site.call(read_catalogue, self._site.config)
        listed = {part.fileno for _, part in catalogue.parts_on(inspection.label)}
        inspection.findings[:] = [
            finding
            for finding in inspection.findings
            if finding.wrong is not Wrong.UNLISTED or finding.file not in listed
        ]

    # what is said of it

    @property
    def findings(self) -> list[Finding]:
        """All that is wrong, in the order of the volumes; of whole dumps at the end."""
        found = [finding for outcome in self.outcomes for finding in outcome.findings]
        return found + self._of_dumps

    def answer(self) -> Answer:
        findings = self.findings
        absent = [outcome for outcome in self.outcomes if outcome.absent is not None]
        if findings or not self.outcomes:
            end = Exit.FOUND
        else:
            end = Exit.ABSENT if absent else Exit.WELL
        return Answer(
            record={
                "schema": "taper/verify/1",
                "config": self._site.config.name,
                "volumes": [_record(outcome) for outcome in self.outcomes],
                "dumps": [_record_of(one) for one in self._weighed],
                "findings": [finding.record() for finding in findings],
                "unlisted": self._unlisted,
            },
            shown=(
                Table(_COLUMNS, [self._row(outcome) for outcome in self.outcomes]),
                *map(str, findings),
                *self._summary(),
            ),
            exit=end,
        )

    def _row(self, outcome: Outcome) -> tuple[str, ...]:
        label = printable(outcome.label)
        if outcome.absent is not None:
            return (label, "", "", printable(outcome.absent))
        return (label, str(outcome.files), size(outcome.size), self._verdict(outcome.label))

    def _verdict(self, label: str) -> str:
        found = [finding for finding in self.findings if finding.wrong is not Wrong.UNLISTED]
        those = [finding for finding in found if finding.volume == label]
        if any(finding.file is not None or not finding.volumes for finding in those):
            return "damaged"
        if any(label in finding.volumes for finding in found):
            return "in doubt: it has parts of a damaged dump"
        return "good"

    def _summary(self) -> list[str]:
        lines = []
        if not self.outcomes:
            lines.append("Nothing was verified: the tapelist has no volume with what is asked for.")
        if self._unlisted:
            labels = ", ".join(map(printable, self._unlisted))
            lines.append(f"In a changer, and not in the tapelist: {labels}")
        for verdict, text in (
            (Verdict.GOOD, "as it was written: lengths and checksum"),
            (Verdict.UNCOMPARED, "as long as it was written; nobody has told its checksum"),
            (Verdict.INCOMPLETE, "not read as a whole, or never whole; what was read is good"),
            (Verdict.DAMAGED, "damaged"),
        ):
            those = [one for one in self._weighed if one.verdict is verdict]
            if those:
                lines.append(f"{count(len(those), 'dump')}: {text}")
        for one in self._weighed:
            if one.verdict is Verdict.DAMAGED:
                name = one.copy.dump.name
                who = f"{printable(name.host)}:{printable(name.disk)}"
                lines.append(f"  {who} level {name.level} of {moment(name.datestamp)}")
        return lines


def _record(outcome: Outcome) -> dict[str, Any]:
    return {
        "label": outcome.label,
        "absent": outcome.absent,
        "files": outcome.files,
        "read": outcome.size,
        "findings": len(outcome.findings),
    }


def _record_of(one: Weighed) -> dict[str, Any]:
    name = one.copy.dump.name
    return {
        "host": name.host,
        "disk": name.disk,
        "datestamp": name.datestamp,
        "level": name.level,
        "storage": name.storage,
        "verdict": one.verdict.value,
        "read": one.size,
    }

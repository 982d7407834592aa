"""``taperctl verify``: every part is read, and compared with all that is known of it."""

from __future__ import annotations

import random
import threading
from collections import deque
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from attrs import define, field
from twisted.internet.defer import Deferred, DeferredList

from devices.errors import ChangerError, DeviceError
from devices.tapelist_file import read_tapelist
from protocols.errorcode import coded
from protocols.stored import full_stamp
from taper.last_words import CannotStart
from taper.people.catalogue import is_written_as
from taper.people.choosing import Task, choose, drives_of
from taper.people.exits import Exit, NotAtHand
from taper.people.findings import Finding, Wrong
from taper.people.inspecting import Inspection, Watch
from taper.people.left_log import keep_what_is_said, may_be_left
from taper.people.medium import Volumes, read, wrong_label
from taper.people.read_watch import Place, Telling, facts_of
from taper.people.reading import read_catalogue
from taper.people.rebuild import rebuild
from taper.people.screen import Style
from taper.people.shelf import doubled, look
from taper.people.show import where
from taper.people.telling import Answer, Column, Table, count, moment, printable, size
from taper.people.weighing import Verdict, Weighed, Weighing

if TYPE_CHECKING:
    import argparse

    from devices.interfaces import IAsyncDevice
    from protocols.conf import Storage
    from protocols.stored import StoredPart
    from taper.people.catalogue import Catalogue, Copy
    from taper.people.read_watch import ReadWatch
    from taper.people.screen import IProgress
    from taper.people.site import Site
    from taper.plane.volumes import IReader

_COLUMNS = (
    Column("volume"),
    Column("files", right=True),
    Column("read", right=True),
    Column("verdict"),
)


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
    drives = drives_of(options.drives, 1)
    if options.rebuild_catalogue is not None and drives > 1:
        text = "--drives does not go with --rebuild-catalogue, which reads slot after slot"
        raise CannotStart(text, code=1001)
    log = keep_what_is_said(site, "verify")
    if log is not None and site.screen.style is Style.TERMINAL:
        site.screen.show(may_be_left(log))
    if options.rebuild_catalogue is not None:
        return await rebuild(site, options, log)
    storages = site.storages(options.storage)
    catalogue = await site.call(read_catalogue, site.config)
    task = choose(catalogue, storages, options, random.SystemRandom(), site.config.name)
    telling = Telling(site, "verify")
    telling.watch.know(log=log)
    try:
        verifying = Verifying(site, catalogue, task, storages, telling.watch, drives)
        await verifying.run()
    finally:
        await telling.close("the verification has ended")
    return verifying.answer()


@define
class _Volume:
    """A volume that is being read; its thread writes here, and anybody reads.

    :ivar total: bytes that are to be read, about.
    """

    label: str
    total: int
    read: int = 0
    file: int | None = None
    copy: Copy | None = None
    part: StoredPart | None = None

    def place(self) -> Place:
        """For whoever watches."""
        copy, part = self.copy, self.part
        name = None if copy is None else copy.dump.name
        return Place(
            dump=None if name is None else facts_of(name),
            part=None if part is None else part.number,
            parts=None if copy is None else len(copy.dump.parts),
            file=self.file,
            read=self.read,
        )

    def __str__(self) -> str:
        share = 100 * self.read // self.total if self.total else 0
        return f"{self.label} {min(share, 100)} %"


class Verifying:
    """The volumes of one task, as many at a time as there are drives.

    :ivar outcomes: of all of them, in their order.
    """

    def __init__(
        self,
        site: Site,
        catalogue: Catalogue,
        task: Task,
        storages: Sequence[Storage],
        watch: ReadWatch,
        drives: int = 1,
    ) -> None:
        """:param watch: is told what happens
        :param drives: that may be used at a time
        """
        self._site = site
        self._catalogue = catalogue
        self._task = task
        self._storages = storages
        self._watch = watch
        self._drives = min(drives, len(task.labels))
        self._left = deque(enumerate(task.labels))
        self._again: list[tuple[int, str]] = []
        self._alone = self._drives <= 1
        self._found: dict[int, Outcome] = {}
        self._weighings: dict[int, Weighing] = {}
        self._at_work: dict[int, _Volume] = {}
        self._read = 0
        self._counting = threading.Lock()
        self._showing = threading.Lock()
        self.outcomes: list[Outcome] = []
        self._of_dumps: list[Finding] = []
        self._weighed: list[Weighed] = []
        self._unlisted: list[str] = []
        watch.know(steps=len(task.labels), total=self._total(task.labels))
        watch.done = self._done

    async def run(self) -> None:
        """Verify them all."""
        shelves = await look(self._site, self._storages)
        twice = doubled(shelves)
        known = self._catalogue.tapelist.lookup
        labels = [entry.label for shelf in shelves for entry in shelf.entries]
        self._unlisted = sorted({label for label in labels if label and known(label) is None})
        progress = self._site.screen.progress("verifying", self._total(self._task.labels))
        try:
            await self._by_drives(progress)
            self._left = deque(sorted([*self._left, *self._again]))
            if self._left:
                # another program has the drives that some of ours would have had, or one of ours
                # had the volume that another one looked for
                self._alone = True
                await self._by_drives(progress)
        finally:
            progress.close()
        weighing = Weighing()
        for index, label in enumerate(self._task.labels):
            outcome = self._found[index]
            if label in twice:
                text = f"several volumes have this label: {twice[label]}"
                outcome.findings.append(Finding(wrong=Wrong.LABEL, text=text, volume=label))
            self.outcomes.append(outcome)
            weighing.absorb(self._weighings[index])
        self._of_dumps = weighing.findings()
        weighed = weighing.weighed()
        self._weighed = [one for one in weighed if self._task.wants(one.copy)]

    def _total(self, labels: Iterable[str]) -> int:
        return sum(
            part.about
            for label in labels
            for copy, part in self._catalogue.parts_on(label)
            if self._task.wants(copy)
        )

    def _done(self) -> int:
        """Bytes read so far. Any thread."""
        with self._counting:
            return self._read + sum(volume.read for volume in self._at_work.values())

    async def _by_drives(self, progress: IProgress) -> None:
        """Volume after volume in each drive, until none is left."""
        numbers = (1,) if self._alone else range(1, self._drives + 1)
        working = [Deferred.fromCoroutine(self._by_drive(one, progress)) for one in numbers]
        # one that cannot go on lets the others come to their end
        ended: Any = await DeferredList(working, consumeErrors=True)
        for well, result in ended:
            if not well:
                raise result.value

    async def _by_drive(self, number: int, progress: IProgress) -> None:
        volumes, drive = Volumes(self._site), self._watch.drive(number)
        try:
            while self._left:
                index, label = self._left.popleft()
                drive.be("loading", label)
                self._watch.know(step=len(self._task.labels) - len(self._left))
                try:
                    outcome = await self._verify(volumes, number, index, label, progress)
                except NotAtHand as fault:
                    if fault.no_drive:
                        self._left.appendleft((index, label))
                        return
                    self._again.append((index, label))
                    continue
                self._found[index] = outcome
                progress.advance(self._done(), label)
        finally:
            drive.be("empty")
            await volumes.close()

    async def _verify(
        self, volumes: Volumes, number: int, index: int, label: str, progress: IProgress
    ) -> Outcome:
        """:raise NotAtHand: as long as others are at work"""
        storages = self._where(label)
        weighing = self._weighings[index] = Weighing()
        try:
            device = await volumes.fetch(label, storages)
        except NotAtHand as fault:
            if not self._alone:
                raise
            return await self._not_had(weighing, label, storages, fault)
        volume = _Volume(label, self._total((label,)))
        self._watch.drive(number).reads(label, volumes.slot, volume.total, volume.place)
        with self._counting:
            self._at_work[number] = volume
        try:
            return await self._inspect(device, weighing, volume, progress)
        except (ChangerError, DeviceError, OSError) as fault:
            return Outcome(label, absent=coded(str(fault), fault))
        finally:
            with self._counting:
                del self._at_work[number]
                self._read += volume.read
            await volumes.give_back()

    def _where(self, label: str) -> list[str]:
        return where(label, self._catalogue.tapelist, self._storages)

    async def _not_had(
        self, weighing: Weighing, label: str, storages: list[str], fault: NotAtHand
    ) -> Outcome:
        """A volume that is there, and whose label cannot be read, is a damaged one."""
        wrong = await wrong_label(self._site, label, storages)
        if wrong is None:
            return Outcome(label, absent=fault.text)
        for copy in self._catalogue.on(label):
            if label in copy.dump.labels:
                weighing.spoilt(copy)
        return Outcome(label, findings=[Finding(wrong=Wrong.LABEL, text=wrong, volume=label)])

    async def _inspect(
        self, device: IAsyncDevice, weighing: Weighing, volume: _Volume, progress: IProgress
    ) -> Outcome:
        def read_on(size: int) -> None:
            volume.read += size
            with self._counting:
                at_work = tuple(self._at_work.values())
            what = volume.label if len(at_work) < 2 else ", ".join(map(str, at_work))
            with self._showing:
                progress.advance(self._done(), what)

        def begins(file: int, copy: Copy | None, part: StoredPart | None) -> None:
            volume.file, volume.copy, volume.part = file, copy, part

        inspection = Inspection(
            label=volume.label,
            catalogue=self._catalogue,
            weighing=weighing,
            wanted=self._task.wants,
            watch=Watch(self._site.shelves.stop.is_set, read_on, begins),
        )
        timestamp = device.facts.timestamp
        if await self._was_written_again(volume.label, timestamp):
            text = "a run has written it again since verifying began"
            return Outcome(volume.label, absent=text)

        def work(reader: IReader) -> None:
            inspection.run(reader, timestamp)

        await read(self._site, device, work)
        if any(finding.wrong is Wrong.UNLISTED for finding in inspection.findings):
            await self._forget_new_files(inspection)
        files = inspection.files
        return Outcome(
            volume.label,
            files=sum(file.header is not None for file in files),
            size=volume.read,
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

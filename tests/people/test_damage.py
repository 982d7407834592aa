"""Volumes are damaged in every way, a great many times: whatever touches a part is found, its place
is told, and nothing is told of what was not touched."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path
from typing import Any

from attrs import evolve, field, frozen
from pytest_twisted import ensureDeferred

from devices.errors import Status, VolumeFailed
from devices.file import FileDevice
from devices.interfaces import AccessMode
from protocols.header import Header, HeaderType
from taper.people.catalogue import Catalogue
from taper.people.findings import Finding, Wrong
from taper.people.inspecting import Inspection
from taper.people.reading import read_catalogue
from taper.people.weighing import Weighing
from tests.people.damage import BLOCK, DUMPS, HEADER, KINDS, Damage, Dice, Place, Volume, parse
from tests.people.nights import PART, Dump, Nights

FIRST, SECOND = "20260107000000", "20260108210000"
MOST_CALLS = 200
"""Of a reader, for one of these volumes: who asks for more does not come to an end."""


class Reader:
    """Reads a volume in memory as :class:`devices.file.FileDevice` reads one."""

    name = "memory"
    block_size = BLOCK

    def __init__(self, files: Volume) -> None:
        self._files = files
        self.file = 0
        self._rest = memoryview(b"")
        self._calls = 0

    def _count(self) -> None:
        self._calls += 1
        assert self._calls < MOST_CALLS

    def seek_file(self, number: int) -> Header | None:
        self._count()
        there = [n for n in self._files if n >= number and self._files[n]]
        if not there:
            return Header(type=HeaderType.TAPEEND)
        self.file = found = min(there)
        header = parse(self._files[found][:HEADER])
        if header.type not in DUMPS:
            raise VolumeFailed("Invalid amanda header while reading file header", Status(16))
        self._rest = memoryview(self._files[found])[HEADER:]
        return header

    def read_blocks(self, buffer: memoryview) -> int:
        self._count()
        assert len(buffer) <= 1 << 20
        size = min(len(buffer), len(self._rest))
        buffer[:size] = self._rest[:size]
        self._rest = self._rest[size:]
        return size


class Heard:
    """What an inspection tells of dumps, to be told again."""

    def __init__(self) -> None:
        self._told: list[tuple[str, tuple[Any, ...]]] = []

    def has_header(self, *told: Any) -> None:
        self._told.append(("has_header", told))

    def was_read(self, *told: Any) -> None:
        self._told.append(("was_read", told))

    def spoilt(self, *told: Any) -> None:
        self._told.append(("spoilt", told))

    def tell(self, weighing: Weighing) -> None:
        for name, told in self._told:
            getattr(weighing, name)(*told)


@frozen
class Set:
    """Volumes by their labels, all that is known of them, and what was read of them whole."""

    catalogue: Catalogue
    volumes: dict[str, Volume]
    known: dict[str, tuple[Heard, list[Finding]]] = field(factory=dict)

    def read(self, label: str, files: Volume) -> tuple[Heard, list[Finding]]:
        """Read one volume. :return: what of dumps was seen, and what is wrong"""
        heard = Heard()
        header = parse(files[0][:HEADER])
        if header.type is not HeaderType.TAPESTART or header.label != label:
            for copy in self.catalogue.on(label):
                heard.spoilt(copy)
            return heard, [Finding(wrong=Wrong.LABEL, text="bad label", volume=label)]
        weighing: Any = heard
        inspection = Inspection(
            label=label, catalogue=self.catalogue, weighing=weighing, wanted=lambda _: True
        )
        inspection.run(Reader(files), header.datestamp)
        return heard, inspection.findings

    def verify(self, damaged: dict[str, Volume] | None = None) -> list[Finding]:
        """What is found when all volumes are read; those that are not damaged need not be again."""
        weighing, found = Weighing(), []
        for label, good in self.volumes.items():
            if damaged and label in damaged:
                heard, findings = self.read(label, damaged[label])
            else:
                if label not in self.known:
                    self.known[label] = self.read(label, good)
                heard, findings = self.known[label]
            heard.tell(weighing)
            found += findings
        return found + weighing.findings()


def read_volumes(nights: Nights) -> dict[str, Volume]:
    volumes = {}
    for slot in sorted(nights.root.glob("vtapes/slot*")):
        files = {int(path.name[:5]): path for path in slot.glob("[0-9]*.*")}
        if files:
            label = files[0].name.removeprefix("00000.")
            volumes[label] = {number: files[number].read_bytes() for number in sorted(files)}
    return volumes


async def make_set(tmp_path: Path) -> Set:
    """Dumps of one part and of many, two of them over two volumes."""
    nights = Nights(tmp_path).make()
    nights.configure(device='device-property "MAX_VOLUME_USAGE" "600k"', runtapes=4)
    await nights.hold(
        FIRST, Dump("/srv", 100), Dump("/home", 5 * PART + 7), Dump("/a", 3000), Dump("/b", PART)
    )
    await nights.hold(SECOND, Dump("/home", 2 * PART, level=1))
    found = Set(read_catalogue(nights.config()), read_volumes(nights))
    assert len(found.volumes) >= 3
    assert found.verify() == []
    return found


def told_of(finding: Finding, place: Place) -> bool:
    """The finding names the place, perhaps among others."""
    label, number = place
    if finding.volume == label and finding.file == (number or None):
        return True
    return f"'{label}' file {number}" in finding.text


def assert_lawful(whole: Set, damage: Damage, findings: list[Finding]) -> int:
    """All that must be told is, with its place, and nothing else. :return: how much must be"""
    must = list(damage.demanded(whole.volumes, whole.catalogue))
    lacking = {finding.dump for finding in findings if finding.wrong is not Wrong.CHECKSUM}
    bad_labels = {finding.volume for finding in findings if finding.wrong is Wrong.LABEL}
    for label in bad_labels:
        lacking |= {copy.dump.name for copy in whole.catalogue.on(label)}
    for place, copy in must:
        if place[0] in bad_labels:
            continue  # nothing of that volume was read
        told = [finding for finding in findings if told_of(finding, place)]
        # the checksum of a dump of which something is not there says nothing of the rest
        assert told or (len(must) > 1 and copy.dump.name in lacking), place
        if damage.block is not None and len(must) == 1:
            assert any(finding.block == damage.block for finding in told)
    for finding in findings:
        dumps = {copy.dump.name for _, copy in must}
        of_neighbours = finding.wrong is Wrong.HEADER and finding.dump in dumps
        assert of_neighbours or any(told_of(finding, place) for place in damage.places), finding
    return len(must)


@ensureDeferred
async def test_whatever_touches_a_part_is_found(
    tmp_path: Path, damages: int, damage_seed: int
) -> None:
    whole = await make_set(tmp_path)
    found, kinds, harmless = Counter[Wrong](), Counter[str](), 0
    for number in range(damages):
        damage = Dice(random.Random(damage_seed + number), whole.volumes).throw()
        if not damage.places:
            continue
        try:
            findings = whole.verify(damage.volumes)
            if assert_lawful(whole, damage, findings):
                kinds[damage.kind] += 1
            else:
                harmless += 1
        except Exception as fault:
            seed, places = damage_seed + number, sorted(damage.places)
            fault.add_note(f"--damages 1 --damage-seed {seed}: {damage.kind} at {places}")
            raise
        found.update(finding.wrong for finding in findings)
    if damages >= 1000:
        assert set(found) == set(Wrong) - {Wrong.UNREADABLE}
        assert set(kinds) == KINDS
        assert harmless < damages / 4


@ensureDeferred
async def test_real_vtapes_are_read_like_those_in_memory(tmp_path: Path) -> None:
    """The same damage, found in the same way by the device that reads vtapes."""
    whole = await make_set(tmp_path)
    slots = {
        path.name.removeprefix("00000."): path.parent
        for path in tmp_path.glob("vtapes/slot*/00000.*")
    }
    for number in range(100):
        damage = Dice(random.Random(number), whole.volumes).throw()
        for label, files in damage.volumes.items():
            if files[0] != whole.volumes[label][0]:
                continue
            lay_out(slots[label], files)
            expected, seen = [], []
            for reader, findings in ((Reader(files), expected), (_started(slots[label]), seen)):
                inspection = Inspection(
                    label=label,
                    catalogue=whole.catalogue,
                    weighing=Weighing(),
                    wanted=lambda _: True,
                )
                inspection.run(reader, _stamp_of(whole, label))
                findings += [_told(finding) for finding in inspection.findings]
            assert seen == expected, damage.kind
            lay_out(slots[label], whole.volumes[label])


def lay_out(slot: Path, files: Volume) -> None:
    """Let a vtape have these files."""
    for path in slot.glob("[0-9]*.*"):
        if int(path.name.partition(".")[0]) not in files:
            path.unlink()
    for number, data in files.items():
        there = list(slot.glob(f"{number:05d}.*"))
        path = there[0] if there else slot / f"{number:05d}.a._b.0"
        if not there or path.read_bytes() != data:
            path.write_bytes(data)


def _told(finding: Finding) -> Finding:
    """Without the words of the device."""
    return evolve(finding, text=finding.text.partition(": ")[0])


def _stamp_of(whole: Set, label: str) -> str:
    entry = whole.catalogue.tapelist.lookup(label)
    assert entry is not None
    return entry.datestamp


def _started(slot: Path) -> FileDevice:
    device = FileDevice(f"file:{slot}", str(slot))
    device.read_label()
    device.start(AccessMode.READ)
    return device

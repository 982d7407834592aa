"""Volumes are damaged in every way, a great many times: whatever touches a part is found, and its
place is told."""

from __future__ import annotations

import random
from functools import lru_cache
from pathlib import Path
from typing import Any

from attrs import evolve, field, fields, frozen
from pytest_twisted import ensureDeferred

from devices.errors import Status, VolumeFailed
from devices.file import FileDevice
from devices.interfaces import AccessMode
from protocols.header import Header, HeaderType, parse_header
from taper.people.catalogue import Catalogue, Copy
from taper.people.findings import Finding, Wrong
from taper.people.inspecting import Inspection
from taper.people.reading import read_catalogue
from taper.people.weighing import Weighing
from tests.people.nights import PART, Dump, Nights

HEADER = 32768
FIRST, SECOND = "20260107000000", "20260108210000"
DUMPS = frozenset({HeaderType.DUMPFILE, HeaderType.SPLIT_DUMPFILE, HeaderType.CONT_DUMPFILE})
LOGGED = {"type", "datestamp", "host", "disk", "level", "partnum"}
"""What of a header the log tells, besides checksums."""

_parse = lru_cache(maxsize=256)(parse_header)

Volume = dict[int, bytes]
"""The files of a vtape, by their numbers."""


class Reader:
    """Reads a volume in memory as :class:`devices.file.FileDevice` reads one."""

    name = "memory"
    block_size = 32768

    def __init__(self, files: Volume) -> None:
        self._files = files
        self.file = 0
        self._rest = memoryview(b"")

    def seek_file(self, number: int) -> Header | None:
        there = [n for n in self._files if n >= number and self._files[n]]
        if not there:
            return Header(type=HeaderType.TAPEEND)
        found = min(there)
        header = _parse(self._files[found][:HEADER])
        if header.type not in DUMPS:
            raise VolumeFailed("Invalid amanda header while reading file header", Status(16))
        self.file = found
        self._rest = memoryview(self._files[found])[HEADER:]
        return header

    def read_blocks(self, buffer: memoryview) -> int:
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
        header = _parse(files[0][:HEADER])
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

    def verify(self, label: str = "", files: Volume | None = None) -> list[Finding]:
        """What is found when all volumes are read; those that are not damaged need not be again.

        :param label: of the one that has these files
        """
        weighing, found = Weighing(), []
        for name, good in self.volumes.items():
            if name == label and files is not None:
                heard, findings = self.read(name, files)
            else:
                if name not in self.known:
                    self.known[name] = self.read(name, good)
                heard, findings = self.known[name]
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


# Damage


class Damage:
    """One thing that is done to one file."""

    def __init__(self, dice: random.Random, volumes: dict[str, Volume]) -> None:
        self.label = dice.choice(list(volumes))
        self.number = dice.choice(list(volumes[self.label]))
        self.old = volumes[self.label][self.number]
        self.new: bytes | None = dice.choice(
            [self._flip, self._flip, self._flip, self._drop, self._swap, self._truncate, self._lose]
        )(dice)

    def _place(self, dice: random.Random) -> int:
        """Where: half of the time in the payload, else in the header's text or behind it."""
        payload = len(self.old) - HEADER
        if payload and dice.random() < 0.5:
            return HEADER + dice.randrange(payload)
        text = len(self.old[:HEADER].rstrip(b"\0"))
        return dice.randrange(text if dice.random() < 0.9 else HEADER)

    def _flip(self, dice: random.Random) -> bytes:
        data = bytearray(self.old)
        data[self._place(dice)] ^= 1 << dice.randrange(8)
        return bytes(data)

    def _drop(self, dice: random.Random) -> bytes:
        place, size = self._place(dice), dice.choice([1, 7, 512, 32768])
        return self.old[:place] + self.old[place + size :]

    def _swap(self, dice: random.Random) -> bytes:
        size = dice.choice([1, 4, 512, 32768])
        one, two = sorted((self._place(dice), self._place(dice)))
        two = max(two, one + size)
        return (
            self.old[:one]
            + self.old[two : two + size]
            + self.old[one + size : two]
            + self.old[one : one + size]
            + self.old[two + size :]
        )

    def _truncate(self, dice: random.Random) -> bytes:
        return self.old[: self._place(dice)]

    def _lose(self, dice: random.Random) -> bytes | None:
        """The file is gone; a label cannot be, as nobody would look for the volume."""
        return None if self.number else b""

    def copy(self, set_: Set) -> Copy | None:
        """The dump whose part it has touched; None: it was a label, or an end without a part."""
        for copy, part in set_.catalogue.parts_on(self.label):
            if part.fileno == self.number:
                return copy
        return None

    def must_be_found(self, set_: Set) -> bool:
        """It has changed the bytes of a part, or what a header says and somebody else tells."""
        copy = self.copy(set_)
        if copy is None and self.number:
            return False
        if self.new is None:
            return True
        if self.old[HEADER:] != self.new[HEADER:]:
            return self.number > 0
        old, new = parse_header(self.old[:HEADER]), parse_header(self.new[:HEADER])
        if self.number == 0:
            return (old.type, old.label, old.datestamp) != (new.type, new.label, new.datestamp)
        if evolve(old, totalparts=0) == evolve(new, totalparts=0):
            return False  # it says the same
        differing = {
            one.name for one in fields(Header) if getattr(old, one.name) != getattr(new, one.name)
        }
        if differing & LOGGED:
            return True
        (copy,) = [
            copy for copy, part in set_.catalogue.parts_on(self.label) if part.fileno == self.number
        ]
        if copy.dump.count > 1:
            return True  # the other parts say something else
        # a checksum that became one of no bytes, or no checksum at all, tells nothing
        return "server_crc" in differing and new.server_crc.known

    def is_told_of(self, finding: Finding) -> bool:
        """The finding names the place."""
        place = f"'{self.label}' file {self.number}"
        if finding.volume == self.label and finding.file in (self.number, None):
            return True
        return place in finding.text

    def __repr__(self) -> str:
        return f"{self.label} file {self.number}: {len(self.old)} bytes"


@ensureDeferred
async def test_whatever_touches_a_part_is_found(tmp_path: Path, damages: int) -> None:
    """And nothing is found where nothing was touched."""
    whole = await make_set(tmp_path)
    dice = random.Random(20260107)
    found_by: dict[Wrong, int] = {}
    harmless = 0
    for _ in range(damages):
        damage = Damage(dice, whole.volumes)
        if damage.new == damage.old:
            continue
        files = dict(whole.volumes[damage.label])
        if damage.new is None:
            del files[damage.number]
        else:
            files[damage.number] = damage.new
        findings = whole.verify(damage.label, files)
        if damage.must_be_found(whole):
            assert any(damage.is_told_of(finding) for finding in findings), (damage, findings)
            for finding in findings:
                found_by[finding.wrong] = found_by.get(finding.wrong, 0) + 1
        else:
            harmless += 1
    assert set(found_by) >= {Wrong.LABEL, Wrong.HEADER, Wrong.MISSING, Wrong.LENGTH, Wrong.CHECKSUM}
    assert harmless < damages / 2


@ensureDeferred
async def test_real_vtapes_are_read_like_those_in_memory(tmp_path: Path) -> None:
    """The same damage, found in the same way by the device that reads vtapes."""
    whole = await make_set(tmp_path)
    dice = random.Random(4711)
    slots = {
        path.name.removeprefix("00000."): path.parent
        for path in tmp_path.glob("vtapes/slot*/00000.*")
    }
    for _ in range(100):
        damage = Damage(dice, whole.volumes)
        (path,) = slots[damage.label].glob(f"{damage.number:05d}.*")
        if damage.new is None or damage.number == 0:
            continue
        path.write_bytes(damage.new)
        files = {**whole.volumes[damage.label], damage.number: damage.new}
        expected, seen = [], []
        for reader, findings in ((Reader(files), expected), (_started(slots[damage.label]), seen)):
            inspection = Inspection(
                label=damage.label,
                catalogue=whole.catalogue,
                weighing=Weighing(),
                wanted=lambda _: True,
            )
            inspection.run(reader, _stamp_of(whole, damage.label))
            findings += [_told(finding) for finding in inspection.findings]
        assert seen == expected, damage
        path.write_bytes(damage.old)


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

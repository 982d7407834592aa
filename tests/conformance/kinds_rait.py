"""Volumes over several devices, and devices of several kinds behind one changer."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tests.conformance.harness_files import BLOCK, VolumeFile, label_header, read_volume
from tests.conformance.kind import VTAPES, Kind, limits
from tests.conformance.kinds_s3 import BucketVolumes
from tests.conformance.kinds_tape import cartridge_facts, label_tape, leom, tape_files
from tests.fakes.tape import CartridgeFacts, write_facts
from tests.fakes.tape.placed import PlacedDrive

if TYPE_CHECKING:
    from tests.conformance.harness import Options, World

CHILDREN = 3
LANE = BLOCK // (CHILDREN - 1)
"""The block of a child, so that that of the whole is as everybody's."""


class Rait(Kind):
    """``chg-rait`` of three ``chg-disk``."""

    state = f"{VTAPES}/r0/state"

    def configure(self, options: Options) -> str:
        text = ""
        for child in range(CHILDREN):
            self.world.mkdir(f"{VTAPES}/r{child}")
            for slot in range(1, max(options.slots, self.count) + 1):
                place = self.child(slot, child)
                if slot <= options.slots:
                    self.world.mkdir(place)
                else:
                    self.world.path(place).rmdir()
            text += (
                f'define changer c{child} {{\n  tpchanger "chg-disk:{VTAPES}/r{child}"\n'
                f'  {share(options)}\n  device-property "BLOCK_SIZE" "{LANE}"\n}}\n'
            )
        self.count = options.slots
        return (
            f'{text}define changer volumes {{\n  tpchanger "chg-rait:c{{0..{CHILDREN - 1}}}"\n}}\n'
            'tpchanger "volumes"'
        )

    def slot_name(self, slot: int) -> str:
        return f"{{{','.join([str(slot)] * CHILDREN)}}}"

    def child(self, slot: int, child: int) -> str:
        """The directory of a child's volume."""
        return f"{VTAPES}/r{child}/slot{slot}"

    def files(self, slot: int, last: int | None = None) -> list[VolumeFile]:
        places = [self.world.path(self.child(slot, child)) for child in range(CHILDREN)]
        return joined([read_volume(place, last) for place in places])

    def label(self, slot: int, label: str, stamp: str) -> None:
        for child in range(CHILDREN):
            place = f"{self.child(slot, child)}/00000.{label}"
            self.world.write(place, label_header(label, stamp))


def share(options: Options) -> str:
    """The properties of a child, so that about as much fits as on one ``file:`` volume."""
    lanes = CHILDREN - 1
    usage = None if options.usage_kib is None else options.usage_kib // lanes + 48
    return limits(usage, options.leom)


def joined(children: list[list[VolumeFile]], lane: int = LANE) -> list[VolumeFile]:
    """The files of a rait volume; those that not all children have are not whole yet."""
    files = []
    for one, *others in zip(*children, strict=False):
        if len({file.number for file in (one, *others)}) > 1:
            break
        size = min(len(file.data) for file in (one, *others)) // lane * lane
        lanes = [file.data[:size] for file in (one, *others)]
        numbers = [int.from_bytes(each, "big") for each in lanes]
        assert not numbers[0] ^ numbers[1] ^ numbers[2], f"{one.name}: the parity is wrong"
        data = b"".join(each[at : at + lane] for at in range(0, size, lane) for each in lanes[:-1])
        files.append(VolumeFile(one.number, one.name, one.header, data))
    return files


class Mixed(Kind):
    """``chg-multi`` whose slots are of ``file:``, ``s3:``, ``rait:`` and ``tape:``, by turns.

    :ivar drives: the tape drives, by their slots.
    """

    simulated = True
    KINDS = ("file", "s3", "rait", "tape")

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self._cartridges: dict[int, Path] = {}
        self.drives: dict[int, PlacedDrive] = {}
        self._bucket = BucketVolumes()

    def kind(self, slot: int) -> str:
        """The kind of the volume in a slot."""
        return self.KINDS[(slot - 1) % len(self.KINDS)]

    def configure(self, options: Options) -> str:
        self.world.mkdir(VTAPES)
        text = ""
        for slot in range(1, options.slots + 1):
            lines, properties = getattr(self, f"_{self.kind(slot)}")(slot, options)
            text += f"{lines}define device v{slot} {{\n  {properties}\n}}\n"
        self.count = options.slots
        names = f"v{{1..{options.slots}}}"
        return (
            f'{text}define changer volumes {{\n  tpchanger "chg-multi:{names}"\n'
            f'  changerfile "{VTAPES}/state"\n}}\ntpchanger "volumes"'
        )

    def child(self, slot: int, child: int) -> str:
        return f"{VTAPES}/slot{slot}.{child}"

    def _file(self, slot: int, options: Options) -> tuple[str, str]:
        self.world.mkdir(f"{VTAPES}/slot{slot}")
        return (
            "",
            f'tapedev "file:{VTAPES}/slot{slot}"\n  {limits(options.usage_kib, options.leom)}',
        )

    def _s3(self, slot: int, options: Options) -> tuple[str, str]:
        return "", f'tapedev "{self._bucket.name}{slot}-"\n  {self._bucket.properties(options)}'

    def _rait(self, slot: int, options: Options) -> tuple[str, str]:
        text = ""
        for child in range(CHILDREN):
            place = self.child(slot, child)
            self.world.mkdir(place)
            text += (
                f'define device v{slot}c{child} {{\n  tapedev "file:{place}"\n'
                f"  {share(options)}\n}}\n"
            )
        names = f"v{slot}c{{0..{CHILDREN - 1}}}"
        return text, f'tapedev "rait:{names}"\n  device-property "BLOCK_SIZE" "32 kbytes"'

    def _tape(self, slot: int, options: Options) -> tuple[str, str]:
        if slot not in self._cartridges:
            drive = PlacedDrive(self.world, f"nst{slot}")
            self._cartridges[slot] = drive.cartridge(f"cartridge{slot}")
            drive.insert(self._cartridges[slot])
            self.drives[slot] = drive
        write_facts(self._cartridges[slot], CartridgeFacts(**cartridge_facts(options)))
        return "", f'tapedev "tape:/var/lib/amanda/nst{slot}"\n  {leom(options)}'

    def files(self, slot: int, last: int | None = None) -> list[VolumeFile]:
        if self.kind(slot) == "tape":
            return tape_files(self._cartridges[slot], last)
        if self.kind(slot) == "file":
            return read_volume(self.world.path(f"{VTAPES}/slot{slot}"), last)
        if self.kind(slot) == "s3":
            return self._bucket.files(slot, last)
        places = [self.world.path(self.child(slot, child)) for child in range(CHILDREN)]
        return joined([read_volume(place, last) for place in places])

    def label(self, slot: int, label: str, stamp: str) -> None:
        header = label_header(label, stamp)
        if self.kind(slot) == "tape":
            label_tape(self._cartridges[slot], label, stamp)
        elif self.kind(slot) == "file":
            self.world.write(f"{VTAPES}/slot{slot}/00000.{label}", header)
        elif self.kind(slot) == "s3":
            self._bucket.label(slot, label, stamp)
        else:
            for child in range(CHILDREN):
                self.world.write(f"{self.child(slot, child)}/00000.{label}", header)

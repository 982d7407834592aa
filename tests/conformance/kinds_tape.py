"""Volumes in a library, above all tapes."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.conformance.harness_files import BLOCK, VolumeFile, label_header
from tests.conformance.kind import Kind, limits
from tests.conformance.kinds_disk import InDirectories
from tests.fakes.library import Library
from tests.fakes.medium import Medium, MediumError
from tests.fakes.tape import CartridgeFacts, files_on, write_facts

if TYPE_CHECKING:
    from tests.conformance.harness import Options

LIBRARY = "/var/lib/amanda/library"
MARGIN = 4
"""Blocks before the end of a ``file:`` volume, at which it warns."""
ROBOT = """define changer volumes {{
  tpchanger "chg-robot:{home}/robot"
  changerfile "{home}/state"
  property "mtx" "{home}/mtx"
  property "tape-device" {devices}
  property "load-poll" "0s"
  property "status-interval" "0"
  property "eject-before-unload" "{eject}"
}}
tpchanger "volumes"
"""


class InLibrary(Kind):
    """A ``chg-robot`` with two drives."""

    library: Library
    state = f"{LIBRARY}/state"

    def rebuild(self, count: int, facts: dict[str, int] | None) -> None:
        """Let the library have so many slots, each with a cartridge."""
        if count == self.count:
            return
        place = self.world.path(LIBRARY)
        if place.exists():
            shutil.rmtree(place)
        user = self.world.user
        self.library = Library(
            place,
            {slot: self.barcode(slot) for slot in range(1, count + 1)},
            slots=count,
            own=lambda path: shutil.chown(path, user.pw_uid, user.pw_gid),
            seen_as=LIBRARY,
            tapes=facts,
        )
        self.count = count

    def barcode(self, slot: int) -> str:
        return f"A{slot:05d}"

    def text(self) -> str:
        devices = " ".join(f'"{device}"' for device in self.library.tape_devices())
        return ROBOT.format(home=LIBRARY, devices=devices, eject="yes" if self.simulated else "no")


class Robot(InLibrary, InDirectories):
    """Its drives are of ``file:``, its cartridges directories."""

    def directory(self, slot: int) -> str:
        return f"{LIBRARY}/cartridges/{self.barcode(slot)}/data"

    def configure(self, options: Options) -> str:
        self.rebuild(options.slots, None)
        return f"{limits(options.usage_kib, options.leom)}\n{self.text()}"


class Tape(InLibrary):
    """Its drives are simulated tape drives."""

    simulated = True
    full = "No space left on device"

    def configure(self, options: Options) -> str:
        facts = cartridge_facts(options)
        self.rebuild(options.slots, facts)
        for slot in range(1, self.count + 1):
            write_facts(self._cartridge(slot), CartridgeFacts(**facts))
        return f"{leom(options)}\n{self.text()}"

    def _cartridge(self, slot: int) -> Path:
        return self.library.cartridge(self.barcode(slot))

    def files(self, slot: int, last: int | None = None) -> list[VolumeFile]:
        return tape_files(self._cartridge(slot), last)

    def label(self, slot: int, label: str, stamp: str) -> None:
        label_tape(self._cartridge(slot), label, stamp)


def leom(options: Options) -> str:
    """The property of a ``tape:`` device."""
    return "" if options.leom is None else f'device-property "LEOM" "{str(options.leom).lower()}"'


def cartridge_facts(options: Options) -> dict[str, Any]:
    """A cartridge that ends where a ``file:`` volume with this limit does."""
    if options.usage_kib is None:
        return {}
    blocks = options.usage_kib * 1024 // BLOCK
    early = blocks - (MARGIN if options.leom else 0)
    return {"early": early * BLOCK - 1, "capacity": (blocks + 2 * MARGIN) * BLOCK}


def tape_files(cartridge: Path, last: int | None) -> list[VolumeFile]:
    """What is on a cartridge; nothing where a taper has it half written just now."""
    try:
        found = files_on(cartridge)
    except MediumError:
        return []
    files = []
    for number, records in enumerate(found):
        if records and (last is None or number <= last):
            text = records[0].rstrip(b"\0").decode("utf-8", "surrogateescape")
            files.append(
                VolumeFile(number, f"{cartridge.name}:{number}", text, b"".join(records[1:]))
            )
    return files


def label_tape(cartridge: Path, label: str, stamp: str) -> None:
    medium = Medium.in_file(cartridge)
    medium.write(label_header(label, stamp))
    medium.write_filemark()
    medium.close()

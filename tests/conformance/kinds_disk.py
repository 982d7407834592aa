"""Volumes of ``file:`` in slots that are directories."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from tests.conformance.harness_files import BLOCK, VolumeFile, label_header, read_volume
from tests.conformance.kind import VTAPES, Kind, limits

if TYPE_CHECKING:
    from tests.conformance.harness import Options


class InDirectories(Kind):
    """Volumes of ``file:``."""

    pads = False

    def files(self, slot: int, last: int | None = None) -> list[VolumeFile]:
        return read_volume(self.world.path(self.directory(slot)), last)

    def label(self, slot: int, label: str, stamp: str) -> None:
        self.world.write(f"{self.directory(slot)}/00000.{label}", label_header(label, stamp))

    def has_data(self, slot: int, label: str, number: int) -> bool:
        place = self.world.path(self.directory(slot))
        found = place.glob(f"{number:05d}.*") if (place / f"00000.{label}").exists() else ()
        return any(file.stat().st_size > BLOCK for file in found)

    def make(self, count: int) -> None:
        """Make the directories, and none that are too many."""
        for slot in range(1, max(count, self.count) + 1):
            if slot <= count:
                self.world.mkdir(self.directory(slot))
            else:
                self.world.path(self.directory(slot)).rmdir()
        self.count = count


class Vtapes(InDirectories):
    """``chg-disk``."""

    tpchanger = f"chg-disk:{VTAPES}"

    def directory(self, slot: int) -> str:
        return f"{VTAPES}/slot{slot}"

    def configure(self, options: Options) -> str:
        self.world.mkdir(VTAPES)
        for slot in range(1, options.slots + 1):
            self.world.mkdir(self.directory(slot))
        for slot in self.slots():
            if slot > options.slots:
                self.world.path(self.directory(slot)).rmdir()
        self.count = options.slots
        return self.text(options)

    def text(self, options: Options) -> str:
        """What amanda.conf says, whatever slots there are."""
        return f'{limits(options.usage_kib, options.leom)}\ntpchanger "{self.tpchanger}"'

    def slots(self) -> Iterable[int]:
        found = self.world.path(VTAPES).glob("slot*")
        return sorted(int(path.name[4:]) for path in found if path.name[4:].isdigit())


class Multi(Vtapes):
    """``chg-multi`` of ``file:`` devices."""

    tpchanger = "volumes"

    def configure(self, options: Options) -> str:
        Vtapes.configure(self, options)
        devices = f"file:{VTAPES}/slot{{1..{options.slots}}}"
        return (
            f"{limits(options.usage_kib, options.leom)}\ndefine changer volumes {{\n  tpchanger "
            f'"chg-multi:{devices}"\n  changerfile "{VTAPES}/state"\n}}\ntpchanger "volumes"'
        )


class Aggregate(InDirectories):
    """``chg-aggregate`` of two ``chg-disk``, of which the first has two slots."""

    _FIRST = 2

    def directory(self, slot: int) -> str:
        if slot <= self._FIRST:
            return f"{VTAPES}/a/slot{slot}"
        return f"{VTAPES}/b/slot{slot - self._FIRST}"

    def slot_name(self, slot: int) -> str:
        return f"0:{slot}" if slot <= self._FIRST else f"1:{slot - self._FIRST}"

    def configure(self, options: Options) -> str:
        for child in "ab":
            self.world.mkdir(f"{VTAPES}/{child}")
        self.make(options.slots)
        return (
            f"{limits(options.usage_kib, options.leom)}\ndefine changer volumes {{\n  tpchanger "
            f'"chg-aggregate:{{chg-disk:{VTAPES}/a,chg-disk:{VTAPES}/b}}"\n'
            f'  property "state-filename" "{VTAPES}/state"\n}}\ntpchanger "volumes"'
        )

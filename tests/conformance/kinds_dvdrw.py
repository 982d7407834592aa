"""Volumes on discs, each in a burner of its own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tests.conformance.harness_files import VolumeFile, label_header, read_volume
from tests.conformance.kind import VTAPES, Kind, limits
from tests.fakes.burner import Burner

if TYPE_CHECKING:
    from tests.conformance.harness import Options, World


class Discs(Kind):
    """``chg-multi`` of simulated burners; what is written is in the cache until it is burned."""

    pads = False

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self._burners: list[Burner] = []

    def configure(self, options: Options) -> str:
        self.world.mkdir(VTAPES)
        for slot in range(self.count + 1, options.slots + 1):
            place = f"{VTAPES}/burner{slot}"
            self.world.mkdir(place)
            self._burners.append(Burner(self.world.path(place), place))
        del self._burners[options.slots :]
        self.count = options.slots
        self._own()
        names = ",".join(f"burner{slot}" for slot in self.slots())
        sections = [
            f'define device "burner{slot}" {{\n  tapedev "{burner.name}"\n  {properties(burner)}\n'
            f"  {limits(options.usage_kib, options.leom)}\n}}"
            for slot, burner in zip(self.slots(), self._burners, strict=True)
        ]
        changer = (
            f'define changer volumes {{\n  tpchanger "chg-multi:{{{names}}}"\n'
            f'  changerfile "{VTAPES}/state"\n}}\ntpchanger "volumes"'
        )
        return "\n".join([*sections, changer])

    def _own(self) -> None:
        """Give all of it to the dump user, after it was changed from here."""
        self.world.inside("chown", "-R", "backup:backup", VTAPES)

    def files(self, slot: int, last: int | None = None) -> list[VolumeFile]:
        burner = self._burners[slot - 1]
        cached, burned = burner.cache / "data", burner.root / "disc" / "data"
        found = read_volume(cached, last)
        return found or (read_volume(burned, last) if burned.exists() else [])

    def label(self, slot: int, label: str, stamp: str) -> None:
        burner = self._burners[slot - 1]
        burner.insert_empty()
        data: Path = burner.root / "disc" / "data"
        data.mkdir(exist_ok=True)
        (data / f"00000.{label}").write_bytes(label_header(label, stamp))
        self._own()


def properties(burner: Burner) -> str:
    """The lines of a device's section."""
    given = {**burner.properties, "dvdrw_unlabelled_when_unmountable": "yes"}
    return "\n  ".join(f'device-property "{name}" "{value}"' for name, value in given.items())

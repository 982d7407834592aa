"""What every kind of volumes is to a case: volumes in slots, and a changer of them."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import TYPE_CHECKING, ClassVar

import pytest

from tests.conformance.harness_files import VolumeFile

if TYPE_CHECKING:
    from tests.conformance.harness import Options, World

VTAPES = "/var/lib/amanda/vtapes"
_SLOT = re.compile(r"((?<!in )\b[Ss]lot )(\d+)\b")


class Kind(ABC):
    """Volumes in slots, for the taper of one world.

    :cvar simulated: there are tape drives among them, which only our taper can use as it stands.
    :cvar pads: the last block of a file is filled with zeros.
    :cvar sized_headers: a header is as large as a block, and says how large that is.
    :cvar tpchanger: how a storage section names the changer.
    :cvar state: the file that the changer keeps its state in.
    :cvar full: what is said of a volume that did not warn.
    :ivar count: slots there are.
    """

    simulated: ClassVar[bool] = False
    pads: ClassVar[bool] = True
    sized_headers: ClassVar[bool] = True
    tpchanger: ClassVar[str] = "volumes"
    state: ClassVar[str] = f"{VTAPES}/state"
    full: ClassVar[str] = "No space left on device: more than MAX_VOLUME_USAGE bytes written"

    def __init__(self, world: World) -> None:
        self.world = world
        self.count = 0

    @abstractmethod
    def configure(self, options: Options) -> str:
        """Make as many slots as the options say. :return: amanda.conf's text about the volumes"""

    @abstractmethod
    def files(self, slot: int, last: int | None = None) -> list[VolumeFile]:
        """What is on the volume, up to file ``last``."""

    @abstractmethod
    def label(self, slot: int, label: str, stamp: str) -> None:
        """Put the label of a volume on it."""

    def slots(self) -> Iterable[int]:
        """The slots that there are, as the taper may have made some."""
        return range(1, self.count + 1)

    def slot_name(self, slot: int) -> str:
        """How the changer calls a slot."""
        return str(slot)

    def named(self, template: str) -> str:
        """A template with the slots that it tells of called so."""
        return _SLOT.sub(lambda found: f"{found[1]}{self.slot_name(int(found[2]))}", template)

    def directory(self, slot: int) -> str:
        """The directory of the volume, for cases about such; others are skipped."""
        pytest.skip("this case is about volumes in directories")

    def has_data(self, slot: int, label: str, number: int) -> bool:
        """The file of that number has some data, on the volume if it bears this label."""
        found = {file.number: file for file in self.files(slot)}
        labelled = 0 in found and found[0].header.split("\n")[0].endswith(f" TAPE {label}")
        return labelled and number in found and bool(found[number].data)


def limits(usage_kib: int | None, leom: bool | None) -> str:
    """The properties of a ``file:`` device, see :class:`tests.conformance.harness.Options`."""
    lines = []
    if usage_kib is not None:
        lines.append(f'device-property "MAX_VOLUME_USAGE" "{usage_kib * 1024}"')
    if leom is not None:
        lines.append(f'device-property "LEOM" "{str(leom).lower()}"')
    return "\n".join(lines)

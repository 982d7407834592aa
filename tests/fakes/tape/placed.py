"""Simulated drives and cartridges in a namespace, the dump user's to use."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from tests.fakes.tape.cartridge import make_cartridge
from tests.fakes.tape.drive import SimulatedDrive, cartridge_in, load, make_drive, stack, unload
from tests.fakes.tape.stock_door import door_of

HOME = "/var/lib/amanda"


class Place(Protocol):
    """What is needed of a namespace: both kinds have it."""

    def path(self, path: str, /) -> Path: ...

    def own(self, path: str, /) -> None: ...


class PlacedDrive:
    """A drive in a namespace, with the cartridges made for it.

    :ivar node: what follows ``tape:``, as seen in the namespace
    :ivar drive: as seen from here
    """

    def __init__(self, place: Place, name: str = "nst0", **facts: Any) -> None:
        self.node = f"{HOME}/{name}"
        self._place = place
        self.drive: SimulatedDrive = make_drive(place.path(self.node), **facts)
        self.own()

    def own(self) -> None:
        """Give all of it to the dump user, after it was changed from here."""
        self._place.own(self.node)
        for path in self.drive.directory.rglob("*"):
            self._place.own(f"{self.node}/{path.relative_to(self.drive.directory)}")

    def cartridge(self, name: str, **facts: Any) -> Path:
        """Make a cartridge; in no drive yet."""
        path = make_cartridge(self._place.path(f"{HOME}/{name}"), **facts)
        self._place.own(f"{HOME}/{name}")
        self._place.own(f"{HOME}/{name}.json")
        return path

    def stack(self, *cartridges: Path) -> None:
        """Let the drive take these, one whenever another was ejected."""
        stack(self.drive.directory, *cartridges)
        self.own()

    def insert(self, cartridge: Path) -> None:
        """Put a cartridge in; one that is in it, or hangs out of it, is taken away."""
        if cartridge_in(self.drive.directory) is not None:
            unload(self.drive.directory)
        load(self.drive.directory, cartridge)
        self.own()

    @contextmanager
    def for_stock(self) -> Iterator[None]:
        """Let Amanda's own programs use it, if the library is preloaded."""
        with door_of(self.drive):
            self._place.own(f"{self.node}/door")
            yield

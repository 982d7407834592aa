"""Drives and a changer for simulated tapes, kept in memory."""

from __future__ import annotations

from typing import cast

from attrs import define, field

from devices.lane import Lane
from protocols.ndmp_server.interfaces import Contents, Element, Shelf
from taper.tapeserver.drive import TapeDrive
from tests.fakes.medium import Medium


class Drive(TapeDrive):
    """A tape drive.

    :ivar keeps_tape: an unloaded tape waits in it to be fetched by a changer.
    """

    def __init__(self, reactor: object, medium: Medium | None = None) -> None:
        super().__init__(Lane(reactor, "drive"), medium)  # type: ignore[arg-type]
        self.keeps_tape = False

    def tape(self) -> Medium:
        """The tape in it, which must be."""
        assert self.medium is not None, "no tape is in the drive"
        return cast(Medium, self.medium)

    async def unload(self) -> None:
        if self.medium is not None:
            self.tape().rewind()
        if not self.keeps_tape:
            self.medium = None


@define(eq=False)
class Robot:
    """A changer: its drives and slots, in order.

    :ivar slots: the tapes in storage.
    :ivar came_from: of a drive's tape, by the drive's number: its slot.
    :ivar user: the session that has it open; None: none.
    """

    drives: list[Drive]
    slots: list[Medium | None]
    came_from: dict[int, int] = field(factory=dict)
    user: object | None = field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        for drive in self.drives:
            drive.keeps_tape = True

    async def look(self) -> Contents:
        return Contents(
            tuple(None if tape is None else tape.barcode for tape in self.slots),
            tuple(
                None if drive.medium is None else (drive.tape().barcode, self.came_from.get(number))
                for number, drive in enumerate(self.drives)
            ),
        )

    async def move(self, source: Element, target: Element) -> None:
        if source.kind is Shelf.DRIVE:
            medium = self.drives[source.number].tape()
            self.drives[source.number].medium = None
        else:
            found, self.slots[source.number] = self.slots[source.number], None
            assert found is not None, "the server has looked before"
            medium = found
        medium.rewind()
        if target.kind is Shelf.SLOT:
            self.slots[target.number] = medium
            return
        self.drives[target.number].medium = medium
        if source.kind is Shelf.SLOT:
            self.came_from[target.number] = source.number

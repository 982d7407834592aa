"""What a mover has stored by the end of a stream, beside what its sender has sent.

A mover fills up its last record, and counts what it fills it up with. So its count proves every
record but the last one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import frozen

from devices.idirecttcp import IMoverDevice
from taper.flow.whole_records import padded

if TYPE_CHECKING:
    from devices.interfaces import IAsyncDevice
    from taper.flow.interfaces import ISender


@frozen
class StreamEnd:
    """The end of a stream, as its mover tells it and its sender knows it by now.

    :ivar done: bytes of the dump in the parts before.
    :ivar moved: bytes in the last part, as the mover has counted them.
    :ivar block: bytes of a record.
    """

    sender: ISender
    done: int
    moved: int
    block: int

    @property
    def missing(self) -> str | None:
        """Why not all is stored that was sent, as far as bytes are counted; None: all is."""
        sender, stored = self.sender, self.done + self.moved
        sent = sender.size
        if sender.finished and stored in (sent, padded(sent, self.block)):
            tail = sender.tail
            if tail is None or not tail.data or self.moved:
                return None
            return "the device ended a part behind the last record, which nobody can prove then"
        how = "all" if sender.finished else "not all"
        return f"the device stored {stored} bytes, {how} of {sent} sent to it"

    @property
    def comes_again(self) -> bool:
        """The end came too early, though the sender had reason to believe that all was there: what
        the mover fills up its record with was counted before it said that it has halted."""
        if self.sender.tail is None or not self.moved:
            return False
        return self.done + self.moved < self.sender.size

    async def difference(self, device: IAsyncDevice) -> str | None:
        """What is wrong with the last record, which no count proves.

        :param device: has written it
        :raise DeviceError: it cannot be read once more, and nobody knows where the volume stands
        """
        tail = self.sender.tail
        if tail is None or not tail.data:
            return None
        found = await IMoverDevice(device).read_last_record()
        return tail.difference(found, device.facts.name, self.block)

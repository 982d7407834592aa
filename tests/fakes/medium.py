"""A simulated tape for tests, of the server's own kind, and with faults."""

from __future__ import annotations

from pathlib import Path

from attrs import define, field

from protocols.ndmp_server.interfaces import TapeEnd
from taper.tapeserver.simulated import FILEMARK as _FILE
from taper.tapeserver.simulated import NO_LIMITS, Limits, SimulatedTape
from taper.tapeserver.simulated import SimulatedTapeError as MediumError

__all__ = ["Limits", "Medium", "MediumError", "TapeEnd"]


@define
class Medium(SimulatedTape):
    """A tape; it stands at the beginning.

    :ivar fails: the next writes fail as at the physical end, for tests of media errors.
    """

    barcode: str = ""
    fails: bool = field(default=False, init=False)

    @classmethod
    def in_file(
        cls, path: Path | str, limits: Limits = NO_LIMITS, *, durable: bool = False
    ) -> Medium:
        found = super().in_file(path, limits, durable=durable)
        assert isinstance(found, Medium)
        return found

    def write(self, record: bytes | memoryview) -> TapeEnd | None:
        return TapeEnd.FULL if self.fails else super().write(record)

    def write_run(self, data: memoryview, size: int) -> tuple[int, TapeEnd | None]:
        return (0, TapeEnd.FULL) if self.fails else super().write_run(data, size)

    @property
    def index(self) -> int:
        """Records and filemarks before the position."""
        return self._index

    def go_to(self, index: int) -> None:
        """Stand behind so many records and filemarks, or at the end if there are fewer."""
        self.rewind()
        while self._index < min(index, len(self._items)):
            self._step(self._next)

    @property
    def at_end(self) -> bool:
        """Nothing was ever written here."""
        return self._index >= len(self._items)

    @property
    def bytes_before(self) -> int:
        """Bytes of the records before the position."""
        return sum(item.size for item in self._items[: self._index])

    def files(self) -> list[list[bytes]]:
        """Everything on the tape: the records of each file, the last one's too if not ended."""
        files: list[list[bytes]] = [[]]
        for item in self._items:
            if item.kind == _FILE:
                files.append([])
            else:
                files[-1].append(self._record(item))
        return files if files[-1] else files[:-1]

    def replace(self, file: int, number: int, record: bytes) -> None:
        """Put another record in the place of one; the tape stands at the beginning then."""
        files = self.files()
        files[file][number] = record
        self.rewind()
        for records in files:
            for each in records:
                self.write(each)
            self.write_filemark()
        self.rewind()

    def filemarks(self) -> int:
        """Filemarks on the tape."""
        return sum(item.kind == _FILE for item in self._items)

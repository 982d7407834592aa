"""What a session needs of the world, and what it says when it refuses."""

from __future__ import annotations

import enum
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from typing import Any, Protocol, TypeVar

from attrs import define, field, frozen

from protocols.directtcp import Address
from protocols.ndmp.codes import INFINITY, ErrorCode, HaltReason, PauseReason

T = TypeVar("T")


class Refused(Exception):
    """A request is answered by this error, in the body of the reply.

    :ivar in_header: in the header instead, without a body.
    :ivar text: what the client's log is told first; empty: nothing.
    """

    def __init__(self, error: ErrorCode, text: str = "", *, in_header: bool = False) -> None:
        super().__init__(text or error.name)
        self.error = error
        self.text = text
        self.in_header = in_header


class Unfit(Exception):
    """A medium cannot hold what was to be written; the text names file and record."""


class TapeEnd(enum.Enum):
    """Why there was no record to read, or a record was not written."""

    FILEMARK = "a filemark stands here"
    NOTHING = "nothing was ever written here"
    EARLY = "early warning: nothing was written, say it again to write"
    FULL = "the physical end: nothing was written"


class Tape(Protocol):
    """What is in a drive. Blocks: only :meth:`Drive.do` lets somebody at it, from whatever thread,
    one at a time.

    Writing anywhere cuts off what stood behind. Whatever a disk refuses is an OSError; what the
    medium cannot hold is :class:`Unfit`.

    :ivar file_num: filemarks before the position.
    :ivar blockno: records between the last filemark and the position.
    :ivar space: bytes of the whole tape and of what is left of it; None: unknown.
    """

    @property
    def file_num(self) -> int: ...
    @property
    def blockno(self) -> int: ...
    @property
    def write_protected(self) -> bool: ...
    @property
    def at_filemark(self) -> bool: ...
    @property
    def behind_filemark(self) -> bool: ...
    @property
    def space(self) -> tuple[int, int] | None: ...

    def opened(self) -> None:
        """A client has opened the drive."""

    def flush(self) -> None:
        """Let all that was written be on the disk: the drive is closed."""

    def rewind(self) -> None: ...

    def forward_records(self, count: int) -> int:
        """Skip records; stop before a filemark or at the end. :return: how many were not there"""

    def back_records(self, count: int) -> int:
        """Skip records backwards; stop behind a filemark or at the start. :return: the rest"""

    def forward_filemarks(self, count: int) -> int:
        """Go behind the count-th filemark from here. :return: how many were not there"""

    def back_filemarks(self, count: int) -> int:
        """Go before the count-th filemark backwards. :return: how many were not there"""

    def read(self) -> bytes | TapeEnd:
        """The next record, and go behind it; a filemark is not crossed."""

    def read_run(self, buffer: memoryview, size: int) -> int | TapeEnd:
        """Read records, each cut to ``size`` bytes, until the buffer has no room for another one,
        or up to the next filemark or end.

        :return: bytes; a TapeEnd if not one record is here
        """

    def write(self, record: bytes | memoryview) -> TapeEnd | None:
        """Write a record. :return: why nothing was written; None: it was"""

    def write_run(self, data: memoryview, size: int) -> tuple[int, TapeEnd | None]:
        """Write records of ``size`` bytes each, as many as there are in ``data``.

        :return: bytes that are written, and why not all are
        """

    def write_filemark(self) -> TapeEnd | None:
        """Write a filemark; it is always written. :return: EARLY if that is the first warning"""


@frozen
class Place:
    """Where a tape stands, as known without waiting for the drive."""

    file_num: int = 0
    blockno: int = 0
    write_protected: bool = False
    space: tuple[int, int] | None = None


class Drive(Protocol):
    """A tape drive.

    :ivar user: the session that has it open; None: none.
    :ivar loaded: there is a tape in it.
    :ivar place: where that stands; its space is that of late while the mover works.
    :ivar block_size: bytes of its fixed blocks; 0: variable.
    """

    user: object | None

    @property
    def loaded(self) -> bool: ...
    @property
    def place(self) -> Place: ...
    @property
    def block_size(self) -> int: ...

    def refuse_record_size(self, size: int) -> None:
        """:raise Refused: the mover cannot use records of this size here"""

    def do(self, work: Callable[[Tape], T]) -> Awaitable[T]:
        """Let the drive do something, after what was asked of it before.

        :raise Refused: NO_TAPE_LOADED; for Unfit and for an OSError: ILLEGAL_ARGS, IO
        """

    def settled(self) -> Awaitable[None]:
        """All that was asked of it before is over."""

    def claim(self) -> Awaitable[None]:
        """A client is about to open it. :raise Refused: somebody else has the volume"""

    def unload(self) -> Awaitable[None]:
        """The tape leaves the drive."""

    def load(self) -> Awaitable[None]:
        """The tape that left it is taken again. :raise Refused: NO_TAPE_LOADED: none is there"""

    def let_go(self) -> Awaitable[None]:
        """No client has it open any more."""


@frozen
class Window:
    """What may be moved until the next pause.

    :ivar block: the tape's block number where the offset is, when reading from tape.
    """

    offset: int = 0
    length: int = INFINITY
    block: int = 0

    def has(self, position: int) -> bool:
        """The byte at this position may be moved."""
        return self.offset <= position < self.offset + self.length

    @property
    def end(self) -> int:
        return self.offset + self.length

    def is_uneven(self, record_size: int, *, to_tape: bool) -> bool:
        """It is not of whole records; what is read from tape may end anywhere.

        :param record_size: 0: none was set, which only an empty window needs not
        """
        if not record_size:
            return bool(self.offset)
        open_end = not to_tape or INFINITY in (self.length, self.end)
        return bool(self.offset % record_size or (self.length % record_size and not open_end))


@define
class Progress:
    """What a mover has done and is to do; the data connection counts in it while it works.

    :ivar position: of the next byte in the stream.
    :ivar moved: bytes.
    :ivar left: bytes that MOVER_READ wants still.
    :ivar aligned_at: the position that the tape stands at; None: unknown, it must be moved.
    :ivar counts_padding: padding is moved, too.
    :ivar pads_broken: the last record is filled up though the connection broke.
    """

    record_size: int = 0
    position: int = 0
    moved: int = 0
    left: int = 0
    aligned_at: int | None = None
    window: Window = field(factory=Window)
    counts_padding: bool = False
    pads_broken: bool = False


class MoveEnd(enum.Enum):
    """Why a data connection does not move on."""

    WINDOW = "the window is used up, and more is wanted"
    EARLY = "early warning; the record is kept for the next time"
    FULL = "the tape takes no more"
    FILEMARK = "a filemark"
    NOTHING = "nothing more is on the tape"
    CLOSED = "the peer has closed it"
    RESET = "it broke"
    SILENT = "the peer kept us waiting for too long"
    INTERRUPTED = "it was told to stop"


class Channel(Protocol):
    """A data connection. What blocks is called from within :meth:`Drive.do`.

    :ivar peer: who is at the other end.
    """

    @property
    def peer(self) -> Address: ...

    def store(self, tape: Tape, progress: Progress) -> MoveEnd:
        """Write what comes to tape, until there is a reason to stop. Blocks."""

    def serve(self, tape: Tape, progress: Progress, *, watch: bool) -> MoveEnd:
        """Send what is wanted from tape, and wait for what will be. Blocks.

        :param watch: a peer that goes away ends it, though nothing be wanted
        """

    def begin(self) -> None:
        """One of these two will be called next; forget earlier interruptions."""

    def interrupt(self) -> None:
        """Let them return soon."""

    def wake(self) -> None:
        """More is wanted."""

    def account(self) -> str:
        """What has gone by, for the log."""

    def close(self, *, reset: bool = False) -> None:
        """End it."""


class Listening(Protocol):
    """Somebody is awaited."""

    @property
    def address(self) -> Address: ...

    def close(self) -> None: ...


class CheckCondition(Exception):
    """A SCSI command is not done; the argument is the sense: key, code and qualifier."""


class Robot(Protocol):
    """A medium changer. Elements are numbered from 0 in their kind.

    :ivar user: the session that has it open; None: none.
    :ivar drives: in order.
    """

    user: object | None

    @property
    def drives(self) -> Sequence[Drive]: ...

    def look(self) -> Awaitable[Contents]:
        """:raise Refused: IO"""

    def move(self, source: Element, target: Element) -> Awaitable[None]:
        """:raise CheckCondition: the robot cannot. :raise Refused: IO"""


class Shelf(enum.Enum):
    """Kinds of elements that hold a volume."""

    SLOT = 2
    DRIVE = 4


@frozen
class Element:
    """A place for a volume."""

    kind: Shelf
    number: int


@frozen
class Contents:
    """What a robot holds.

    :ivar slots: barcodes, by number; None: empty.
    :ivar drives: barcode, and slot where it came from, if known; None: empty.
    """

    slots: tuple[str | None, ...]
    drives: tuple[tuple[str, int | None] | None, ...]


@frozen
class Identity:
    """What a server says of itself and its host."""

    hostname: str = "localhost"
    os_type: str = ""
    os_version: str = ""
    hostid: str = "0"
    vendor: str = ""
    product: str = ""
    revision: str = ""


class House(Protocol):
    """The server that a session belongs to."""

    @property
    def drives(self) -> Mapping[str, Drive]: ...
    @property
    def robots(self) -> Mapping[str, Robot]: ...
    @property
    def identity(self) -> Identity: ...
    @property
    def extensions(self) -> Mapping[int, tuple[int, ...]]:
        """Classes of extensions and their versions, the best first."""

    @property
    def anybody(self) -> bool:
        """Who says no name and no password is let in."""

    def now(self) -> int:
        """Seconds since 1970."""

    def challenge(self) -> bytes:
        """64 bytes that nobody has seen before."""

    def password_of(self, name: str) -> str | None:
        """None: no such user."""

    def spawn(self, story: Coroutine[Any, Any, None]) -> None:
        """Let it run; what it raises is a fault of the server."""

    def listen(
        self, host: str, came: Callable[[Channel | None], None], *, ipv6: bool = False
    ) -> Listening:
        """Wait for a data connection to one of our addresses.

        :param came: None: nobody came in time
        :param ipv6: at an address of that kind; else IPv4
        :raise Refused: it cannot be
        """

    def told_addresses(self, address: Address, version: int) -> tuple[Address, ...]:
        """What a client is told of where we listen."""

    def connect(self, addresses: Sequence[Address]) -> Awaitable[Channel]:
        """Make a data connection. :raise Refused: CONNECT"""


HALTS = {
    MoveEnd.FULL: HaltReason.MEDIA_ERROR,
    MoveEnd.CLOSED: HaltReason.CONNECT_CLOSED,
    MoveEnd.RESET: HaltReason.CONNECT_ERROR,
    MoveEnd.SILENT: HaltReason.CONNECT_ERROR,
}
PAUSES = {MoveEnd.EARLY: PauseReason.EOM, MoveEnd.FILEMARK: PauseReason.EOF}

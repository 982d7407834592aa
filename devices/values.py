"""Plain values that devices and changers take and give."""

from __future__ import annotations

import enum
from collections.abc import Awaitable, Callable
from collections.abc import Set as AbstractSet

from attrs import field, frozen

from devices.errors import Status
from protocols.header import HeaderType
from protocols.records import Record


class AccessMode(enum.IntEnum):
    """How a device is started [volumes 2.2]."""

    NULL = 0
    READ = 1
    WRITE = 2
    APPEND = 3


class Streaming(enum.IntEnum):
    """How much a device suffers from a stalling source [volumes 3.2]."""

    NONE = 0
    DESIRED = 1
    REQUIRED = 2


class WriteEnd(enum.Enum):
    """Why :meth:`IDevice.write_blocks` stopped [volumes 2.5], [data-plane 0]."""

    NONE = "all offered blocks are stored; go on"
    EARLY = "logical end of medium: what is stored is good, end the part here"
    FULL = "volume limit: nothing more is stored, what is stored is good"
    SPACE = "shared space is full: what is stored is good; once freed, reset and offer the rest"
    FAILED = "the part on the volume is bad; IDevice.is_eom tells whether the volume is full"


class Recorded(enum.Enum):
    """What became of one record written to a tape."""

    STORED = "stored"
    EARLY = "stored, the logical end of the medium is reached"
    NO_ROOM = "not stored, or not whole: the physical end of the medium"


@frozen
class Written:
    """Result of one :meth:`IDevice.write_blocks`.

    :ivar accepted: bytes stored of those offered, whole blocks unless a short last one.
    :ivar end: why it ended.
    """

    accepted: int
    end: WriteEnd


@frozen(kw_only=True)
class PartResult:
    """How one part went [data-plane 2.1].

    :ivar size: payload bytes accepted in this attempt (no header, no padding).
    :ivar duration: seconds, from before the file header to after the end of the file; what is
        stored behind is not waited for.
    :ivar fileno: number of the file on the volume; 0 when not even the header fitted.
    :ivar successful: what is on the volume is good and complete for ``size`` bytes.
    :ivar eom: the volume is at its end.
    :ivar eof: the source is exhausted: this was the dump's last part.
    :ivar error: text of what went wrong at the device, or None. With ``successful``: why the
        volume takes no more.
    :ivar space: the end came because space that the volume shares with others is full.
    :ivar paused: the part is not over, its file still open: it can go on if space is freed.
    :ivar refused: no file could be begun, for another reason than a lack of room.
    :ivar store: with ``successful``: the part is not stored yet, and this sees to it, blocking; as
        :meth:`devices.interfaces.IStoresBehind.end_file` gives it. None: nothing is to be done.
    :ivar stored: the same for whoever must not block: a Deferred that fires once the part is
        stored, and fails with DeviceError if it is not. None: it is stored.
    """

    size: int = 0
    duration: float = 0.0
    fileno: int = 0
    successful: bool
    eom: bool = False
    eof: bool = False
    error: str | None = None
    space: bool = False
    paused: bool = False
    refused: bool = False
    store: Callable[[], None] | None = field(default=None, repr=False, eq=False)
    stored: Awaitable[None] | None = field(default=None, repr=False, eq=False)


class FileStart(Record):
    """Result of :meth:`IDevice.start_file`.

    :ivar number: the file's number on the volume, or 0 when there was no room for the header
        (then nothing of it is left on the volume).
    :ivar eom: the volume is at its logical or physical end.
    :ivar space: because space that it shares with others is full; freeing some may help.
    """

    number: int
    eom: bool
    space: bool = False


class VolumeReading(Record):
    """What :meth:`IDevice.read_label` found [volumes 2.9].

    :ivar header_type: type of the header in file 0 (EMPTY: nothing, WEIRD: not Amanda's), or None
        when nothing usable was read.
    :ivar error: the device's text when status is not SUCCESS.
    """

    status: Status
    header_type: HeaderType | None = None
    label: str | None = None
    timestamp: str | None = None
    error: str | None = None


class SlotState(enum.IntEnum):
    """Whether a slot holds a volume [changers 0]."""

    FULL = 1
    EMPTY = 2
    UNKNOWN = 3


@frozen(kw_only=True)
class InventoryEntry:
    """One slot as the changer knows it [changers 2.3]; None: not known."""

    slot: str
    state: SlotState | None = None
    device_status: Status | None = None
    device_error: str | None = None
    header_type: HeaderType | None = None
    label: str | None = None
    barcode: str | None = None
    reserved: bool = False
    loaded_in: str | None = None
    import_export: bool = False
    current: bool = False


class ChangerInfo(Record, kw_only=True):
    """Facts of a changer [changers 2.2]."""

    num_slots: int
    slots: tuple[str, ...]
    vendor_string: str = ""
    fast_search: bool = False


class Relative(enum.Enum):
    """A slot named by its place: the current one, or the one after another."""

    CURRENT = "current"
    NEXT = "next"


class LoadRequest(Record, kw_only=True):
    """What to load: exactly one of label, slot, relative [changers 2.2].

    :ivar after: with ``Relative.NEXT``: the slot to start from; None: the current one.
    :ivar set_current: make the loaded slot the current one.
    :ivar except_slots: a hit fails with NOTFOUND, the end signal of a scan.
    """

    label: str | None = None
    slot: str | None = None
    relative: Relative | None = None
    after: str | None = None
    set_current: bool = False
    except_slots: AbstractSet[str] = frozenset()
    mode: AccessMode = AccessMode.WRITE

"""What a device, a changer and their asynchronous faces promise.

``IDevice``, ``IChanger`` and ``IReservation`` are blocking and single-threaded: one thread at a
time calls them, whichever it is. :mod:`devices.lane` gives each of them its asynchronous face
(``IAsyncDevice``, ``IAsyncChanger``, ``IAsyncReservation``), which is all the scribe sees.
Facts: volumes-and-devices 2, scan-and-changers 2.
"""

from __future__ import annotations

import enum
from collections.abc import Set as AbstractSet

from attrs import frozen
from zope.interface import Attribute, Interface

from devices.errors import Status
from protocols.header import HeaderType


class AccessMode(enum.IntEnum):
    """How a device is started (volumes-and-devices 2.2)."""

    NULL = 0
    READ = 1
    WRITE = 2
    APPEND = 3


class Streaming(enum.IntEnum):
    """How much a device suffers from a stalling source (volumes-and-devices 3.2)."""

    NONE = 0
    DESIRED = 1
    REQUIRED = 2


class WriteEnd(enum.Enum):
    """Why :meth:`IDevice.write_blocks` stopped (volumes-and-devices 2.5, data-plane 0)."""

    NONE = "all offered blocks are stored; go on"
    EARLY = "logical end of medium: what is stored is good, end the part here"
    FULL = "volume limit: nothing more is stored, what is stored is good"
    SPACE = "shared space is full: nothing more is stored, what is stored is good; freeing helps"
    FAILED = "the part on the volume is bad; IDevice.is_eom tells whether the volume is full"


@frozen
class Written:
    """Result of one :meth:`IDevice.write_blocks`: bytes stored of those offered, and why it ended."""

    accepted: int
    end: WriteEnd


@frozen
class FileStart:
    """Result of :meth:`IDevice.start_file`.

    :ivar number: the file's number on the volume, or 0 when there was no room for the header
        (then nothing of it is left on the volume).
    :ivar eom: the volume is at its logical or physical end.
    """

    number: int
    eom: bool


@frozen
class VolumeReading:
    """What :meth:`IDevice.read_label` found (volumes-and-devices 2.9).

    :ivar header_type: type of the header in file 0 (EMPTY: nothing, WEIRD: not Amanda's), or None
        when nothing usable was read.
    :ivar error: the device's text when status is not SUCCESS.
    """

    status: Status
    header_type: HeaderType | None = None
    label: str | None = None
    timestamp: str | None = None
    error: str | None = None


class IDevice(Interface):
    """A device: one drive with at most one volume in it. Blocking; one caller at a time.

    Life: open (by the registry) -> set properties -> [read_label] -> start ->
    {start_file, write_blocks*, finish_file}* -> finish. After finish, start may follow again.
    Calls out of this order raise ``ValueError``: a mistake of the caller. Failures raise
    :class:`devices.errors.DeviceError`, whose text and status stay readable in ``error`` and
    ``status`` until ``reset`` or a successful ``read_label``/``start``.
    """

    name = Attribute("str: the name as given (alias or TYPE:NODE)")
    status = Attribute("Status: bits of the last failure, SUCCESS if none")
    error = Attribute("str | None: text of the last failure")
    access_mode = Attribute("AccessMode")
    file = Attribute("int: number of the current file, 0 the label, -1 none")
    in_file = Attribute("bool: between start_file/seek_file and the end of that file")
    is_eom = Attribute("bool: writing: at the logical or physical end of medium")
    label = Attribute("str | None: volume label, from read_label or start; None after erase")
    timestamp = Attribute("str | None: write timestamp of the volume")
    block_size = Attribute("int: bytes of a full block")
    leom = Attribute("bool: warns before the end (property LEOM)")
    streaming = Attribute("Streaming")
    allow_take_scribe_from = Attribute("bool: another worker may go on with the open volume")
    bytes_written = Attribute(
        "int: payload bytes in the current file, 0 outside a file; any thread may read it"
    )
    properties = Attribute("devices.properties.Properties: typed values with source and surety")

    def read_label() -> VolumeReading:  # type: ignore[misc]
        """Read file 0. Needs access mode NULL. Never raises for what is on the medium."""

    def start(mode, label=None, timestamp=None):
        """Begin to read or write. WRITE destroys the contents and writes the label.

        :param mode: AccessMode, not NULL
        :param label: str, for WRITE
        :param timestamp: ``X``, 8 or 14 digits, for WRITE
        :raise DeviceError: not started; ``finish`` may still be called
        """

    def start_file(header):
        """Write the header of the next file, fixing ``blocksize`` in it.

        :param header: protocols.header.Header
        :return: FileStart; running out of room is a result, any other failure a DeviceError
        """

    def write_blocks(data):
        """Append whole blocks, or as the file's very last write a remainder shorter than a block.

        The end of the medium is judged block by block, exactly as if each had been written alone.

        :param data: memoryview of whole blocks, or whole blocks and one short last block
        :return: Written. FAILED carries its text in ``error``; no exception for a full volume
        """

    def finish_file():
        """End the current file, making it durable. ``in_file`` is False even if this raises."""

    def seek_file(number):
        """Position at file ``number`` or the next existing one (mode READ; 0: the label).

        :return: its Header; a TAPEEND header for one past the last; None beyond
        """

    def seek_block(number):
        """Position in the current file so that the next read gives block ``number`` (0 the first)."""

    def read_blocks(buffer):
        """Fill ``buffer`` (a writable memoryview of at least one block) with data of the file.

        :return: bytes read; 0 at the end of the file (``in_file`` becomes False)
        """

    def recycle_file(number):
        """Delete one file (mode APPEND); other numbers stay."""

    def erase():
        """Make the volume unlabelled (mode NULL)."""

    def eject():
        """Take the medium out, where the device can; otherwise nothing."""

    def reset():
        """Forget status, error text and is_eom."""

    def finish():
        """Release the volume and the drive; mode NULL again. A finished device finishes again."""


class SlotState(enum.IntEnum):
    """Whether a slot holds a volume (scan-and-changers 0)."""

    FULL = 1
    EMPTY = 2
    UNKNOWN = 3


@frozen(kw_only=True)
class InventoryEntry:
    """One slot as the changer knows it (scan-and-changers 2.3); None: not known."""

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


@frozen(kw_only=True)
class ChangerInfo:
    """Facts of a changer (scan-and-changers 2.2)."""

    num_slots: int
    slots: tuple[str, ...]
    vendor_string: str = ""
    fast_search: bool = False


class Relative(enum.Enum):
    """A slot named by its place: the current one, or the one after another."""

    CURRENT = "current"
    NEXT = "next"


@frozen(kw_only=True)
class LoadRequest:
    """What to load: exactly one of label, slot, relative (scan-and-changers 2.2).

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


class IReservation(Interface):
    """A slot that is ours until released, with its device opened and its label read. Blocking."""

    slot = Attribute("str")
    device = Attribute("IDevice: opened, configured, label read, not started")
    reading = Attribute("VolumeReading: what read_label found at load")
    barcode = Attribute("str | None")
    meta = Attribute("str | None")

    def release(eject=False, need_another=False):
        """Finish the device, then give the slot back. A second release does nothing."""

    def set_label(label):
        """Tell the changer that the volume now bears ``label`` (None: erased)."""

    def set_device_error(reading):
        """Tell the changer that labelling failed; ``reading`` is what the device says now."""

    def get_meta_label():
        """The meta label the changer keeps for this volume, or None."""

    def set_meta_label(meta):
        """Let the changer remember a meta label; nothing where it has none."""


class IChanger(Interface):
    """A set of slots and drives (scan-and-changers 2). Blocking; one caller at a time.

    Every method may raise :class:`devices.errors.ChangerError`; NOTIMPL where a changer lacks it.
    """

    name = Attribute("str: the name as given, a key inside state files")
    has_inventory = Attribute("bool: inventory() is implemented")
    scan_require_update = Attribute("bool: call update() before a new inventory (chg-single)")
    global_space = Attribute("bool: all slots share one file system")

    def load(request):
        """Load a volume and read its label. :param request: LoadRequest :return: IReservation"""

    def info():
        """:return: ChangerInfo"""

    def inventory():
        """:return: list of InventoryEntry in the changer's stable order"""

    def reset():
        """Make the first slot the current one."""

    def eject(drive=None):
        """Take a volume out of a drive."""

    def update(changed=None):
        """Look again at the slots named by ``changed`` (None: all)."""

    def move(source, target):
        """Move a volume from one slot to another."""

    def close():
        """Give everything back; the object is not used afterwards."""


class IAsyncDevice(Interface):
    """The asynchronous face of a device. Attributes are those of :class:`IDevice`, any time."""

    device = Attribute("IDevice: for its attributes only; its methods belong to the lane")

    def run(function, *args):
        """Run ``function(device, *args)`` in the device's lane. :return: Deferred of its result"""

    def read_label():
        """:return: Deferred of VolumeReading"""

    def start(mode, label=None, timestamp=None):
        """:return: Deferred of None"""

    def erase():
        """:return: Deferred of None"""

    def finish():
        """:return: Deferred of None"""


class IAsyncReservation(Interface):
    """The asynchronous face of :class:`IReservation`: same meaning, Deferreds as results."""

    slot = Attribute("str")
    device = Attribute("IAsyncDevice")
    reading = Attribute("VolumeReading")
    barcode = Attribute("str | None")
    meta = Attribute("str | None")

    def release(eject=False, need_another=False):
        """:return: Deferred of None"""

    def set_label(label):
        """:return: Deferred of None"""

    def set_device_error(reading):
        """:return: Deferred of None"""

    def get_meta_label():
        """:return: Deferred of str | None"""

    def set_meta_label(meta):
        """:return: Deferred of None"""


class IAsyncChanger(Interface):
    """The asynchronous face of :class:`IChanger`: one operation at a time, in order of asking."""

    name = Attribute("str")
    has_inventory = Attribute("bool")
    scan_require_update = Attribute("bool")
    global_space = Attribute("bool")

    def load(request):
        """:return: Deferred of IAsyncReservation"""

    def info():
        """:return: Deferred of ChangerInfo"""

    def inventory():
        """:return: Deferred of list of InventoryEntry"""

    def update(changed=None):
        """:return: Deferred of None"""

    def close():
        """Cancels a waiting operation, releases what is left. :return: Deferred of None"""


class ILane(Interface):
    """One thread: calls in, Deferreds out, in order."""

    def call(function, *args, **kwargs):
        """:return: Deferred of ``function(*args, **kwargs)`` run in the lane's thread"""

    def stop():
        """Let the thread end after what was asked so far. :return: Deferred of None"""

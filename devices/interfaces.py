"""What a device, a changer and their asynchronous faces promise.

``IDevice``, ``IChanger`` and ``IReservation`` are blocking and single-threaded: one thread at a
time calls them, whichever it is. :mod:`devices.lane` and :mod:`devices.changers.blocking` give each
of them its asynchronous face (``IAsyncDevice``, ``IAsyncChanger``, ``IAsyncReservation``), which
others provide by nature and which is all the scribe sees.
The values they speak in are in :mod:`devices.values` and can be imported from here.
Facts: [volumes 2], [changers 2].
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from zope.interface import Attribute, Interface

from devices.errors import Status
from devices.values import (
    AccessMode,
    ChangerInfo,
    FileStart,
    InventoryEntry,
    LoadRequest,
    PartResult,
    Relative,
    SlotState,
    Streaming,
    VolumeReading,
    WriteEnd,
    Written,
)
from protocols.header import Header

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred

    from devices.properties import Properties

__all__ = [
    "AccessMode",
    "ChangerInfo",
    "FileStart",
    "IAsyncChanger",
    "IAsyncDevice",
    "IAsyncReservation",
    "IChanger",
    "IClones",
    "IDevice",
    "IDeviceFacts",
    "IFindsData",
    "IHurries",
    "ILane",
    "IPumpedDevice",
    "IReservation",
    "IStoresBehind",
    "InventoryEntry",
    "LoadRequest",
    "PartResult",
    "Relative",
    "SlotState",
    "Streaming",
    "VolumeReading",
    "WriteEnd",
    "Written",
]

T = TypeVar("T")


class IDeviceFacts(Interface):
    """What is to be known of a device; nothing of it blocks, and any thread may look."""

    name: str = Attribute("the name as given (alias or TYPE:NODE)")
    status: Status = Attribute("bits of the last failure, SUCCESS if none")
    error: str | None = Attribute("text of the last failure")
    access_mode: AccessMode = Attribute("NULL until start, and again after finish")
    file: int = Attribute("number of the current file, 0 the label, -1 none")
    in_file: bool = Attribute("between start_file/seek_file and the end of that file")
    is_eom: bool = Attribute("writing: at the logical or physical end of medium")
    label: str | None = Attribute("volume label, from read_label or start; None after erase")
    timestamp: str | None = Attribute("write timestamp of the volume")
    block_size: int = Attribute("bytes of a full block")
    leom: bool = Attribute("warns before the end (property LEOM)")
    streaming: Streaming = Attribute("property STREAMING")
    allow_take_scribe_from: bool = Attribute("another worker may go on with the open volume")
    bytes_written: int = Attribute("payload bytes in the current file, 0 outside a file")
    properties: Properties = Attribute("typed values with source and surety")
    remark: str | None = Attribute("what whoever reads the volume must know of it, if anything")

    def reset() -> None:
        """Forget status, error text and is_eom."""


class IDevice(IDeviceFacts):
    """A device that blocks: one drive with at most one volume in it; one caller at a time.

    Life: open (by the registry) -> set properties -> [read_label] -> start ->
    {start_file, write_blocks*, finish_file}* -> finish. After finish, start may follow again.
    Calls out of this order raise ``ValueError``: a mistake of the caller. Failures raise
    :class:`devices.errors.DeviceError`, whose text and status stay readable in ``error`` and
    ``status`` until ``reset`` or a successful ``read_label``/``start``.
    """

    def read_label() -> VolumeReading:
        """Read file 0. Needs access mode NULL. Never raises for what is on the medium.

        A status 1 left by an earlier failure does not stop it: it looks again.
        """

    def start(mode: AccessMode, label: str | None = None, timestamp: str | None = None) -> None:
        """Begin to read or write. WRITE destroys the contents and writes the label.

        :param mode: not NULL
        :param label: for WRITE
        :param timestamp: ``X``, 8 or 14 digits, for WRITE
        :raise DeviceError: not started; ``finish`` may still be called
        """

    def start_file(header: Header) -> FileStart:
        """Write the header of the next file, fixing ``blocksize`` in it.

        :return: running out of room is a result, any other failure a DeviceError
        """

    def write_blocks(data: memoryview) -> Written:
        """Append whole blocks, or as the file's very last write a remainder shorter than a block.

        The end of the medium is judged block by block, exactly as if each had been written alone.

        :param data: whole blocks, or whole blocks and one short last block
        :return: FAILED carries its text in ``error``; no exception for a full volume
        """

    def next_run(offered: int) -> int:
        """How many of ``offered`` bytes may be given to ``write_blocks`` at once so that only the
        last block of them can meet the end of the volume; at least one block, or what is offered.
        """

    def finish_file() -> None:
        """End the current file, making it durable. ``in_file`` is False even if this raises.

        A device that provides :class:`IStoresBehind` can do so in two steps."""

    def seek_file(number: int) -> Header | None:
        """Position at file ``number`` or the next existing one (mode READ; 0: the label).

        :return: its Header; a TAPEEND header for one past the last; None beyond
        :raise DeviceError: its header cannot be read; where files may be missing, ``file`` tells
            which one that is
        """

    def read_blocks(buffer: memoryview) -> int:
        """Fill ``buffer`` (a writable memoryview of at least one block) with data of the file.

        :return: bytes read; 0 at the end of the file (``in_file`` becomes False)
        """

    def erase() -> None:
        """Make the volume unlabelled (mode NULL)."""

    def eject() -> None:
        """Take the medium out, where the device can; otherwise nothing."""

    def finish() -> None:
        """Release the volume and the drive; mode NULL again. A finished device finishes again."""


class IClones(Interface):
    """A blocking device that can share bytes with a file, where both lie on one file system that
    has clones (xfs, btrfs): nothing is copied, and no room is taken."""

    def clone_blocks(fd: int, offset: int, size: int) -> Written | None:
        """As :meth:`IDevice.write_blocks`, with bytes that stand in an open file.

        :return: fewer bytes than offered with ``WriteEnd.NONE`` if only the rest cannot be shared;
            None if nothing can, and nothing was done
        """


class IFindsData(Interface):
    """A blocking device that can go to the data of a file whose header is damaged."""

    timestamp: str | None = Attribute("as of IDeviceFacts")

    def seek_data(number: int) -> int | None:
        """Position behind the header of file ``number`` (mode READ), which ``seek_file`` could not
        read, or did not find; ``read_blocks`` follows.

        :return: bytes of data that the file has; None: only reading them tells
        :raise DeviceError: there is no such file, or it has a header that can be read
        """


class IStoresBehind(IDevice):
    """A device that can go on to the next file while the disk still takes the one before."""

    def end_file() -> Callable[[], None]:
        """End the current file without waiting for the disk, in the place of ``finish_file``.

        ``in_file`` is False, even if this raises; the next file may begin.

        :return: to be called once, by any thread and beside any use of the device, which it does
            not touch, its ``status`` and ``error`` included. The file is durable when it has come
            back. It releases what the file holds. It raises DeviceError if the file is not durable;
            what is on the volume then is not known
        """


class IHurries(IDevice):
    """A blocking device that waits for other machines or programs."""

    def hurry() -> None:
        """As :meth:`IAsyncDevice.hurry`, of what is being done and of the file that is open. Any
        thread may call it, beside any use of the device."""


class IReservation(Interface):
    """A slot that is ours until released, with its device opened and its label read. Blocking."""

    slot: str = Attribute("the slot's name")
    device: IDevice = Attribute("opened, configured, label read, not started")
    reading: VolumeReading = Attribute("what read_label found at load")
    barcode: str | None = Attribute("of the volume, where the changer reads barcodes")
    meta: str | None = Attribute("meta label, where the changer keeps them")

    def release(eject: bool = False, need_another: bool = False) -> None:
        """Finish the device, then give the slot back. A second release does nothing."""

    def set_label(label: str | None) -> None:
        """Tell the changer that the volume now bears ``label`` (None: erased)."""

    def set_device_error(reading: VolumeReading) -> None:
        """Tell the changer that labelling failed; ``reading`` is what the device says now."""

    def get_meta_label() -> str | None:
        """The meta label the changer keeps for this volume, or None."""

    def set_meta_label(meta: str | None) -> None:
        """Let the changer remember a meta label; nothing where it has none."""


class IChanger(Interface):
    """A set of slots and drives [changers 2]. Blocking; one caller at a time.

    Every method may raise :class:`devices.errors.ChangerError`; NOTIMPL where a changer lacks it.
    """

    name: str = Attribute("the name as given, a key inside state files")
    has_inventory: bool = Attribute("inventory() is implemented")
    scan_require_update: bool = Attribute("call update() before a new inventory (chg-single)")
    global_space: bool = Attribute("all slots share one file system, and keep their volumes")

    def load(request: LoadRequest) -> IReservation:
        """Load a volume and read its label."""

    def info() -> ChangerInfo:
        """Facts that hold as long as the changer is open."""

    def inventory() -> list[InventoryEntry]:
        """What is known of each slot, in the changer's stable order."""

    def reset() -> None:
        """Make the first slot the current one."""

    def eject(drive: str | None = None) -> None:
        """Take a volume out of a drive."""

    def update(changed: str | None = None) -> None:
        """Look again at the slots named by ``changed`` (None: all)."""

    def move(source: str, target: str) -> None:
        """Move a volume from one slot to another."""

    def close() -> None:
        """Give everything back; the object is not used afterwards."""


class IAsyncDevice(Interface):
    """A device as the reactor's side sees it: its operations are Deferreds, one after another.

    What data it takes, and how, is told by what it provides besides:
    :class:`IPumpedDevice`, :class:`devices.idirecttcp.IDirectTCPDevice`,
    :class:`devices.idirecttcp.IMoverDevice`.
    """

    facts: IDeviceFacts = Attribute("its attributes, at any time")

    def read_label() -> Deferred[VolumeReading]:
        """See :meth:`IDevice.read_label`."""

    def start(
        mode: AccessMode, label: str | None = None, timestamp: str | None = None
    ) -> Deferred[None]:
        """See :meth:`IDevice.start`."""

    def erase() -> Deferred[None]:
        """See :meth:`IDevice.erase`."""

    def eject() -> Deferred[None]:
        """See :meth:`IDevice.eject`; of a finished device."""

    def hurry() -> None:
        """Whoever waits for this device wants to end: an answer that another machine owes us is
        waited for :data:`protocols.twisted_transports.haste.CLOSE_PATIENCE` at most from now on,
        and without it the operation fails. Never blocks; later operations have all their time."""

    def finish() -> Deferred[None]:
        """See :meth:`IDevice.finish`."""

    def close() -> Deferred[None]:
        """Let go of a finished device: nothing is asked of it any more."""


class IPumpedDevice(IAsyncDevice):
    """A device to which this process writes, and from which it reads, block by block."""

    blocking: IDevice = Attribute(
        "what ``run`` gives to its functions; a thread of another kind may use it while the device "
        "is asked for nothing else"
    )

    def run(function: Callable[..., T], *args: Any) -> Deferred[T]:
        """Run ``function(blocking, *args)`` in the device's own thread, in turn."""


class IAsyncReservation(Interface):
    """The asynchronous face of :class:`IReservation`: same meaning, Deferreds as results."""

    slot: str = Attribute("as of IReservation")
    device: IAsyncDevice = Attribute("opened, configured, label read, not started")
    reading: VolumeReading = Attribute("as of IReservation")
    barcode: str | None = Attribute("as of IReservation")
    meta: str | None = Attribute("as of IReservation")

    def release(eject: bool = False, need_another: bool = False) -> Deferred[None]:
        """Finish the device, give the slot back, let go of the device.

        The slot is given back even if finishing fails, whose error then arrives here. Once asked
        for it cannot be cancelled.
        """

    def set_label(label: str | None) -> Deferred[None]:
        """See :meth:`IReservation.set_label`."""

    def set_device_error(reading: VolumeReading) -> Deferred[None]:
        """See :meth:`IReservation.set_device_error`."""

    def get_meta_label() -> Deferred[str | None]:
        """See :meth:`IReservation.get_meta_label`."""

    def set_meta_label(meta: str | None) -> Deferred[None]:
        """See :meth:`IReservation.set_meta_label`."""


class IAsyncChanger(Interface):
    """The asynchronous face of :class:`IChanger`: one operation at a time, in order of asking."""

    name: str = Attribute("as of IChanger")
    has_inventory: bool = Attribute("as of IChanger")
    scan_require_update: bool = Attribute("as of IChanger")
    global_space: bool = Attribute("as of IChanger")

    def load(request: LoadRequest) -> Deferred[IAsyncReservation]:
        """See :meth:`IChanger.load`. A cancelled load leaves nothing reserved."""

    def info() -> Deferred[ChangerInfo]:
        """See :meth:`IChanger.info`."""

    def inventory() -> Deferred[list[InventoryEntry]]:
        """See :meth:`IChanger.inventory`."""

    def update(changed: str | None = None) -> Deferred[None]:
        """See :meth:`IChanger.update`."""

    def reset() -> Deferred[None]:
        """See :meth:`IChanger.reset`."""

    def eject(drive: str | None = None) -> Deferred[None]:
        """See :meth:`IChanger.eject`."""

    def move(source: str, target: str) -> Deferred[None]:
        """See :meth:`IChanger.move`."""

    def close() -> Deferred[None]:
        """Cancel what is going on, release what is left, give everything back."""


class ILane(Interface):
    """One thread: calls in, Deferreds out, in order. Its methods belong to the reactor thread.

    Cancelling a call's Deferred drops its result and, if it has not begun yet, the call itself;
    a call that has begun runs to its end, and the next one waits for it. Where the system has no
    thread to give, the call's Deferred fails with :class:`devices.threads.ThreadRefused`, and the
    next call tries again.
    """

    begun = Attribute("It was asked for something: its thread has been started.")

    def begin() -> None:
        """Start the thread, for whoever must not find later that there is none.

        Raises :class:`devices.threads.ThreadRefused`.
        """

    def call(function: Callable[..., T], *args: Any, **kwargs: Any) -> Deferred[T]:
        """Run ``function(*args, **kwargs)`` in the lane's thread; fires in the reactor thread."""

    def call_surely(function: Callable[..., T], *args: Any, **kwargs: Any) -> Deferred[T]:
        """Like ``call``, but it runs even if the Deferred is cancelled before it has begun."""

    def call_owning(
        dispose: Callable[[T], object], function: Callable[..., T], *args: Any
    ) -> Deferred[T]:
        """Like ``call``, for results that must not be lost: that of a cancelled call is given to
        ``dispose``, in the lane, before anything that is asked for after the cancelling."""

    def stop() -> Deferred[None]:
        """Let the thread end after what was asked so far. Calls after it raise ``ValueError``."""

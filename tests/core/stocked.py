"""A changer whose slots hold volumes that are really written: devices in memory behind it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from twisted.internet.defer import Deferred, succeed
from zope.interface import implementer

from devices.errors import Status
from devices.interfaces import (
    AccessMode,
    IAsyncChanger,
    IAsyncDevice,
    IAsyncReservation,
    IDeviceFacts,
    IPumpedDevice,
    LoadRequest,
    VolumeReading,
)
from protocols.header import HeaderType
from tests.core.steps import Steps
from tests.fakes.async_changer import UNLABELED_TEXT, FakeAsyncChanger, FakeVolume
from tests.fakes.device import FakeDevice
from tests.fakes.device import FakeVolume as Medium


class Tape:
    """A volume for a slot: a medium, how its drive behaves, and what the inventory says of it.

    :ivar medium: what is stored.
    :ivar listing: the changer's view, kept up to date by the device.
    :ivar at_write: called before each block is written, as if it happened meanwhile.
    :ivar at_label: called with the old label and timestamp before a new label is written.
    """

    def __init__(
        self,
        capacity: int | None = None,
        *,
        label: str | None = None,
        timestamp: str | None = None,
        barcode: str | None = None,
        block_size: int = 32768,
        leom: bool = True,
        warning: int = 4,
        shared: bool = False,
        faults: Callable[[str], bool] = lambda what: False,
        allow_take: bool = True,
        behind: bool = False,
    ) -> None:
        self.medium = Medium(capacity, shared=shared, label=label, timestamp=timestamp)
        self.listing = FakeVolume(barcode=barcode)
        self.at_write: Callable[[], object] = lambda: None
        self.at_label: Callable[[str | None, str | None], object] = lambda label, timestamp: None
        self.block_size = block_size
        self.leom = leom
        self.warning = warning
        self.allow_take = allow_take
        self.behind = behind
        self._faults = faults
        self.look()

    def look(self) -> None:
        """Let the inventory know what is on the medium."""
        listing, medium = self.listing, self.medium
        listing.label, listing.timestamp = medium.label, medium.timestamp
        labelled = medium.label is not None
        listing.status = Status.SUCCESS if labelled else Status.VOLUME_UNLABELED
        listing.header_type = HeaderType.TAPESTART if labelled else HeaderType.EMPTY
        listing.error = None if labelled else UNLABELED_TEXT

    def device(self, slot: str) -> FakeDevice:
        device = FakeDevice(
            self.medium,
            name=f"fake:{slot}",
            block_size=self.block_size,
            header_size=self.block_size,
            leom=self.leom,
            warning=self.warning,
            behind=self.behind,
            faults=self._fails,
        )
        device.allow_take_scribe_from = self.allow_take
        return device

    def _fails(self, what: str) -> bool:
        if what == "write":
            self.at_write()
        return self._faults(what)

    def face(self, device: FakeDevice, moments: Steps) -> IAsyncDevice:
        """The asynchronous face of this tape's drive."""
        return SteppedDevice(device, self, moments)

    def stored(self, fileno: int) -> bytes:
        """Payload of one file."""
        return bytes(self.medium.files[fileno].data)


@implementer(IAsyncDevice)
class SteppedFace:
    """The asynchronous face of a fake device, in steps."""

    def __init__(self, device: FakeDevice, tape: Tape, moments: Steps) -> None:
        self.facts: IDeviceFacts = device
        self._drive = device
        self._tape = tape
        self._moments = moments

    def read_label(self) -> Deferred[VolumeReading]:
        return self._moments.do("read_label", self._drive.read_label)

    def start(
        self, mode: AccessMode, label: str | None = None, timestamp: str | None = None
    ) -> Deferred[None]:
        def begin() -> None:
            if mode is AccessMode.WRITE:
                self._tape.at_label(self._tape.medium.label, self._tape.medium.timestamp)
            self._drive.start(mode, label, timestamp)
            self._tape.look()

        return self._moments.do("start", begin)

    def erase(self) -> Deferred[None]:
        def wipe() -> None:
            self._drive.erase()
            self._tape.look()

        return self._moments.do("erase", wipe)

    def eject(self) -> Deferred[None]:
        return self._moments.do("eject", self._drive.eject)

    def close(self) -> Deferred[None]:
        return succeed(None)

    def hurry(self) -> None:
        """What is done here is done at once."""

    def finish(self) -> Deferred[None]:
        return self._moments.do("finish", self._drive.finish, surely=True)


@implementer(IPumpedDevice)
class SteppedDevice(SteppedFace):
    """One that is written to by this process."""

    def __init__(self, device: FakeDevice, tape: Tape, moments: Steps) -> None:
        super().__init__(device, tape, moments)
        self.blocking = device

    def run(self, function: Callable[..., Any], *args: Any) -> Deferred[Any]:
        return self._moments.do("run", lambda: function(self.blocking, *args))


@implementer(IAsyncReservation)
class SteppedReservation:
    """A slot held, with a device that writes."""

    def __init__(self, changer: StockedChanger, slot: str, tape: Tape) -> None:
        self._changer = changer
        self._tape = tape
        device = tape.device(slot)
        self.slot = slot
        self.drive = device
        self.device: IAsyncDevice = tape.face(device, changer.moments)
        self.reading = device.read_label()
        self.barcode = tape.listing.barcode
        self.meta = tape.listing.meta

    def release(self, eject: bool = False, need_another: bool = False) -> Deferred[None]:
        self._changer.release_begins(self)  # type: ignore[arg-type]
        fault = self._changer.moments.fault("release")

        def give_back() -> None:
            self.drive.finish()
            self._changer.reserved.remove(self)  # type: ignore[arg-type]
            self._changer.released.append((self.slot, eject))
            if fault is not None:
                raise fault

        return self._changer.moments.do("released", give_back, surely=True)

    def set_label(self, label: str | None) -> Deferred[None]:
        return self._changer.moments.do("set_label", lambda: None, surely=True)

    def set_device_error(self, reading: VolumeReading) -> Deferred[None]:
        return self._changer.moments.do(
            "set_device_error", lambda: self._changer.told.append((self.slot, reading))
        )

    def get_meta_label(self) -> Deferred[str | None]:
        return self._changer.moments.do("get_meta_label", lambda: self._tape.listing.meta)

    def set_meta_label(self, meta: str | None) -> Deferred[None]:
        def keep() -> None:
            self._tape.listing.meta = meta

        return self._changer.moments.do("set_meta_label", keep, surely=True)


@implementer(IAsyncChanger)
class StockedChanger(FakeAsyncChanger):
    """The fake changer, loading devices that write.

    :ivar tapes: the slots' volumes.
    :ivar released: (slot, eject) of each release.
    :ivar told: (slot, reading) of each ``set_device_error``.
    """

    def __init__(self, tapes: Mapping[str, Tape], moments: Steps, **options: Any) -> None:
        super().__init__({slot: tape.listing for slot, tape in tapes.items()}, **options)
        self.tapes = dict(tapes)
        self.gate = moments  # type: ignore[assignment]
        self.moments = moments
        self.released: list[tuple[str, bool]] = []
        self.told: list[tuple[str, VolumeReading]] = []

    def load(self, request: LoadRequest) -> Deferred[IAsyncReservation]:
        self.requests.append(request)
        return self.moments.do("load", lambda: self._load(request))

    def _load(self, request: LoadRequest) -> Any:
        plain = super()._load(request)
        held = SteppedReservation(self, plain.slot, self.tapes[plain.slot])
        self.reserved[self.reserved.index(plain)] = held  # type: ignore[call-overload]
        return held

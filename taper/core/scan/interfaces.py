"""What a scan promises, and what it asks of the world around it [changers 1.1]."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from zope.interface import Interface

from devices.interfaces import AccessMode
from protocols.records import Record

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred

    from devices.interfaces import IAsyncChanger, IAsyncReservation
    from protocols.conf import Config, Storage
    from protocols.tapelist import Tapelist
    from taper.core.interfaces import ITapelistStore
    from taper.core.retention import Retention


class ScanFailed(Exception):
    """No volume was found, and nothing is left reserved.

    :ivar text: what the driver and the trace log are told; one line.
    """

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text


class ScanResult(Record, kw_only=True):
    """A volume to write on, reserved for whoever asked.

    :ivar reservation: the caller's from now on; the caller releases it.
    :ivar label: the label to write. If ``is_new`` it is only a candidate, to be made again under
        the tapelist lock.
    :ivar is_new: the volume gets a label that is not in the tapelist yet.
    :ivar tapelist: the list by which the volume was chosen.
    """

    reservation: IAsyncReservation
    label: str
    is_new: bool
    tapelist: Tapelist
    mode: AccessMode = AccessMode.WRITE


class IScan(Interface):
    """Looks for volumes to write on, for all workers of a process."""

    def scan(write_timestamp: str) -> Deferred[ScanResult]:
        """Find and reserve a volume. Scans asked for meanwhile wait for their turn.

        Cancelling stops the scan (or its waiting); the Deferred fires once nothing is reserved.

        :param write_timestamp: the run's; volumes that bear it are never found.
        :return: fails with ScanFailed, or with CancelledError.
        """

    def untouched(result: ScanResult) -> None:
        """The volume of ``result`` was given back and not written to: it may be found again."""


class IInteractivity(Interface):
    """An operator who can be asked for a volume [changers 1.9]."""

    def ask(text: str, changer_name: str) -> Deferred[str]:
        """Ask for a volume to be put into a changer.

        Cancelling takes the question back. Fails with ScanFailed when the operator gives up.

        :param text: why the scan found nothing.
        :return: the reply: empty for "look again", else the name of a changer to use instead.
        """

    def open_changer(name: str) -> Deferred[IAsyncChanger]:
        """The changer an operator named; who opened it closes it. Fails with ChangerError."""


class Timers(Protocol):
    """As much of a reactor as a waiting scan needs."""

    def callLater(
        self, delay: float, callable: Callable[..., object], /, *args: object, **kw: object
    ) -> Any:
        """Call after ``delay`` seconds. :return: an IDelayedCall"""


class ScanContext(Record, kw_only=True):
    """What one scan object works with.

    :ivar retention: the retention rules over a tapelist.
    :ivar note: takes each text for an ``INFO taper`` line of the trace log; one line. What it
        returns fires when the line is there, and never fails; None: it is there at once.
    :ivar refresh: reads again, before each scan, what ``retention`` knows besides the tapelist.
    :ivar clock: needed with ``interactivity`` only.
    :ivar look: takes what was found in each slot that was loaded, in words; None: nobody looks on.
    """

    config: Config
    storage: Storage
    changer: IAsyncChanger
    tapelists: ITapelistStore
    retention: Callable[[Tapelist], Retention]
    note: Callable[[str], Deferred[None] | None]
    refresh: Callable[[], Deferred[None]] | None = None
    clock: Timers | None = None
    interactivity: IInteractivity | None = None
    look: Callable[[str], object] | None = None

"""What every origin and every flow must keep (:mod:`taper.core.interfaces`), whichever they are.

A test of one pair says which :class:`Source` brings the dump and which :class:`Target` takes it.
"""

from __future__ import annotations

import gc
import os
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from zope.interface.verify import verifyObject

from devices.errors import DeviceError
from devices.interfaces import AccessMode, PartResult
from protocols.crc import Crc
from taper.core.interfaces import IFlow, IOrigin, Offer
from taper.flow.flows import Flows
from taper.flow.interfaces import FlowContext
from taper.plane.crc import RunningCrc
from tests.fakes.turning import Turning, turning_reactor
from tests.flow.flowing import PLAN, make_context
from tests.opened import descriptors
from tests.plane.dumping import HEADER

BLOCK = 32768
STAMP = "20260102030405"
DATA = bytes(range(251)) * 10_000 + b"the end"
"""2.5 MB, more than is kept on the way, and no whole number of blocks."""

STAGES = ("made", "found", "offered", "sending", "header", "ready", "started")


class Source:
    """Who brings the dump.

    :param whole: it does not break off after about half of it
    :ivar begun: its data can be had; who breaks off was there until then
    """

    def __init__(self, turning: Turning, path: Path, *, whole: bool) -> None:
        self.turning = turning
        self.path = path
        self.whole = whole
        self.begun = threading.Event()

    @property
    def sent(self) -> bytes:
        """What it gets to say."""
        return DATA if self.whole else DATA[: len(DATA) // 2]

    def context(self, context: FlowContext) -> FlowContext:
        """What its origin is made with."""
        return context

    def origin(self, context: FlowContext) -> IOrigin:
        """The origin, touched by nobody."""
        raise NotImplementedError

    def send(self, offer: Offer | None) -> None:
        """Begin to send, if it is for somebody else to do so."""
        assert offer is None

    def close(self) -> None:
        """Leave nothing."""


class Target:
    """Where the dump goes.

    :ivar device: not started
    :ivar mover: it has one: its last block is as long as all others, and it tells too that a
        connection broke
    """

    mover = False
    device: Any

    def __init__(self, turning: Turning, path: Path) -> None:
        self.turning = turning

    def stored(self) -> bytes:
        """What is in the files after the label."""
        raise NotImplementedError

    def close(self) -> None:
        """Leave nothing."""


class Dumping:
    """One dump on its way, from stage to stage."""

    def __init__(self, turning: Turning, source: Source, target: Target) -> None:
        self.turning = turning
        self.source = source
        self.target = target
        context = source.context(make_context(turning.reactor))
        self.origin = source.origin(context)
        self.flow = Flows(context).between(self.origin, target.device, PLAN)
        self.offer: Offer | None = None
        self.cleared = False

    def go_to(self, stage: str) -> None:
        """Do all that comes before, in order."""
        for name in STAGES[1 : STAGES.index(stage) + 1]:
            getattr(self, f"_{name}")()

    def _found(self) -> None:
        self.turning.wait(self.origin.find())

    def _offered(self) -> None:
        self.offer = self.turning.wait(self.flow.offer())

    def _sending(self) -> None:
        self.source.send(self.offer)

    def _header(self) -> None:
        header = self.turning.wait(self.origin.header())
        assert (header.host, header.disk) == (HEADER.host, HEADER.disk)

    def _ready(self) -> None:
        self.turning.wait(self.flow.ready())
        self.source.begun.set()

    def _started(self) -> None:
        self.turning.wait(self.target.device.start(AccessMode.WRITE, "VOL-1", STAMP))

    def write(self) -> PartResult:
        """One part, until it is stored."""
        result = self.turning.wait(self.flow.write_part(self.target.device, HEADER))
        if result.stored is not None:
            self.turning.wait(result.stored)
        return result

    def clear(self) -> None:
        """Let nothing be there of all that was."""
        self.cleared = True
        self.close()
        self.target.close()
        self.source.close()

    def close(self) -> None:
        """Both, each twice."""
        for closing in (self.flow.close, self.flow.close, self.origin.close, self.origin.close):
            self.turning.wait(closing())


def crc_of(data: bytes) -> Crc:
    crc = RunningCrc()
    crc.update(memoryview(data))
    return crc.value()


def there_is() -> tuple[set[tuple[int, str]], list[str], list[str]]:
    """Descriptors, threads, and what is in shared memory of this process."""
    gc.collect()  # reactors of earlier tests have pipes
    shared = [name for name in os.listdir("/dev/shm") if f"-{os.getpid()}-" in name]
    threads = sorted(
        thread.name
        for thread in threading.enumerate()
        if not thread.name.startswith("PoolThread-")  # the reactor's own
    )
    return descriptors(), threads, shared


def nothing_more(before: tuple[set[tuple[int, str]], list[str], list[str]]) -> bool:
    """There is no more than there was; what earlier tests left may have gone meanwhile."""
    opened, threads, shared = there_is()
    return (
        opened <= before[0]
        and not Counter(threads) - Counter(before[1])
        and set(shared) <= set(before[2])
    )


class FlowContract:
    """A subclass has ``source`` and ``target``."""

    source: type[Source]
    target: type[Target]

    @pytest.fixture
    def turning(self) -> Iterator[Turning]:
        with turning_reactor() as turning:
            yield turning

    @pytest.fixture
    def room(self, turning: Turning, tmp_path: Path) -> Iterator[Room]:
        """Where dumps are made; when a test is over, nothing is left of them."""
        room = Room(turning, tmp_path, self.source, self.target)
        yield room
        room.close()
        turning.until(lambda: nothing_more(room.before))

    def test_they_are_what_they_say(self, room: Room) -> None:
        dumping = room.dumping()
        assert verifyObject(IOrigin, dumping.origin)
        assert verifyObject(IFlow, dumping.flow)
        assert (dumping.flow.bytes_written, dumping.flow.take_errors()) == (0, [])
        dumping.close()

    def test_all_of_it_arrives(self, room: Room) -> None:
        """Every byte once, and counted; nobody is blamed."""
        dumping = room.dumping()
        dumping.go_to("started")
        result = dumping.write()
        assert (result.successful, result.eof, result.error) == (True, True, None)
        assert dumping.flow.bytes_written == result.size
        flow = dumping.flow
        dumping.turning.wait(flow.close())
        assert flow.take_errors() == []
        for crc in (flow.source_crc(), flow.dest_crc()):
            assert not crc.known or crc == crc_of(DATA)
        dumping.turning.wait(dumping.target.device.finish())
        stored = dumping.target.stored()
        assert stored[: len(DATA)] == DATA
        assert stored[len(DATA) :].strip(b"\0") == b""
        assert dumping.target.mover or len(stored) == len(DATA)
        dumping.close()

    @pytest.mark.parametrize("stage", STAGES)
    def test_closed_at_any_time(self, room: Room, stage: str) -> None:
        """Twice, and nothing is left of it."""
        dumping = room.dumping()
        dumping.go_to(stage)
        dumping.close()

    @pytest.mark.parametrize("stage", STAGES[2::2])
    def test_cancelled_at_any_time(self, room: Room, stage: str) -> None:
        """As often as one likes; it can be closed as ever."""
        dumping = room.dumping()
        dumping.go_to(stage)
        dumping.flow.cancel("changed my mind")
        dumping.flow.cancel("")
        dumping.close()

    @pytest.mark.parametrize("turns", [0, 5])
    def test_cancelled_in_a_part(self, room: Room, turns: int) -> None:
        """The part ends, the reason is an error of the source, and the device is not blamed."""
        dumping = room.dumping()
        dumping.go_to("started")
        writing = dumping.flow.write_part(dumping.target.device, HEADER)
        for _ in range(turns):
            dumping.turning.reactor.runUntilCurrent()
            dumping.turning.reactor.doIteration(0)
        dumping.flow.cancel("changed my mind")
        result = dumping.turning.wait(writing)
        assert not (result.successful and result.eof) or result.size >= len(DATA)
        assert result.error is None
        assert "changed my mind" in dumping.flow.take_errors()
        assert dumping.flow.take_errors() == []
        dumping.close()

    @pytest.mark.parametrize("first", ["find", "offer", "header", "ready"])
    def test_what_is_waited_for_can_be_cancelled(self, room: Room, first: str) -> None:
        """The Deferred is over at once or soon, and all can be closed."""
        dumping = room.dumping()
        before = {"find": "made", "offer": "found", "header": "offered", "ready": "header"}
        if first != "ready":
            dumping.go_to(before[first])
            owner = dumping.flow if first == "offer" else dumping.origin
            waiting = getattr(owner, first)()
        else:
            dumping.go_to("header")
            waiting = dumping.flow.ready()
        waiting.cancel()
        dumping.turning.settle(waiting)
        dumping.close()

    def test_a_source_that_breaks_off_is_to_blame(self, room: Room) -> None:
        """What is on the volume then is the beginning, and no whole dump. A mover may take it for
        the end; then somebody else must know better."""
        dumping = room.dumping(whole=False)
        dumping.go_to("started")
        result = dumping.write()
        assert result.error is None or dumping.target.mover
        assert dumping.flow.take_errors() != [] or dumping.origin.result_follows
        assert result.size < len(DATA)
        dumping.turning.wait(dumping.flow.close())
        dumping.close()


class PumpedContract(FlowContract):
    """Flows that pass through this process."""

    target: type[Target]

    def test_a_device_that_fails_is_to_blame(self, room: Room) -> None:
        """The source is not; and what failed comes again if the flow says that it can."""
        dumping = room.dumping()
        dumping.go_to("started")
        failing: Any = dumping.target
        failing.fail_once()
        result = dumping.write()
        assert not result.successful
        assert result.error is not None
        assert dumping.flow.take_errors() == []
        assert dumping.flow.bytes_written == 0
        if dumping.flow.can_retry():
            again = dumping.write()
            assert (again.successful, again.eof) == (True, True)
            assert dumping.flow.source_crc() == dumping.flow.dest_crc() == crc_of(DATA)
            assert dumping.target.stored() == DATA
        else:
            assert not dumping.origin.reads_again
        dumping.close()


class StoringBehindContract(PumpedContract):
    """The same on devices that store what is written behind."""

    def test_a_part_comes_back_before_it_is_stored(self, room: Room) -> None:
        """It counts once it is; and closing waits for that."""
        dumping = room.dumping()
        dumping.go_to("started")
        flow = dumping.flow
        result = dumping.turning.wait(flow.write_part(dumping.target.device, HEADER))
        assert (result.successful, result.eof) == (True, True)
        assert result.stored is not None
        assert result.store is None
        dumping.turning.wait(flow.close())
        assert flow.dest_crc() == crc_of(DATA)
        dumping.close()

    def test_a_part_that_is_not_stored(self, room: Room) -> None:
        """The device is to blame, and no other part is begun until that is taken note of."""
        dumping = room.dumping()
        dumping.go_to("started")
        failing: Any = dumping.target
        failing.fail_once("store")
        flow, device = dumping.flow, dumping.target.device
        result = dumping.turning.wait(flow.write_part(device, HEADER))
        with pytest.raises(DeviceError, match="the fake disk lost file 1"):
            dumping.turning.wait(result.stored)
        refused = dumping.turning.wait(flow.write_part(device, HEADER))
        assert (refused.successful, refused.fileno) == (False, 0)
        flow.revoke()
        assert flow.dest_crc().size == 0
        assert flow.take_errors() == []
        assert flow.can_retry() == dumping.origin.reads_again
        if flow.can_retry():
            again = dumping.write()
            assert (again.successful, again.eof) == (True, True)
            assert flow.source_crc() == flow.dest_crc() == crc_of(DATA)
            assert dumping.target.stored() == DATA
        dumping.close()


class Room:
    """Makes dumps, and clears away after them.

    :ivar before: what there was before the first of them
    """

    def __init__(
        self, turning: Turning, path: Path, source: type[Source], target: type[Target]
    ) -> None:
        self._turning = turning
        self._path = path
        self._source = source
        self._target = target
        self._made: list[Dumping] = []
        self.before = there_is()

    def dumping(self, *, whole: bool = True) -> Dumping:
        if not self._made:
            self._make(whole=True).go_to("offered")  # what is opened once for all is open then
            self.close()
            before = Counter(self.before[1])
            # a thread takes its time to end
            self._turning.until(lambda: not Counter(there_is()[1]) - before)
            self.before = there_is()
        return self._make(whole=whole)

    def _make(self, *, whole: bool) -> Dumping:
        path = self._path / str(len(self._made))
        path.mkdir()
        source = self._source(self._turning, path, whole=whole)
        target = self._target(self._turning, path)
        self._made.append(Dumping(self._turning, source, target))
        return self._made[-1]

    def close(self) -> None:
        for dumping in self._made:
            if not dumping.cleared:
                dumping.clear()

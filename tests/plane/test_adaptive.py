"""A dump that changes between one thread and two: what hinders, and what the debug log says."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

import pytest

from devices.interfaces import AccessMode, Streaming
from devices.threads import ThreadRefused, start_thread
from protocols.crc import UNKNOWN
from taper.plane.adaptive import Adaptive
from taper.plane.intake import Intake
from taper.plane.memory import NoMemory
from taper.plane.pace import Pace, Way
from taper.plane.ring import Ring, Stopped
from taper.plane.transfer import Transfer
from tests.fakes.device import FakeDevice, FakeVolume
from tests.opened import threads
from tests.plane.dumping import HEADER, PiecesSource, Plan

DATA = bytes(n * 7 % 251 for n in range(10_050))


class Decided(Pace):
    """Says what it is told to, one after the other."""

    def __init__(self, *ways: Way) -> None:
        super().__init__()
        self._ways = iter(ways)

    def judge(self, position: int, reading: float) -> Way:
        return next(self._ways, Way.AS_NOW)


def stream_of(*ways: Way, pieces: tuple[int, ...] = (130,), error: str = "") -> Adaptive:
    intake = Intake(PiecesSource(DATA, pieces, error), UNKNOWN)
    stream = Adaptive(intake, 100, 400, lambda error: None, Decided(*ways))
    stream.allocate()
    return stream


def drain(stream: Adaptive) -> bytes:
    found = b""
    while view := stream.peek(250):
        found += view
        stream.advance(len(view))
        assert stream.cursor == len(found)
    stream.join()
    stream.release()
    return found


def test_no_byte_is_lost_at_a_change() -> None:
    before = threads("taper-reader")
    stay = [Way.AS_NOW] * 3
    stream = stream_of(*stay, Way.TOGETHER, *stay, Way.ALONE, *stay * 5, Way.TOGETHER, *stay)
    assert drain(stream) == DATA
    assert threads("taper-reader") <= before


class Gated(PiecesSource):
    """Gives a piece when it is let."""

    def __init__(self, pieces: tuple[int, ...]) -> None:
        super().__init__(DATA, pieces)
        self.let = threading.Semaphore(0)

    def read_into(self, buffer: memoryview) -> int:
        self.let.acquire()
        return super().read_into(buffer)


def test_less_than_a_block_is_carried_from_stream_to_stream(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The second thread is dismissed while it waits for the source, or just before."""
    source = Gated((130, 145, 5, 130))

    class Letting(Decided):
        def judge(self, position: int, reading: float) -> Way:
            way = super().judge(position, reading)
            if way is not Way.ALONE:
                source.let.release()
            return way

    dismiss = Ring.dismiss

    def let_all(ring: Ring) -> None:
        dismiss(ring)
        source.let.release(1000)

    monkeypatch.setattr(Ring, "dismiss", let_all)
    pace = Letting(Way.AS_NOW, Way.TOGETHER, Way.ALONE)
    stream = Adaptive(Intake(source, UNKNOWN), 100, 400, lambda error: None, pace)
    stream.allocate()
    carried: list[int] = []
    come_back = stream._come_back

    def spy() -> None:
        assert isinstance(stream._stream, Ring)
        carried.append(len(stream._stream.rest()))
        come_back()

    stream._come_back = spy  # type: ignore[method-assign]
    assert drain(stream) == DATA
    assert carried in ([75], [80])


def test_one_thread_goes_on_where_there_is_no_second(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(name: str, target: object) -> threading.Thread:
        raise ThreadRefused(name, RuntimeError("can't start new thread"))

    monkeypatch.setattr("taper.plane.filler.start_thread", refuse)
    assert drain(stream_of(Way.AS_NOW, Way.TOGETHER)) == DATA
    assert "goes on in one thread: cannot start thread 'taper-reader'" in caplog.text


def test_no_more_dumps_have_a_second_thread_than_there_are_places(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The place of one that is over is another's."""
    places = threading.BoundedSemaphore(1)
    monkeypatch.setattr("taper.plane.adaptive.PLACES", places)
    before = threads("taper-reader")
    first = stream_of(Way.TOGETHER, pieces=(100_000,))
    first.peek(100)
    second = stream_of(*[Way.TOGETHER] * 1000)
    second.peek(100)
    assert not places.acquire(blocking=False)
    assert drain(first) == DATA
    assert drain(second) == DATA
    assert threads("taper-reader") <= before
    assert places.acquire(blocking=False)
    places.release()
    assert drain(stream_of(Way.TOGETHER, *[Way.AS_NOW] * 5, Way.ALONE)) == DATA
    assert places.acquire(blocking=False)


def test_one_thread_goes_on_where_there_is_no_memory(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(size: int) -> memoryview:
        raise NoMemory("Cannot allocate memory")

    stream = stream_of(Way.AS_NOW, Way.TOGETHER)
    monkeypatch.setattr("taper.plane.ring.allocate", refuse)
    assert drain(stream) == DATA
    assert "goes on in one thread: Cannot allocate memory" in caplog.text


@pytest.mark.parametrize("together", [False, True])
def test_a_stopped_stream_stays_stopped(together: bool) -> None:
    stream = stream_of(*([Way.TOGETHER] if together else []))
    stream.peek(100)
    stream.stop()
    assert stream.stopped
    assert stream.halted
    with pytest.raises(Stopped):
        stream.peek(100)
    stream.join()
    stream.release()


def test_a_change_does_not_forget_a_stop() -> None:
    stream = stream_of(Way.AS_NOW, Way.TOGETHER)
    stream.advance(len(stream.peek(100)))
    stream.stop()
    with pytest.raises(Stopped):
        drain(stream)
    stream.join()
    stream.release()


@pytest.mark.parametrize("streaming", [Streaming.NONE, Streaming.DESIRED, Streaming.REQUIRED])
def test_a_device_that_must_not_run_dry_has_a_thread_read_ahead(
    streaming: Streaming, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[str] = []

    def spy(name: str, target: Callable[[], object]) -> threading.Thread:
        started.append(name)
        return start_thread(name, target)

    monkeypatch.setattr("taper.plane.filler.start_thread", spy)
    volume = FakeVolume()
    device = FakeDevice(volume, block_size=100, streaming=streaming)
    device.start(AccessMode.WRITE, "V", "20261123000000")
    transfer = Transfer(PiecesSource(DATA, [130]), Plan(block_size=100))
    transfer.start()
    assert transfer.write_part(device, HEADER).eof
    transfer.close()
    assert bytes(volume.files[1].data) == DATA
    assert started == ([] if streaming is Streaming.NONE else ["taper-reader"])


@pytest.mark.parametrize("behind", [False, True])
def test_the_time_between_parts_does_not_count(
    behind: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where a part is stored while the next is written, or after a volume was waited for."""
    rested: list[int] = []

    class Resting(Decided):
        def rest(self) -> None:
            rested.append(device.file)

    monkeypatch.setattr("taper.plane.adaptive.Pace", Resting)
    device = FakeDevice(FakeVolume(), block_size=100, behind=behind)
    device.start(AccessMode.WRITE, "V", "20261123000000")
    transfer = Transfer(PiecesSource(DATA, [130]), Plan(block_size=100, part_size=6000))
    transfer.start()
    for _ in range(2):
        result = transfer.write_part(device, HEADER)
        if result.store is not None:
            result.store()
    transfer.close()
    assert rested == [-1, 1]


def test_the_debug_log_tells_which_way_was_taken_and_who_waited(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO, "taper.plane")
    ways = (Way.AS_NOW, Way.TOGETHER, *[Way.AS_NOW] * 3, Way.ALONE)
    monkeypatch.setattr("taper.plane.adaptive.Pace", lambda: Decided(*ways))
    monkeypatch.setattr("taper.plane.ring.CHUNK", 200)
    monkeypatch.setattr("taper.plane.straight.BUFFER", 200)
    device = FakeDevice(FakeVolume(), block_size=100)
    device.start(AccessMode.WRITE, "V", "20261123000000")
    transfer = Transfer(PiecesSource(DATA, [130]), Plan(block_size=100))
    transfer.start()
    assert transfer.write_part(device, HEADER).eof
    transfer.close()
    assert "on in two threads: reading and writing both take their time" in caplog.text
    assert "on in one thread again: two were not faster" in caplog.text
    assert f"Adaptive: {len(DATA)} bytes in " in caplog.text
    assert "s for the reader, the reader " in caplog.text

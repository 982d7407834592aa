"""The ring in shared memory: every byte of it, and every end that it can come to."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from zope.interface.verify import verifyObject

from protocols.shmring import RING_SIZE, WRITTEN, Sizes
from taper.flow.ring import Watch
from taper.plane import shm
from taper.plane.interfaces import ISource, SourceError
from taper.plane.shm import ShmSource
from tests.conformance import producer as script
from tests.conformance.producer import DUMPER, SENDBACKUP, Cancelled, Producer

SIZES = Sizes(131072, 32768)
DATA = Random(4).randbytes(1_000_003)


def left() -> list[str]:
    """Objects of this process in shared memory."""
    return [name for name in os.listdir("/dev/shm") if f"-{os.getpid()}-" in name]


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Look often; leave nothing."""
    monkeypatch.setattr(shm, "LOOK_EVERY", 0.02)
    yield
    assert left() == []


def make(sizes: Sizes = SIZES) -> ShmSource:
    source = ShmSource(sizes, Watch().lost)
    verifyObject(ISource, source)
    source.create()
    return source


@pytest.fixture
def source() -> Iterator[ShmSource]:
    made = make()
    yield made
    made.close()


def read(source: ShmSource, size: int = 65536) -> bytes:
    """All up to the end."""
    buffer = memoryview(bytearray(size))
    found = bytearray()
    while count := source.read_into(buffer):
        found += buffer[:count]
    return bytes(found)


class Sending(threading.Thread):
    """A producer at work in a thread."""

    def __init__(self, producer: Producer, data: bytes, ring: int = 0) -> None:
        super().__init__(daemon=True)
        self.producer = producer
        self.data = data
        self.ring = ring
        self.error: BaseException | None = None
        self.start()

    def run(self) -> None:
        try:
            self.producer.negotiate(self.ring)
            self.producer.write(self.data)
            self.producer.finish()
        except BaseException as error:
            self.error = error

    def ended(self) -> BaseException | None:
        self.join(60)
        assert not self.is_alive()
        return self.error


@pytest.mark.parametrize("sizes", [DUMPER, SENDBACKUP])
def test_every_byte_comes_through(source: ShmSource, sizes: tuple[int, int]) -> None:
    """Round the ring several times; the producer then sees all taken and nothing cancelled."""
    sending = Sending(Producer(source.names.control, sizes), DATA)
    assert read(source) == DATA
    assert source.read_into(memoryview(bytearray(1))) == 0
    source.cancel()  # as a transfer does at its end
    assert sending.ended() is None
    assert not sending.producer.cancelled


def test_the_objects_are_stocks(source: ShmSource) -> None:
    """Six names, mode 0600, 472 bytes, the sizes posted before anybody knows the name."""
    assert len(left()) == 6
    modes = {Path("/dev/shm", name).stat().st_mode & 0o777 for name in left()}
    assert modes == {0o600}
    assert Path("/dev/shm" + source.names.control).stat().st_size == 472
    data = Path("/dev/shm" + source.names.data).stat()
    assert (data.st_size, data.st_blocks * 512) == (131072, 131072)  # its memory is ours already
    producer = Producer(source.names.control)
    assert producer.consumer == (131072, 32768)
    producer.wait("write", 0.1)


def test_each_ring_has_names_of_its_own() -> None:
    first, second = make(), make()
    assert not set(vars_of(first)) & set(vars_of(second))
    first.close()
    assert len(left()) == 6
    second.close()


def vars_of(source: ShmSource) -> Sequence[str]:
    names = source.names
    return (*names.semaphores, names.control, names.data)


def test_what_an_earlier_process_of_our_number_left_is_replaced() -> None:
    number = next(shm._numbers)
    stale = Path(f"/dev/shm/amanda_shm_control-{os.getpid()}-{number + 6}")
    stale.write_bytes(b"old" * 1000)
    semaphore = Path(f"/dev/shm/sem.amanda_sem_read-{os.getpid()}-{number + 8}")
    semaphore.write_bytes(b"\xff" * 32)
    source = make()
    sending = Sending(Producer(source.names.control), DATA)
    assert read(source) == DATA
    assert sending.ended() is None
    source.close()


@settings(max_examples=30)
@given(st.data())
def test_any_ring_any_chunks_any_reads(data: st.DataObject) -> None:
    """Any size of the ring, of what is put in and of what is taken out; surplus posts too."""
    draw = data.draw
    ring = draw(st.integers(1000, 70_000), "ring")
    sizes = Sizes(65536, draw(st.sampled_from([1024, 32768, 48 * 1024]), "block"))
    content = DATA[: draw(st.integers(0, 200_000), "size")]
    source = make(sizes)
    try:
        producer = Producer(source.names.control, DUMPER)
        producer.step = draw(st.integers(ring // 9, ring), "step")
        for _ in range(draw(st.integers(0, 3), "surplus")):
            producer.semaphores["read"].release()
        sending = Sending(producer, content, ring)
        assert read(source, draw(st.integers(ring // 9, 100_000), "read")) == content
        assert sending.ended() is None
    finally:
        source.close()


def test_the_end_is_looked_at_before_the_bytes(source: ShmSource) -> None:
    """A producer that finishes while we look loses nothing [data-plane Q6]."""
    producer = Producer(source.names.control)
    producer.negotiate()
    control = source._control
    assert control is not None
    plain = control.flag

    def flag(offset: int) -> int:
        found = plain(offset)
        if offset == 16 and not found and not producer.get(WRITTEN):
            producer.write(DATA[:100])
            producer.end()
        return found

    control.flag = flag  # type: ignore[method-assign]
    assert read(source) == DATA[:100]


@pytest.mark.parametrize("size", [0, 100, 131072, 300_000])
def test_a_producer_that_cancels(source: ShmSource, size: int) -> None:
    """What it sent before comes first; then an error, never an end."""
    producer = Producer(source.names.control)
    producer.negotiate(524288)
    producer.write(DATA[:size])
    producer.cancel()
    producer.close()
    buffer = memoryview(bytearray(524288))
    assert not size or source.read_into(buffer) == size
    assert buffer[:size] == DATA[:size]
    with pytest.raises(SourceError, match=r"^shm-ring cancelled$"):
        source.read_into(buffer)


def test_a_producer_that_cancels_before_the_sizes_are_set(source: ShmSource) -> None:
    Producer(source.names.control).cancel()
    with pytest.raises(SourceError, match=r"^failed to set shm-ring$"):
        read(source)


def test_a_producer_that_promises_more_memory_than_there_is(source: ShmSource) -> None:
    """To read it would end our process."""
    producer = Producer(source.names.control)
    producer.put(RING_SIZE, 1 << 40)
    producer.semaphores["read"].release()
    with pytest.raises(SourceError, match=r"failed to set shm-ring: .* in a segment of 131072"):
        read(source)
    assert producer.cancelled


@pytest.mark.parametrize("written", [1 << 63, (1 << 64) - 5, 1 << 20])
def test_counters_that_cannot_be(source: ShmSource, written: int) -> None:
    producer = Producer(source.names.control)
    producer.negotiate()
    producer.put(WRITTEN, written)
    with pytest.raises(SourceError, match="claims to hold"):
        read(source)
    assert producer.cancelled


@pytest.mark.parametrize("moment", ["before the sizes", "waiting for data", "at once"])
def test_cancelling_wakes_the_reader_and_tells_the_producer(source: ShmSource, moment: str) -> None:
    producer = Producer(source.names.control)
    if moment == "waiting for data":
        producer.negotiate()
    ended: list[int] = []
    reader = threading.Thread(
        target=lambda: ended.append(source.read_into(memoryview(bytearray(9))))
    )
    if moment != "at once":
        reader.start()
        time.sleep(0.03)
    source.cancel()
    if moment == "at once":
        reader.start()
    reader.join(60)
    assert ended == [0]
    assert producer.cancelled
    with pytest.raises(Cancelled):
        producer.wait("write", 1)


def test_a_producer_that_waits_for_room_is_told_too(source: ShmSource) -> None:
    sending = Sending(Producer(source.names.control), DATA)
    assert source.read_into(memoryview(bytearray(10))) == 10
    source.close()
    assert isinstance(sending.ended(), Cancelled)


def test_closing_unread_tells_the_producer() -> None:
    source = make()
    producer = Producer(source.names.control)
    source.close()
    source.close()
    source.cancel()
    assert producer.cancelled


def test_nobody_ever_attaches() -> None:
    """The wait for a producer is bounded [data-plane Q10]."""
    now = iter(range(0, 10_000, 100))
    source = ShmSource(SIZES, Watch().lost, clock=lambda: float(next(now)))
    source.create()
    with pytest.raises(SourceError, match="failed to set shm-ring: no producer in 300 s"):
        read(source)
    source.close()


def test_a_ring_that_cannot_be_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is left of its other objects."""
    import posix_ipc

    def refuse(*arguments: object, **options: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(posix_ipc, "Semaphore", refuse)
    source = ShmSource(SIZES, Watch().lost)
    with pytest.raises(SourceError, match=r"cannot make the shm-ring .*No space left"):
        source.create()
    source.close()


# processes


def start(source: ShmSource, path: Path, step: int = 0) -> subprocess.Popen[bytes]:
    command = [sys.executable, script.__file__, source.names.control, str(path), "0", str(step)]
    return subprocess.Popen(command, stderr=subprocess.DEVNULL)


@pytest.fixture
def dump(tmp_path: Path) -> Path:
    path = tmp_path / "dump"
    path.write_bytes(DATA * 8)
    return path


def test_a_producer_in_another_process(source: ShmSource, dump: Path) -> None:
    with start(source, dump, 10_000) as process:
        assert read(source) == DATA * 8
        source.close()
        assert process.wait(60) == 0


@pytest.mark.parametrize("step", range(5))
def test_a_producer_killed_at_any_moment(source: ShmSource, dump: Path, step: int) -> None:
    """Noticed soon, not after 300 s; as a zombie, too. What came is right as far as it goes."""
    random = Random(step)
    found = bytearray()
    buffer = memoryview(bytearray(65536))
    enough = random.randrange(len(DATA) * 7)
    process = start(source, dump, 5000)
    try:
        while len(found) < enough:
            found += buffer[: source.read_into(buffer)]
        process.send_signal(signal.SIGKILL)  # and nobody waits for it
        with pytest.raises(SourceError, match=f"^shm-ring: process {process.pid} ended before"):
            found += read(source)
    finally:
        process.kill()
        process.wait()
    assert found == (DATA * 8)[: len(found)]


def test_a_producer_killed_before_the_sizes_are_set(source: ShmSource) -> None:
    with subprocess.Popen(["sleep", "60"]) as process:
        producer = Producer(source.names.control)
        producer.ints[144 // 4 + 1] = process.pid  # it attached, not we
        process.kill()
        with pytest.raises(SourceError, match=f"process {process.pid} ended"):
            read(source)


def test_a_producer_that_ends_after_its_data_is_no_loss(source: ShmSource) -> None:
    """Its process may be gone when we come to read the rest."""
    with subprocess.Popen(["true"]) as process:
        pass
    producer = Producer(source.names.control)
    producer.ints[144 // 4 + 1] = process.pid
    producer.negotiate()
    producer.write(DATA[:1000])
    producer.end()
    assert read(source) == DATA[:1000]


def test_nothing_is_left_by_a_process_that_ends_in_the_middle() -> None:
    """However it ends, as long as it ends by itself."""
    code = (
        "from taper.plane.shm import ShmSource\n"
        "from protocols.shmring import Sizes\n"
        "source = ShmSource(Sizes(131072, 32768), lambda pids: None)\n"
        "source.create()\n"
        "print(source.names.control, flush=True)\n"
        "raise SystemExit(3)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert done.returncode == 3
    pid = done.stdout.split("-")[1]
    assert not [name for name in os.listdir("/dev/shm") if f"-{pid}-" in name]


def test_a_number_used_again_is_another_process(monkeypatch: pytest.MonkeyPatch) -> None:
    marks = iter(["boot/1", "boot/1", "boot/2"])
    monkeypatch.setattr("taper.flow.ring.start_mark", lambda pid: next(marks))
    watch = Watch()
    assert [watch.lost([os.getpid()]) for _ in range(3)] == [None, None, os.getpid()]


TAKEN = """
# All modules at once: whom we become need not be able to read them.
import os, sys
from pathlib import Path
import posix_ipc
import taper.plane.monotonic_wait
from protocols.shmring import Sizes
from taper.flow.ring import Watch
from taper.plane.shm import ShmSource
others = []
for name in ("sem.amanda_sem_read-{pid}-2", "amanda_shm_data-{pid}-11"):
    path = Path("/dev/shm", name.format(pid=os.getpid()))
    path.touch()
    os.chown(path, 65533, 65533)
    others.append(path)
os.setgroups([]); os.setgid(65534); os.setuid(65534)
source = ShmSource(Sizes(131072, 32768), Watch().lost)
source.create()
print(source.names.control.rpartition("-")[2])
source.close()
print(*sorted(n for n in os.listdir("/dev/shm") if f"-{os.getpid()}-" in n))
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to be several users")
def test_names_that_a_stranger_has_taken() -> None:
    """The names can be foreseen, so somebody may have made some of them: the next will do, and
    nothing of theirs or ours is left changed."""
    running = subprocess.Popen(
        [sys.executable, "-c", TAKEN], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    said, trouble = running.communicate(timeout=600)
    strange = [f"amanda_shm_data-{running.pid}-11", f"sem.amanda_sem_read-{running.pid}-2"]
    for name in strange:
        Path("/dev/shm", name).unlink()
    assert (said, trouble) == ("12\n" + " ".join(strange) + "\n", "")

"""A SHM-WRITE in a conversation: its header port, its ring, its producer; what is left of them."""

import socket
import threading
from collections.abc import Callable

from tests.conformance.harness import World
from tests.conformance.harness_files import Dump, dump_header
from tests.conformance.harness_talk import HANDLE, PLAIN, WORKER, Conversation, shared_memory
from tests.conformance.harness_text import crc, payload, stats
from tests.conformance.producer import PATIENCE, SENDBACKUP, Cancelled, Producer

HEADER = dump_header(Dump())
DATA = payload(200_000)


class Ring:
    """A SHM-WRITE that was answered.

    :ivar name: of the control segment.
    """

    def __init__(self, talk: Conversation, split: str, handle: str, worker: str = WORKER) -> None:
        self._talk = talk
        self._names = handle, worker
        self._dumper, self.name = talk.shm_write(split, handle, worker)
        self._error: BaseException | None = None
        self._thread: threading.Thread | None = None
        self._producer: Producer | None = None

    @property
    def producer(self) -> Producer:
        assert self._producer is not None, "nobody is attached"
        return self._producer

    def attach(self, sizes: tuple[int, int] = SENDBACKUP) -> Producer:
        """The producer, attached."""
        if self._producer is None:
            self._producer = Producer(self.name, sizes)
        return self._producer

    def header(self, block: bytes = HEADER) -> None:
        """Deliver the header."""
        self._dumper.header(block)

    def connect_header(self) -> socket.socket:
        """Open the header connection and keep it."""
        return self._dumper.connect_header()

    def send(self, data: bytes, sizes: tuple[int, int] = SENDBACKUP, size: int = 0) -> Producer:
        """Send all data in the background; ``size`` of the ring, if the producer insists."""
        producer = self.attach(sizes)

        def run() -> None:
            producer.negotiate(size)
            producer.write(data)
            producer.finish()

        self._thread = threading.Thread(target=self._guard, args=(run,), daemon=True)
        self._thread.start()
        return producer

    def _guard(self, run: Callable[[], None]) -> None:
        try:
            run()
        except BaseException as error:
            self._error = error

    def _join(self) -> None:
        assert self._thread is not None, "nothing is sent"
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive(), "the producer still waits"

    def sent(self) -> None:
        """The producer has seen all its bytes taken."""
        self._join()
        assert self._error is None, repr(self._error)
        assert not self.producer.cancelled

    def given_up(self) -> None:
        """The producer has been told that nobody wants the rest."""
        self._join()
        assert isinstance(self._error, Cancelled), repr(self._error)

    def dumper_done(self, data: bytes, orig: str = "64") -> None:
        """Answer DUMPER-STATUS with DONE and the checksum of what the dumper sent."""
        handle, worker = self._names
        self._talk.expect(f"DUMPER-STATUS {worker} {handle}")
        sums = f"aaaaaaaa:1 bbbbbbbb:2 {crc(data)}"
        self._talk.send(f"DONE {worker} {handle} {orig} {sums}")


def begun(world: World, split: str = PLAIN) -> tuple[Conversation, Ring]:
    """Start a taper and a SHM-WRITE."""
    talk = world.start()
    talk.start_taper()
    return talk, Ring(talk, split, HANDLE)


def sending(
    world: World, data: bytes, split: str = PLAIN, sizes: tuple[int, int] = SENDBACKUP
) -> tuple[Conversation, Ring]:
    """That, with its producer at work, up to READY."""
    talk, ring = begun(world, split)
    ring.send(data, sizes)
    ring.header()
    talk.grant("PROTO01")
    talk.ready()
    return talk, ring


def gone(world: World, talk: Conversation) -> None:
    """Check that nothing is left of any ring, soon."""
    world.wait_for("the ring to be removed", lambda: not shared_memory(talk.process.pid))


def recovers(
    world: World, talk: Conversation, volume: bool = False, handle: str = "00-00002"
) -> None:
    """Check that the worker takes the next dump and writes it right."""
    ring = Ring(talk, PLAIN, handle)
    ring.send(DATA)
    ring.header()
    if volume:
        talk.grant("PROTO01", handle)
    talk.ready(handle)
    talk.expect(f'PARTDONE {WORKER} {handle} PROTO01 <n> 195 "{stats(200_000)}"')
    ring.sent()
    ring.dumper_done(DATA)
    talk.done(crc(DATA), handle=handle)
    world.check_dump(handle, DATA)

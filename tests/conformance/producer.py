"""The dumper's end of a shared-memory ring, as the stock dumper and sendbackup fill it.

Facts: [data-plane 4.3]. Nothing here comes from the program under test. The stock producers' slip
with odd block sizes is kept: a taper must live with what they make of its wishes.

As a process: ``python producer.py NAME FILE [OFFSET [CHUNK [PAUSE]]]`` sends a file through the
ring.
"""

import mmap
import os
import sys
import time

import posix_ipc

CONTROL = 472
PATIENCE = 60.0
WRITE_OFFSET, WRITTEN, EOF_FLAG, READX, CANCELLED, RING_SIZE, PIDS = 0, 8, 16, 72, 128, 136, 144
CONSUMER_BLOCK, PRODUCER_BLOCK, CONSUMER_RING, PRODUCER_RING = 440, 448, 456, 464
KINDS = ("write", "read", "ready", "start")

DUMPER = (262144, 32768)
"""Ring and block of the dumper's network stream."""
SENDBACKUP = (524288, 131072)
"""Ring and block of sendbackup on the same host."""


class Cancelled(Exception):
    """Somebody gave the ring up."""


def stock_ring_size(consumer: tuple[int, int], producer: tuple[int, int]) -> int:
    """The size a stock producer chooses, from (ring, block) of both; its slip with the remainder
    included."""
    (c_ring, c_block), (p_ring, p_block) = consumer, producer
    size = max(p_ring, 2 * p_block) if p_ring > c_ring else max(c_ring, 2 * c_block)
    if size % p_block:
        size = (size % p_block + 1) * p_block
    while size % c_block:
        size += p_block
    return size


class Producer:
    """One producer.

    :param name: of the control segment
    :param sizes: ring and block it would like
    """

    def __init__(self, name: str, sizes: tuple[int, int] = SENDBACKUP) -> None:
        self.sizes = sizes
        shared = posix_ipc.SharedMemory(name)
        self.map = mmap.mmap(shared.fd, CONTROL)
        shared.close_fd()
        self.longs = memoryview(self.map).cast("Q")
        self.ints = memoryview(self.map).cast("i")
        names = [self.map[at : at + 50].split(b"\0")[0].decode() for at in range(184, 434, 50)]
        self.names = [name, *names]
        self.semaphores = {
            kind: posix_ipc.Semaphore(text) for kind, text in zip(KINDS, names[:4], strict=True)
        }
        self.segment = posix_ipc.SharedMemory(names[4])
        self.data = memoryview(b"")
        self.size = 0
        self.owed = 0
        self.closed = False
        self.step = sizes[1]
        place = next(at for at in range(1, 10) if not self.ints[PIDS // 4 + at])
        self.ints[PIDS // 4 + place] = os.getpid()

    # fields

    def get(self, offset: int) -> int:
        return self.longs[offset // 8]

    def put(self, offset: int, value: int) -> None:
        self.longs[offset // 8] = value

    @property
    def cancelled(self) -> bool:
        return bool(self.ints[CANCELLED // 4])

    @property
    def consumer(self) -> tuple[int, int]:
        """Ring and block that the consumer would like."""
        return self.get(CONSUMER_RING), self.get(CONSUMER_BLOCK)

    def wait(self, kind: str, patience: float = PATIENCE) -> None:
        """Wait on a semaphore; fails with TimeoutError or Cancelled."""
        while True:
            try:
                self.semaphores[kind].acquire(patience)
                break
            except posix_ipc.BusyError:
                raise TimeoutError(f"no post of {kind} in {patience} s") from None
            except posix_ipc.SignalError:
                continue  # we were stopped, and go on
        if self.cancelled:
            raise Cancelled

    def wait_cancelled(self, patience: float = PATIENCE) -> None:
        """Wait until the consumer gives the ring up."""
        deadline = time.monotonic() + patience
        while not self.cancelled:
            assert time.monotonic() < deadline, f"the ring was not cancelled in {patience} s"
            time.sleep(0.01)

    # the story

    def negotiate(self, size: int = 0) -> None:
        """Agree on the ring's size, or set one of our own; make its data segment."""
        self.put(PRODUCER_RING, self.sizes[0])
        self.put(PRODUCER_BLOCK, self.sizes[1])
        self.wait("write")
        self.size = size or stock_ring_size(self.consumer, self.sizes)
        self.put(RING_SIZE, self.size)
        os.ftruncate(self.segment.fd, self.size)
        self.data = memoryview(mmap.mmap(self.segment.fd, self.size))
        self.semaphores["read"].release()

    def write(self, data: bytes | memoryview) -> None:
        """Put data into the ring, a block of ours at a time; waits for room."""
        view = memoryview(data)
        while view:
            if self.cancelled:
                raise Cancelled
            piece, view = view[: self.step], view[self.step :]
            while self.size - (self.get(WRITTEN) - self.get(READX)) < len(piece):
                self.wait("write")
            self.put_bytes(piece)
            self.publish(len(piece))

    def put_bytes(self, piece: memoryview) -> None:
        """Store bytes behind the last, across the ring's end too, unseen so far."""
        at = self.get(WRITE_OFFSET)
        first = min(len(piece), self.size - at)
        self.data[at : at + first] = piece[:first]
        self.data[: len(piece) - first] = piece[first:]

    def publish(self, size: int) -> None:
        """Let the consumer see them; one post at most, whatever the number of its blocks."""
        self.put(WRITE_OFFSET, (self.get(WRITE_OFFSET) + size) % self.size)
        self.put(WRITTEN, self.get(WRITTEN) + size)
        self.owed += size
        block = self.get(CONSUMER_BLOCK)
        if self.owed >= block:
            self.semaphores["read"].release()
            self.owed -= block

    def end(self) -> None:
        """Say that all is there."""
        self.ints[EOF_FLAG // 4] = 1
        self.semaphores["read"].release()
        self.semaphores["read"].release()

    def finish(self) -> None:
        """End, wait until all is taken, let go."""
        self.end()
        while self.get(WRITTEN) != self.get(READX):
            self.wait("write")
        self.close()

    def cancel(self) -> None:
        """Give the ring up."""
        self.ints[CANCELLED // 4] = 1
        for kind in KINDS:
            self.semaphores[kind].release()

    def close(self) -> None:
        """Let go; the end of the data too, as stock has it."""
        if self.closed:
            return
        self.closed = True
        self.ints[EOF_FLAG // 4] = 1
        for kind in ("ready", "start", "write", "read"):
            self.semaphores[kind].release()

    def send(self, data: bytes) -> None:
        """All of it: from the sizes to the last byte taken."""
        self.negotiate()
        self.write(data)
        self.finish()


def main(name: str, path: str, offset: str = "0", step: str = "0", pause: str = "0") -> None:
    """Send a file from an offset on, with a pause of so many seconds after each chunk."""
    producer = Producer(name)
    producer.step = int(step) or producer.step
    producer.negotiate()
    with open(path, "rb", buffering=0) as file:
        file.seek(int(offset))
        buffer = memoryview(bytearray(producer.step))
        while size := file.readinto(buffer):
            producer.write(buffer[:size])
            time.sleep(float(pause))
    producer.finish()


if __name__ == "__main__":
    main(*sys.argv[1:])

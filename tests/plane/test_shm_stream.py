"""From the ring in shared memory straight to the device."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from devices.interfaces import AccessMode
from protocols.shmring import Sizes
from taper.core.splitting import CacheKind
from taper.flow.ring import Watch
from taper.plane import shm
from taper.plane.shm import ShmSource
from taper.plane.transfer import Transfer
from tests.conformance.producer import SENDBACKUP, Cancelled, Producer
from tests.fakes.device import FakeDevice, FakeVolume
from tests.plane.dumping import HEADER, Plan, crc_of

BLOCK = 1000
DATA = Random(7).randbytes(200_003)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Look often; leave nothing."""
    monkeypatch.setattr(shm, "LOOK_EVERY", 0.02)
    yield
    assert not [name for name in os.listdir("/dev/shm") if f"-{os.getpid()}-" in name]


def begun(**plan: object) -> tuple[Transfer, Producer]:
    """A transfer that reads ahead, and a producer attached to its ring."""
    source = ShmSource(Sizes(64_000, BLOCK), Watch().lost)
    source.create()
    producer = Producer(source.names.control, (16_000, 4000))
    transfer = Transfer(source, Plan(**({"block_size": BLOCK} | plan)))  # type: ignore[arg-type]
    transfer.start()
    return transfer, producer


def started() -> FakeDevice:
    device = FakeDevice(FakeVolume(), block_size=BLOCK)
    device.start(AccessMode.WRITE, "V", "20260101000000")
    return device


def feeding(producer: Producer, data: bytes, ring: int = 0) -> threading.Thread:
    """Send all data in the background."""

    def run() -> None:
        producer.negotiate(ring)
        try:
            producer.write(data)
            producer.finish()
        except Cancelled:
            producer.close()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread


def stored(device: FakeDevice) -> bytes:
    assert device.volume is not None
    files = device.volume.files
    return b"".join(bytes(files[number].data) for number in range(1, device.file + 1))


@settings(max_examples=25)
@given(
    size=st.integers(0, 100_000),
    part=st.sampled_from([0, 7000, 64_000]),
    ring=st.sampled_from([0, 8000, 8001, 12_345, 64_000]),
    cache=st.sampled_from([CacheKind.NONE, CacheKind.MEMORY]),
)
def test_every_byte_comes_to_the_device(size: int, part: int, ring: int, cache: CacheKind) -> None:
    """In parts, from rings that our blocks divide or not, in place or by way of a cache."""
    if cache is CacheKind.MEMORY and not part:
        part = 9000
    transfer, producer = begun(part_size=part, cache=cache)
    producer.step = min(producer.step, 4000)
    thread = feeding(producer, DATA[:size], ring)
    device = started()
    try:
        while not (result := transfer.write_part(device, HEADER)).eof:
            assert result.successful
            assert result.size == part
        assert stored(device) == DATA[:size]
        assert transfer.source_crc() == transfer.dest_crc() == crc_of(DATA[:size])
        assert transfer.take_errors() == []
        thread.join(60)
        assert not thread.is_alive()
        assert not producer.cancelled
    finally:
        transfer.close()


def test_a_dump_whose_ring_is_cancelled_at_the_start_is_not_begun() -> None:
    """No file is written for it."""
    transfer, producer = begun()
    producer.cancel()
    assert transfer._attacher is not None
    transfer._attacher.join(60)
    device = started()
    assert transfer.write_part(device, HEADER).fileno == 0
    assert transfer.take_errors() == ["failed to set shm-ring"]
    assert device.file == 0 or device.file == -1
    transfer.close()


def test_what_came_before_the_end_is_written_and_the_end_is_blamed() -> None:
    """Complete parts are good; the one that the end falls into is not."""
    transfer, producer = begun(part_size=5000)
    producer.negotiate()
    producer.write(DATA[:12_500])
    producer.cancel()
    device = started()
    results = [transfer.write_part(device, HEADER) for _ in range(3)]
    assert [result.successful for result in results] == [True, True, False]
    assert results[2].size == 2000
    assert transfer.take_errors() == ["shm-ring cancelled"]
    assert not transfer.can_retry()
    assert transfer.dest_crc() == crc_of(DATA[:10_000])
    transfer.close()


def test_a_ring_smaller_than_a_block_is_refused() -> None:
    transfer, producer = begun()
    thread = feeding(producer, DATA, BLOCK - 1)
    device = started()
    assert not transfer.write_part(device, HEADER).successful
    assert transfer.take_errors() == ["shm-ring of 999 bytes for blocks of 1000"]
    transfer.close()
    thread.join(0.1)


@pytest.mark.parametrize("attached", [True, False])
def test_cancelling_wakes_the_device(attached: bool) -> None:
    """Whether the producer has begun or not."""
    transfer, producer = begun()
    if attached:
        producer.negotiate()
        producer.write(DATA[:3500])
    timer = threading.Timer(0.1, transfer.cancel, ["dumper failed"])
    timer.start()
    result = transfer.write_part(started(), HEADER)
    assert not result.successful
    assert transfer.take_errors() == ["dumper failed"]
    assert producer.cancelled
    transfer.close()


def test_a_part_that_failed_cannot_come_again() -> None:
    """The ring keeps nothing once it was taken."""
    transfer, producer = begun()
    thread = feeding(producer, DATA)
    device = FakeDevice(FakeVolume(), block_size=BLOCK)
    device.start(AccessMode.WRITE, "V", "20260101000000")
    original = device.write_blocks

    def write(data: memoryview) -> object:
        done = original(data)
        if device.bytes_written > 50_000:
            transfer.cancel("")
        return done

    device.write_blocks = write  # type: ignore[method-assign,assignment]
    assert not transfer.write_part(device, HEADER).successful
    assert not transfer.can_retry()
    transfer.close()
    thread.join(60)
    assert not thread.is_alive()


def test_sizes_other_than_the_devices_go_by_way_of_a_buffer() -> None:
    """Where the ring is announced in no device blocks."""
    source = ShmSource(Sizes(*SENDBACKUP), Watch().lost)
    source.create()
    assert source.stream(BLOCK, lambda text: None) is None
    source.close()

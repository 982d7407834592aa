"""Dumps through shared memory: header port and ring together."""

from __future__ import annotations

import os
import threading

import pytest
from pytest_twisted import ensureDeferred
from twisted.internet import reactor
from zope.interface.verify import verifyObject

from taper.core.errors import DeviceFault
from taper.flow.interfaces import IBlockOrigin
from taper.flow.ring import RingOrigin
from taper.plane import native
from taper.plane.shm import ShmSource
from tests.conformance.producer import Producer
from tests.fakes.scarce import ScarceThreads
from tests.flow.flowing import Flowing, make_context
from tests.flow.test_origins import DATA, send_header


def left() -> list[str]:
    return [name for name in os.listdir("/dev/shm") if f"-{os.getpid()}-" in name]


def from_ring() -> Flowing:
    context = make_context(reactor)
    origin = RingOrigin(context)
    verifyObject(IBlockOrigin, origin)
    return Flowing(context, origin)


@ensureDeferred
async def test_a_dump_through_shared_memory() -> None:
    """The sizes are there with the offer; header, then all bytes; nothing is left."""
    flowing = from_ring()
    offer = await flowing.offer()
    assert offer is not None
    assert offer.shm_name is not None
    assert offer.addresses == ()
    producer = Producer(offer.shm_name)
    assert producer.consumer == (1310720, 32768)
    thread = threading.Thread(target=producer.send, args=[DATA], daemon=True)
    thread.start()
    await send_header(offer.header_port)
    header = await flowing.header()
    assert header.disk == "/srv"
    await flowing.ready()
    assert await flowing.write() == DATA
    thread.join(60)
    await flowing.close()
    await flowing.close()
    assert left() == []


@ensureDeferred
async def test_a_ring_that_is_not_used() -> None:
    """It goes with the dump, and its producer is told."""
    flowing = from_ring()
    offer = await flowing.offer()
    assert offer is not None
    assert offer.shm_name is not None
    producer = Producer(offer.shm_name)
    await flowing.close()
    assert producer.cancelled
    assert left() == []


@ensureDeferred
async def test_a_feed_that_was_never_offered() -> None:
    await from_ring().close()
    assert left() == []


@ensureDeferred
async def test_a_ring_that_cannot_be_made_blames_the_storage_side(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(self: ShmSource) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(ShmSource, "_make", refuse)
    flowing = from_ring()
    with pytest.raises(DeviceFault, match="cannot make the shm-ring /amanda_shm_control-"):
        await flowing.offer()
    await flowing.close()


@ensureDeferred
async def test_without_a_thread_to_make_it_in_there_is_no_ring(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The reason is the thread, and nothing that could be listened on."""
    scarce = ScarceThreads(monkeypatch, lambda number: True)
    scarce.begin()
    flowing = from_ring()
    with pytest.raises(DeviceFault) as caught:
        await flowing.offer()
    with scarce.plenty():
        await flowing.close()
    assert caught.value.text == (
        "cannot make the shm-ring: cannot start thread 'shm': can't start new thread"
    )


@ensureDeferred
async def test_a_library_that_cannot_be_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(name: str) -> None:
        raise SystemError(f"{name} returned NULL without setting an exception")

    monkeypatch.setattr(native, "warm", refuse)
    flowing = from_ring()
    with pytest.raises(DeviceFault, match="cannot load the library posix_ipc: not enough memory"):
        await flowing.offer()
    await flowing.close()
    assert left() == []

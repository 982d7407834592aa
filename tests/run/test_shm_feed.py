"""Dumps through shared memory: header port and ring together."""

from __future__ import annotations

import os
import threading

import pytest
from pytest_twisted import ensureDeferred
from zope.interface.verify import verifyObject

from taper.core.interfaces import FeedError, IPlannedFeed
from taper.plane.shm import ShmSource
from tests.conformance.producer import Producer
from tests.run.test_feeds import DATA, PLAN, make_feeds, send_header, write


def left() -> list[str]:
    return [name for name in os.listdir("/dev/shm") if f"-{os.getpid()}-" in name]


def planned() -> IPlannedFeed:
    feed = make_feeds().shm()
    verifyObject(IPlannedFeed, feed)
    feed.expect(PLAN)
    return feed


@ensureDeferred
async def test_a_dump_through_shared_memory() -> None:
    """The sizes are there with the offer; header, then all bytes; nothing is left."""
    feed = planned()
    offer = await feed.offer()
    assert offer is not None
    assert offer.shm_name is not None
    assert offer.addresses == ()
    producer = Producer(offer.shm_name)
    assert producer.consumer == (1310720, 32768)
    thread = threading.Thread(target=producer.send, args=[DATA], daemon=True)
    thread.start()
    send_header(offer.header_port)
    header = await feed.header()
    assert header.disk == "/srv"
    await feed.ready()
    assert await write(feed) == DATA
    thread.join(60)
    await feed.close()
    await feed.close()
    assert left() == []


@ensureDeferred
async def test_a_ring_that_is_not_used() -> None:
    """It goes with the feed, and its producer is told."""
    feed = planned()
    offer = await feed.offer()
    assert offer is not None
    assert offer.shm_name is not None
    producer = Producer(offer.shm_name)
    await feed.close()
    assert producer.cancelled
    assert left() == []


@ensureDeferred
async def test_a_feed_that_was_never_offered() -> None:
    await planned().close()
    assert left() == []


@ensureDeferred
async def test_a_ring_that_cannot_be_made_blames_the_storage_side(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(self: ShmSource) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(ShmSource, "_make", refuse)
    feed = planned()
    with pytest.raises(FeedError, match="cannot make the shm-ring /amanda_shm_control-") as caught:
        await feed.offer()
    assert caught.value.device
    await feed.close()

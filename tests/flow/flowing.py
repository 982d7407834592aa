"""An origin and its flow together, as a dump uses them."""

from __future__ import annotations

import functools
from typing import Any

from twisted.internet.defer import Deferred, succeed
from zope.interface.verify import verifyObject

from devices.interfaces import AccessMode
from devices.lane import Lane, LaneDevice
from devices.null import NullDevice
from protocols.header import Header
from taper.core.interfaces import IFlow, IOrigin, Offer
from taper.core.splitting import CacheKind, Mode, SplitPlan
from taper.flow.flows import Flows
from taper.flow.interfaces import FlowContext
from tests.fakes.device import FakeDevice, FakeVolume
from tests.plane.dumping import HEADER

PLAN = SplitPlan(
    part_size=0,
    block_size=32768,
    buffer_size=1310720,
    mode=Mode.SPLITTER,
    cache=CacheKind.NONE,
    allow_split=False,
    retry=False,
    debug_text="",
)


def make_context(reactor: Any, patience: float = 6.0) -> FlowContext:
    """On a real reactor; nothing is in the catalogue."""
    make_lane = functools.partial(Lane, reactor)
    return FlowContext(
        reactor=reactor,
        make_lane=make_lane,
        patience=patience,
        look=lambda function, *args: succeed(function(*args)),
        search=lambda wanted: succeed(None),
    )


def null_device(reactor: Any) -> LaneDevice:
    """A device that listens on the loopback address."""
    device = NullDevice("null:", "")
    device.properties.set("directtcp-address", "127.0.0.1")
    return LaneDevice(device, Lane(reactor, "null"))


class Flowing:
    """One dump on its way to ``device``."""

    def __init__(self, context: FlowContext, origin: IOrigin, device: Any = None) -> None:
        self.reactor = context.reactor
        self.origin = origin
        verifyObject(IOrigin, origin)
        device = device if device is not None else null_device(context.reactor)
        self.flow: IFlow = Flows(context).between(origin, device, PLAN)
        verifyObject(IFlow, self.flow)

    def offer(self) -> Deferred[Offer | None]:
        return self.flow.offer()

    def header(self) -> Deferred[Header]:
        return self.origin.header()

    def ready(self) -> Deferred[None]:
        return self.flow.ready()

    def close(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self._close())

    async def _close(self) -> None:
        await self.flow.close()
        await self.origin.close()

    async def write(self) -> bytes:
        """Write the dump as one part; what is then on the volume."""
        volume = FakeVolume()
        device = FakeDevice(volume)
        device.start(AccessMode.WRITE, "V", "20260101000000")
        lane = Lane(self.reactor, "device")
        flow = self.flow
        result = await flow.write_part(LaneDevice(device, lane), HEADER)
        assert (result.successful, result.eof) == (True, True)
        await flow.close()
        assert flow.bytes_written == result.size
        assert flow.source_crc() == flow.dest_crc()
        assert not flow.take_errors()
        await lane.stop()
        return bytes(volume.files[result.fileno].data)

"""A part is written before it is known if its volume counts, and the volume does not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import Deferred

from devices.interfaces import AccessMode, PartResult
from taper.core.interfaces import IFlow
from taper.flow.flows import Flows
from taper.flow.interfaces import DOES_NOT_COUNT
from tests.contract.flow import DATA, STAMP, Source
from tests.devices.ndmp_world import BLOCK, header
from tests.fakes.ndmp_server import CONFORMING
from tests.fakes.turning import Turning, turning_reactor
from tests.flow.flowing import make_context
from tests.flow.test_contract import Applicant, Dumper, Holding, Ring
from tests.flow.test_spanning import PARTS, Volumes, crc_of
from tests.flow.vaulting import Vault


@pytest.fixture
def turning() -> Iterator[Turning]:
    with turning_reactor() as turning:
        yield turning


async def write_ahead(
    turning: Turning, flow: IFlow, device: Any, number: int, *, counts: bool, wait: float
) -> PartResult:
    """Write a part, and let it be known some time later if its volume counts."""
    standing: Deferred[bool] = Deferred()

    def know() -> None:
        if not counts:
            flow.take_back()
        standing.callback(counts)

    turning.reactor.callLater(wait, know)
    return await flow.write_part(device, header(number), lambda: standing)


async def dump(
    turning: Turning, flows: Flows, source: Source, context: Any, volumes: Volumes, wait: float
) -> tuple[IFlow, int]:
    """A dump over all volumes that it takes, of which every second one does not count.

    :return: its last flow, closed; how many volumes did not count
    """
    origin = source.origin(context)
    device, counts, void = volumes.next(), True, 0
    flow = flows.between(origin, device, PARTS)
    await origin.find()
    source.send(await flow.offer())
    await origin.header()
    ready = flow.ready()
    source.begun.set()
    await ready
    first = False
    await device.start(AccessMode.WRITE, "VOL", STAMP)
    while True:
        number = len(volumes.parts) + 1
        if first and flow.takes_back:
            result = await write_ahead(turning, flow, device, number, counts=counts, wait=wait)
            void += not counts
        else:
            counts = True
            result = await flow.write_part(device, header(number))
        first = False
        if result.stored is not None:
            await result.stored
        assert flow.take_errors() == []
        if not counts:
            assert (result.successful, result.eof, result.eom) == (False, False, True)
            assert result.stored is None
            assert result.error == DOES_NOT_COUNT
        assert result.successful or (result.eom and flow.can_retry()), result
        volumes.note(result)
        if not (result.eom or result.eof):
            continue
        await device.finish()
        volumes.read()
        if result.eof:
            break
        device, first = volumes.next(), True
        counts = not counts or volumes.last
        following = await flows.going_on(flow, origin, device, PARTS)
        if following is not flow:
            flow = following
            await flow.ready()
        await device.start(AccessMode.WRITE, "VOL", STAMP)
    await flow.close()
    await origin.close()
    return flow, void


@pytest.mark.parametrize(("wait", "indirect"), [(0.0, True), (0.02, False)])
@pytest.mark.parametrize(
    ("made", "kinds", "least"),
    [
        (Holding, "nmfnmfnm", 3),
        (Holding, "ffffffff", 3),
        (Ring, "nmnmnmnm", 3),
        (Dumper, "fnmfnm", 1),
        (Applicant, "nmfnmfnm", 2),
    ],
)
def test_what_went_there_comes_again(
    turning: Turning,
    tmp_path: Path,
    made: type[Source],
    kinds: str,
    least: int,
    indirect: bool,
    wait: float,
) -> None:
    """On the next volume: every byte is stored once, in order, with one checksum over all. So it is
    whether the part is over when its volume turns out to be none, or runs, or is not begun."""
    source = made(turning, tmp_path, whole=True)
    context = source.context(make_context(turning.reactor))
    volumes = Volumes(turning, kinds, CONFORMING, indirect=indirect, path=tmp_path)
    flow, void = turning.run(dump(turning, Flows(context), source, context, volumes, wait))
    source.close()
    volumes.close()
    assert void >= least
    assert volumes.stored[: len(DATA)] == DATA
    assert len(volumes.stored) - len(DATA) < BLOCK
    assert flow.dest_crc() == crc_of(DATA)
    assert flow.take_errors() == []


def test_a_source_volume_that_is_being_fetched_is_fetched(turning: Turning, tmp_path: Path) -> None:
    """From mover to mover, by IndirectTCP: the part is begun, and does not count, before the
    source's mover stands where it is to begin. Whoever goes on wants that volume."""
    source = Vault(turning, tmp_path, whole=True)
    source.clerk.seconds = 0.05
    context = source.context(make_context(turning.reactor))
    volumes = Volumes(turning, "nmnm", CONFORMING, indirect=True, path=tmp_path)
    _, void = turning.run(dump(turning, Flows(context), source, context, volumes, 0.0))
    source.close()
    volumes.close()
    assert void >= 1
    assert source.clerk.interrupted == 0
    assert volumes.stored[: len(DATA)] == DATA
    assert len(volumes.stored) - len(DATA) < BLOCK

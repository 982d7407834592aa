"""A volume read by a mover that sends to us, as the reading thread sees it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from devices.errors import ConnectionBroken, DeviceError, DriveFailed, PeerUnreachable
from devices.interfaces import AccessMode
from devices.lane import Lane
from protocols.ndmp.codes import ErrorCode
from taper.flow import mover_reader
from taper.flow.mover_reader import GIVEN_UP, MoverReader
from tests.devices.ndmp_world import BLOCK, World, data_of, dump, turning
from tests.fakes.ndmp_server import CONFORMING, Hold, Phase, Wrong
from tests.fakes.turning import Turning

__all__ = ["turning"]

DATA = data_of(6.5)


class Reading:
    """A volume with two files, and what reads it."""

    def __init__(self, turning: Turning) -> None:
        self.turning = turning
        self.world = World(turning, CONFORMING)
        turning.run(dump(self.world, DATA, 4 * BLOCK, indirect=True))
        self.device = self.world.device("drive0")
        self.lane = Lane(turning.reactor, "connecting")
        self.volume = MoverReader(turning.reactor, self.device, self.lane)
        turning.wait(self.device.start(AccessMode.READ))
        turning.wait(self.device.seek_file(1))

    def in_thread(self, work: Callable[[], object]) -> Any:
        """What it gives or raises in a thread, while the reactor goes on."""
        results: list[object] = []

        def run() -> None:
            try:
                results.append(work())
            except DeviceError as error:
                results.append(error)

        thread = threading.Thread(target=run)
        thread.start()
        self.turning.until(lambda: not thread.is_alive())
        return results[0]

    def read_file(self) -> bytes:
        found, buffer = bytearray(), memoryview(bytearray(50_000))
        while size := self.volume.read_blocks(buffer):
            found += buffer[:size]
        return bytes(found)

    def close(self) -> None:
        self.turning.run(self.volume.close())
        self.turning.wait(self.device.finish())
        self.turning.wait(self.lane.stop())
        self.world.close()


@pytest.fixture
def reading(turning: Turning) -> Iterator[Reading]:
    reading = Reading(turning)
    yield reading
    reading.close()


def test_file_after_file(reading: Reading) -> None:
    """Each to its end, padding included; then it is known to be well."""
    volume = reading.volume
    assert (volume.block_size, volume.file) == (BLOCK, 1)
    assert reading.in_thread(reading.read_file) == DATA[: 4 * BLOCK]
    assert reading.in_thread(lambda: volume.seek_file(2)).partnum == 2
    padded = DATA.ljust(7 * BLOCK, b"\0")
    assert reading.in_thread(reading.read_file) == padded[4 * BLOCK :]
    assert reading.in_thread(lambda: volume.read_blocks(memoryview(bytearray(10)))) == 0
    reading.turning.run(volume.close())
    assert volume.well


def test_a_mover_that_does_not_listen(reading: Reading) -> None:
    reading.world.server.faults.plant(Wrong(ErrorCode.NOT_SUPPORTED), "MOVER_LISTEN", Phase.REQUEST)
    fault = reading.in_thread(reading.read_file)
    assert isinstance(fault, DriveFailed)
    assert "NOT_SUPPORTED" in fault.text


def test_a_mover_that_cannot_be_reached(reading: Reading, monkeypatch: pytest.MonkeyPatch) -> None:
    """It does not listen for ever."""

    def refuse(addresses: object, wait: object) -> Any:
        raise PeerUnreachable("no route")

    monkeypatch.setattr(mover_reader, "connect_one", refuse)
    fault = reading.in_thread(reading.read_file)
    assert isinstance(fault, ConnectionBroken)
    assert fault.text == "error connecting to the mover: no route"
    assert reading.world.server.sessions[0].mover.channel is None


@pytest.mark.parametrize("message", ["MOVER_LISTEN", "MOVER_READ", "MOVER_GET_STATE"])
def test_giving_up_at_any_moment(reading: Reading, message: str) -> None:
    """The thread comes back at once; the drive is to be loaded anew."""
    hold = Hold()
    reading.world.server.faults.plant(hold, message, Phase.REPLY)
    hold.reached.addCallback(lambda _: reading.volume.cancel())
    fault = reading.in_thread(reading.read_file)
    assert isinstance(fault, ConnectionBroken)
    assert fault.text == GIVEN_UP
    closing = reading.volume.close()
    hold.release()
    reading.turning.run(closing)
    assert not reading.volume.well


def test_a_connection_that_ends_too_early(reading: Reading) -> None:
    """With what the mover says of it, or else that it is gone."""
    from tests.fakes.ndmp_server import KillData

    reading.world.server.faults.plant(KillData(), "MOVER_READ", Phase.AFTER)
    fault = reading.in_thread(reading.read_file)
    assert isinstance(fault, ConnectionBroken)
    assert "CONNECT_ERROR" in fault.text
    reading.turning.run(reading.volume.close())
    assert not reading.volume.well

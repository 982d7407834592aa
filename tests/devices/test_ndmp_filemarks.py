"""A filemark that meets the early warning is written once, and the volume counts as full."""

from __future__ import annotations

from contextlib import closing

import pytest

from devices.errors import DeviceError, Status
from devices.interfaces import AccessMode
from protocols.ndmp.codes import ErrorCode
from tests.devices.ndmp_world import STAMP, World, header, turning
from tests.fakes.ndmp_server import LENIENT, Phase, Wrong
from tests.fakes.turning import Turning

__all__ = ["turning"]

LABEL_AND_FILE = 3
"""MTIO requests up to the filemark of the first file: to the beginning, after the label, it."""


@pytest.mark.parametrize("phase", [Phase.REQUEST, Phase.REPLY], ids=["unwritten", "written"])
@pytest.mark.parametrize("which", [2, LABEL_AND_FILE], ids=["label", "file"])
def test_an_early_warning_at_a_filemark(turning: Turning, phase: Phase, which: int) -> None:
    """Servers warn with or without writing it; the position tells which."""
    with closing(World(turning, LENIENT)) as world:
        world.server.faults.plant(Wrong(ErrorCode.EOM), "TAPE_MTIO", phase, nth=which)
        device = world.device("drive0")

        async def story() -> None:
            await device.start(AccessMode.WRITE, "VOL", STAMP)
            await device.start_file(header())
            await device.finish_file()
            assert device.facts.is_eom is (which == LABEL_AND_FILE)
            await device.finish()

        turning.run(story())
        assert world.media["drive0"].filemarks() == 2


def test_a_filemark_that_is_never_written_is_an_error(turning: Turning) -> None:
    """Without it the next file could not be told from this one."""
    with closing(World(turning, LENIENT)) as world:
        world.server.faults.plant(
            Wrong(ErrorCode.EOM), "TAPE_MTIO", Phase.REQUEST, nth=LABEL_AND_FILE, times=None
        )
        device = world.device("drive0")

        async def story() -> None:
            await device.start(AccessMode.WRITE, "VOL", STAMP)
            await device.start_file(header())
            with pytest.raises(DeviceError, match="No space left on device"):
                await device.finish_file()
            assert device.facts.is_eom

        turning.run(story())


@pytest.mark.parametrize("what", ["TAPE_WRITE", "TAPE_MTIO"])
def test_a_label_whose_writing_fails_can_be_asked_for(turning: Turning, what: str) -> None:
    """The server says no when the label is on the tape: reading it then tells of it."""
    with closing(World(turning, LENIENT)) as world:
        nth = 1 if what == "TAPE_WRITE" else 2
        world.server.faults.plant(Wrong(ErrorCode.IO), what, Phase.REPLY, nth=nth)
        device = world.device("drive0")

        async def story() -> None:
            with pytest.raises(DeviceError):
                await device.start(AccessMode.WRITE, "VOL", STAMP)
            found = await device.read_label()
            assert (found.status, found.label) == (Status.SUCCESS, "VOL")
            await device.finish()

        turning.run(story())

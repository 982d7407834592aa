"""When a robot is asked, and how long it is waited for: mtx, drives and clock are the test's."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import CancelledError, Deferred, fail
from twisted.internet.task import Clock

from devices.changers.mtx import MtxRobot
from devices.changers.robot import RobotChanger
from devices.changers.robot_settings import read_settings
from devices.changers.setup import ChangerSetup
from devices.context import DeviceContext
from devices.errors import ChangerError, ChangerReason, DriveFailed
from devices.interfaces import IAsyncDevice, LoadRequest
from devices.lane import LaneDevice
from devices.programs import Ended, ProgramFailed
from protocols.conf.sections import ChangerSection
from protocols.twisted_transports.haste import Haste
from tests.fakes.changers import SteppedLanes, result_of
from tests.fakes.config import make_config
from tests.fakes.device import FakeDevice, FakeVolume

NOT_READY = "mtx: Request Sense: Sense Key=Not Ready\nfailed\n"


class FakePrograms:
    """Where mtx would be run: one drive and four slots, the first two full.

    :ivar asked: what was asked and when, the device left out.
    :ivar answer: what the next one says; without it the robot does what it is told to.
    :ivar waits: it says nothing until :ivar:`running` is fired.
    :ivar killed: what was given up.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.asked: list[tuple[float, str]] = []
        self.deadlines: dict[str, float] = {}
        self.answer: list[Ended | ProgramFailed] = []
        self.waits = False
        self.running: Deferred[Ended] = Deferred()
        self.killed: list[str] = []
        self.slots = ["A1", "A2", "", ""]
        self.drive: tuple[str, int] | None = None

    def run(self, words: Sequence[str], *, seconds: float, most: int) -> Deferred[Ended]:
        assert words[:3] == ["/mtx", "-f", "/dev/sg9"]
        assert most > 0
        command = " ".join(words[3:])
        self.asked.append((self._clock.seconds(), command))
        self.deadlines[words[3]] = seconds
        self.running = Deferred(lambda _: self.killed.append(command))
        if not self.waits:
            self.end(self.answer.pop(0) if self.answer else Ended(0, "", self._do(words[3:])))
        return self.running

    def end(self, ended: Ended | ProgramFailed) -> None:
        if isinstance(ended, Ended):
            self.running.callback(ended)
        else:
            self.running.errback(ended)

    def _do(self, words: Sequence[str]) -> str:
        if words[0] == "load":
            slot = int(words[1])
            self.drive, self.slots[slot - 1] = (self.slots[slot - 1], slot), ""
        elif words[0] == "unload" and self.drive is not None:
            self.slots[int(words[1]) - 1], self.drive = self.drive[0], None
        lines = [
            "Data Transfer Element 0:Empty"
            if self.drive is None
            else f"Data Transfer Element 0:Full (Storage Element {self.drive[1]} Loaded)"
            f":VolumeTag = {self.drive[0]}"
        ]
        for number, tape in enumerate(self.slots, 1):
            lines.append(
                f"Storage Element {number}:{f'Full :VolumeTag={tape}' if tape else 'Empty'}"
            )
        return "\n".join(lines)

    def times(self, command: str) -> list[float]:
        return [moment for moment, told in self.asked if told.startswith(command)]


class World:
    """A changer with all round it."""

    def __init__(self, tmp_path: Path, **properties: str) -> None:
        self.clock = Clock()
        self.clock.advance(1000)
        self.lanes = SteppedLanes()
        self.haste = Haste(self.clock)
        self.programs = FakePrograms(self.clock)
        self.drive = FakeDevice(FakeVolume(label="L-1", timestamp="20260102030405"))
        self.looks: list[float] = []
        self.ejects: list[float] = []
        self.eject_error = ""
        given = {name.replace("_", "-"): (value,) for name, value in properties.items()}
        section = ChangerSection(
            "lib",
            changerfile=f"{tmp_path}/state",
            property={"tape-device": ("0=fake:",), "status-interval": ("0",), **given},
        )
        setup = ChangerSetup(
            name="lib",
            kind="robot",
            argument="/dev/sg9",
            config=make_config(section, directory=str(tmp_path)),
            storage=None,
            section=section,
            context=DeviceContext(
                self.clock, self.lanes.make_lane, now=self.clock.seconds, haste=self.haste
            ),
            open_device=self._open,
            open_blocking=pytest.fail,
            open_child=pytest.fail,
        )
        programs: Any = self.programs
        robot = MtxRobot(programs, self.haste, "/mtx", "/dev/sg9", barcodes=True)
        self.changer = RobotChanger(setup, read_settings(setup), robot)

    def _open(self, name: str) -> IAsyncDevice:
        drive = self.drive

        class Watched(LaneDevice):
            def read_label(_self) -> Any:
                self.looks.append(self.clock.seconds())
                return super().read_label()

            def eject(_self) -> Any:
                self.ejects.append(self.clock.seconds())
                if self.eject_error:
                    return fail(DriveFailed(self.eject_error))
                return super().eject()

        return Watched(drive, self.lanes.make_lane(name))

    def turn(self, seconds: float = 0) -> None:
        """Let lanes work, and time pass, a quarter of a second at a time."""
        self.lanes.drain()
        for _ in range(int(seconds * 4)):
            self.clock.advance(0.25)
            self.lanes.drain()

    def now(self, operation: Deferred[Any], seconds: float = 0) -> Any:
        """What it gives, when so much time has passed."""
        self.turn(seconds)
        return result_of(operation)

    def load(self, slot: str = "1", seconds: float = 0) -> Any:
        return self.now(self.changer.load(LoadRequest(slot=slot)), seconds)


def test_the_robot_is_not_asked_again_at_once(tmp_path: Path) -> None:
    """Within status-interval of the last answer nothing can have moved but by us."""
    world = World(tmp_path, status_interval="5s")
    for _ in range(3):
        world.now(world.changer.inventory())
    held = world.load()
    world.now(held.set_label("L-2"))
    world.now(held.release())
    assert world.programs.times("status") == [1000]
    world.turn(5)
    world.now(world.changer.inventory())
    assert world.programs.times("status") == [1000, 1005]


def test_each_command_has_its_deadline(tmp_path: Path) -> None:
    """Longer than mtx gives the robot itself."""
    world = World(tmp_path)
    world.now(world.changer.info())
    world.now(world.load().release(eject=True))
    world.now(world.changer.move("1", "3"))
    assert set(world.programs.deadlines) == {"inquiry", "status", "load", "unload", "transfer"}
    assert all(seconds > 300 for seconds in world.programs.deadlines.values())


def test_a_robot_that_is_not_ready_is_asked_each_second(tmp_path: Path) -> None:
    """Until it answers, or for two minutes."""
    world = World(tmp_path)
    world.programs.answer = [Ended(1, "", NOT_READY)] * 3
    assert len(world.now(world.changer.inventory(), 3)) == 4
    assert world.programs.times("status") == [1000, 1001, 1002, 1003]
    world.programs.answer = [Ended(1, "", NOT_READY)] * 999
    with pytest.raises(ChangerError) as caught:
        world.now(world.changer.inventory(), 130)
    assert caught.value.message == "error from mtx: SCSI error; Sense Key=Not Ready"
    assert caught.value.reason is ChangerReason.INVALID
    assert len(world.programs.times("status")) == 4 + 120


def test_who_is_to_end_asks_no_robot_again(tmp_path: Path) -> None:
    """The wait is over at the next failure."""
    world = World(tmp_path)
    world.programs.answer = [Ended(1, "", NOT_READY)] * 999
    asking = world.changer.inventory()
    world.turn()
    world.haste.begin()
    with pytest.raises(ChangerError, match="Sense Key=Not Ready"):
        world.now(asking, 1)
    assert world.programs.times("status") == [1000, 1001]


def test_what_mtx_cannot_do_is_told(tmp_path: Path) -> None:
    """It is not there, takes too long, or fails without a word."""
    world = World(tmp_path)
    world.programs.answer = [ProgramFailed("'/mtx' took too long and was killed")]
    with pytest.raises(ChangerError) as caught:
        world.now(world.changer.inventory())
    assert caught.value.message == "error from mtx: '/mtx' took too long and was killed"
    assert caught.value.reason is ChangerReason.INVALID
    world.now(world.changer.inventory())
    world.programs.answer = [Ended(0, "", world.programs._do(["status"])), Ended(7, "status 7", "")]
    with pytest.raises(ChangerError) as caught:
        world.load()
    assert caught.value.message == "error from mtx: status 7"
    assert caught.value.reason is ChangerReason.UNKNOWN


def test_a_volume_may_take_its_time_to_be_ready(tmp_path: Path) -> None:
    """First the delay, then a look every so often, until it is."""
    world = World(tmp_path, load_poll="5s poll 10s until 1m")
    volume, world.drive.volume = world.drive.volume, None
    loading = world.changer.load(LoadRequest(slot="1"))
    world.turn(26)
    assert world.looks == [1005, 1015, 1025]
    world.drive.volume = volume
    assert world.now(loading, 10).reading.label == "L-1"
    assert world.looks == [1005, 1015, 1025, 1035]


@pytest.mark.parametrize(
    ("poll", "looks"),
    [
        ("3", [1003]),
        ("0s poll 2s until 7s", [1000, 1002, 1004, 1006]),
        ("1s poll 0", [1001]),
    ],
)
def test_a_volume_that_never_is_ready_is_taken_as_it_is(
    tmp_path: Path, poll: str, looks: list[float]
) -> None:
    """The reading says what was seen last; the volume is held all the same, as with stock."""
    world = World(tmp_path, load_poll=poll)
    world.drive.volume = None
    held = world.load(seconds=20)
    assert world.looks == looks
    assert held.reading.error == "no volume in the fake drive"
    assert world.now(world.changer.inventory())[0].reserved


def test_ejects_and_unloads_are_given_their_time(tmp_path: Path) -> None:
    """Each delay passes before the next command, a status included."""
    world = World(
        tmp_path, eject_before_unload="yes", eject_delay="4s", unload_delay="6", load_poll="0"
    )
    world.now(world.load().release())
    assert world.ejects == []
    loading = world.changer.load(LoadRequest(slot="2"))
    held = world.now(loading, 20)
    assert world.ejects == [1000]
    assert world.programs.times("unload") == [1004]
    assert world.programs.times("load") == [1000, 1010]
    world.now(held.release(), 20)
    moment = world.clock.seconds()
    world.now(world.changer.eject("0"), 4)
    world.now(world.changer.inventory(), 6)
    assert world.programs.times("status")[-1] == moment + 10


def test_a_drive_that_keeps_its_volume_is_told(tmp_path: Path) -> None:
    """The eject failed: nothing is unloaded, and the volume stays where it is."""
    world = World(tmp_path, eject_before_unload="yes", load_poll="0")
    world.now(world.load().release())
    world.eject_error = "the drive is stuck"
    with pytest.raises(ChangerError) as caught:
        world.now(world.changer.eject())
    assert caught.value.message == "while ejecting volume: the drive is stuck"
    assert caught.value.reason is ChangerReason.UNKNOWN
    assert world.programs.times("unload") == []
    assert world.now(world.changer.inventory())[0].loaded_in == "0"


def test_a_load_that_is_given_up_ends_its_mtx(tmp_path: Path) -> None:
    """And the next one asks what is where, whatever the interval."""
    world = World(tmp_path, status_interval="1000", load_poll="0")
    world.now(world.changer.inventory())
    world.programs.waits = True
    loading = world.changer.load(LoadRequest(slot="1"))
    world.turn()
    failed: list[Any] = []
    loading.addErrback(failed.append)
    loading.cancel()
    world.turn()
    assert failed[0].check(CancelledError)
    assert world.programs.killed == ["load 1 0"]
    world.programs.waits = False
    world.load()
    assert [told for _, told in world.programs.asked] == [
        "status",
        "load 1 0",
        "status",
        "load 1 0",
    ]


def test_a_clock_that_is_set_back_holds_nobody(tmp_path: Path) -> None:
    """Times in the state that are still to come do not count."""
    world = World(tmp_path, load_poll="0")
    (tmp_path / "state").write_text(
        "$STATE = { 'last_status' => 99999, 'last_operation_time' => 99999,"
        " 'last_operation_delay' => 99999 };\n"
    )
    world.load()
    assert world.programs.times("load") == [1000]

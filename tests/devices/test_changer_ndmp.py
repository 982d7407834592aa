"""Changers of drives that are asynchronous by nature, on the fake NDMP server."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import CancelledError

from devices.changers.state import StateFile
from devices.errors import ChangerError
from devices.interfaces import LoadRequest, Relative
from protocols.conf.sections import ChangerSection
from tests.contract.changer import ChangerContract
from tests.devices.ndmp_world import World, turning
from tests.devices.opening import Opener
from tests.fakes.ndmp_server import CONFORMING, Limits, Medium
from tests.fakes.ndmp_server.drives import Robot
from tests.fakes.turning import Turning

__all__ = ["turning"]


@pytest.fixture
def world(turning: Turning) -> Iterator[World]:
    world = World(turning, CONFORMING)
    yield world
    world.close()


@pytest.fixture
def opener(world: World, tmp_path: Path) -> Iterator[Opener]:
    opener = Opener(world.turning, tmp_path)
    yield opener
    opener.close()


@pytest.fixture
def library(world: World, tmp_path: Path) -> ChangerSection:
    """A robot with two drives and three volumes, in four slots."""
    drives = [world.server.drives[f"drive{number}"] for number in (0, 1)]
    for drive in drives:
        drive.medium = None
    tapes = [Medium(Limits.of_size(1 << 30)) for _ in range(3)]
    world.server.robots["robot"] = Robot(drives, [*tapes, None])
    where = world.server.url("robot").removeprefix("ndmp:")
    devices = tuple(f"{number}={world.server.url(f'drive{number}')}" for number in (0, 1))
    return ChangerSection(
        "lib",
        tpchanger=f"chg-ndmp:{where}",
        changerfile=f"{tmp_path}/state",
        property={"tape-device": devices, "status-interval": ("0",)},
    )


class TestSingleDrive(ChangerContract):
    """A drive of a tape server is a changer of one slot."""

    @pytest.fixture
    def open_changer(self, world: World, opener: Opener) -> Callable[[], Any]:
        return lambda: opener.open(world.server.url("drive0"))


class TestRobot(ChangerContract):
    """A library of a tape server."""

    lacks = ()

    @pytest.fixture
    def open_changer(self, library: ChangerSection, opener: Opener) -> Callable[[], Any]:
        return lambda: opener.open("lib", library)


class TestAggregateOfDiskAndRobot(ChangerContract):
    """Vtapes that block and a library that does not, as one changer."""

    lacks = ("move",)

    @pytest.fixture
    def open_changer(
        self, library: ChangerSection, opener: Opener, tmp_path: Path
    ) -> Callable[[], Any]:
        for number in (1, 2):
            (tmp_path / f"vtapes/slot{number}").mkdir(parents=True)
        both = ChangerSection(
            "both",
            tpchanger=f"chg-aggregate:{{chg-disk:{tmp_path}/vtapes,lib}}",
            property={"state-filename": (f"{tmp_path}/both",)},
        )
        return lambda: opener.open("both", library, both)

    def first(self, changer: Any) -> LoadRequest:
        return LoadRequest(slot="1:1")

    def test_from_one_to_the_other(self, changer: Any) -> None:
        """Slot by slot through the vtapes and on to the tapes, as a dump that spans does."""
        held = [changer.load(LoadRequest(slot="0:1"))]
        for _ in range(3):
            request = LoadRequest(
                relative=Relative.NEXT, except_slots=frozenset(one.slot for one in held)
            )
            held.append(changer.load(request))
        assert [one.slot for one in held] == ["0:1", "0:2", "1:1", "1:2"]
        names = [one.device.name.partition(":")[0] for one in held]
        assert names == ["file", "file", "ndmp", "ndmp"]
        for one in held:
            one.release()
        assert not any(entry.reserved for entry in changer.inventory())


def test_no_rait_of_drives_that_are_fed_by_connections(
    opener: Opener, library: ChangerSection, tmp_path: Path
) -> None:
    """The load says which device cannot be a part of it, and nothing stays held."""
    (tmp_path / "vtapes/slot1").mkdir(parents=True)
    changer = opener.open(f"chg-rait:{{chg-disk:{tmp_path}/vtapes,lib}}", library)
    with pytest.raises(ChangerError, match="of lib takes data from connections only"):
        changer.load(LoadRequest(slot="1"))
    for name in ("lib", f"chg-disk:{tmp_path}/vtapes"):
        opener.open(name, library).load(LoadRequest(slot="1")).release()


class StopOfAll(threading.Event):
    """Only the taper sets it."""

    def set(self) -> None:
        raise AssertionError("a changer told everybody to stop")

    def clear(self) -> None:
        raise AssertionError("a changer told everybody to go on")


def test_who_is_closed_stops_nobody_else(
    world: World, opener: Opener, library: ChangerSection, tmp_path: Path
) -> None:
    """The stop event of the taper is for all: a changer of a vault that is over leaves it alone."""
    stop = StopOfAll()
    for name in ("lib", world.server.url("drive2"), f"file:{tmp_path}", "chg-null:"):
        changer = opener.open(name, library, stop=stop)
        held = changer.load(ChangerContract().first(changer))
        changer.close()
        assert held.released


@pytest.mark.parametrize("kind", ["robot", "disk"])
def test_close_ends_a_wait_for_the_state_file(
    opener: Opener, library: ChangerSection, tmp_path: Path, kind: str
) -> None:
    """What somebody else has locked is not waited for by a changer that is closed."""
    (tmp_path / "slot1").mkdir()
    state = tmp_path / "state"
    changer = opener.open("lib" if kind == "robot" else f"chg-disk:{tmp_path}", library)
    with StateFile(str(state)).locked():
        waiting = [changer.thing.load(LoadRequest(slot="1")), changer.thing.reset()]
        for one in waiting:
            one.addErrback(lambda failure: failure.value)
        changer.close()
    assert all(isinstance(changer.wait(one), CancelledError) for one in waiting)


def test_reset_move_and_eject(world: World, opener: Opener, library: ChangerSection) -> None:
    """A robot does what an operator asks of it."""
    changer = opener.open("lib", library)
    robot = world.server.robots["robot"]
    tapes = list(robot.slots)
    changer.load(LoadRequest(slot="3", set_current=True)).release()
    assert [entry.slot for entry in changer.inventory() if entry.current] == ["3"]
    assert robot.drives[0].medium is tapes[2]
    changer.eject("0")
    assert robot.slots == tapes
    changer.move("1", "4")
    assert robot.slots == [None, tapes[1], tapes[2], tapes[0]]
    changer.reset()  # to the first that has a volume
    assert [entry.slot for entry in changer.inventory() if entry.current] == ["2"]
    with pytest.raises(ChangerError, match="slot 1 is empty"):
        changer.move("1", "2")

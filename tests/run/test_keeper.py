"""A volume that the daemon keeps while it serves nobody."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from pytest_twisted import ensureDeferred
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from taper.run.door import KEEPS, Door
from taper.run.keeper import Keeper
from taper.run.service import TaperService
from tests.plane.dumping import write_holding
from tests.run.sessions import (
    HANDLE,
    PATIENCE,
    START,
    WORKER,
    DriverEnd,
    Place,
    make_place,
    write_line,
)
from tests.run.test_service import call

DATA = bytes(range(256)) * 1000
_HELD = re.compile(r"'slot' => '(slot[0-9]+)'")
_PAUSE = 0.01


def held(place: Place) -> list[str]:
    """Slots that somebody holds, by the state that all programs go by."""
    return _HELD.findall((place.root / "vtapes/state").read_text())


async def until_kept(service: TaperService, label: str) -> None:
    assert service._keeper is not None
    for _ in range(int(PATIENCE / _PAUSE)):
        if service._keeper.label == label:
            return
        await deferLater(reactor, _PAUSE, lambda: None)  # type: ignore[arg-type]
    raise AssertionError(f"{label} is not kept")


async def begin(place: Place, night: str) -> DriverEnd:
    driver = await call(place)
    await driver.ask(START.replace("20260101", night), "TAPER-OK")
    return driver


@ensureDeferred
async def test_between_two_nights(tmp_path: Path) -> None:
    """It is held for nobody else, until the next driver comes or the daemon ends; a night that
    writes nothing changes nothing, and a volume that is gone hurts nobody."""
    place = make_place(tmp_path)
    holding = write_holding(str(tmp_path), DATA, 100_000)
    service = TaperService(reactor, place.setup(), f"unix:{tmp_path}/door", keep_volume=True)
    service.startService()
    driver = await begin(place, "20260101")
    await driver.ask(write_line(holding), "REQUEST-NEW-TAPE")
    await driver.ask(f"NEW-TAPE {WORKER} {HANDLE}", "DONE")
    driver.say("QUIT")
    await driver.gone
    await until_kept(service, "C01")
    assert held(place) == ["slot1"]
    assert service._status() == "waiting for drivers, keeping volume C01"
    driver = await begin(place, "20260102")
    assert "slot1" not in held(place)
    driver.say("QUIT")
    await driver.gone
    await until_kept(service, "C01")
    await service.stopService()
    assert held(place) == []


@ensureDeferred
async def test_a_volume_that_is_gone(tmp_path: Path) -> None:
    """It hurts nobody, and neither does the directory of all volumes that is gone."""
    place = make_place(tmp_path)
    service = TaperService(reactor, place.setup(), f"unix:{tmp_path}/door", keep_volume=True)
    service.startService()
    assert service._keeper is not None
    assert service.setup is not None
    service._written = service.setup, "C99"
    driver = await begin(place, "20260101")
    driver.say("QUIT")
    await driver.gone
    (tmp_path / "vtapes").rename(tmp_path / "away")
    service.idle()
    assert service._keeper.label is None
    (tmp_path / "away").rename(tmp_path / "vtapes")
    driver = await begin(place, "20260102")
    await service.stopService()
    assert held(place) == []


class SlowRobot:
    """A changer, and its only reservation, which is released when it says so."""

    def __init__(self) -> None:
        self.released: Deferred[None] = Deferred()

    async def load(self, request: object) -> SlowRobot:
        return self

    def release(self) -> Deferred[None]:
        return self.released

    async def close(self) -> None:
        """It is done."""


def test_a_way_that_is_not_free_yet() -> None:
    """Who comes after one who did not wait for it waits as well."""
    robot: Any = SlowRobot()
    keeper = Keeper()
    keeper.keep("C01", lambda _: robot)
    free: list[int] = []
    for number in range(2):
        way = keeper.give_back()
        assert way is not None
        way.addCallback(lambda _, number=number: free.append(number))
    assert free == []
    robot.released.callback(None)
    assert sorted(free) == [0, 1]
    assert keeper.give_back() is None


class Visitor:
    """An usher that notes what becomes of its driver."""

    name = "a visitor"

    def __init__(self) -> None:
        self.heard: list[str] = []

    def enter(self) -> None:
        self.heard.append("enter")

    def wait(self, reason: str) -> None:
        self.heard.append(reason)


class Slow:
    """A service whose way takes time."""

    def __init__(self) -> None:
        self.way: Deferred[None] = Deferred()

    def make_way(self) -> Deferred[None]:
        return self.way

    def between(self) -> None:
        """There is nothing to be done."""

    changed = between


def test_who_comes_while_a_volume_is_given_back() -> None:
    """He is told to wait, rather than that he gives up and finds the drive taken."""
    usher: Any = Visitor
    service: Any = Slow()
    door = Door(usher)
    door.service = service
    visitor: Any = Visitor()
    door.admit(visitor)
    assert visitor.heard == [KEEPS]
    service.way.callback(None)
    assert visitor.heard == [KEEPS, "enter"]

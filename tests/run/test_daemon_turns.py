"""Several drivers at the daemon's door, and a configuration that changes between them."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest
from pytest_twisted import ensureDeferred
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import clientFromString

from taper.run.daemon_options import TaperOptions
from taper.run.service import TaperService, make_service
from tests.run.sessions import START, DriverEnd, Place, driver_factory, make_place
from tests.run.test_service import call, options


def door(place: Place) -> str:
    return f"unix:{place.root}/door"


def turn() -> Deferred[None]:
    """What is due is done when it fires."""
    later: Deferred[None] = Deferred()
    reactor.callLater(0, later.callback, None)  # type: ignore[attr-defined]
    return later


async def until_waiting(service: TaperService, count: int) -> None:
    assert service._door is not None
    while len(service._door.waiting) != count:
        await turn()


@ensureDeferred
async def test_drivers_wait_in_turn(tmp_path: Path) -> None:
    """As many as may; the next one is refused, and who hangs up has no turn."""
    place = make_place(tmp_path)
    service = TaperService(reactor, place.setup(), door(place), waiting=2)
    service.startService()
    first = await call(place)
    await first.ask(START, "TAPER-OK")
    waiting = []
    for number in range(2):
        waiting.append(await call(place))
        waiting[-1].say(START.replace("20260101", f"2026010{number + 2}"))
        await until_waiting(service, number + 1)
    fourth = await call(place)
    assert (await fourth.ask(START, "BAD-COMMAND")) == (
        'BAD-COMMAND "this taper serves another driver, and 2 more wait"'
    )
    assert not any(each.heard.lines for each in waiting)
    waiting[0].transport.loseConnection()  # type: ignore[union-attr]
    await until_waiting(service, 1)
    turned = waiting[1].heard.hear("TAPER-OK")
    first.say("QUIT")
    await turned
    last = await call(place)
    last.say(START)
    await until_waiting(service, 1)
    await service.stopService()
    await last.gone
    assert last.heard.lines == ['BAD-COMMAND "this taper ends"']
    assert place.logged().count("INFO taper pid-done") == 2


@ensureDeferred
async def test_a_waiting_driver_that_says_too_much(tmp_path: Path) -> None:
    """What it says before its turn is kept, but not without a bound."""
    place = make_place(tmp_path)
    service = TaperService(reactor, place.setup(), door(place), waiting=2)
    service.startService()
    first = await call(place)
    await first.ask(START, "TAPER-OK")
    second = await call(place)
    second.say(*["START-TAPER x"] * 10_000)
    await second.gone
    assert second.heard.lines == []
    await service.stopService()


@ensureDeferred
async def test_a_new_configuration_between_conversations(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SIGHUP; never within one, and one that cannot be used changes nothing."""
    place = make_place(tmp_path)
    monkeypatch.setattr("os.umask", lambda mask: 0o022)
    monkeypatch.setattr("sys.excepthook", sys.excepthook)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("taper.run.service.open_as_root", lambda *_: None)
    service = make_service(options("-c", "C", "-d", door(place)), place.paths)
    service.startService()
    conf = tmp_path / "etc/C/amanda.conf"
    good = conf.read_text()

    def labelstr() -> str:
        assert service.setup is not None
        return service.setup.storage().labelstr.template

    async def hang_up() -> None:
        os.kill(os.getpid(), signal.SIGHUP)
        await turn()
        await turn()

    assert labelstr() == "^C[0-9]+$"
    driver = await call_by_log(service, place)
    conf.write_text(good.replace("^C[0-9]+$", "^D[0-9]+$"))
    await hang_up()
    assert labelstr() == "^C[0-9]+$"
    driver.say("QUIT")
    await driver.gone
    await turn()
    assert labelstr() == "^D[0-9]+$"
    conf.write_text("nonsense\n")
    await hang_up()
    assert labelstr() == "^D[0-9]+$"
    conf.write_text(good)
    await hang_up()
    assert labelstr() == "^C[0-9]+$"
    await service.stopService()


async def call_by_log(service: TaperService, place: Place) -> DriverEnd:
    """A driver whose conversation has begun."""
    driver = await call(place)
    await driver.ask(START, "TAPER-OK")
    assert service.conversation is not None
    return driver


@ensureDeferred
async def test_no_configuration_for_drivers_that_come_by_themselves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They hear why."""
    place = make_place(tmp_path)
    monkeypatch.setattr("os.umask", lambda mask: 0o022)
    monkeypatch.setattr("sys.excepthook", sys.excepthook)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("taper.run.service.open_as_root", lambda *_: None)
    service = make_service(options("-d", door(place)), place.paths)
    service.startService()
    driver = await clientFromString(reactor, door(place)).connect(driver_factory())
    assert isinstance(driver, DriverEnd)
    assert "without --config" in await driver.ask(START, "BAD-COMMAND")
    await driver.gone
    await service.stopService()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("-d", "unix:/x", "-s", "S"), "--storage-name needs --config"),
        (("-d", "unix:/x", "-l", "L"), "--log-filename needs --config"),
        (("-d", "unix:/x", "-o", "a=b"), "--override needs --config"),
        (("-c", "C", "-w", "101"), "--waiting 101: expected 0 to 100"),
        (("-c", "C", "-w", "-1"), "--waiting -1: expected 0 to 100"),
        (("-c", "C", "-w", "some"), "some"),
    ],
)
def test_words_that_do_not_belong_together(words: tuple[str, ...], says: str) -> None:
    with pytest.raises(SystemExit, match=says):
        TaperOptions().parseOptions(list(words))

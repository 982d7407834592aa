"""Whom the daemon takes for the taper that Amanda has started, and what it offers."""

from __future__ import annotations

import os
import socket
import struct
from pathlib import Path
from typing import Any

import pytest
from pytest_twisted import ensureDeferred
from twisted.internet import reactor
from twisted.internet.task import Clock
from twisted.internet.threads import deferToThread

from protocols.daemon import BEGUN, GO, OFFER, render
from taper import __version__
from taper.places import record_stamp
from taper.run.driver_door import MOST_UNKNOWN
from taper.run.service import TaperService
from taper.run.usher import GO_PATIENCE
from tests.fakes.stranger import NOBODY
from tests.opened import descriptors, threads
from tests.run.sessions import PATIENCE, START, Place, make_place
from tests.run.test_daemon_turns import turn
from tests.run.test_service import Claims, call


class Guest:
    """The taper that Amanda has started, one step after the other; each in a thread."""

    def __init__(self, place: Place, **instead: Any) -> None:
        self._place = place
        self._instead = instead
        self.link = socket.socket(socket.AF_UNIX)
        self.link.settimeout(PATIENCE)
        self._pipe: tuple[int, int] | None = None

    def greeting(self) -> bytes:
        place = self._place
        settings = {
            b"AMANDA_CONFIG_DIR": place.paths.config_root.encode(),
            **({b"TZ": os.environb[b"TZ"]} if "TZ" in os.environ else {}),
        }
        said = render(
            **{
                "program": __version__,
                "record": record_stamp(),
                "directory": bytes(place.root),
                "words": [b"C", b"--log-filename", b"log/log"],
                "environment": settings,
                **self._instead,
            }
        )
        assert said is not None
        return said

    def greet(self, descriptors: int = 2, more: bytes = b"") -> bytes:
        """:return: what is answered"""
        self.link.connect(f"{self._place.root}/door")
        told, telling = os.pipe()
        try:
            given = [2, telling, 0, 0][:descriptors]
            socket.send_fds(self.link, [self.greeting() + more], given)
            return self.link.recv(4096)
        except ConnectionResetError:
            return b""
        finally:
            os.close(told)
            os.close(telling)


def serve(place: Place, ending: str = "") -> TaperService:
    service = TaperService(reactor, place.setup(), f"unix:{place.root}/door{ending}")
    service.startService()
    return service


STALE = {"program": "0.0.1"}
ELSEWHEN = {"record": "1:2:3"}
NOTHING = {"words": [b"--version"]}
NO_LOG = {"words": [b"C"]}
NONSENSE = {"words": [b"C", b"--log-filename", b"log/log", b"--nonsense"]}
NO_CONFIGURATION = {"words": [b"nosuch", b"--log-filename", b"log/log"]}
NOWHERE = {"directory": b""}


@pytest.mark.parametrize(
    ("instead", "why"),
    [
        (STALE, f"the daemon is of release {__version__}; restart it"),
        (ELSEWHEN, "where Amanda is was recorded anew; restart the daemon"),
        (NOTHING, "nothing is to be served"),
        (NO_LOG, "nothing is to be served"),
        (NONSENSE, "--nonsense"),
        (NO_CONFIGURATION, "Errors processing config file"),
        (NOWHERE, "the working directory is not known"),
        ({"environment": {b"TZ": b"Mars"}}, "another time zone"),
    ],
)
@ensureDeferred
async def test_what_it_leaves_to_the_command(
    tmp_path: Path, instead: dict[str, Any], why: str
) -> None:
    """With the reason; nothing was begun."""
    place = make_place(tmp_path)
    service = serve(place)
    guest = Guest(place, **instead)
    said = await deferToThread(guest.greet)
    assert said.startswith(b"REFUSED ")
    assert why in said.decode()
    guest.link.close()
    await service.stopService()
    assert not place.log.exists()


@ensureDeferred
async def test_strangers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another user, whom the mode of the socket lets drive us, commands no configuration; nor
    does one without descriptors, or with words behind its greeting. All that were sent are
    closed."""
    place = make_place(tmp_path)
    service = serve(place, ":mode=666")
    before = descriptors()
    for count in (0, 1):
        guest = Guest(place)
        said = await deferToThread(guest.greet, count)
        assert said.startswith(b"REFUSED only the dump user's own command is served")
        guest.link.close()
    guest = Guest(place)
    assert await deferToThread(guest.greet, 4) == OFFER
    guest.link.close()
    guest = Guest(place)
    assert await deferToThread(guest.greet, 2, b"START-TAPER\n") == b""
    guest.link.close()
    monkeypatch.setattr("taper.run.driver_door._PEER", Claims(struct.Struct("3i")))
    assert os.getuid() != NOBODY
    guest = Guest(place)
    said = await deferToThread(guest.greet)
    assert said.startswith(b"REFUSED only the dump user's own command is served")
    guest.link.close()
    monkeypatch.undo()
    driver = await call(place)
    await driver.ask(START, "TAPER-OK")
    driver.say("QUIT")
    await driver.gone
    while descriptors() - before:
        await turn()
    await service.stopService()
    assert place.logged().count("INFO taper taper pid") == 1


@ensureDeferred
async def test_an_offer_that_is_not_taken(tmp_path: Path) -> None:
    """By silence, or by something else: nothing is begun, and the next one is served."""
    place = make_place(tmp_path)
    service = serve(place)
    clock = Clock()
    service.call_later = clock.callLater  # type: ignore[method-assign,assignment]
    silent = Guest(place)
    assert await deferToThread(silent.greet) == OFFER
    clock.advance(GO_PATIENCE)
    assert await deferToThread(silent.link.recv, 1) == b""
    await turn()
    clock.advance(0)
    other = Guest(place)
    assert await deferToThread(other.greet) == OFFER
    other.link.send(b"G")
    other.link.send(b"ONE\n")
    assert await deferToThread(other.link.recv, 1) == b""
    await turn()
    clock.advance(0)
    third = Guest(place)
    assert await deferToThread(third.greet) == OFFER
    third.link.send(GO)
    assert await deferToThread(third.link.recv, 100) == BEGUN
    third.link.send(f"{START}\n".encode())
    assert (await deferToThread(third.link.recv, 100)).startswith(b"TAPER-OK")
    third.link.close()
    await service.stopService()
    assert place.logged().count("INFO taper taper pid") == 1
    silent.link.close()
    other.link.close()


@ensureDeferred
async def test_a_debug_log_whose_disk_becomes_slow(tmp_path: Path) -> None:
    """It holds up nobody: the log has a thread of its own, until its end."""
    place = make_place(tmp_path)
    service = serve(place)
    before = threads("debug log")
    guest = Guest(place)
    assert await deferToThread(guest.greet) == OFFER
    guest.link.send(GO)
    assert await deferToThread(guest.link.recv, 100) == BEGUN
    while not threads("debug log") - before:
        await turn()
    guest.link.close()
    while threads("debug log") - before:
        await turn()
    await service.stopService()


@ensureDeferred
async def test_too_many_who_say_nothing(tmp_path: Path) -> None:
    """The first of them is let go for one more; nobody is kept out."""
    place = make_place(tmp_path)
    service = serve(place)
    silent = [await call(place) for _ in range(MOST_UNKNOWN + 1)]
    await silent[0].gone
    driver = await call(place)
    await driver.ask(START, "TAPER-OK")
    await service.stopService()
    for each in silent[1:]:
        each.transport.loseConnection()  # type: ignore[union-attr]
        await each.gone

"""The taper as a daemon: drivers come and go on an endpoint."""

from __future__ import annotations

import os
import re
import stat
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pytest_twisted import ensureDeferred
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import clientFromString
from twisted.internet.task import Clock
from twisted.scripts.twistd import ServerOptions

from taper.run.driver_door import DRIVER_PATIENCE
from taper.run.service import TaperOptions, TaperService, make_service
from taper.run.setup import StartFailed
from tests.fakes.stranger import NOBODY
from tests.plane.dumping import write_holding
from tests.run.sessions import (
    HANDLE,
    START,
    WORKER,
    DriverEnd,
    Place,
    driver_factory,
    make_place,
    write_line,
)
from tests.run.test_stdio import environment

DATA = bytes(range(256)) * 1000


def serve(place: Place) -> TaperService:
    service = TaperService(reactor, place.setup(), f"unix:{place.root}/door")
    service.startService()
    return service


async def call(place: Place) -> DriverEnd:
    """A driver at the door."""
    endpoint = clientFromString(reactor, f"unix:{place.root}/door")
    found = await endpoint.connect(driver_factory())
    assert isinstance(found, DriverEnd)
    return found


@ensureDeferred
async def test_one_driver_after_the_other(tmp_path: Path) -> None:
    """A whole dump with the first; the second is refused meanwhile, and served afterwards."""
    place = make_place(tmp_path)
    service = serve(place)
    first = await call(place)
    await first.ask(START, "TAPER-OK")
    second = await call(place)
    second.say(START)
    await second.gone
    assert second.heard.lines == ['BAD-COMMAND "this taper serves another driver"']
    holding = write_holding(str(tmp_path), DATA, 100_000)
    await first.ask(write_line(holding), "REQUEST-NEW-TAPE")
    done = await first.ask(f"NEW-TAPE {WORKER} {HANDLE}", "DONE")
    assert " INPUT-GOOD TAPE-GOOD " in done
    first.say("QUIT")
    await first.gone
    third = await call(place)
    await third.ask(START.replace("20260101", "20260102"), "TAPER-OK")
    await service.stopService()
    await third.gone
    assert place.logged().count("INFO taper pid-done") == 2


@ensureDeferred
async def test_stopping_finishes_the_volume(tmp_path: Path) -> None:
    """As a signal does: the dump's end is logged, the volume finished, the driver let go."""
    place = make_place(tmp_path)
    service = serve(place)
    driver = await call(place)
    await driver.ask(START, "TAPER-OK")
    holding = write_holding(str(tmp_path), DATA, 100_000)
    await driver.ask(write_line(holding), "REQUEST-NEW-TAPE")
    await driver.ask(f"NEW-TAPE {WORKER} {HANDLE}", "DONE")
    await driver.ask(write_line(holding, "00-00002"), "READY")
    await service.stopService()
    await driver.gone
    assert place.logged()[-2].startswith("INFO taper tape C01 kb fm [OK]")
    assert service.conversation is None
    assert not (tmp_path / "door").exists()


@ensureDeferred
async def test_a_driver_that_hangs_up_is_a_quit(tmp_path: Path) -> None:
    place = make_place(tmp_path)
    service = serve(place)
    driver = await call(place)
    await driver.ask(START, "TAPER-OK")
    assert service.conversation is not None
    ended: Deferred[None] = Deferred()
    service.conversation.session.ended.addBoth(lambda _: ended.callback(None))
    driver.transport.loseConnection()  # type: ignore[union-attr]
    await ended
    assert service.conversation is None
    assert place.logged()[-1] == "INFO taper pid-done"
    await service.stopService()


@ensureDeferred
async def test_a_driver_hears_why_it_cannot_be_served(tmp_path: Path) -> None:
    """TAPE-ERROR SETUP, and the door stays open for when things are better."""
    place = make_place(tmp_path)
    service = serve(place)
    (tmp_path / "tapelist").write_text("this is no tapelist\n")
    driver = await call(place)
    driver.say(START)
    await driver.gone
    assert driver.heard.lines[0].startswith('TAPE-ERROR SETUP "Could not read the tapelist')
    (tmp_path / "tapelist").write_text("")
    (tmp_path / "vtapes").rename(tmp_path / "away")
    driver = await call(place)
    driver.say(START)
    await driver.gone
    assert driver.heard.lines[0].startswith("TAPE-ERROR SETUP ")
    (tmp_path / "away").rename(tmp_path / "vtapes")
    (tmp_path / "log").rename(tmp_path / "nolog")
    driver = await call(place)
    driver.say(START)
    await driver.gone
    assert driver.heard.lines[0].startswith("TAPE-ERROR SETUP ")
    (tmp_path / "nolog").rename(tmp_path / "log")
    driver = await call(place)
    await driver.ask(START, "TAPER-OK")
    await service.stopService()


class NotRunning:
    """A reactor that was not started yet."""

    def __init__(self) -> None:
        self.later: list[Any] = []

    def callWhenRunning(self, function: Any) -> None:
        self.later.append(function)

    def stop(self) -> None:
        """Told apart by identity."""

    def __getattr__(self, name: str) -> Any:
        return getattr(reactor, name)


def test_an_endpoint_that_cannot_be_listened_on_ends_the_process(tmp_path: Path) -> None:
    """A deaf daemon would be of no use to anyone."""
    door = "unix:/no/such/directory/door"
    service = TaperService(NotRunning(), make_place(tmp_path).setup(), door)
    with pytest.raises(StartFailed, match=f"cannot listen on --driver {door}: No such file"):
        service.startService()


def test_what_is_no_endpoint(tmp_path: Path) -> None:
    """Refused before anything is begun, with what was expected."""
    refusal = r"--driver nonsense:x is no endpoint: .*; expected stdio"
    with pytest.raises(StartFailed, match=refusal):
        TaperService(NotRunning(), make_place(tmp_path).setup(), "nonsense:x")


def test_a_storage_that_cannot_be_served_on_stdio(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """As in a process of its own: the driver hears it on stdout, and the process ends well."""
    idle = NotRunning()
    place = make_place(tmp_path)
    service = TaperService(idle, place.setup(storage="nosuch"), "stdio")
    service.startService()
    assert capfd.readouterr().out == "TAPE-ERROR SETUP \"Storage 'nosuch' not found\"\n"
    assert idle.later == [idle.stop]


def test_a_wrong_user_on_stdio(tmp_path: Path) -> None:
    """The reason on stderr, and in the trace log of a run; none is made."""
    place = make_place(tmp_path, user="sys")
    for there in (False, True):
        with pytest.raises(StartFailed, match='must be executed as the "sys" user'):
            TaperService(NotRunning(), place.setup(), "stdio").startService()
        assert place.log.exists() is there
        place.log.touch()
    assert place.logged()[-1].startswith('FATAL taper must be executed as the "sys" user')


def options(*words: str) -> TaperOptions:
    parsed = TaperOptions()
    parsed.parseOptions(list(words))
    return parsed


def test_options() -> None:
    found = options("--config", "C", "-o", "a=b", "--override", "c=d", "-d", "tcp:7")
    assert (found["config"], found["driver"], found.overrides) == ("C", "tcp:7", ["a=b", "c=d"])
    assert options("-c", "C")["driver"] == "stdio"
    with pytest.raises(SystemExit, match="--config is required"):
        options()
    with pytest.raises(SystemExit, match="Must specify a value for a"):
        options("-c", "C", "-o", "a")


def test_pid_and_log_file_are_where_one_can_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever directory twistd is started in; one daemon per configuration and storage."""
    monkeypatch.setenv("AMANDA_DBGDIR", str(tmp_path))
    for words, name in (
        (("-c", "C"), "twistd-taper-C"),
        (("-c", "a/b", "-s", "st:x"), "twistd-taper-a_b-st_x"),
    ):
        twistd = ServerOptions()
        twistd.parseOptions(["taper", *words])
        assert twistd["pidfile"] == f"{tmp_path}/{name}.pid"
        assert twistd["logfile"] == f"{tmp_path}/{name}.log"
    twistd = ServerOptions()
    twistd.parseOptions(["-n", "--pidfile", "mine", "taper", "-c", "C"])
    assert os.path.basename(twistd["pidfile"]) == "mine"
    assert twistd["logfile"] is None


def test_a_service_is_made_of_options(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = make_place(tmp_path)
    monkeypatch.setattr("os.umask", lambda mask: 0o022)
    monkeypatch.setattr("sys.excepthook", sys.excepthook)
    monkeypatch.chdir(tmp_path)
    assert isinstance(make_service(options("-c", "C"), place.paths), TaperService)
    with pytest.raises(StartFailed, match="Errors processing config file"):
        make_service(options("-c", "nosuch"), place.paths)


def test_what_no_driver_could_use_is_refused_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Storage, trace log, user and endpoint, each with a sentence of its own."""
    place = make_place(tmp_path)
    monkeypatch.setattr("os.umask", lambda mask: 0o022)
    monkeypatch.chdir(tmp_path)
    door = ("-c", "C", "-d", f"unix:{tmp_path}/door")
    for words, text in (
        (("-s", "nosuch"), "Storage 'nosuch' not found"),
        (("-l", f"{tmp_path}/no/log"), f"there is no directory {tmp_path}/no"),
        (("-l", str(tmp_path)), f"the trace log {tmp_path} cannot be written"),
        (("-d", "tcp:7"), "tcp:7 would let whoever connects drive the taper: say unix:PATH"),
        (("-d", "tcp:7:interface=127.0.0.1"), "those of other hosts come by mtls:"),
        (("-d", r"tcp6:7:interface=\:\:1"), "or through ssh"),
        (("-d", "ssl:7"), "ssl:7 would let whoever connects drive the taper"),
        (("-d", "tls:7"), "tls:7 would let whoever connects drive the taper"),
    ):
        with pytest.raises(StartFailed, match=re.escape(text)):
            make_service(options(*door, *words), place.paths)
    assert isinstance(make_service(options(*door), place.paths), TaperService)


def test_a_wrong_user_is_refused_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever is not root can become nobody else."""
    place = make_place(tmp_path, user="sys")
    monkeypatch.setattr("os.umask", lambda mask: 0o022)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("taper.run.service.open_as_root", lambda *_: None)
    with pytest.raises(StartFailed, match='must be executed as the "sys" user'):
        make_service(options("-c", "C", "-d", f"unix:{tmp_path}/door"), place.paths)


@ensureDeferred
async def test_the_door_is_private(tmp_path: Path) -> None:
    """A unix socket is for its owner, unless the endpoint says otherwise."""
    place = make_place(tmp_path)
    for ending, mode in (("", 0o600), (":mode=660", 0o660)):
        service = TaperService(reactor, place.setup(), f"unix:{tmp_path}/door{ending}")
        service.startService()
        assert stat.S_IMODE((tmp_path / "door").stat().st_mode) == mode
        await service.stopService()


@ensureDeferred
async def test_an_endpoint_of_somebody_elses_lets_nobody_in_by_tcp(tmp_path: Path) -> None:
    """Whatever it is called: he hears why, and nothing is begun for him."""
    place = make_place(tmp_path)
    service = TaperService(reactor, place.setup(), "haproxy:tcp:0:interface=127.0.0.1")
    service.startService()
    port = service._port.getHost().port  # type: ignore[union-attr]
    caller = await clientFromString(reactor, f"tcp:127.0.0.1:{port}").connect(driver_factory())
    assert isinstance(caller, DriverEnd)
    # so much that some of it is unread when he is refused
    caller.say("PROXY TCP4 127.0.0.1 127.0.0.1 1 2\r", *["START-TAPER x"] * 5000)
    await caller.gone
    assert caller.heard.lines[0].startswith('BAD-COMMAND "nobody has shown a certificate')
    assert not place.log.exists()
    await service.stopService()


@ensureDeferred
async def test_another_user_at_the_unix_socket(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel tells who he is, whatever became of the file's mode."""
    place = make_place(tmp_path)
    service = serve(place)
    monkeypatch.setattr("taper.run.driver_door._PEER", Claims(struct.Struct("3i")))
    driver = await call(place)
    await driver.gone
    assert driver.heard.lines == [f'BAD-COMMAND "user {NOBODY} may not drive this taper"']
    await service.stopService()


class Claims:
    """The credentials of a peer, but its user is another one."""

    def __init__(self, real: struct.Struct) -> None:
        self.size = real.size

    def unpack(self, packed: bytes) -> tuple[int, int, int]:
        assert len(packed) == self.size
        return 1, NOBODY, NOBODY


@ensureDeferred
async def test_a_driver_that_never_begins_is_let_go(tmp_path: Path) -> None:
    """After a bounded time; one that has begun may be silent for ever."""
    place = make_place(tmp_path)
    service = serve(place)
    clock = Clock()
    service.call_later = clock.callLater  # type: ignore[method-assign,assignment]
    silent, hesitant = await call(place), await call(place)
    hesitant.say("CLOSE-VOLUME nobody")
    await hesitant.heard.hear("BAD-COMMAND")
    assert service.conversation is not None
    ended: Deferred[None] = Deferred()
    service.conversation.session.ended.addBoth(lambda _: ended.callback(None))
    clock.advance(DRIVER_PATIENCE)
    await silent.gone
    await hesitant.gone
    await ended
    clock.advance(0)
    driver = await call(place)
    await driver.ask(START, "TAPER-OK")
    clock.advance(DRIVER_PATIENCE)
    driver.say("QUIT")
    await driver.gone
    assert driver.heard.lines[-1].startswith("TAPER-OK")
    await service.stopService()


LATE = """
from twisted.internet.interfaces import IStreamServerEndpoint, IStreamServerEndpointStringParser
from twisted.internet.task import deferLater
from twisted.plugin import IPlugin
from zope.interface import implementer

@implementer(IStreamServerEndpoint)
class Late:
    def __init__(self, reactor):
        self._reactor = reactor

    def listen(self, factory):
        def refuse():
            raise OSError(99, "Cannot assign requested address")
        return deferLater(self._reactor, 0.1, refuse)

@implementer(IPlugin, IStreamServerEndpointStringParser)
class Parser:
    prefix = "late"

    def parseStreamServer(self, reactor, *args, **kwargs):
        return Late(reactor)

parser = Parser()
"""


def test_an_endpoint_that_fails_later_ends_the_daemon(tmp_path: Path) -> None:
    """A sentence, and a failing status, as where it fails at once."""
    place = make_place(tmp_path)
    plugins = tmp_path / "more/twisted/plugins"
    plugins.mkdir(parents=True)
    (plugins / "late.py").write_text(LATE)
    found = environment(place)
    done = subprocess.run(
        [
            *(sys.executable, "-c", "from twisted.scripts.twistd import run; run()", "-n"),
            *("--pidfile=", "--logfile", tmp_path / "log/twistd.log"),
            *("taper", "--config", "C", "--driver", "late:"),
        ],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        env=found | {"PYTHONPATH": f"{found['PYTHONPATH']}:{tmp_path}/more"},
        cwd=tmp_path,
        timeout=600,
    )
    why = "taper: cannot listen on --driver late:: Cannot assign requested address [TAPER-5001]\n"
    assert (done.returncode, done.stderr) == (1, why)

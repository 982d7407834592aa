"""Watching running tapers: who they are, what they do, and what people are shown of it."""

from __future__ import annotations

import errno
import getpass
import io
import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pytest_twisted import ensureDeferred
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread

from protocols.status import encode, refusal
from taper.core.watch import Watch
from taper.people import tapers as tapers_module
from taper.people.commands import COMMANDS
from taper.people.exits import Exit
from taper.people.running import Work
from taper.people.screen import Screen, Style
from taper.people.site import Station
from taper.people.tapers import Taper, Tapers, connect_to_new
from taper.people.telling import Answer, tell_plain
from taper.people.terminal import Picture
from taper.people.watch_view import NOBODY, lines_of, progress_of, view
from taper.run.paths import Paths
from taper.run.status_door import StatusDoor
from taper.run.status_sockets import folder_of, open_socket
from tests.core.test_watch import Measured, command, volume
from tests.people.nights import parse
from tests.run.sessions import START, make_place
from tests.run.test_service import call, serve

PATIENCE = 60
PROCESS = {"version": "0", "service": "stdio", "started": 1.0}


class Served:
    """A taper's status socket, in this process."""

    def __init__(self, tmpdir: Path, pid: int = 1, config: str = "C") -> None:
        self.watch = Watch({**PROCESS, "pid": pid, "config": config})
        self.watch.conversation(config, "C", "/log")
        made, self.path = open_socket(str(tmpdir), getpass.getuser())
        self._door = StatusDoor(reactor, self.watch, made, lambda text: None)
        self._open = True

    def write(self) -> Any:
        """Let a worker be in the middle of a dump."""
        worker = self.watch.worker("worker0-0")
        worker.hold(volume("C01"))
        worker.dump_begins(command())
        worker.flows(lambda: Measured(1 << 20, 1 << 21, 10.0, 1.0, 8.0))
        worker.part_begins(1, "C01")
        return worker

    def end(self) -> None:
        if self._open:
            self._open = False
            self._door.close("the taper ends")
            os.unlink(self.path)


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    taper = Served(tmp_path)
    yield taper
    taper.end()


class Told:
    """What is told of tapers."""

    def __init__(self, tmpdir: Path) -> None:
        self.told: list[tuple[Taper, list[dict[str, Any]]]] = []
        self.troubles: list[str] = []
        self._waiting: list[tuple[Any, Deferred[None]]] = []
        self.tapers = Tapers(reactor, str(tmpdir), deferToThread, self._take, self.troubles.append)

    def _take(self, taper: Taper, events: list[dict[str, Any]]) -> None:
        self.told.append((taper, events))
        for entry in list(self._waiting):
            if entry[0]():
                self._waiting.remove(entry)
                entry[1].callback(None)

    def until(self, condition: Any) -> Deferred[None]:
        done: Deferred[None] = Deferred()
        done.addTimeout(PATIENCE, reactor)  # type: ignore[arg-type]
        if condition():
            done.callback(None)
        else:
            self._waiting.append((condition, done))
        return done


@ensureDeferred
async def test_tapers_that_come_and_go_are_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever one has told and whoever ends, the others are heard on."""
    monkeypatch.setattr(tapers_module, "LOOK", 0.01)
    told = Told(tmp_path)
    told.tapers.begin()
    await told.tapers.ready
    assert told.tapers.running == {}
    first, second = Served(tmp_path, 1), Served(tmp_path, 2)
    try:
        await told.until(lambda: len(told.tapers.running) == 2 and len(told.told) == 2)
        first.watch.note("here")
        await told.until(lambda: told.told[-1][1])
        taper, (event,) = told.told[-1]
        assert (taper.path, event["text"]) == (first.path, "here")
        assert {**taper.snapshot, "at": 0} == {**first.watch.snapshot(), "at": 0}  # type: ignore[dict-item]
        first.end()
        await told.until(lambda: taper.over is not None)
        assert taper.over == "it has ended"
        assert taper.snapshot is not None
        second.watch.note("there")
        await told.until(lambda: told.told[-1][0].path == second.path and told.told[-1][1])
        assert list(told.tapers.running) == [second.path]
        assert told.troubles == []
    finally:
        told.tapers.close()
        first.end()
        second.end()


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (refusal("16 others are watching"), "it lets nobody in: 16 others"),
        (b"rubbish\n", "a line is no JSON"),
        (b'{"taper":1,"snapshot":{"workers":{}}}\n' + encode({"event": "worker"}), "is not as it"),
        (b'{"taper":1,"snapshot":{"workers":{}}}\n', "it has ended"),
        (b"", "it has ended"),
    ],
)
@ensureDeferred
async def test_what_no_taper_says(tmp_path: Path, said: bytes, why: str) -> None:
    made, _ = open_socket(str(tmp_path), getpass.getuser())
    told = Told(tmp_path)
    told.tapers.begin()

    def answer() -> None:
        made.setblocking(True)
        connection, _ = made.accept()
        with connection:
            connection.sendall(said)

    with made:
        await deferToThread(answer)
        await told.tapers.ready
        await told.until(lambda: told.told and told.told[-1][0].over is not None)
    assert why in str(told.told[-1][0].over)
    told.tapers.close()


def age(path: str, seconds: float, monkeypatch: pytest.MonkeyPatch) -> None:
    now = os.stat(path).st_ctime + seconds
    monkeypatch.setattr(tapers_module.time, "time", lambda: now)


def test_sockets_of_the_dead_are_swept(
    tmp_path: Path, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not one that is about to be listened at, nor what is no socket of ours."""
    made, dead = open_socket(str(tmp_path), getpass.getuser())
    made.close()
    other = Path(folder_of(str(tmp_path))) / "other"
    other.write_text("")
    age(dead, 30, monkeypatch)
    ((path, connection),) = connect_to_new(str(tmp_path), frozenset())
    connection.close()
    assert (path, Path(dead).exists()) == (served.path, True)
    age(dead, 90, monkeypatch)
    assert connect_to_new(str(tmp_path), frozenset([served.path])) == []
    assert not Path(dead).exists()
    assert other.exists()
    assert Path(served.path).exists()


def test_a_dead_socket_that_cannot_be_removed_hides_no_living_one(
    tmp_path: Path, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where the directory is on a disk that is read-only now."""
    made, dead = open_socket(str(tmp_path), getpass.getuser())
    made.close()

    def refuse(path: str, *, dir_fd: int | None = None) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), path)

    age(dead, 90, monkeypatch)
    monkeypatch.setattr(tapers_module.os, "unlink", refuse)
    ((path, connection),) = connect_to_new(str(tmp_path), frozenset())
    connection.close()
    monkeypatch.undo()
    assert (path, Path(dead).exists()) == (served.path, True)


def test_a_directory_that_others_may_change_is_not_looked_at(tmp_path: Path) -> None:
    folder = Path(folder_of(str(tmp_path)))
    folder.mkdir()
    folder.chmod(0o777)
    with pytest.raises(OSError, match="0700 expected"):
        connect_to_new(str(tmp_path), frozenset())


# What people are shown


def snapshot_of() -> dict[str, Any]:
    watch = Watch({**PROCESS, "pid": 4711, "config": "C"}, lambda: 1_800_000_000.0)
    watch.conversation("C", "disk", "/log")
    worker = watch.worker("worker0-0")
    worker.hold(volume("C01"))
    worker.dump_begins(command())
    measured = [Measured(0, 1 << 20, 10.0, 1.0, 8.0)]
    worker.flows(lambda: measured[-1])
    worker.part_begins(1, "C01")
    measured.append(Measured(1 << 20, 1 << 21, 20.0, 1.0, 17.0))
    watch.asks("no volume is left", "chg-robot:/dev/sg0")
    watch.note("INFO taper \x1b[31m")
    with worker.waiting("space", "an old volume is erased"):
        found: dict[str, Any] = json.loads(json.dumps(watch.snapshot()))
    return found


def in_lines(shown: Any) -> list[str]:
    out = io.StringIO()
    tell_plain(Answer(record={}, shown=tuple(shown)), out)
    return out.getvalue().splitlines()


def test_what_is_shown_of_a_taper() -> None:
    lines = in_lines(view([snapshot_of()], 1_800_000_065.0))
    assert lines[0].startswith("C: storage disk, pid 4711, since ")
    assert lines[0].endswith(", 0 dumps done, 0 B in 0 parts")
    row = "worker0-0  preparing 1:05  localhost:/home level 0  an old volume is erased, 1:05"
    assert lines[2] == row
    assert " ".join(lines[4].split()) == "worker0-0 C01 (1) 1 1.0 MiB 0 % 90 %"
    asked = "An operator is asked for a volume in chg-robot:/dev/sg0: no volume is left (1:05)"
    assert asked in lines
    assert lines[-1].endswith(r" INFO taper \x1b[31m")


def test_nobody_is_there() -> None:
    assert view([], 0.0) == [NOBODY]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)


def places(value: Any) -> list[tuple[Any, Any]]:
    """All containers and keys in a value."""
    found: list[tuple[Any, Any]] = []
    pairs = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in list(pairs):
        found.append((value, key))
        if isinstance(inner, dict | list):
            found += places(inner)
    return found


@pytest.mark.parametrize("workers", [[1], "w", {"w": []}, 5])
def test_workers_that_are_none(workers: Any) -> None:
    lines = in_lines(view([snapshot_of() | {"workers": workers}, snapshot_of()], 1_800_000_000.0))
    assert lines[0].startswith("a taper tells what nobody understands")
    assert any(line.startswith("C: storage disk, pid 4711") for line in lines)


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_a_taper_that_tells_nonsense_hides_no_other(data: st.DataObject) -> None:
    bad = snapshot_of()
    for _ in range(data.draw(st.integers(1, 3))):
        container, key = data.draw(st.sampled_from(places(bad)))
        container[key] = data.draw(JSON)
    lines = in_lines(view([bad, snapshot_of()], 1_800_000_000.0))
    assert any(line.startswith("C: storage disk, pid 4711") for line in lines)
    assert all(line.isprintable() for line in lines)
    assert all(line.isprintable() for line in progress_of(bad, 1_800_000_000.0))


def test_a_list_where_names_should_be() -> None:
    """Its numbers lead nowhere."""
    (line,) = in_lines(view([{**snapshot_of(), "workers": [7]}], 1_800_000_000.0))
    assert line.startswith("a taper tells what nobody understands: ")


@settings(max_examples=100, deadline=None)
@given(
    st.sampled_from(["part", "dump", "note", "question", "end", "worker", "x"]),
    st.dictionaries(st.sampled_from(["name", "part", "dump", "text", "question", "at"]), JSON),
)
def test_events_of_nonsense(kind: str, facts: dict[str, Any]) -> None:
    lines = lines_of(snapshot_of(), {"event": kind, **facts})
    assert all(line.isprintable() for line in lines)


def test_events_line_by_line() -> None:
    part = {"number": 3, "label": "C01", "bytes": 1 << 30, "good": True, "error": None}
    shares = {"seconds": 41.208, "empty": 0.04, "full": 0.93}
    at = {"at": 1_800_000_000.0, "name": "w"}
    (line,) = lines_of(snapshot_of(), {"event": "part", **at, "part": {**part, **shares}})
    told = "part 3 on C01, 1.0 GiB in 41.2 s; the device waited 4 % for data, the source 93 % for"
    assert told in line
    bad = {**part, **shares, "good": False, "error": "No space"}
    (line,) = lines_of(snapshot_of(), {"event": "part", **at, "part": bad})
    assert line.endswith(" C w: part 3 on C01 is not good: No space")


# The command


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def station(root: Path, style: Style) -> tuple[Station, io.StringIO]:
    out = Terminal() if style is Style.TERMINAL else io.StringIO()
    paths = Paths(config_root="/", tmpdir=str(root), dbgdir="/", statedir="/")
    return Station(reactor, paths, Screen(style, out, time.monotonic)), out


def work(site: Station, *words: str) -> Work:
    return Work(site, COMMANDS["watch"], parse("watch", *words))


@ensureDeferred
async def test_once(tmp_path: Path, served: Served) -> None:
    served.write()
    site, out = station(tmp_path, Style.PLAIN)
    assert await work(site, "--once").run() == Exit.WELL
    assert "localhost:/home level 0" in out.getvalue()
    site, out = station(tmp_path, Style.PLAIN)
    assert await work(site, "other", "--once").run() == Exit.WELL
    assert out.getvalue() == f"{NOBODY}\n"
    site, out = station(tmp_path, Style.JSON)
    assert await work(site, "C", "--once").run() == Exit.WELL
    (taper,) = json.loads(out.getvalue())["tapers"]
    assert taper["socket"] == served.path
    assert taper["snapshot"]["workers"].keys() == {"worker0-0"}


@ensureDeferred
async def test_once_where_nobody_knows(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """That no taper runs is said only if it is so."""
    folder = tmp_path / "taper-status"
    folder.symlink_to(tmp_path)
    site, out = station(tmp_path, Style.PLAIN)
    assert await work(site, "--once").run() == Exit.FAILED
    assert "nobody can tell which tapers run: " in capfd.readouterr().err
    folder.unlink()
    folder.mkdir(mode=0o700)
    other, out = station(tmp_path, Style.PLAIN)
    with socket.socket(socket.AF_UNIX) as dumb:
        path = folder / "1-00000000"
        dumb.bind(str(path))
        dumb.listen()
        told = threading.Thread(target=lambda: dumb.accept()[0].sendall(b"nonsense\n"))
        told.start()
        assert await work(other, "--once").run() == Exit.FOUND
        told.join()
    assert f"a taper runs, and tells nothing ({path}): " in capfd.readouterr().err
    assert NOBODY not in out.getvalue()


@pytest.mark.parametrize("style", list(Style))
@ensureDeferred
async def test_until_interrupted(
    tmp_path: Path, served: Served, style: Style, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All is shown as it comes; a signal is how it ends, and no fault."""
    if style is Style.TERMINAL:
        monkeypatch.setenv("TERM", "xterm")
        monkeypatch.setenv("COLUMNS", "200")
    site, out = station(tmp_path, style)
    working = work(site)
    over = Deferred.fromCoroutine(working.run())
    worker = served.write()
    waited: Deferred[None] = Deferred()
    waited.addTimeout(PATIENCE, reactor)  # type: ignore[arg-type]

    def look() -> None:
        if not served.watch.snapshot()["workers"]["worker0-0"]["last"] and "C01" in out.getvalue():
            worker.part_written()
            worker.dump_over("DONE", "")
        if "DONE" in out.getvalue():
            waited.callback(None)
        else:
            reactor.callLater(0.01, look)  # type: ignore[attr-defined]

    look()
    await waited
    working.leave()
    assert await over == Exit.WELL
    if style is Style.JSON:
        lines = [json.loads(line) for line in out.getvalue().splitlines()]
        assert "snapshot" in lines[0]
        assert all(line["socket"] == served.path for line in lines)


@ensureDeferred
async def test_nobody_reads_any_more(tmp_path: Path, served: Served) -> None:
    """As with ``| head``: the command ends."""
    site, out = station(tmp_path, Style.PLAIN)

    def broken(text: str) -> int:
        raise BrokenPipeError(32, "Broken pipe")

    out.write = broken  # type: ignore[method-assign]
    warned: list[str] = []
    site.screen.warn = lambda text, _code=None: warned.append(text)  # type: ignore[method-assign]
    assert await work(site).run() == Exit.FAILED
    assert warned == ["Broken pipe"]


def test_a_picture_takes_what_no_terminal_can_show() -> None:
    out = io.StringIO()
    picture = Picture(out)
    picture.draw(["\ud800 [bold]x[/bold]"])
    picture.close()
    assert "[bold]x[/bold]" in out.getvalue()


@ensureDeferred
async def test_a_daemon_is_watched_from_driver_to_driver(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tapers_module, "LOOK", 0.01)
    place = make_place(tmp_path)
    service = serve(place)
    told = Told(Path(place.paths.tmpdir))
    told.tapers.begin()
    await told.until(lambda: told.tapers.running and told.told)
    (taper,) = told.tapers.running.values()

    def now(key: str) -> Any:
        assert taper.snapshot is not None
        return taper.snapshot[key]

    assert (now("service"), now("conversation")) == ("daemon", None)
    driver = await call(place)
    await driver.ask(START, "TAPER-OK")
    await told.until(lambda: any(one["state"] == "idle" for one in now("workers").values()))
    assert now("conversation")["log"] == str(place.log)
    driver.say("QUIT")
    await told.until(lambda: now("conversation") is None)
    assert now("workers") == {}
    assert taper.over is None
    await service.stopService()
    await told.until(lambda: taper.over is not None)
    assert not Path(taper.path).exists()
    told.tapers.close()

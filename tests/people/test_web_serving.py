"""``taperctl web``: where it listens, and who waits for the books that pages are made of."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from pytest_twisted import ensureDeferred
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from taper.last_words import CannotStart
from taper.people.web import serve
from taper.people.web.books import Books
from taper.people.web.library import FRESH, PATIENCE, Library
from taper.people.web.listening import read_place
from tests.people.nights import Nights
from tests.people.served import served_record, serving


def books() -> Books:
    return Nothing()  # type: ignore[return-value]


class Nothing:
    """Stands for books that nobody opens."""


class Threads(Clock):
    """A reactor whose threads end when the test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.running: list[Deferred[Books]] = []

    def call(self, _: object) -> Deferred[Books]:
        self.running.append(Deferred())
        return self.running[-1]


def library(monkeypatch: pytest.MonkeyPatch) -> tuple[Threads, Library]:
    clock = Threads()
    found = Library(clock, books)
    monkeypatch.setattr(found, "_lane", clock)
    return clock, found


def test_the_first_who_asks_waits_and_nobody_else_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, found = library(monkeypatch)
    first = [Deferred.fromCoroutine(found.books()) for _ in range(2)]
    clock.advance(1000)
    assert not any(one.called for one in first)
    old, new = books(), books()
    (reading,) = clock.running
    reading.callback(old)
    assert [one.result for one in first] == [old, old]
    clock.advance(FRESH)
    patient, hasty = (Deferred.fromCoroutine(found.books()) for _ in range(2))
    assert not patient.called
    clock.advance(PATIENCE)
    assert patient.result is hasty.result is old
    clock.running[-1].callback(new)
    assert Deferred.fromCoroutine(found.books()).result is new
    assert len(clock.running) == 2
    assert clock.getDelayedCalls() == []


def test_old_books_are_better_than_none(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, found = library(monkeypatch)
    first = Deferred.fromCoroutine(found.books())
    clock.running[-1].errback(PermissionError(13, "Permission denied", "/x"))
    assert first.result is None
    assert found.trouble is not None
    assert "Permission denied" in found.trouble
    clock.advance(FRESH)
    second = Deferred.fromCoroutine(found.books())
    clock.running[-1].callback(old := books())
    assert (second.result, found.trouble) == (old, None)
    clock.advance(FRESH)
    third = Deferred.fromCoroutine(found.books())
    clock.running[-1].errback(ValueError("nobody foresaw it"))
    assert third.result is old
    assert "nobody foresaw it" in str(found.trouble)


def test_where_it_may_listen() -> None:
    assert read_place("tcp:127.0.0.1:0", exposed=False).told(81) == "http://127.0.0.1:81/"
    assert read_place("tcp:[::1]:7", exposed=False).told(7) == "http://[::1]:7/"
    assert read_place("unix:/run/x", exposed=False).told(0) == "unix:/run/x"
    for open_to_all in ("tcp:0.0.0.0:80", "tcp:10.1.2.3:80", "tcp:[::]:80"):
        with pytest.raises(CannotStart, match="--expose"):
            read_place(open_to_all, exposed=False)
        assert not read_place(open_to_all, exposed=True).is_private
    for senseless in (
        "",
        "7480",
        "tcp:80",
        "tcp:localhost:80",
        "unix:",
        "tcp:127.0.0.1:99999",
        "x:1:1",
    ):
        with pytest.raises(CannotStart, match="unix:PATH or tcp:ADDRESS:PORT expected"):
            read_place(senseless, exposed=False)


@ensureDeferred
async def test_a_socket_for_the_dump_user_alone(tmp_path: Path) -> None:
    nights = Nights(tmp_path).make()
    path = tmp_path / "web"
    async with served_record(nights, "--listen", f"unix:{path}") as record:
        assert record == {"schema": "taper/web/1", "config": "C", "listening": f"unix:{path}"}
        assert path.stat().st_mode & 0o777 == 0o600
    assert not path.exists()


@ensureDeferred
async def test_a_port_that_somebody_has(tmp_path: Path) -> None:
    nights = Nights(tmp_path).make()
    async with serving(nights) as served:
        status, _ = await nights.run("web", "--listen", f"tcp:127.0.0.1:{served.port}")
    assert status == 1
    assert any("cannot listen at" in text for text in nights.said)


def test_a_process(tmp_path: Path) -> None:
    """It says where it is at once, and a signal ends it."""
    nights = Nights(tmp_path).make()
    command = [sys.executable, "-m", "taper.ctl", "web", "C", "--listen", "tcp:127.0.0.1:0"]
    environment = {
        **os.environ,
        "AMANDA_CONFIG_DIR": nights.paths.config_root,
        "AMANDA_TMPDIR": nights.paths.tmpdir,
        "AMANDA_DBGDIR": nights.paths.dbgdir,
        "AMANDA_STATE_DIR": nights.paths.statedir,
    }
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        try:
            assert process.stdout is not None
            where = process.stdout.readline().removeprefix("Serving C at ").rstrip()
            assert where.startswith("http://127.0.0.1:"), where or process.communicate()[1]
            with urllib.request.urlopen(f"{where}metrics") as reply:
                assert b"taper_catalogue_up 1.0" in reply.read()
            process.send_signal(signal.SIGTERM)
            assert process.communicate() == ("", "")
            assert process.returncode == 130
        finally:
            process.kill()


def test_a_package_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    def lacking(name: str) -> None:
        raise ImportError(name=name)

    monkeypatch.setattr(serve, "import_module", lacking)
    with pytest.raises(
        CannotStart, match=r"klein is not there: pip install 'twisted-taper\[web\]'"
    ):
        serve._load()

"""The first session with an NDMP server holds up nobody while its code is imported."""

from __future__ import annotations

import subprocess
import sys
import threading
from typing import Any

import pytest
from pytest_twisted import ensureDeferred
from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred, succeed

from devices import lane, ndmp_session
from devices.threads import ThreadRefused
from protocols.twisted_transports.ndmp import connect_session


class Connecting:
    """Stands in the place of what is imported."""

    def __init__(self) -> None:
        self.threads: list[threading.Thread] = []
        self.may = threading.Event()
        self.asked: list[tuple[Any, ...]] = []

    def imported(self) -> Any:
        self.threads.append(threading.current_thread())
        self.may.wait(60)
        return self.connect

    def connect(self, *words: Any, **named: Any) -> Deferred[Any]:
        self.asked.append((*words, named))
        return succeed("a session")


@pytest.fixture
def connecting(monkeypatch: pytest.MonkeyPatch) -> Connecting:
    made = Connecting()
    monkeypatch.setattr(ndmp_session, "_known", None)
    monkeypatch.setattr(ndmp_session, "_import", made.imported)
    return made


@ensureDeferred
async def test_the_first_session_is_made_when_a_thread_has_imported(connecting: Connecting) -> None:
    coming: Any = ndmp_session.connect(reactor, "host", 10000, auth="md5")
    assert not coming.called
    connecting.may.set()
    assert await coming == "a session"
    assert connecting.asked == [(reactor, "host", 10000, {"auth": "md5"})]
    assert connecting.threads != [threading.main_thread()]


@ensureDeferred
async def test_who_gives_up_meanwhile_gets_no_session(connecting: Connecting) -> None:
    coming: Any = ndmp_session.connect(reactor, "host", 10000)
    coming.cancel()
    connecting.may.set()
    with pytest.raises(CancelledError):
        await coming
    assert connecting.asked == []


@ensureDeferred
async def test_without_a_thread(connecting: Connecting, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(name: str, target: object) -> threading.Thread:
        raise ThreadRefused(name, RuntimeError("can't start new thread"))

    monkeypatch.setattr(lane, "start_thread", refuse)
    connecting.may.set()
    session: Any = await ndmp_session.connect(reactor, "host", 10000)
    assert session == "a session"


def test_what_is_imported() -> None:
    """Once; nothing of it comes with the devices themselves."""
    program = (
        "import sys, devices.ndmp, devices.changers.ndmp\n"
        "assert 'twisted.internet.endpoints' not in sys.modules\n"
        "assert 'protocols.twisted_transports.ndmp' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
    assert ndmp_session._import() is connect_session
    assert ndmp_session._known is connect_session

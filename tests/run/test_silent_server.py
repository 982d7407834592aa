"""An NDMP server that falls silent holds neither FAILED nor QUIT, whatever it was asked last."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from attrs import define
from pytest_twisted import ensureDeferred
from twisted.internet import reactor
from twisted.internet.defer import Deferred

from devices import ndmp_mover
from protocols.header import build_header
from protocols.twisted_transports import haste
from protocols.twisted_transports import ndmp as tx_ndmp
from tests.fakes.ndmp_server import LENIENT, Limits, Medium, NdmpServer, Phase
from tests.plane.dumping import HEADER
from tests.run.sessions import HANDLE, PATIENCE, START, WORKER, first
from tests.run.silent import DATA, ENDS, SilentRun
from tests.run.test_session import tell

FEW = 0.05
"""Seconds that stand for CLOSE_PATIENCE; all other deadlines are as they are, minutes and more."""


@define(eq=False)
class Mute:
    """From here on the server says nothing and does nothing.

    :ivar begun: fires then.
    """

    begun: Deferred[None]

    def apply(self, session: Any, data: bytes) -> None:
        if not self.begun.called:
            reactor.callLater(0, self.begun.callback, None)  # type: ignore[attr-defined]


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (haste, ndmp_mover):
        monkeypatch.setattr(module, "CLOSE_PATIENCE", FEW)
    monkeypatch.setattr(haste, "_LEAST", FEW)
    monkeypatch.setattr(tx_ndmp, "CLOSE_TIMEOUT", FEW)


class Run(SilentRun):
    """One conversation with a taper whose drive is on the server.

    :param nth: number of the request from which on the server is silent
    """

    def __init__(self, root: Path, nth: int) -> None:
        root.mkdir()
        drives = {"d": Medium(Limits.of_size(1 << 30))}
        self.server = server = NdmpServer(reactor, drives, LENIENT)  # type: ignore[arg-type]
        server.start()
        settings = 'device-property "INDIRECT" "false"\n'
        super().__init__(root, f"chg-single:{server.url('d')}", settings)
        self.mute = Mute(self.silent)
        self.fault = server.faults.plant(self.mute, None, Phase.REQUEST, nth=nth, times=None)

    async def from_client(self) -> None:
        """A dump whose client sends to the mover itself."""
        await self.ask(START, "TAPER-OK", "TAPE-ERROR")
        self.grant_all()
        split = '"" "" "" "" "" "" "" ""'
        line = f"PORT-WRITE {WORKER} {HANDLE} localhost /srv 0 20261123000000 {split} DIRECTTCP"
        words = (await self.ask(line, "PORT", "FAILED")).split(" ")
        deliver(("127.0.0.1", int(words[3])), build_header(HEADER, 32768, None))
        ended = first([self.heard.hear(word) for word in ENDS])
        self.heard.hear("DUMPER-STATUS").addCallbacks(lambda _: self.dumper_done(), lambda _: None)
        host, port = words[4].strip('"').split(";")[0].split(":")
        deliver((host, int(port)), DATA)
        assert (await ended).startswith("DONE")

    def dumper_done(self) -> None:
        tell(self.session, f"DONE {WORKER} {HANDLE} 25 11111111:1 22222222:2 00000000:0")

    @property
    def dumping(self) -> bool:
        """The driver was told of the ports and not yet of the end."""
        lines = self.heard.lines
        told = any(line.startswith("PORT") for line in lines)
        return told and not any(line.startswith(ENDS) for line in lines)

    async def quit(self) -> None:
        """All is released before anybody has lost patience."""
        ended = self.session.quit()
        ended.addTimeout(PATIENCE, reactor)  # type: ignore[arg-type]
        await ended
        await self.server.stop()


def deliver(address: tuple[str, int], data: bytes) -> None:
    """Send all of it in the background: nobody may take it."""

    def run() -> None:
        try:
            with socket.create_connection(address, 5) as link:
                link.sendall(data)
        except OSError:
            return  # the taper has given it up, which is what the test is about

    threading.Thread(target=run, daemon=True).start()


@pytest.mark.parametrize("story", [Run.from_holding, Run.from_client])
@ensureDeferred
async def test_quit_does_not_wait_for_the_answer(
    tmp_path: Path, story: Callable[[Run], Coroutine[Any, Any, None]]
) -> None:
    """Whichever request it was that the server no longer answered."""
    silent = True
    requests = 0
    while silent:
        requests += 1
        run = Run(tmp_path / str(requests), requests)
        silent = await run.until_silence(story(run))
        await run.quit()
    assert requests > 20


@ensureDeferred
async def test_failed_does_not_wait_for_the_answer(tmp_path: Path) -> None:
    """The dump ends as soon as its dumper has failed; the reply says whose fault it was."""
    silent, requests, failed = True, 0, 0
    while silent:
        requests += 1
        run = Run(tmp_path / str(requests), requests)
        silent = await run.until_silence(run.from_client())
        if silent and run.dumping:
            failed += 1
            end = await run.ask(f"FAILED {WORKER} {HANDLE}", *ENDS)
            assert " INPUT-ERROR " in end
        await run.quit()
    assert failed > 10

"""A server of the product in this process, its volumes in a directory, and clients of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from twisted.internet import reactor

from protocols.ndmp import messages as m
from protocols.ndmp.codes import ErrorCode, HaltReason, LogType, MoverMode, TapeMode
from protocols.ndmp.errors import NdmpRefused
from protocols.twisted_transports.ndmp import NdmpSession, connect_session
from taper.tapeserver.assembly import make_server
from taper.tapeserver.server import TapeServer
from taper.tapeserver.settings import read_settings
from tests.fakes.ndmp_peers import TIMEOUT, Peer, call

BLOCK = 32768


def write_settings(root: Path, server: str = "", *, drives: str = "") -> Path:
    """The settings of drives ``vt`` and ``sim`` and a library ``robot`` of ``d0`` and ``d1``."""
    for name in ("vt", "tree/slot1", "tree/slot2", "tree/slot4"):
        (root / name).mkdir(parents=True, exist_ok=True)
    accounts = root / "accounts"
    accounts.write_text("# who may come\nndmp:ndmp\n")
    accounts.chmod(0o600)
    path = root / "conf"
    drives = drives or (
        f"[drive vt]\nvtape = {root}/vt\n[drive sim]\nfile = {root}/sim\n"
        f"[library robot]\ndisk = {root}/tree\ndrives = d0 d1\n"
    )
    head = f"[server]\nlisten = 127.0.0.1:0\naccounts = {accounts}\n"
    path.write_text(f"{head}{server}\n{drives}")
    return path


class Serving:
    """The server, and those who have called it."""

    def __init__(self, path: Path) -> None:
        self.failures: list[object] = []
        self.server: TapeServer = make_server(reactor, read_settings(str(path)))
        self.server.failed = self.failures.append  # type: ignore[method-assign,assignment]
        self.server.start()
        self._sessions: list[NdmpSession] = []

    async def session(self, password: str = "ndmp", *, auth: str = "md5") -> NdmpSession:
        """A session that is logged in."""
        session = await connect_session(
            cast(Any, reactor),
            "127.0.0.1",
            self.server.port,
            username="ndmp",
            password=password,
            auth=auth,
            timeout=TIMEOUT,
        )
        self._sessions.append(session)
        return session

    async def end(self) -> None:
        """End all; the server itself must have had no fault."""
        for session in self._sessions:
            await session.close()
        await self.server.stop()
        assert self.failures == []
        assert not self.server.sessions


async def refusal(session: NdmpSession, request: m.Request[Any]) -> ErrorCode | int:
    """The error that a request is answered with."""
    try:
        await session.request(request)
    except NdmpRefused as refused:
        return refused.error
    return ErrorCode.NO_ERR


async def opened(session: NdmpSession, device: str = "vt", mode: TapeMode = TapeMode.RDWR) -> None:
    """Open a drive, with the mover's records as large as a vtape's."""
    await session.request(m.TapeOpen(device=device, mode=mode))
    await session.request(m.MoverSetRecordSize(size=BLOCK))


async def listening(session: NdmpSession, mode: MoverMode = MoverMode.READ) -> Peer:
    """Let the mover listen, and connect to it."""
    reply = await session.request(m.MoverListen(mode=mode))
    return await call(reply.address.addresses[0])


async def halted(session: NdmpSession) -> tuple[HaltReason | int, str]:
    """Why the mover halted, and what was said of it as an error."""
    post = await session.next_post(m.NotifyMoverHalted, TIMEOUT)
    assert isinstance(post, m.NotifyMoverHalted)
    said = [log for log in session.take_posts(m.LogMessage) if isinstance(log, m.LogMessage)]
    return post.reason, " ".join(log.text for log in said if log.kind == LogType.ERROR)

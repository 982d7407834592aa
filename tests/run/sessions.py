"""A configuration in a directory, with vtapes, for whole conversations in this process."""

from __future__ import annotations

import getpass
from pathlib import Path
from typing import Any

from attrs import define
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory, Protocol
from zope.interface import implementer

from protocols.driver.codec import encode
from protocols.driver.messages import Message
from taper.core.interfaces import IDriver
from taper.run.debug_log import DebugLog
from taper.run.options import Options
from taper.run.paths import Paths
from taper.run.setup import Setup, make_setup

PATIENCE = 60
"""Seconds after which a reply that does not come fails a test instead of stopping them all."""
STAMP = "20260101000000"
WORKER, HANDLE = "worker0-0", "00-00001"
START = f"START-TAPER taper0 {WORKER} C {STAMP}"

_CONF = """
dumpuser "{user}"
logdir "{root}/log"
tapelist "{root}/tapelist"
dtimeout {dtimeout}
debug-taper 1
tapetype T
define tapetype T {{
  length 10 mbytes
}}
define storage C {{
  tpchanger "chg-disk:{root}/vtapes"
  tapetype "T"
  labelstr "^C[0-9]+$"
  autolabel "C%%" any
  {more}
}}
storage "C"
"""


@define
class Place:
    """The directories of one configuration."""

    root: Path

    @property
    def log(self) -> Path:
        return self.root / "log" / "log"

    @property
    def paths(self) -> Paths:
        return Paths(
            config_root=str(self.root / "etc"),
            tmpdir=str(self.root / "tmp"),
            dbgdir=str(self.root / "dbg"),
            statedir=str(self.root / "state"),
        )

    def setup(self, **options: Any) -> Setup:
        debug = DebugLog(self.paths.dbgdir, 1_780_000_000.0)
        return make_setup(Options(config_name="C", **options), self.paths, debug, str(self.log))

    def logged(self) -> list[str]:
        """Kinds and bodies of the trace-log lines, without pids."""
        lines = self.log.read_text().splitlines()
        return [" ".join(word for word in line.split() if not word.isdigit()) for line in lines]


def make_place(
    root: Path, *, slots: int = 3, user: str | None = None, dtimeout: int = 5, more: str = ""
) -> Place:
    for number in range(1, slots + 1):
        (root / f"vtapes/slot{number}").mkdir(parents=True)
    for name in ("etc/C", "log", "tmp", "dbg", "state"):
        (root / name).mkdir(parents=True)
    (root / "tapelist").write_text("")
    text = _CONF.format(root=root, user=user or getpass.getuser(), dtimeout=dtimeout, more=more)
    (root / "etc/C/amanda.conf").write_text(text)
    return Place(root)


def write_line(holding: str, handle: str = HANDLE) -> str:
    """FILE-WRITE of what ``tests.plane.dumping.write_holding`` makes."""
    split = '"" "" "" "" "" "" "" ""'
    return f"FILE-WRITE {WORKER} {handle} {holding} localhost /srv 0 20261123000000 {split} 1"


@implementer(IDriver)
class Listener:
    """Hears the replies of a session; :meth:`hear` waits for one."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._awaited: list[tuple[str, Deferred[str]]] = []

    def send(self, reply: Message) -> None:
        self.take(encode(reply).decode().rstrip("\n"))

    def take(self, line: str) -> None:
        self.lines.append(line)
        for entry in list(self._awaited):
            word, deferred = entry
            if line.startswith(word):
                self._awaited.remove(entry)
                # later, as over a wire: a driver says nothing while the taper speaks
                reactor.callLater(0, deferred.callback, line)  # type: ignore[attr-defined]

    def hear(self, word: str) -> Deferred[str]:
        """The next reply that begins with ``word``; fails when none comes."""
        deferred: Deferred[str] = Deferred()
        deferred.addTimeout(PATIENCE, reactor)  # type: ignore[arg-type]
        self._awaited.append((word, deferred))
        return deferred


def first(ways: list[Deferred[str]]) -> Deferred[str]:
    """The first of the replies that comes; none in time fails it."""
    found: Deferred[str] = Deferred()
    found.addTimeout(PATIENCE, reactor)  # type: ignore[arg-type]

    def take(reply: str) -> None:
        if not found.called:
            found.callback(reply)
        for way in ways:
            way.cancel()

    for way in ways:
        way.addCallbacks(take, lambda _: None)
    return found


class DriverEnd(Protocol):
    """The driver's end of a connection to a taper."""

    def __init__(self) -> None:
        self.heard = Listener()
        self.gone: Deferred[None] = Deferred()
        self._rest = b""

    def say(self, *lines: str) -> None:
        assert self.transport is not None
        self.transport.write("".join(f"{line}\n" for line in lines).encode())

    def ask(self, line: str, word: str) -> Deferred[str]:
        """Say a line; the reply to it."""
        reply = self.heard.hear(word)
        self.say(line)
        return reply

    def dataReceived(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self.heard.take(line.decode())

    def connectionLost(self, reason: Any = None) -> None:
        self.gone.callback(None)


def driver_factory() -> Factory:
    return Factory.forProtocol(DriverEnd)

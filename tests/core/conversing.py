"""A conversation with the core: commands in as lines, replies and log lines out, no process.

:class:`Conversation` is the whole program but for its edges: the real controller, workers, scribe,
scan, retention and data plane; drives, media, logs and clock are in memory.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Mapping

from attrs import evolve
from twisted.internet.task import Clock

from protocols.conf import Config, load
from protocols.driver.codec import BadLine, decode_command
from protocols.driver.commands import FileWrite, PortWrite, ShmWrite
from protocols.driver.messages import Message
from protocols.driver.replies import RequestNewTape
from protocols.header import Header, HeaderType
from protocols.tapelist import TapelistEntry
from protocols.tracelog import Info, Part
from taper.core.controller import Controller
from taper.core.scan import make_scan
from taper.core.world import World
from taper.flow.interfaces import FlowContext
from taper.plane.crc import RunningCrc
from tests.core.steps import Steps
from tests.core.stocked import StockedChanger, Tape
from tests.core.surroundings import (
    Dumped,
    FakeConsole,
    FakeDriver,
    FakeHistory,
    FakeLook,
    FakeStatusFiles,
    FakeTraceLog,
    MemoryOrigins,
    SteppedTapelists,
)
from tests.core.vaulting import FakeVaults, Reactor, TurningFlows

RUN = "20260601010101"
WORKER, HANDLE = "worker0-0", "00-00001"
START = f"START-TAPER taper0 {WORKER} PROTO {RUN}"
PLAIN = '"" "" "" "" "" "" "" ""'
LIMIT = 20000
"""Steps of the longest conversation; more means that it never ends."""

_CONF = """
org "Org"
tapecycle {tapecycle}
tapetype T
define tapetype T {{
  length 10 mbytes
}}
define policy keep {{
}}
define storage PROTO {{
  tpchanger "chg-disk:/nowhere"
  tapepool "PROTO"
  policy "keep"
  labelstr "^PROTO[0-9][0-9]$"
  autolabel {autolabel}
  {more}
}}
storage "PROTO"
"""


def configuration(
    *, autolabel: str = '"PROTO%%" any', tapecycle: int = 2, more: str = ""
) -> Config:
    """The configuration ``PROTO`` with storage and pool of that name."""
    text = _CONF.format(autolabel=autolabel, tapecycle=tapecycle, more=more)
    loaded = load("PROTO", {"/etc/amanda/PROTO/amanda.conf": text.encode()}.get)
    assert not [message.text for message in loaded.messages]
    return loaded.config


def split_by(part_size: int, cache: str = '""', limit: str = '""') -> str:
    """The eight splitting fields for the tapetype's values."""
    return f'"" "" "" 1 {part_size} {cache} "" {limit}'


def file_write(
    name: str = "HF", handle: str = HANDLE, split: str = PLAIN, worker: str = WORKER, kb: str = "64"
) -> str:
    return f"FILE-WRITE {worker} {handle} {name} localhost /home 0 20260101000000 {split} {kb}"


def port_write(
    handle: str = HANDLE, split: str = PLAIN, worker: str = WORKER, path: str = "AMANDA"
) -> str:
    return f"PORT-WRITE {worker} {handle} localhost /var 0 20260101000000 {split} {path}"


def shm_write(handle: str = HANDLE, split: str = PLAIN, worker: str = WORKER) -> str:
    return f"SHM-WRITE {worker} {handle} localhost /var 0 20260101000000 {split} AMANDA"


def content(size: int, seed: int = 1) -> bytes:
    """Bytes that differ from place to place."""
    block = b"".join((seed * 7919 + n).to_bytes(4, "big") for n in range(256))
    return (block * (size // len(block) + 1))[:size]


def crc_text(data: bytes) -> str:
    crc = RunningCrc()
    crc.update(memoryview(data))
    return str(crc.value())


class Conversation:
    """One conversation.

    :ivar ended: how often the controller said that all is over.
    :ivar granting: answer each REQUEST-NEW-TAPE with START-SCAN and NEW-TAPE.
    """

    def __init__(
        self,
        *tapes: Tape,
        entries: Iterable[TapelistEntry] = (),
        config: Config | None = None,
        granting: bool = True,
        dumps: Mapping[str, Dumped] | None = None,
        dumpers: Iterable[Dumped] = (),
        algorithm: str = "traditional",
    ) -> None:
        self.config = config or configuration()
        self.moments = Steps()
        self.clock = Clock()
        self.driver = FakeDriver()
        self.driver.on_reply = self._answer
        self.log = FakeTraceLog(self.moments)
        self.console = FakeConsole()
        self.status = FakeStatusFiles(self.moments)
        self.tapes = {str(number): tape for number, tape in enumerate(tapes, 1)}
        self.changer = StockedChanger(self.tapes, self.moments)
        self.tapelists = SteppedTapelists(self.moments, entries)
        self.vaults = FakeVaults(self.moments)
        self.origins = MemoryOrigins(self.moments, self.vaults.origin)
        self.origins.dumps.update(dumps or {})
        self.origins.dumpers.extend(dumpers)
        self.look = FakeLook(self.moments)
        self.debugged: list[str] = []
        self.granting = granting
        self.inbox: deque[str] = deque()
        self.commands: list[Message] = []
        self.ended = 0
        self.quits = 0
        history = FakeHistory(self.moments, self.config)
        storage = self.config.storage("PROTO")
        assert storage is not None
        scan = make_scan(
            algorithm,
            storage=storage,
            config=self.config,
            changer=self.changer,
            tapelists=self.tapelists,
            retention=history.retention,
            note=lambda text: self.log.records.append(Info(text)),
            refresh=history.refresh,
        )
        self.world = World(
            config=self.config,
            storage=storage,
            driver=self.driver,
            changer=self.changer,
            trace_log=self.log,
            console=self.console,
            tapelists=self.tapelists,
            history=history,
            scan=scan,
            origins=self.origins,
            flows=TurningFlows(self._context(), self.moments, self.vaults.threads),
            look=self.look,
            vaults=self.vaults,
            status_files=self.status,
            clock=self.clock,
            debug=self.debugged.append,
        )
        self.controller = Controller(self.world, self._quitting, self._over)

    def _context(self) -> FlowContext:
        return evolve(self.vaults.context(), reactor=Reactor(self.clock, self.vaults.threads))

    def _quitting(self) -> None:
        self.quits += 1

    def _over(self) -> None:
        self.ended += 1

    def _answer(self, reply: Message) -> None:
        if self.granting and isinstance(reply, RequestNewTape):
            self.inbox.append(f"START-SCAN {reply.worker} {reply.handle}")
            self.inbox.append(f"NEW-TAPE {reply.worker} {reply.handle}")

    # Talking

    def tell(self, line: str) -> None:
        """Say one line now."""
        message = decode_command(line.encode("utf-8", "surrogateescape"))
        if isinstance(message, BadLine):
            self.controller.bad_line_received(message)
        elif message is not None:
            if isinstance(message, FileWrite | PortWrite | ShmWrite):
                self.origins.next_header = _header(message)
            self.commands.append(message)
            self.controller.command_received(message)

    def step(self) -> bool:
        """One command that waits, or one operation. :return: False if nothing is left to do"""
        if self.inbox:
            self.tell(self.inbox.popleft())
            return True
        return self.vaults.threads.call() or self.moments.step()

    def settle(self) -> None:
        """Go on until nothing moves any more."""
        for _ in range(LIMIT):
            if not self.step():
                return
        raise AssertionError(f"no end: {self.moments.done[-20:]}")

    def say(self, *lines: str) -> list[str]:
        """Say lines, let all happen that follows; the replies."""
        before = len(self.driver.lines)
        for line in lines:
            self.tell(line)
        self.settle()
        return self.driver.lines[before:]

    def until(self, name: str, *, times: int = 1) -> None:
        """Go on until an operation of this name is next."""
        for _ in range(LIMIT):
            if self.moments.waiting and self.moments.waiting[0][0] == name and not self.inbox:
                times -= 1
                if not times:
                    return
            assert self.step(), f"{name} never came: {self.moments.done}"

    def until_reply(self, word: str) -> None:
        """Go on until a reply with this name was sent."""
        before = len(self.driver.lines)
        for _ in range(LIMIT):
            if any(line.split(" ")[0] == word for line in self.driver.lines[before:]):
                return
            assert self.step(), f"no {word}: {self.driver.lines[before:]}"

    def quit(self) -> list[str]:
        """QUIT, and all that follows; checks that everything is given back."""
        replies = self.say("QUIT")
        self.check_released()
        return replies

    # What came of it

    def words(self) -> list[str]:
        """The names of all replies."""
        return [line.split(" ")[0] for line in self.driver.lines]

    def logged(self, word: str = "") -> list[str]:
        """Trace-log lines that begin with ``word``, times masked."""
        return [mask(line) for line in self.log.lines if line.startswith(word)]

    def stored(self, host_disk: str = "localhost /home") -> bytes:
        """The dump's bytes, from the volumes, by the PART lines of the trace log."""
        parts: dict[int, bytes] = {}
        for record in self.log.records:
            if isinstance(record, Part) and f"{record.host} {record.disk}" == host_disk:
                tape = next(t for t in self.tapes.values() if t.medium.label == record.label)
                parts[record.partnum] = tape.stored(record.fileno)
        assert sorted(parts) == list(range(1, len(parts) + 1))
        return b"".join(parts[number] for number in sorted(parts))

    def check_released(self) -> None:
        """After QUIT: all ended, once; nothing held, running or left behind."""
        assert (self.quits, self.ended) == (1, 1)
        assert self.changer.reserved == []
        assert self.vaults.held == []
        assert not self.moments.waiting
        assert self.status.there == []
        assert all(origin.closed for origin in self.origins.made if origin.begun)

    def check_sound(self) -> None:
        """Nothing went wrong in a way nobody foresaw."""
        trouble = [text for text in (*self.debugged, *self.console.lines) if "internal" in text]
        trouble += [line for line in self.driver.lines if "internal error" in line]
        trouble += [text for text in self.debugged if "Traceback" in text]
        assert not trouble, trouble


def _header(command: FileWrite | PortWrite | ShmWrite) -> Header:
    return Header(
        type=HeaderType.DUMPFILE,
        datestamp=command.datestamp,
        host=command.hostname,
        disk=command.diskname,
        level=int(command.level) if command.level.isdigit() else 0,
        program="/usr/bin/tar",
    )


def mask(line: str) -> str:
    """A line without what differs from run to run: times, rates, names of status files."""
    line = re.sub(r"\[sec \S+ bytes (\d+) kps \S+( orig-kb [^]]*)?\]", r"[\1\2]", line)
    return re.sub(r"taper_status_file_\w+", "STATUS", line)


def masked(lines: Iterable[str]) -> list[str]:
    return [mask(line) for line in lines]

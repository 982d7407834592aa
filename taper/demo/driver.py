"""The driver of the demonstration: it starts a taper and talks to it as Amanda's driver does."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Callable
from typing import Any

from attrs import frozen
from twisted.internet.defer import DeferredQueue
from twisted.internet.defer import TimeoutError as Silence
from twisted.internet.protocol import Factory
from twisted.internet.threads import deferToThread

from protocols.driver import commands, replies
from protocols.driver.codec import BadLine
from protocols.driver.messages import Message, SplitFields
from protocols.header import Header
from protocols.twisted_transports.driver import TaperProtocol
from taper.demo.dumper import Dumper
from taper.demo.running import end
from taper.demo.screen import DemoFailed
from taper.demo.stage import CONFIG, Stage

WORKER = "worker0-0"
END_SECONDS = 30.0
SILENCE_SECONDS = 120.0

# after NO-NEW-TAPE the taper says itself how the dump ends
_NEWS = (replies.NewTape, replies.NoNewTape, replies.Ready, replies.PartDone)

Result = replies.Done | replies.Partial | replies.Failed


class _Gone(Message, name="(gone)"):
    """The taper closed the conversation."""


@frozen
class Dump:
    """One dump.

    :ivar kind: the command that writes it
    :ivar header: as the dumper makes it
    """

    kind: str
    handle: str
    header: Header

    @property
    def where(self) -> dict[str, str]:
        """The fields that say which dump a write command is about."""
        header = self.header
        return {
            "worker": WORKER,
            "handle": self.handle,
            "hostname": header.host,
            "diskname": header.disk,
            "level": str(header.level),
            "datestamp": header.datestamp,
        }


class Driver:
    """Drives one taper process.

    :param watch: hears every reply, before it is acted on
    :param moved: asks for the bytes that moved so far; a taper that neither says anything nor
        moves anything is stuck
    """

    def __init__(
        self,
        reactor: Any,
        stage: Stage,
        watch: Callable[[Message], None] = lambda _: None,
        moved: Callable[[], int] = lambda: 0,
    ) -> None:
        self._reactor = reactor
        self._stage = stage
        self._watch = watch
        self._moved = moved
        self._replies: DeferredQueue[Message] = DeferredQueue()
        self._protocol = TaperProtocol(self._heard, lambda: self._replies.put(_Gone()))
        self._process: subprocess.Popen[bytes] | None = None
        self._split = SplitFields(dle_allow_split=True, part_size=stage.part_size)

    # Process

    async def start(self, timestamp: str) -> float:
        """Start the taper and its worker.

        :return: seconds until it was ready
        :raise DemoFailed: it found no volume, or did not start
        """
        began = time.monotonic()
        self._spawn()
        self._protocol.send(commands.StartTaper("taper0", WORKER, CONFIG, timestamp))
        reply = await self._reply()
        if not isinstance(reply, replies.TaperOk):
            raise _unexpected(reply, "TAPER-OK")
        return time.monotonic() - began

    def _spawn(self) -> None:
        ours, theirs = socket.socketpair()
        with theirs, open(self._stage.stderr, "wb") as stderr:
            # fd 0 and 1 are one end of a socketpair; a session of its own: Ctrl-C is for us alone
            self._process = subprocess.Popen(
                self._stage.taper_command(),
                stdin=theirs.fileno(),
                stdout=theirs.fileno(),
                stderr=stderr,
                cwd=self._stage.path("tmp"),
                env=self._stage.environment(),
                start_new_session=True,
            )
        with ours:
            ours.setblocking(False)
            factory = Factory.forProtocol(lambda: self._protocol)
            self._reactor.adoptStreamConnection(ours.fileno(), socket.AF_UNIX, factory)

    async def finish(self) -> None:
        """Let the taper close its volume and end.

        :raise DemoFailed: it does not end, or not with status 0
        """
        self._protocol.send(commands.CloseVolume(WORKER))
        reply = await self._reply()
        if not isinstance(reply, replies.ClosedVolume):
            raise _unexpected(reply, "CLOSED-VOLUME")
        self._protocol.send(commands.Quit())
        reply = await self._reply()
        if not isinstance(reply, _Gone):
            raise _unexpected(reply, "nothing after QUIT")
        status = await self._ended()
        if status:
            raise DemoFailed(f"the taper ended with status {status} instead of 0")

    async def _ended(self) -> int | None:
        """Wait for the process, not for ever. :return: its status"""
        assert self._process is not None
        try:
            return await deferToThread(self._process.wait, END_SECONDS)
        except subprocess.TimeoutExpired:
            late = f"the taper did not end within {END_SECONDS:.0f} s of QUIT"
            raise DemoFailed(late) from None

    def kill(self) -> None:
        """Leave no process behind, however the demonstration went."""
        if self._process is not None and self._process.poll() is None:
            end(self._process)

    # Conversation

    def _heard(self, message: Message | BadLine) -> None:
        if isinstance(message, BadLine):
            message = replies.BadCommand(f"a line that is no reply: {message.text}")
        self._replies.put(message)

    async def _reply(self) -> Message:
        while True:
            before = self._moved()
            try:
                reply = await self._replies.get().addTimeout(SILENCE_SECONDS, self._reactor)
            except Silence:
                if self._moved() == before:
                    silence = f"{SILENCE_SECONDS:.0f} s"
                    raise DemoFailed(f"the taper said and wrote nothing for {silence}") from None
            else:
                self._watch(reply)
                return reply

    async def file_write(self, dump: Dump, first_chunk: str) -> Result:
        """Let the taper write a dump from the holding disk."""
        orig_kb = str(dump.header.orig_size)
        self._protocol.send(
            commands.FileWrite(
                **dump.where, filename=first_chunk, split=self._split, orig_kb=orig_kb
            )
        )
        return await self._follow(dump, None)

    async def port_write(self, dump: Dump, dumper: Dumper, data_path: str = "AMANDA") -> Result:
        """Let the taper write a dump that a dumper sends."""
        self._protocol.send(
            commands.PortWrite(**dump.where, split=self._split, data_path=data_path)
        )
        try:
            return await self._follow(dump, dumper)
        finally:
            await dumper.stop()

    async def _follow(self, dump: Dump, dumper: Dumper | None) -> Result:
        """Answer until the dump is over."""
        this = WORKER, dump.handle
        while True:
            reply = await self._reply()
            if isinstance(reply, Result):
                return reply
            if isinstance(reply, replies.RequestNewTape):
                self._protocol.send(commands.StartScan(*this))
                self._protocol.send(commands.NewTape(*this))
            elif isinstance(reply, replies.Port) and dumper is not None:
                dumper.start(reply, lambda: self._protocol.send(commands.Failed(*this)))
            elif isinstance(reply, replies.DumperStatus) and dumper is not None:
                crc = await dumper.finished()
                if crc is not None:
                    kib = str(-(-crc.size // 1024))
                    self._protocol.send(commands.Done(*this, kib, crc, crc, crc))
            elif not isinstance(reply, _NEWS):
                raise _unexpected(reply, f"an answer to {dump.kind}")


def _unexpected(reply: Message, wanted: str) -> DemoFailed:
    if isinstance(reply, _Gone):
        return DemoFailed(f"the taper ended when {wanted} was expected")
    if isinstance(reply, replies.BadCommand | replies.TapeError):
        return DemoFailed(f"the taper said {reply.name}: {reply.text}")
    said = " ".join([reply.name, *(f"{name}={getattr(reply, name)}" for name in reply.fields)])
    return DemoFailed(f"the taper said {said} when {wanted} was expected")

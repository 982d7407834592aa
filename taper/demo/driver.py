"""The driver of the demonstration: it starts a taper and talks to it as Amanda's driver does."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import time
from collections.abc import Callable
from typing import Any

from attrs import field, frozen
from twisted.internet.defer import Deferred, DeferredQueue
from twisted.internet.defer import TimeoutError as Silence
from twisted.internet.protocol import Factory
from twisted.internet.threads import blockingCallFromThread, deferToThread

from protocols.crc import Crc
from protocols.directtcp import Address, AddressError
from protocols.driver import commands, replies
from protocols.driver.codec import BadLine
from protocols.driver.messages import Message, SplitFields
from protocols.header import Header, build_header
from protocols.twisted_transports.driver import TaperProtocol
from protocols.twisted_transports.indirect import IndirectError, resolve
from taper.demo.screen import DemoFailed
from taper.demo.stage import CONFIG, HEADER_SIZE, Stage
from taper.demo.tar import Tar

WORKER = "worker0-0"
END_SECONDS = 30.0
SILENCE_SECONDS = 120.0
_POLL_SECONDS = 0.02

# after NO-NEW-TAPE the taper says itself how the dump ends
_NEWS = (replies.NewTape, replies.NoNewTape, replies.Ready, replies.PartDone)

Result = replies.Done | replies.Partial | replies.Failed


class _Gone(Message, name="(gone)"):
    """The taper closed the conversation."""


@frozen(kw_only=True)
class Dump:
    """One dump.

    :ivar kind: the command that writes it
    :ivar letter: its name in the layout
    :ivar header: as the dumper makes it
    :ivar tar: makes the data
    """

    kind: str
    letter: str
    handle: str
    header: Header
    tar: Tar = field(eq=False)

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
        watch: Callable[[Message], None],
        moved: Callable[[], int],
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
        for _ in range(int(END_SECONDS / _POLL_SECONDS)):
            status = self._process.poll()
            if status is not None:
                return status
            await self._sleep(_POLL_SECONDS)
        raise DemoFailed(f"the taper did not end within {END_SECONDS:.0f} s of QUIT")

    def _sleep(self, seconds: float) -> Deferred[None]:
        done: Deferred[None] = Deferred(lambda _: call.cancel())
        call = self._reactor.callLater(seconds, done.callback, None)
        return done

    def kill(self) -> None:
        """Leave no process behind, however the demonstration went."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(timeout=5)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

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

    async def port_write(self, dump: Dump, sender: Sender) -> Result:
        """Let the taper write a dump that comes over TCP."""
        self._protocol.send(commands.PortWrite(**dump.where, split=self._split, data_path="AMANDA"))
        try:
            return await self._follow(dump, sender)
        finally:
            await sender.stop()

    async def _follow(self, dump: Dump, sender: Sender | None) -> Result:
        """Answer until the dump is over."""
        while True:
            reply = await self._reply()
            if isinstance(reply, Result):
                return reply
            if isinstance(reply, replies.RequestNewTape):
                self._protocol.send(commands.StartScan(WORKER, dump.handle))
                self._protocol.send(commands.NewTape(WORKER, dump.handle))
            elif isinstance(reply, replies.Port) and sender is not None:
                sender.start(reply)
            elif isinstance(reply, replies.DumperStatus) and sender is not None:
                self._protocol.send(await sender.status())
            elif not isinstance(reply, _NEWS):
                raise _unexpected(reply, f"an answer to {dump.kind}")


def _unexpected(reply: Message, wanted: str) -> DemoFailed:
    if isinstance(reply, _Gone):
        return DemoFailed(f"the taper ended when {wanted} was expected")
    if isinstance(reply, replies.BadCommand | replies.TapeError):
        return DemoFailed(f"the taper said {reply.name}: {reply.text}")
    said = " ".join([reply.name, *(f"{name}={getattr(reply, name)}" for name in reply.fields)])
    return DemoFailed(f"the taper said {said} when {wanted} was expected")


class Sender:
    """The dumper of a PORT-WRITE: header port, then data port [protocol 5.2]."""

    def __init__(self, dump: Dump) -> None:
        self._dump = dump
        self._link: socket.socket | None = None
        self._running: Deferred[Crc] | None = None

    def start(self, reply: replies.Port) -> None:
        """Begin to send to the ports that the taper named."""
        self._running = deferToThread(self._send, reply)

    def _send(self, reply: replies.Port) -> Crc:
        from twisted.internet import reactor as twisted_reactor

        reactor: Any = twisted_reactor
        block = build_header(self._dump.header, HEADER_SIZE, None)
        with socket.create_connection(("localhost", reply.header_port)) as link:
            link.sendall(block)
        offered = tuple(Address.parse(address) for address in reply.ipports)
        asked: tuple[Address, ...] = blockingCallFromThread(
            reactor, resolve, reactor, offered, SILENCE_SECONDS
        )
        with socket.create_connection((asked[0].host, asked[0].port)) as link:
            self._link = link
            return self._dump.tar.dump_to(link.sendall)

    async def status(self) -> Message:
        """What a dumper reports, once all is sent."""
        assert self._running is not None
        running, self._running = self._running, None
        handle = self._dump.handle
        try:
            crc: Crc = await running
        except (OSError, AddressError, IndirectError) as fault:
            raise DemoFailed(f"{self._dump.kind}: the data could not be sent: {fault}") from fault
        if self._dump.tar.died:
            return commands.Failed(WORKER, handle)
        orig_kb = str(-(-crc.size // 1024))
        return commands.Done(WORKER, handle, orig_kb, crc, crc, crc)

    async def stop(self) -> None:
        """Stop sending, if it still does; what goes wrong then is of no interest."""
        if self._running is None:
            return
        running, self._running = self._running, None
        self._dump.tar.stop()
        if self._link is not None:
            with contextlib.suppress(OSError):  # nothing to shut down any more
                self._link.shutdown(socket.SHUT_RDWR)
        await running.addErrback(lambda _: None)

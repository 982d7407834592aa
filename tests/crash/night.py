"""The driver's part of one run, in the process of the taper."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from typing import Any, Protocol

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread
from zope.interface import implementer

from protocols.driver.codec import decode_command, encode
from protocols.driver.messages import Message
from protocols.header import Header, HeaderType, build_header
from taper.core.interfaces import IDriver
from taper.run.session import Session
from tests.conformance.producer import Producer
from tests.crash.stage import Dumped, Here
from tests.run.sessions import PATIENCE

ENDS = ("DONE", "PARTIAL", "FAILED")
WORKER = "worker0-0"
NO_SPLIT = '"" "" "" "" "" "" "" ""'


def split(part: int, cache: str = "none", directory: str = "", most: int | str = "") -> str:
    """The eight fields for parts of so many bytes."""
    return f'"" "" "" 1 {part} {cache} "{directory}" "{most}"'


class Witness(Protocol):
    """Notes what is said."""

    def told(self, line: str) -> None: ...

    def heard(self, line: str) -> None: ...


class Silent:
    """A witness who notes nothing."""

    def told(self, line: str) -> None:
        """Whatever it is."""

    def heard(self, line: str) -> None:
        """Whatever it is."""


class NotReady(Exception):
    """No volume was found for a worker."""


class Talk:
    """What a driver says and hears.

    :ivar lines: the replies.
    :ivar grants: answers REQUEST-NEW-TAPE, given the worker and the handle.
    """

    def __init__(self, witness: Witness, say: Callable[[str], None]) -> None:
        self.lines: list[str] = []
        self._witness = witness
        self._say = say
        self._awaited: list[tuple[tuple[str, ...], Deferred[str]]] = []
        self._feeds: dict[str, Callable[[list[str]], None]] = {}
        self.grants: Callable[[str, str], None] = self.grant

    def say(self, line: str) -> None:
        self._witness.heard(line)
        self._say(line)

    def take(self, line: str) -> None:
        """The taper replied."""
        self.lines.append(line)
        words = line.split(" ")
        if words[0] == "REQUEST-NEW-TAPE":
            self._later(self.grants, words[1], words[2])
        elif words[0] in ("PORT", "SHM-NAME"):
            self._later(self._feeds.pop(words[2]), words)
        for entry in list(self._awaited):
            prefixes, deferred = entry
            if line.startswith(prefixes):
                self._awaited.remove(entry)
                self._later(deferred.callback, line)

    @staticmethod
    def _later(call: Callable[..., object], *arguments: Any) -> None:
        reactor.callLater(0, call, *arguments)

    def hear(self, *prefixes: str) -> Deferred[str]:
        """The next reply that begins so."""
        deferred: Deferred[str] = Deferred()
        deferred.addTimeout(PATIENCE, reactor)
        self._awaited.append((prefixes, deferred))
        return deferred

    def grant(self, worker: str, handle: str) -> None:
        """Give the volume that was asked for."""
        self.say(f"START-SCAN {worker} {handle}")
        self.say(f"NEW-TAPE {worker} {handle}")

    # commands

    async def start(self, stamp: str, worker: str = WORKER) -> None:
        ready = self.hear(f"TAPER-OK {worker}", f"TAPE-ERROR {worker}")
        self.say(f"START-TAPER taper0 {worker} C {stamp}")
        line = await ready
        if not line.startswith("TAPER-OK"):
            raise NotReady(line)

    def ending(self, dump: Dumped, worker: str = WORKER) -> Deferred[str]:
        """The reply that ends a dump."""
        return self.hear(*(f"{word} {worker} {dump.handle} " for word in ENDS))

    def file_write(
        self, dump: Dumped, holding: str, how: str = NO_SPLIT, worker: str = WORKER
    ) -> Deferred[str]:
        """Ask for a dump from a holding disk. :return: the reply that ends it"""
        end = self.ending(dump, worker)
        self.say(
            f"FILE-WRITE {worker} {dump.handle} {holding} localhost {dump.disk} 0 "
            f"{dump.datestamp} {how} 64"
        )
        return end

    def port_write(
        self,
        dump: Dumped,
        how: str = NO_SPLIT,
        worker: str = WORKER,
        sent: Callable[[], None] | None = None,
    ) -> Deferred[str]:
        """Ask for a dump that a dumper sends; all of it, and DONE follows.

        :param sent: called instead of DONE
        """
        return self._from_dumper("PORT-WRITE", dump, how, worker, _deliver, sent)

    def shm_write(self, dump: Dumped, how: str = NO_SPLIT, worker: str = WORKER) -> Deferred[str]:
        """Ask for a dump that comes through a ring in shared memory."""
        return self._from_dumper("SHM-WRITE", dump, how, worker, _put_in_ring, None)

    def _from_dumper(
        self,
        command: str,
        dump: Dumped,
        how: str,
        worker: str,
        deliver: Callable[[list[str], Dumped], None],
        sent: Callable[[], None] | None,
    ) -> Deferred[str]:
        end = self.ending(dump, worker)

        def bring(words: list[str]) -> None:
            delivered = deferToThread(deliver, words, dump)
            delivered.addCallback(lambda _: (sent or done)())
            delivered.addErrback(end.errback)

        def done() -> None:
            self.say(f"DONE {worker} {dump.handle} 64 00000000:0 00000000:0 00000000:0")

        self._feeds[dump.handle] = bring
        self.say(
            f"{command} {worker} {dump.handle} localhost {dump.disk} 0 {dump.datestamp} "
            f"{how} AMANDA"
        )
        return end

    async def ask(self, line: str, *prefixes: str) -> str:
        reply = self.hear(*prefixes)
        self.say(line)
        return await reply


def _deliver(words: list[str], dump: Dumped) -> None:
    _send_header(words, dump)
    host, port = words[4].strip('"').rsplit(":", 1)
    with socket.create_connection((host, int(port)), timeout=PATIENCE) as peer:
        peer.sendall(dump.data)


def _put_in_ring(words: list[str], dump: Dumped) -> None:
    producer = Producer(words[4])
    _send_header(words, dump)
    producer.send(dump.data)


def _send_header(words: list[str], dump: Dumped) -> None:
    header = Header(
        type=HeaderType.DUMPFILE,
        datestamp=dump.datestamp,
        host="localhost",
        disk=dump.disk,
        program="/usr/bin/tar",
    )
    with socket.create_connection(("127.0.0.1", int(words[3])), timeout=PATIENCE) as peer:
        peer.sendall(build_header(header, 32768, None))


@implementer(IDriver)
class Ear:
    """Takes the replies of a session."""

    def __init__(self, witness: Witness) -> None:
        self._witness = witness
        self.talk: Talk | None = None

    def send(self, reply: Message) -> None:
        line = encode(reply).decode("utf-8", "surrogateescape").rstrip("\n")
        self._witness.told(line)
        assert self.talk is not None
        self.talk.take(line)


class Night:
    """A run: a session, and the driver's talk with it."""

    def __init__(self, place: Here, witness: Witness | None = None) -> None:
        witness = witness or Silent()
        ear = Ear(witness)
        self._setup = place.setup()
        self.session = Session(reactor, self._setup, ear)
        self.talk = ear.talk = Talk(witness, self._command)
        try:
            self.session.begin()
            self.session.open()
        except BaseException:
            self._close_debug_log()
            raise

    def _command(self, line: str) -> None:
        message = decode_command(line.encode())
        assert isinstance(message, Message), line
        assert self.session.controller is not None
        self.session.controller.command_received(message)

    async def quit(self) -> None:
        ended = self.session.quit()
        ended.addTimeout(PATIENCE, reactor)
        try:
            await ended
        finally:
            self._close_debug_log()

    def _close_debug_log(self) -> None:
        """As the process would; thousands of runs are made here in one."""
        self._setup.debug.close(self._setup.config.general.debug_days, time.time())

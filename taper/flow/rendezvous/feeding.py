"""The data connections of a dump that is read from its application: the reactor's side."""

from __future__ import annotations

import logging
import socket
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import (
    CancelledError,
    Deferred,
    DeferredList,
    FirstError,
    TimeoutError,
    succeed,
)
from twisted.internet.task import deferLater

from devices.callers import Callers, plain_host
from devices.directtcp import Wait, accept_one, wait_in_lane
from devices.door import Door, peer
from devices.errors import DeviceError
from protocols.crc import UNKNOWN, Crc
from protocols.rendezvous.frames import Cannot, Sending, Why
from protocols.rendezvous.times import END_PATIENCE, FIRST_PAUSE, LONGEST_PAUSE, VERDICT_PATIENCE
from taper.core.errors import SourceFault
from taper.flow.rendezvous.ports import open_ports
from taper.plane.interfaces import reason

if TYPE_CHECKING:
    from protocols.directtcp import Address
    from taper.flow.interfaces import FlowContext
    from taper.flow.rendezvous.meeting import Meeting
    from taper.flow.rendezvous.terms import Terms

COME_PATIENCE = END_PATIENCE
"""Seconds for a data connection that the application has made to come here."""

_log = logging.getLogger(__name__)


class Feeding:
    """Gets the connections that a dump is read from, one after another (the reactor's side).

    :param patience: seconds without a byte after which no other attempt is made
    """

    def __init__(self, context: FlowContext, meeting: Meeting, terms: Terms) -> None:
        self._reactor = context.reactor
        self._patience = context.patience
        self._lane = context.make_lane("rendezvous data")
        self._meeting = meeting
        self._terms = terms
        self._last: int | None = None
        self._since = 0.0
        self._pause = FIRST_PAUSE
        self._connections: list[socket.socket] = []
        self._seeking: Deferred[socket.socket | None] | None = None
        self._retired = False
        self._fault: str | None = None
        self._before = UNKNOWN

    def next(self, offset: int, before: Crc, lost: str | None) -> Deferred[socket.socket | None]:
        """A connection that brings the dump from byte ``offset`` on.

        :param before: checksum of the bytes before it, if it is known
        :param lost: why the one before brings no more; empty: it ended in good order
        :return: None: there are no more bytes, for this one. Fails with SourceFault
        """
        if self._retired:
            return succeed(None)
        seeking = Deferred.fromCoroutine(self._next(offset, before, lost))
        if not seeking.called:
            self._seeking = seeking
        return seeking

    async def _next(self, offset: int, before: Crc, lost: str | None) -> socket.socket | None:
        meeting = self._meeting
        meeting.told = lambda: None  # the connection before is nobody's business any more
        if lost is not None:
            _log.info("the data connection is lost at byte %d: %s", offset, lost or "it ended")
            await self._hear_end(offset, lost)
            await self._hear_answer()
        while not self._complete(offset):
            await self._not_too_often(offset)
            found = await self._attempt(offset, before)
            if found is not None:
                return found
        meeting.told = lambda: None
        meeting.complete()
        return None

    def _complete(self, offset: int) -> bool:
        meeting = self._meeting
        if self._fault is not None:
            raise SourceFault(self._fault, code=6008)
        if meeting.failure is not None:
            raise SourceFault(meeting.failure, code=4001)
        total = meeting.total
        if total is not None and offset > total:
            raise SourceFault(
                f"{offset} bytes came, but the application has sent {total}", code=6008
            )
        return offset == total

    async def _hear_end(self, offset: int, lost: str) -> None:
        """The data connection has ended: was that the end?"""
        meeting = self._meeting
        said = meeting.when(
            lambda: meeting.total is not None or meeting.broken is not None or bool(lost)
        )
        said.addTimeout(END_PATIENCE, self._reactor)
        try:
            await said
        except TimeoutError:
            _log.info("the application does not say that byte %d is the last", offset)

    async def _hear_answer(self) -> None:
        """Data may be faster than the word that goes before them."""
        meeting = self._meeting
        if not self._before.known or self._fault is not None or meeting.failure is not None:
            return
        answered = meeting.when(lambda: meeting.answer is not None)
        try:
            await answered.addTimeout(VERDICT_PATIENCE, self._reactor)
        except TimeoutError:
            _log.info("the application does not say from where on it has sent")
        self._fault = meeting.difference(self._before)

    async def _not_too_often(self, offset: int) -> None:
        """Nobody may break the connection again and again for ever, or at full speed."""
        now = self._reactor.seconds()
        if offset != self._last:
            self._last, self._since, self._pause = offset, now, FIRST_PAUSE
            return
        if now - self._since >= self._patience:
            raise SourceFault(self._nothing_behind(offset), code=6008)
        await deferLater(self._reactor, self._pause, lambda: None)
        self._pause = min(2 * self._pause, LONGEST_PAUSE)

    async def _attempt(self, offset: int, before: Crc) -> socket.socket | None:
        """Send the application to a port of ours. :return: None: in vain, or all is there"""
        meeting = self._meeting
        await meeting.when(lambda: meeting.host is not None)
        host = meeting.host
        assert host is not None
        listeners, addresses = self._listen()
        whose = "the application's connection"
        door = Door(listeners, Callers(whose, frozenset([plain_host(host)])))
        waits: list[Wait] = []

        def accept(wait: Wait) -> socket.socket:
            waits.append(wait)
            return accept_one(door, wait)

        accepted = wait_in_lane(self._lane, accept, listeners)
        accepted.addCallback(self._keep)
        self._before = before
        meeting.send(offset, addresses)
        lost = Deferred.fromCoroutine(self._take_silent(waits))
        told = meeting.when(
            lambda: (
                isinstance(meeting.answer, Cannot)
                or meeting.broken is not None
                or meeting.total == offset
            )
        )
        either: list[Deferred[Any]] = [accepted, told, lost]
        first = DeferredList(
            either, fireOnOneCallback=True, fireOnOneErrback=True, consumeErrors=True
        )
        late = self._reactor.callLater(self._patience, first.cancel)
        try:
            found, _ = await first
        except FirstError as failed:
            fault = failed.subFailure.value
            assert fault is not None
            if isinstance(fault, DeviceError):
                raise SourceFault(f"waiting for the application's data: {fault.text}") from fault
            if isinstance(fault, CancelledError) and not late.active():
                raise SourceFault(self._nothing_behind(offset), code=6008) from None
            raise fault from None
        finally:
            for each in either:
                each.cancel()
            if late.active():
                late.cancel()
        if found is None:
            self._hear_refusal()
            return None
        connection: socket.socket = found
        _log.info("the data from byte %d on come from %s", offset, peer(connection))
        meeting.told = lambda: self._look_after(connection, before)
        meeting.told()
        return connection

    async def _take_silent(self, waits: list[Wait]) -> None:
        """A connection that was made, and ended without a byte, is taken too if nobody says why.
        One that was reset before it was looked at is lost: its application may not know of it."""
        meeting = self._meeting
        await meeting.when(lambda: isinstance(meeting.answer, Sending))
        await deferLater(self._reactor, COME_PATIENCE, lambda: None)
        for wait in waits:
            wait.be_content()
        await deferLater(self._reactor, COME_PATIENCE, lambda: None)
        _log.info("the application has made a data connection, but it has not come here")

    def _nothing_behind(self, offset: int) -> str:
        return f"the application has sent nothing behind byte {offset} for {self._patience:g} s"

    def _listen(self) -> tuple[list[socket.socket], tuple[Address, ...]]:
        """The address that the application has reached comes first."""
        reached = plain_host(self._meeting.our_host or self._terms.hosts[0])
        hosts = sorted(self._terms.hosts, key=lambda host: host != reached)
        try:
            return open_ports(hosts, self._terms.ports)
        except OSError as error:
            raise SourceFault(f"cannot listen on {', '.join(hosts)}: {reason(error)}") from error

    def _keep(self, connection: socket.socket) -> socket.socket:
        self._connections.append(connection)
        if self._retired:
            connection.close()
        return connection

    def _hear_refusal(self) -> None:
        """One that may be other the next time is no reason to give up."""
        answer = self._meeting.answer
        if not isinstance(answer, Cannot) or self._meeting.broken is not None:
            return  # a broken one is no refusal
        text = f"the application cannot send: {answer.text or 'it gives no reason'}"
        if answer.reason == Why.KEPT_NO_MORE:
            text += f" (it has kept what follows byte {answer.first_byte_kept})"
        if answer.reason != Why.NOBODY_ANSWERS or not self._connections:
            raise SourceFault(text, code=6008)
        _log.info("%s", text)

    def _look_after(self, connection: socket.socket, before: Crc) -> None:
        """The application knows that this one brings no more, but we may not: what is there can
        still be read. Or it brings what cannot follow what was read."""
        meeting = self._meeting
        self._fault = self._fault or meeting.difference(before)
        if self._fault is None and meeting.broken is None and meeting.failure is None:
            return
        meeting.told = lambda: None
        try:
            connection.shutdown(socket.SHUT_RD)
        except OSError:
            return  # it is gone already, which its reader will see

    def retire(self) -> None:
        """Seek no more: others do. What is connected can still be read; safe to repeat."""
        self._retired = True
        seeking, self._seeking = self._seeking, None
        if seeking is not None:
            seeking.cancel()

    def close(self) -> Deferred[None]:
        """Close what is open; after :meth:`retire`, and after whoever reads."""
        for connection in self._connections:
            connection.close()
        return self._lane.stop()

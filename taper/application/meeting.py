"""The edge of a rendezvous: sockets, tar's pipe and the clock, in one loop that sleeps in poll.

What is said and done is for the :class:`Conversation`. As with other data connections of ours, one
that ends is reset unless all was sent, so that nobody takes our death for the end of a dump.
"""

from __future__ import annotations

import contextlib
import math
import os
import select
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from devices.sockets import raise_if_broken, unacknowledged
from protocols.crc import Crc
from protocols.directtcp import Address
from protocols.rendezvous.window import SpoolError
from taper.application.connection import RESET_ON_CLOSE, USUAL_CLOSE, silence
from taper.application.conversation import Conversation
from taper.application.dialing import Line, Unanswered
from taper.application.ending import Ending
from taper.application.errors import ApplicationError, reason
from taper.application.pump import enlarge
from taper.application.states import Call, Dial, Finish, HangUp, Leave

if TYPE_CHECKING:
    from taper.application.tls import Secured, Trust

_READ = 1 << 18
"""Bytes that are read or sent in one turn."""
_LISTEN = 1 << 16

_LAST_LOOK = 0.05
"""Seconds between two looks whether a peer that has ended its side has got all that we sent."""
_LOOK = 30.0
"""Seconds between two looks whether the peer still acknowledges what was sent to it."""
_DEAD = 300.0
"""Seconds without an acknowledgement. A living peer is asked for one every two minutes at the
latest, also while it takes nothing."""

_TLS_QUESTION = (
    "is the taper's certificate, or that of its authority, in RENDEZVOUS-TLS-CA, is it for this "
    "address, and has the taper a rendezvous-tls-key?"
)

Handler = Callable[[int], None]
Watched = tuple[int, int, Handler]
"""A descriptor, the events that are waited for, and who looks after them."""


class Meeting:
    """A dump on its way by the rendezvous; as a context it is over at its end.

    Without END the data connection is reset, and the taper is told that the dump failed, if that
    can be said at once.
    """

    def __init__(
        self,
        conversation: Conversation,
        addresses: Sequence[Address],
        connect_timeout: float,
        trust: Trust | None = None,
    ) -> None:
        """
        :param addresses: of the rendezvous
        :param trust: who may be the taper, by TLS; None: there is none
        """
        self._conversation = conversation
        self._addresses = addresses
        self._connect_timeout = connect_timeout
        self._talk = Line()
        self._trust = trust
        self._secured: Secured | None = None
        self._unsaid = bytearray()
        self._data = Line()
        self._unsent = memoryview(b"")
        self._peer_ended = False
        self._finished = False
        self._look_at = math.inf
        self._source: int | None = None
        self._at_end = False
        self._ending: Ending | None = None

    def __enter__(self) -> Meeting:
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if error is not None and not self._conversation.over:
            self._data.close()
            self._conversation.fail(str(error) or type(error).__name__, time.monotonic())
            with contextlib.suppress(OSError):
                self._speak()
        self._talk.close()
        self._data.close()
        if self._ending is not None:
            self._ending.close()
        self._conversation.window.close()

    def meet(self) -> None:
        """Find the taper, and tell it what the dump is.

        :raise ApplicationError: there is none, or it wants nothing of us
        """
        while not (self._conversation.met or self._conversation.over):
            self._turn()
        self._raise_failure()

    def send(self, source: int, wait: Callable[[], None], judge: Callable[[int], None]) -> Crc:
        """Send the dump, as often as it takes.

        :param source: the pipe that it comes from
        :param wait: until whoever wrote it has ended; called in a thread
        :param judge: is given the size; raises an ApplicationError where the dump is not good
        :return: what is stored, which is all of it
        :raise ApplicationError: it is not, or the source is not good
        """
        enlarge(source)
        os.set_blocking(source, False)
        self._source = source
        try:
            while not self._conversation.over:
                self._turn()
                if self._ending is not None and self._ending.over:
                    self._ending.close()
                    self._ending = None
                    self._judge(judge)
                elif self._at_end:
                    self._at_end = False
                    self._ending = Ending(wait)
        except SpoolError as error:
            text = f"what may have to be sent again cannot be kept: {error}"
            raise ApplicationError(text) from None
        self._raise_failure()
        assert self._conversation.crc is not None
        return self._conversation.crc

    def _judge(self, judge: Callable[[int], None]) -> None:
        try:
            judge(self._conversation.window.end)
        except ApplicationError as error:
            self._conversation.fail(str(error), time.monotonic())
        else:
            self._conversation.ended(time.monotonic())

    def _raise_failure(self) -> None:
        if self._conversation.failure is not None:
            raise ApplicationError(self._conversation.failure)

    # one turn of the loop

    def _turn(self) -> None:
        """Wait for something to happen, and see to it."""
        self._act()
        handlers = {}
        poller = select.poll()
        for descriptor, events, handler in self._watched():
            poller.register(descriptor, events)
            handlers[descriptor] = handler
        for descriptor, event in poller.poll(self._sleep()):
            handlers[descriptor](event)
            if self._act():
                break  # the others may be closed by now; what they wait for will be there again
        self._see_to_time(time.monotonic())
        self._act()

    def _watched(self) -> Iterator[Watched]:
        talk, data = self._talk, self._data
        if talk.dialing is not None:
            yield talk.dialing.connection.fileno(), select.POLLOUT, self._talk_dialed
        elif talk.connection is not None:
            output = select.POLLOUT if self._unsaid else 0
            yield talk.connection.fileno(), select.POLLIN | output, self._talk_moved
        if data.dialing is not None:
            yield data.dialing.connection.fileno(), select.POLLOUT, self._data_dialed
        elif data.connection is not None and not self._peer_ended:
            output = select.POLLOUT if self._unsent or self._conversation.sends else 0
            yield data.connection.fileno(), select.POLLIN | output, self._data_moved
        if self._source is not None and self._conversation.reads:
            yield self._source, select.POLLIN, self._read
        if self._ending is not None:
            yield self._ending.descriptor, select.POLLIN, self._ending.look

    def _sleep(self) -> float | None:
        """Milliseconds until something is due; None: nothing is."""
        lines = (self._talk, self._data)
        times = [line.dialing.deadline for line in lines if line.dialing is not None]
        times += [self._look_at, self._conversation.deadline or math.inf]
        left = min(times) - time.monotonic()
        return None if left == math.inf else math.ceil(max(left, 0) * 1000)

    def _see_to_time(self, now: float) -> None:
        for line, dialed in ((self._talk, self._talk_dialed), (self._data, self._data_dialed)):
            if line.dialing is not None and now >= line.dialing.deadline:
                dialed(0)
        if now >= self._look_at and self._data.connection is not None:
            self._look_at = now + _LOOK
            if silence(self._data.connection) > _DEAD:
                self._broke(f"nothing was acknowledged for {_DEAD:g} seconds")
            elif self._peer_ended:
                self._see_to_the_last(self._data.connection)
        deadline = self._conversation.deadline
        if deadline is not None and now >= deadline:
            self._conversation.tick(now)

    def _act(self) -> bool:
        """Do what the conversation wants, and pass on what it says. :return: it wanted something"""
        acted = False
        while (action := self._conversation.take_action()) is not None:
            acted = True
            match action:
                case Call():
                    self._call()
                case HangUp():
                    self._hang_up()
                case Dial(_, addresses):
                    self._dial(addresses)
                case Leave():
                    self._leave()
                case Finish():
                    self._finish()
        self._speak()
        return acted

    # the rendezvous connection

    def _call(self) -> None:
        self._unsaid.clear()
        try:
            self._talk.dial(self._addresses, self._connect_timeout)
        except Unanswered as error:
            self._conversation.lost(str(error), time.monotonic())

    def _hang_up(self) -> None:
        if self._secured is not None and self._talk.connection is not None:
            with contextlib.suppress(OSError):
                self._talk.connection.send(self._secured.rest())  # why, if by TLS
        self._talk.close()
        self._secured = None
        self._unsaid.clear()

    def _talk_dialed(self, _event: int) -> None:
        try:
            made = self._talk.made()
        except Unanswered as error:
            self._talk.close()
            self._conversation.lost(str(error), time.monotonic())
        else:
            if made:
                assert self._talk.connection is not None
                self._talk.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                # a device that has taken us for a sender must not take our end for that of a dump
                _end_with(self._talk.connection, RESET_ON_CLOSE)
                if self._trust is not None:
                    self._secured = self._trust.secure(self._talk.host)
                self._conversation.called(time.monotonic())

    def _talk_moved(self, _event: int) -> None:
        assert self._talk.connection is not None
        try:
            data = self._talk.connection.recv(_LISTEN)
            ended = not data
            if self._secured is not None and data:
                data = self._secured.hear(data)
                ended = self._secured.ended
        except BlockingIOError:
            return
        except OSError as error:
            self._lost(reason(error))
            return
        if data:
            self._conversation.received(data, time.monotonic())
            if self._conversation.talks:
                _end_with(self._talk.connection, USUAL_CLOSE)
        elif ended:
            self._lost("it was ended there")

    def _speak(self) -> None:
        """Pass on what is said, as far as the connection takes it; the rest when it does."""
        said = self._conversation.output()
        try:
            self._unsaid += said if self._secured is None else self._secured.say(said)
            if self._talk.connection is None or not self._unsaid:
                return
            del self._unsaid[: self._talk.connection.send(self._unsaid)]
        except BlockingIOError:
            return
        except OSError as error:
            self._lost(reason(error))

    def _lost(self, why: str) -> None:
        where, secured = self._talk.where, self._secured
        self._hang_up()
        if secured is None or secured.proven:
            self._conversation.lost(f"the connection to {where} broke: {why}", time.monotonic())
        else:
            text = f"no TLS with {where}: {why}; {_TLS_QUESTION}"
            self._conversation.lost(text, time.monotonic(), by_tls=True)

    # the data connection

    def _dial(self, addresses: Sequence[Address]) -> None:
        try:
            self._data.dial(addresses, self._connect_timeout)
        except Unanswered as error:
            self._conversation.not_dialed(str(error), time.monotonic())

    def _data_dialed(self, _event: int) -> None:
        try:
            made = self._data.made()
        except Unanswered as error:
            self._data.close()
            self._conversation.not_dialed(str(error), time.monotonic())
            return
        if made:
            assert self._data.connection is not None
            _end_with(self._data.connection, RESET_ON_CLOSE)
            self._peer_ended = self._finished = False
            self._look_at = time.monotonic() + _LOOK
            self._conversation.dialed(time.monotonic())

    def _data_moved(self, event: int) -> None:
        assert self._data.connection is not None
        try:
            if event & ~select.POLLOUT:
                self._hear_peer(self._data.connection)
            if event & select.POLLOUT:
                self._send(self._data.connection)
        except BlockingIOError:
            return
        except OSError as error:
            self._broke(reason(error))

    def _hear_peer(self, connection: socket.socket) -> None:
        """Nothing is to be heard but errors, and an end: before ours, it takes nothing more."""
        raise_if_broken(connection)
        if self._peer_ended or connection.recv(_LISTEN):
            return
        self._peer_ended = True
        if self._finished:
            self._see_to_the_last(connection)
        else:
            self._broke("it was ended there")

    def _see_to_the_last(self, connection: socket.socket) -> None:
        """The peer's end may have been on its way before our last bytes came there; it takes them
        no more then, and resets the connection."""
        try:
            raise_if_broken(connection)
            if unacknowledged(connection):
                self._look_at = time.monotonic() + _LAST_LOOK
                return
        except OSError as error:
            self._broke(reason(error))
        else:
            self._look_at = math.inf
            self._conversation.delivered(time.monotonic())

    def _send(self, connection: socket.socket) -> None:
        most = _READ
        while most > 0:
            if not self._unsent:
                self._unsent = memoryview(self._conversation.piece(most, time.monotonic()))
                if not self._unsent:
                    return
            count = connection.send(self._unsent)
            self._unsent = self._unsent[count:]
            most -= count
            self._conversation.sent(count)

    def _broke(self, why: str) -> None:
        self._conversation.broke(f"{self._data.where}: {why}", time.monotonic())

    def _leave(self) -> None:
        self._data.close()
        self._unsent = memoryview(b"")
        self._look_at = math.inf

    def _finish(self) -> None:
        if self._data.connection is None:
            return
        try:
            _end_with(self._data.connection, USUAL_CLOSE)
            self._data.connection.shutdown(socket.SHUT_WR)
            self._finished = True
        except OSError as error:
            self._broke(reason(error))

    # the source

    def _read(self, _event: int) -> None:
        assert self._source is not None
        room = self._conversation.reads
        if not room:
            return
        try:
            data = os.read(self._source, min(_READ, room))
            self._conversation.window.append(data)
        except BlockingIOError:
            return
        if not data:
            self._source = None
            self._at_end = True


def _end_with(connection: socket.socket, way: bytes) -> None:
    """How it ends when it is closed, by us or by the system when we die."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, way)

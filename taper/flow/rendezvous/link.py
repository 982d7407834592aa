"""Connections to the rendezvous of one dump: who may stay, and what is said on them."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from typing import Protocol as Shape

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionClosed
from twisted.internet.interfaces import IPushProducer
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.protocol import connectionDone as _connection_done
from zope.interface import implementer

from protocols.rendezvous.errors import RendezvousError
from protocols.rendezvous.frames import NONCE_SIZE, Alive, Refusal, Refused
from protocols.rendezvous.taper import TaperHalf
from protocols.rendezvous.times import ALIVE_SECONDS, MOST_UNPROVEN, PROOF_PATIENCE, SILENCE

if TYPE_CHECKING:
    from twisted.python.failure import Failure

    from devices.callers import Where
    from protocols.rendezvous.frames import Frame, Proof

GREETING_LIMIT = 65536
"""Bytes of a connection up to its proof."""

MOST_TOLD = 10
"""Strangers of one dump that are told of one by one."""

CLOSE_PATIENCE = 2.0
"""Seconds for a last word to be taken."""

_log = logging.getLogger(__name__)


class IMeets(Shape):
    """What connections are for; see :class:`taper.flow.rendezvous.meeting.Meeting`."""

    @property
    def written(self) -> int:
        """Bytes written."""

    def proven(self, link: Link) -> None:
        """Somebody who knows the key is there."""

    def heard(self, link: Link, frame: Frame) -> None:
        """He says something."""

    def lost(self, link: Link, why: str) -> None:
        """He is gone."""


@implementer(IPushProducer)
class Link(Protocol):
    """One connection.

    :ivar proof: who it is, once that is proved.
    """

    def __init__(self, clock: Any, lobby: Lobby, half: TaperHalf) -> None:
        self.proof: Proof | None = None
        self._clock = clock
        self._lobby = lobby
        self._half = half
        self._greeting = 0
        self._silence: Any = None
        self._alive: Any = None
        self._over = False

    @property
    def dump_id(self) -> bytes:
        """Of the run of the application; after the proof."""
        found = self._half.dump_id
        assert found is not None, "the proof comes first"
        return found

    @property
    def host(self) -> str:
        """Address of the peer."""
        return str(self._transport.getPeer().host)

    @property
    def our_host(self) -> str:
        """Address that the peer has reached."""
        return str(self._transport.getHost().host)

    @property
    def _transport(self) -> Any:
        return self.transport

    # what comes

    def connectionMade(self) -> None:
        self._silence = self._clock.callLater(PROOF_PATIENCE, self._too_slow)
        self._lobby.came(self)

    def dataReceived(self, data: bytes) -> None:
        if self._over:
            return
        try:
            frames = self._half.receive(self._within_bounds(data))
        except RendezvousError as fault:
            self._lobby.complain(self, str(fault))
            self._flush()
            self.hang_up()
            return
        self._flush()
        if self.proof is None and self._half.peer is not None:
            self._proven(self._half.peer)
        if self.proof is not None and self._silence.active():
            self._silence.reset(SILENCE)
        for frame in frames:
            self._lobby.meeting.heard(self, frame)

    def _within_bounds(self, data: bytes) -> bytes:
        if self.proof is None:
            self._greeting += len(data)
            if self._greeting > GREETING_LIMIT:
                raise RendezvousError(f"a greeting of more than {GREETING_LIMIT} bytes")
        return data

    def _proven(self, proof: Proof) -> None:
        self.proof = proof
        self._silence.reset(SILENCE)
        # whoever takes nothing is not to be talked to for ever
        self._transport.registerProducer(self, True)
        self._alive = self._clock.callLater(ALIVE_SECONDS, self._say_alive)
        self._lobby.proven(self)

    def _too_slow(self) -> None:
        seconds = SILENCE if self.proof else PROOF_PATIENCE
        self._lobby.complain(self, f"nothing came for {seconds:g} s")
        self.abort()

    # what is said

    def say(self, frame: Frame) -> None:
        """Say a frame, if anybody is there.

        :raise ValueError: it has no place here
        """
        if not self._over:
            self._half.say(frame)
            self._flush()

    def _say_alive(self) -> None:
        self._alive = self._clock.callLater(ALIVE_SECONDS, self._say_alive)
        self.say(Alive(self._lobby.meeting.written))

    def _flush(self) -> None:
        self._transport.write(self._half.output())

    def refuse(self, reason: Refusal, text: str) -> None:
        """Say that this one is not wanted, and hang up."""
        self._lobby.complain(self, text)
        self.say(Refused(reason, text))
        self.hang_up()

    # its end

    def finish(self) -> None:
        """The last word was said: the peer may take it, and hang up. Who closed before what comes
        meanwhile is read would take it back."""
        if not self._over:
            self._stop_talking(SILENCE)
            self._transport.loseWriteConnection()

    def hang_up(self) -> None:
        """Close once what was said is taken, which is waited for a moment."""
        if not self._over:
            self._stop_talking(CLOSE_PATIENCE)
            self._transport.loseConnection()
        elif self._silence.active():
            self._silence.reset(CLOSE_PATIENCE)

    def _stop_talking(self, patience: float) -> None:
        self._stop()
        self._silence = self._clock.callLater(patience, self.abort)
        if self.proof is not None:
            self._transport.unregisterProducer()

    def abort(self) -> None:
        """Close at once."""
        self._stop()
        self._transport.abortConnection()

    def _stop(self) -> None:
        self._over = True
        for timer in (self._silence, self._alive):
            if timer is not None and timer.active():
                timer.cancel()

    def connectionLost(self, reason: Failure = _connection_done) -> None:
        if not (self._over or reason.check(ConnectionClosed)):
            self._lobby.complain(self, f"TLS failed: {_told_by_openssl(reason)}")
        self._stop()
        self._half.close()
        self._lobby.left(self, reason.getErrorMessage())

    def pauseProducing(self) -> None:
        """The transport has more than it can get rid of."""
        self._lobby.complain(self, "nothing of what we say is taken")
        self._clock.callLater(0, self.abort)  # not within a write

    def resumeProducing(self) -> None:
        """It is aborted already."""

    def stopProducing(self) -> None:
        """``connectionLost`` follows."""


def _told_by_openssl(reason: Failure) -> str:
    """Its errors are lists of what it met: library, function and text."""
    met = reason.value.args[0] if reason.value is not None and reason.value.args else None
    return str(met[-1][-1]) if met and isinstance(met, list) else reason.getErrorMessage()


class Lobby(Factory):
    """Takes in whoever may call, and shows those to the meeting who know the key.

    :param key: that is to be known
    :param refuses: why a caller at the first address may not call the second one; None: it may
    """

    noisy = False

    def __init__(
        self, clock: Any, key: bytes, meeting: IMeets, refuses: Callable[[Where, Where], str | None]
    ) -> None:
        self.meeting = meeting
        self._clock = clock
        self._key = key
        self._refuses = refuses
        self._unproven: list[Link] = []
        self._links: set[Link] = set()
        self._complaints = 0
        self._gone: list[Deferred[None]] = []

    def buildProtocol(self, addr: Any) -> Link | None:
        return Link(self._clock, self, TaperHalf(self._key, os.urandom(NONCE_SIZE)))

    def came(self, link: Link) -> None:
        """A connection is made."""
        transport: Any = link.transport
        self._links.add(link)
        peer, ours = transport.getPeer(), transport.getHost()
        why = self._refuses((peer.host, peer.port), (ours.host, ours.port))
        if why is not None:
            self.complain(link, why)
            link.abort()
            return
        self._unproven.append(link)
        if len(self._unproven) > MOST_UNPROVEN:
            self._unproven.pop(0).abort()

    def proven(self, link: Link) -> None:
        """It has proved itself."""
        self._unproven.remove(link)
        self.meeting.proven(link)

    def left(self, link: Link, why: str) -> None:
        """It is gone."""
        self._links.discard(link)
        if link in self._unproven:
            self._unproven.remove(link)
        elif link.proof is not None:
            self.meeting.lost(link, why)
        self._tell_gone()

    def complain(self, link: Link, text: str) -> None:
        """Let the debug log know."""
        self._complaints += 1
        if self._complaints <= MOST_TOLD:
            _log.warning("rendezvous with %s: %s", link.host, text)

    def close(self) -> Deferred[None]:
        """Hang up on everybody; fires once all are gone, which takes a moment at most."""
        if self._complaints > MOST_TOLD:
            _log.warning("rendezvous: %d more complaints", self._complaints - MOST_TOLD)
            self._complaints = 0
        gone: Deferred[None] = Deferred(lambda _: None)
        self._gone.append(gone)
        for link in list(self._links):
            if link.proof is None:
                link.abort()
            else:
                link.hang_up()
        self._tell_gone()
        return gone

    def _tell_gone(self) -> None:
        if not self._links:
            waiting, self._gone = self._gone, []
            for waiter in waiting:
                waiter.callback(None)

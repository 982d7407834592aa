"""The port where a dumper delivers a dump's header [protocol 5.1, 5.2]."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred

from protocols.header import Header, parse_header
from taper.core.errors import SourceFault
from taper.flow.listeners import OneShotListener, Reception

if TYPE_CHECKING:
    from twisted.python.failure import Failure

HEADER_LIMIT = 1024 * 1024
"""Bytes of a header that we take; a dumper sends 32768."""

MakeHeader = Callable[[], "Deferred[Header]"]


class HeaderPort:
    """Listens for the header of one dump.

    :param patience: seconds to wait for the connection (dtimeout and a second)
    :ivar port: what to tell the driver.
    :ivar remark: why the header is not the dumper's, or None.
    """

    def __init__(self, reactor: Any, patience: float) -> None:
        """:raise OSError: nothing can be listened on"""
        self.remark: str | None = None
        self._reactor = reactor
        self._patience = patience
        self._listener = OneShotListener(reactor, self._somebody_came)
        self.port = self._listener.port
        self._reception: Reception | None = None
        self._header: Deferred[Header] = Deferred(lambda _: self._stop())
        self._timers: list[Any] = []
        self._asked_for = False
        self._somebody_was_here = False
        self._began = False
        self._silence = 0.0
        self._make: MakeHeader | None = None

    def header(
        self,
        began: Deferred[None] | None = None,
        silence: float = 0.0,
        make: MakeHeader | None = None,
    ) -> Deferred[Header]:
        """The header, once; fails with SourceFault.

        The dumper of 3.5.1 opens the connection for a DIRECTTCP dump and never writes to it
        [ndmp 7]. So, where one can be made: when the client has begun and somebody
        who may be the dumper stays silent, the made one is taken, unless the real one comes first.

        :param began: fires when the client has shown that it began
        :param silence: seconds of silence after that
        """
        self._asked_for = True
        self._listener.wait_at_most(self._patience)
        if self._listener.waiting:
            self._somebody_came()
        self._listener.accepted.addCallback(self._receive).addErrback(self._fail)
        self._make, self._silence = make, silence
        if began is not None and make is not None:
            began.addCallback(lambda _: self._client_began())
        return self._header

    def _client_began(self) -> None:
        self._began = True
        self._count_silence()

    def _count_silence(self) -> None:
        if self._began and self._somebody_was_here:
            self._later(self._silence, self._take_made)

    def _later(self, seconds: float, call: Callable[[], object]) -> None:
        if not self._header.called:
            self._timers.append(self._reactor.callLater(seconds, call))

    def _somebody_came(self) -> None:
        """He may be the dumper; the one who begins is."""
        if not self._asked_for:
            return
        if not self._somebody_was_here:
            self._somebody_was_here = True
            # a dumper holds this connection while its client gets going, and gives up by dtimeout
            self._later(2 * self._patience, self._too_late)
        self._count_silence()

    def _receive(self, connection: socket.socket) -> None:
        self._somebody_came()
        if self._header.called:
            connection.close()
            return
        self._reception = Reception(self._reactor, connection, HEADER_LIMIT)
        self._reception.done.addCallback(self._parse).addErrback(self._fail)

    def _too_late(self) -> None:
        self._settle(SourceFault("Timeout while waiting for the header"))

    def _parse(self, received: bytes) -> None:
        if not received:
            raise SourceFault("Got empty header", code=4008)
        self._settle(parse_header(received))

    def _fail(self, failure: Failure) -> None:
        self._settle(failure)

    def _take_made(self) -> None:
        if self._make is None or self._reception is not None or not self._listener.waiting:
            return  # it is on its way, or whoever was silent is gone

        def take(header: Header) -> None:
            if not self._header.called:
                self.remark = (
                    "no header came for this dump: it is made from the command and the disklist"
                )
                self._settle(header)

        self._make().addCallback(take).addErrback(self._fail)

    def take(self, header: Header) -> None:
        """One that came another way, unless one came here before."""
        self._settle(header)

    def refuse(self, failure: Failure) -> None:
        """It failed to come another way, likewise."""
        self._settle(failure)

    def _settle(self, result: Header | Failure | SourceFault) -> None:
        """The first to come counts. A silent connection stays open: its dumper takes the end of
        it for a failure of ours."""
        if self._header.called:
            return
        self._cancel_timers()
        if isinstance(result, Header):
            self._header.callback(result)
        else:
            self._header.errback(result)

    def _cancel_timers(self) -> None:
        for timer in self._timers:
            if timer.active():
                timer.cancel()
        self._timers.clear()

    def _stop(self) -> None:
        self._cancel_timers()
        self._listener.close()
        if self._reception is not None:
            self._reception.abort()

    def close(self) -> None:
        """Stop listening, hang up; safe to repeat."""
        self._stop()
        self._listener.accepted.addErrback(lambda _: None)  # told, or wanted no more
        self._header.addErrback(lambda _: None)

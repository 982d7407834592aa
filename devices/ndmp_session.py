"""Sessions with NDMP servers, made with code that is imported when the first is wanted."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred

from devices.lane import Lane
from devices.threads import ThreadRefused

if TYPE_CHECKING:
    from twisted.python.failure import Failure

    from protocols.twisted_transports.ndmp import NdmpSession

Connect = Callable[..., "Deferred[NdmpSession]"]
"""As :func:`protocols.twisted_transports.ndmp.connect_session`."""

_known: Connect | None = None


def connect(reactor: Any, *words: Any, **named: Any) -> Deferred[NdmpSession]:
    """Make a session. What for is :func:`protocols.twisted_transports.ndmp.connect_session`'s.

    Its module needs Twisted's endpoints, and these need TLS where that is installed: too much for a
    turn of the reactor, so a thread imports it.
    """
    if _known is not None:
        return _known(reactor, *words, **named)
    lane = Lane(reactor, "import of NDMP")

    def imported(found: Connect) -> Deferred[NdmpSession]:
        lane.stop()
        return found(reactor, *words, **named)

    def refused(failure: Failure) -> Connect:
        lane.stop()
        failure.trap(ThreadRefused)
        return _import()  # better late than never

    return lane.call(_import).addErrback(refused).addCallback(imported)


def _import() -> Connect:
    global _known
    from protocols.twisted_transports.ndmp import connect_session

    _known = connect_session
    return connect_session

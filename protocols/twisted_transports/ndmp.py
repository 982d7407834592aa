"""An NDMP session on a Twisted connection: requests in, Deferreds out [ndmp 4].

The core says what is said and what is waited for; here are the clock, the connection and the
Deferreds. Every request has a limit of time; a post has one if its caller gives it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, TypeVar, cast

from twisted.internet.defer import CancelledError, Deferred, fail, maybeDeferred, succeed
from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.interfaces import IDelayedCall, IReactorTime, ITCPTransport
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.python.runtime import seconds as wall_clock

from protocols.ndmp.client import Client
from protocols.ndmp.client_events import Answered, Event, Failed, Finished, Opened, Posted
from protocols.ndmp.errors import NdmpError, NdmpLost, NdmpTimeout
from protocols.ndmp.messages import Post, Reply, Request
from protocols.ndmp.opening import Opening
from protocols.ndmp.postbox import Kinds, PostBox
from protocols.twisted_transports.haste import Haste

R = TypeVar("R", bound=Reply)

CLOSE_TIMEOUT = 5.0
"""Seconds that a server has to take its leave."""


class _Waiter:
    """Somebody who waits for a post."""

    def __init__(self, kinds: Kinds, deferred: Deferred[Post]) -> None:
        self.kinds = kinds
        self.deferred = deferred
        self.timer: IDelayedCall | None = None

    def stop(self) -> None:
        if self.timer is not None and self.timer.active():
            self.timer.cancel()


class NdmpSession(Protocol):
    """An NDMP session; :func:`connect_session` makes one.

    :param timeout: seconds for each step of the opening, and for a request without its own.
    :param haste: shortens all deadlines when all is to end.
    :ivar opened: fires once the session is open, or fails with why it is not.
    :ivar lost: fires with the NdmpError that ended the session; never fails.
    """

    def __init__(
        self,
        reactor: IReactorTime,
        opening: Opening,
        timeout: float,
        haste: Haste | None = None,
    ) -> None:
        self._reactor = reactor
        self._haste = Haste(reactor) if haste is None else haste
        self._timeout = timeout
        self._client = Client(opening, lambda: int(wall_clock()))
        self._timers: dict[int, IDelayedCall] = {}
        self._limits: dict[int, float] = {}
        self._requests: dict[int, Deferred[Any]] = {}
        self._posts = PostBox()
        self._waiters: list[_Waiter] = []
        self._events: deque[Event] = deque()
        self._telling = False
        self._leaving = False
        self._error: NdmpError | None = None
        self._gone: list[Deferred[None]] | None = []
        self._hurry: IDelayedCall | None = None
        self.opened: Deferred[NdmpSession] = Deferred(self._cancel_opening)
        self.lost: Deferred[NdmpError] = Deferred()

    @property
    def version(self) -> int:
        """The version agreed upon."""
        return self._client.version

    @property
    def error(self) -> NdmpError | None:
        """Why the session is over; None: it is not."""
        return self._error

    @property
    def tcp(self) -> ITCPTransport:
        """The control connection."""
        return cast(ITCPTransport, self.transport)

    # What is asked of it

    def request(self, message: Request[R], timeout: float | None = None) -> Deferred[R]:
        """Send a request.

        Fails with NdmpRefused, NdmpTimeout, NdmpLost, NdmpGarbage or NdmpInvalid. Cancelling
        gives up the answer, not what the server does.

        :param timeout: seconds until it fails; None: the session's.
        """
        try:
            sequence = self._client.request(message)
        except NdmpError as error:
            return fail(error)
        deferred: Deferred[R] = Deferred(lambda _: self._cancel_request(sequence))
        self._requests[sequence] = deferred
        if timeout is not None:
            self._limits[sequence] = timeout
        self._step()
        return deferred

    def next_post(self, kinds: Kinds, timeout: float | None = None) -> Deferred[Post]:
        """The first post of these kinds that nobody took, now or when it comes.

        Fails with NdmpTimeout, NdmpLost or NdmpGarbage.

        :param timeout: seconds; None: as long as it takes, or the session lasts.
        """
        post = self._posts.take_first(kinds)
        if post is not None:
            return succeed(post)
        if self._error is not None:
            return fail(self._error)
        waiter = _Waiter(kinds, Deferred(lambda _: self._forget(waiter)))
        self._waiters.append(waiter)
        if timeout is not None:
            waiter.timer = self._haste.call_later(timeout, self._expire_waiter, waiter)
        return waiter.deferred

    def take_posts(self, kinds: Kinds) -> list[Post]:
        """Every post of these kinds that came and that nobody took."""
        return self._posts.take_all(kinds)

    def close(self) -> Deferred[None]:
        """End the session; whatever is pending fails with NdmpLost.

        :return: fires when the connection is gone, after CLOSE_TIMEOUT at the latest; never fails
        """
        if self._gone is None:
            return succeed(None)
        gone: Deferred[None] = Deferred()
        self._gone.append(gone)
        if not self._leaving:
            self._leaving = True
            self._client.leave()
            for key in self._client.awaited:
                self._limits[key] = min(self._timeout, CLOSE_TIMEOUT)
            self._step()
        return gone

    def hurry(self) -> None:
        """Whoever waits wants to end: what is pending gets CLOSE_PATIENCE at most from now on."""
        for timer in self._timers.values():
            self._haste.shorten(timer)

    def give_up(self) -> Deferred[None]:
        """End the session without a word, as one whose server does not answer.

        :return: fires when the connection is gone; never fails
        """
        gone: Deferred[None] = Deferred()
        if self._gone is None:
            return succeed(None)
        self._gone.append(gone)
        self._client.end(NdmpLost("the session was given up"))
        self._step()
        return gone

    # What the connection says

    def connectionMade(self) -> None:
        self.tcp.setTcpNoDelay(True)
        self.tcp.setTcpKeepAlive(True)
        self._step()

    def dataReceived(self, data: bytes) -> None:
        self._client.receive(data)
        self._step()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._client.lost(reason.getErrorMessage())
        self._step()
        if self._hurry is not None and self._hurry.active():
            self._hurry.cancel()
        gone, self._gone = self._gone, None
        for deferred in gone or ():
            deferred.callback(None)

    # What happens

    def _step(self) -> None:
        """Do what the core wants, after anything was told to it."""
        for data in self._client.take_bytes():
            self.tcp.write(data)
        self._keep_time()
        self._events.extend(self._client.take_events())
        if self._telling:  # a callback asked for more: the loop below goes on with it
            return
        self._telling = True
        try:
            while self._events:
                self._tell(self._events.popleft())
        finally:
            self._telling = False

    def _keep_time(self) -> None:
        """A timer for all that the core waits for, and for nothing else."""
        awaited = self._client.awaited
        for key in [key for key in self._timers if key not in awaited]:
            timer = self._timers.pop(key)
            self._limits.pop(key, None)
            if timer.active():
                timer.cancel()
        for key in awaited:
            if key not in self._timers:
                limit = self._limits.get(key, self._timeout)
                self._timers[key] = self._haste.call_later(limit, self._expire, key)

    def _expire(self, key: int) -> None:
        self._client.expire(key)
        self._step()

    def _tell(self, event: Event) -> None:
        match event:
            case Answered(sequence, reply):
                self._finish_request(sequence, lambda deferred: deferred.callback(reply))
            case Failed(sequence, error):
                self._finish_request(sequence, lambda deferred: deferred.errback(error))
            case Posted(post):
                self._deliver(post)
            case Opened():
                if not self.opened.called:
                    self.opened.callback(self)
            case Finished(error):
                self._finish(error)

    def _finish_request(self, sequence: int, tell: Callable[[Deferred[Any]], None]) -> None:
        deferred = self._requests.pop(sequence, None)
        if deferred is not None:
            tell(deferred)

    def _deliver(self, post: Post) -> None:
        for waiter in self._waiters:
            if isinstance(post, waiter.kinds):
                self._forget(waiter)
                waiter.deferred.callback(post)
                return
        try:
            self._posts.put(post)
        except NdmpError as error:
            self._client.end(error)
            self._step()

    def _finish(self, error: NdmpError) -> None:
        self._error = error
        if self._leaving and isinstance(error, NdmpLost):
            self.tcp.loseConnection()
            self._hurry = self._reactor.callLater(CLOSE_TIMEOUT, self.tcp.abortConnection)
        else:
            self.tcp.abortConnection()
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            waiter.stop()
            waiter.deferred.errback(error)
        if not self.opened.called:
            self.opened.errback(error)
        self.lost.callback(error)

    # Giving up

    def _cancel_request(self, sequence: int) -> None:
        del self._requests[sequence]
        self._client.give_up(sequence)
        self._step()

    def _forget(self, waiter: _Waiter) -> None:
        waiter.stop()
        self._waiters.remove(waiter)

    def _expire_waiter(self, waiter: _Waiter) -> None:
        self._forget(waiter)
        kinds = waiter.kinds if isinstance(waiter.kinds, tuple) else (waiter.kinds,)
        names = " or ".join(kind.label for kind in kinds)
        waiter.deferred.errback(NdmpTimeout(f"{names} did not come in time"))

    def _cancel_opening(self, opened: Deferred[NdmpSession]) -> None:
        opened.errback(Failure(CancelledError()))
        self._client.end(NdmpLost("the session was given up"))
        self._step()


def connect_session(
    reactor: Any,
    host: str,
    port: int,
    *,
    username: str,
    password: str,
    auth: str,
    versions: tuple[int, ...] = (4, 3, 2),
    timeout: float,
    haste: Haste | None = None,
) -> Deferred[NdmpSession]:
    """Connect to an NDMP server, agree on a version and log in.

    Fails with an NdmpError: NdmpLost (``connect failed: ...``, or refused at the door),
    NdmpRefused (no version), NdmpLoginRefused, NdmpTimeout, NdmpGarbage or NdmpInvalid.

    :param auth: one of :data:`protocols.ndmp.auth.METHODS`.
    :param versions: that may be agreed upon, the best first.
    :param timeout: seconds for connecting, for each step of the opening, and for a request
        without its own.
    :param haste: shortens all deadlines when all is to end.
    """
    try:
        opening = Opening(username, password, auth, versions)
    except NdmpError as error:
        return fail(error)
    haste = Haste(reactor) if haste is None else haste
    factory = Factory.forProtocol(lambda: NdmpSession(reactor, opening, timeout, haste))
    endpoint = HostnameEndpoint(reactor, host, port, timeout=timeout)
    # looking up a name has no limit of its own, and it may need a thread that is not to be had
    connecting = maybeDeferred(endpoint.connect, factory)
    late = False

    def too_late() -> None:
        nonlocal late
        late = True
        connecting.cancel()

    timer = haste.call_later(timeout, too_late)

    def in_time(result: Any) -> Any:
        if timer.active():
            timer.cancel()
        return result

    def say_why(reason: Failure) -> Failure:
        if late:
            return Failure(NdmpLost("connect failed: it took too long"))
        return Failure(NdmpLost(f"connect failed: {reason.getErrorMessage()}"))

    given_up = False

    def give_up(_: object) -> None:
        nonlocal given_up
        given_up = True
        connecting.cancel()

    asked: Deferred[NdmpSession] = Deferred(give_up)

    def failed(reason: Failure) -> None:
        # an endpoint has many words for a cancellation, a failure to look up the name among them
        if not given_up:
            asked.errback(reason)

    connecting.addBoth(in_time)
    opened: Deferred[NdmpSession] = connecting.addCallbacks(_wait_until_open, say_why)
    opened.addCallbacks(asked.callback, failed)
    return asked


def _wait_until_open(protocol: Any) -> Deferred[NdmpSession]:
    return cast(NdmpSession, protocol).opened

"""IndirectTCP over real loopback sockets: who asks, who leaves, who answers."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator

import pytest
from twisted.internet.defer import CancelledError

from protocols.directtcp import INDIRECT_HOST, Address
from protocols.twisted_transports.indirect import (
    MOST_ASKERS,
    IndirectError,
    IndirectListener,
    resolve,
)
from tests.fakes.turning import Turning, turning_reactor

ADDRESSES = (Address("192.0.2.1", 1234), Address("2001:db8::5", 77))


@pytest.fixture
def turning() -> Iterator[Turning]:
    with turning_reactor() as turning:
        yield turning


def refused(turning: Turning, listener: IndirectListener) -> bool:
    """Nobody can ask any more."""
    turning.until(lambda: bool(listener._listening.disconnected))
    with pytest.raises(ConnectionRefusedError):
        ask(listener)
    return True


def caller(turning: Turning, server: socket.socket) -> socket.socket:
    """Whoever connects."""
    server.setblocking(False)
    found: list[socket.socket] = []

    def look() -> bool:
        try:
            found.append(server.accept()[0])
        except BlockingIOError:
            return False
        return True

    turning.until(look)
    return found[0]


def ask(listener: IndirectListener) -> socket.socket:
    return socket.create_connection(("127.0.0.1", listener.port), 10)


def say_all(peer: socket.socket, data: bytes) -> None:
    peer.setblocking(True)
    with contextlib.suppress(OSError), peer:
        peer.sendall(data)


def heard(turning: Turning, link: socket.socket) -> bytes:
    """All bytes up to the end of the connection."""
    link.setblocking(False)
    data = bytearray()
    ended: list[bool] = []

    def read() -> bool:
        try:
            piece = link.recv(100)
        except BlockingIOError:
            return False
        except ConnectionResetError:
            piece = b""
        data.extend(piece)
        if not piece:
            ended.append(True)
        return bool(ended)

    turning.until(read)
    link.close()
    return bytes(data)


def anybody(peer: tuple[str, int], ours: tuple[str, int]) -> bool:
    return True


def test_ordinary_addresses_need_no_question(turning: Turning) -> None:
    """A list without 255.255.255.255 is used as it is."""
    assert turning.settle(resolve(turning.reactor, ADDRESSES, 5)) == ADDRESSES


def test_the_consumer_gets_what_the_producer_says(turning: Turning) -> None:
    """Several addresses, IPv4 and IPv6, arrive in order."""
    listener = IndirectListener(turning.reactor, anybody)
    resolved = resolve(turning.reactor, (Address(INDIRECT_HOST, listener.port),), 5)
    turning.settle(listener.asked)
    told = listener.answer(ADDRESSES)
    assert turning.settle(resolved) == ADDRESSES
    assert turning.settle(told) is None


def test_the_exact_bytes(turning: Turning) -> None:
    """Single blanks, no line end, no NUL, then the end of the connection."""
    listener = IndirectListener(turning.reactor, anybody)
    told = listener.answer((Address("127.0.0.1", 42393), Address("10.0.0.1", 5)))
    link = ask(listener)
    assert heard(turning, link) == b"127.0.0.1:42393 10.0.0.1:5"
    turning.settle(told)
    listener.close()
    assert refused(turning, listener)


def test_nobody_is_told_before_there_is_something_to_tell(turning: Turning) -> None:
    """An early question waits for its answer."""
    listener = IndirectListener(turning.reactor, anybody)
    link = ask(listener)
    turning.settle(listener.asked)
    link.setblocking(False)
    with pytest.raises(BlockingIOError):
        link.recv(1)
    told = listener.answer(ADDRESSES[:1])
    assert heard(turning, link) == b"192.0.2.1:1234"
    turning.settle(told)


def test_who_leaves_is_replaced_by_the_next(turning: Turning) -> None:
    """A consumer that asks and drops does not take the answer with it."""
    listener = IndirectListener(turning.reactor, anybody)
    link = ask(listener)
    turning.settle(listener.asked)
    link.close()
    turning.until(lambda: not listener._askers)
    told = listener.answer(ADDRESSES[:1])
    assert heard(turning, ask(listener)) == b"192.0.2.1:1234"
    turning.settle(told)


def test_all_who_ask_are_told(turning: Turning) -> None:
    """One who looks in, before the answer or after it, takes it from nobody."""
    listener = IndirectListener(turning.reactor, anybody)
    first, second = ask(listener), ask(listener)
    turning.until(lambda: len(listener._askers) == 2)
    told = listener.answer(ADDRESSES[:1])
    for link in (first, second, ask(listener)):
        assert heard(turning, link) == b"192.0.2.1:1234"
    turning.settle(told)
    listener.close()


def test_who_may_not_ask_learns_nothing(turning: Turning) -> None:
    """He is judged by both ends of his connection, and is no question."""
    ends: list[tuple[str, int]] = []

    def nobody(peer: tuple[str, int], ours: tuple[str, int]) -> bool:
        ends.extend((peer, ours))
        return False

    listener = IndirectListener(turning.reactor, nobody)
    told = listener.answer(ADDRESSES[:1])
    link = ask(listener)
    mine = link.getsockname()
    assert heard(turning, link) == b""
    assert ends == [mine, ("127.0.0.1", listener.port)]
    assert not listener.asked.called
    assert not told.called
    listener.close()


def test_askers_beyond_a_bound_are_refused(turning: Turning) -> None:
    listener = IndirectListener(turning.reactor, anybody)
    links = []
    for number in range(MOST_ASKERS):
        links.append(ask(listener))
        turning.until(lambda number=number: len(listener._askers) > number)
    assert heard(turning, ask(listener)) == b""
    listener.close()
    for link in links:
        assert heard(turning, link) == b""


@pytest.mark.parametrize("what", ["asked", "answer"])
def test_waiting_can_be_given_up(turning: Turning, what: str) -> None:
    """Cancelling closes the port, and whoever waits is hung up on."""
    listener = IndirectListener(turning.reactor, anybody)
    waiting = listener.asked if what == "asked" else listener.answer(ADDRESSES)
    waiting.cancel()
    assert turning.settle(waiting).check(CancelledError)
    assert refused(turning, listener)


def test_a_closed_listener_hangs_up(turning: Turning) -> None:
    """Who asked is not left waiting when the dump is over."""
    listener = IndirectListener(turning.reactor, anybody)
    link = ask(listener)
    turning.settle(listener.asked)
    listener.close()
    listener.close()
    assert heard(turning, link) == b""


@pytest.mark.parametrize("answer", [b"", b"nonsense", b"255.255.255.255:5", b"1.2.3.4:5 " * 9000])
def test_a_bad_answer_is_an_error(turning: Turning, answer: bytes) -> None:
    """No address, garbage, an indirect answer, far too many bytes: refused, not followed."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        resolved = resolve(turning.reactor, (Address(INDIRECT_HOST, port),), 5)
        peer = caller(turning, server)
        sender = threading.Thread(target=say_all, args=(peer, answer))
        sender.start()
        failure = turning.settle(resolved)
        sender.join()
    assert failure.check(IndirectError)
    assert f"127.0.0.1:{port}" in failure.value.text


def test_nobody_there_to_ask(turning: Turning) -> None:
    """A port that nobody listens on is an error at once."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    failure = turning.settle(resolve(turning.reactor, (Address(INDIRECT_HOST, port),), 5))
    assert failure.check(IndirectError)
    assert "cannot connect" in failure.value.text


def test_an_answer_that_never_comes(turning: Turning) -> None:
    """The wait ends by its limit."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        failure = turning.settle(resolve(turning.reactor, (Address(INDIRECT_HOST, port),), 0.02))
    assert failure.check(IndirectError)
    assert "no answer in 0.02 s" in failure.value.text


def test_a_question_can_be_given_up(turning: Turning) -> None:
    """Cancelling the question leaves nothing behind."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        resolved = resolve(turning.reactor, (Address(INDIRECT_HOST, port),), 5)
        resolved.cancel()
        assert turning.settle(resolved).check(CancelledError)
    turning.until(lambda: not turning.reactor.getDelayedCalls())

"""The driver conversation on transports, both ends."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IHalfCloseableProtocol, IProtocol, IPushProducer
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from zope.interface.verify import verifyObject

from protocols.driver import commands, replies
from protocols.driver.codec import BadLine
from protocols.driver.messages import Message
from protocols.twisted_transports.driver import DriverProtocol, TaperProtocol

EOF = "EOF"


class Conversation:
    """One end of a conversation on a transport in memory, and what it heard."""

    def __init__(
        self, kind: type[DriverProtocol | TaperProtocol] = DriverProtocol, limit: int = 100
    ) -> None:
        self.heard: list[Message | BadLine | str] = []
        self.protocol = kind(self.heard.append, lambda: self.heard.append(EOF), limit)
        self.transport = StringTransport()

    def connected(self) -> Conversation:
        self.protocol.makeConnection(self.transport)  # type: ignore[no-untyped-call]
        return self

    def lose(self) -> None:
        self.protocol.connectionLost(Failure(ConnectionDone()))


SCRIPT = (
    b"START-TAPER taper0 worker0-0 PROTO 20260101000000\n\n0\nGARBAGE\n"
    b'NO-NEW-TAPE worker0-0 00-00001 "caf\xe9 x"\n' + b"x" * 200 + b"\nclose-volume worker0-0\nQUIT"
)
HEARD = [
    commands.StartTaper("taper0", "worker0-0", "PROTO", "20260101000000"),
    BadLine("unknown command 'GARBAGE'"),
    commands.NoNewTape("worker0-0", "00-00001", "caf\udce9 x"),
    BadLine(f"line of '{'x' * 40}' is too long, expected at most 100 bytes"),
    commands.CloseVolume("worker0-0"),
    commands.Quit(),
    EOF,
]


@given(st.lists(st.integers(0, len(SCRIPT))))
def test_commands_cut_anywhere_are_heard_in_order(cuts: list[int]) -> None:
    conversation = Conversation().connected()
    for start, end in pairwise(sorted({0, len(SCRIPT), *cuts})):
        conversation.protocol.dataReceived(SCRIPT[start:end])
    conversation.lose()
    assert conversation.heard == HEARD


@given(st.lists(st.tuples(st.integers(0, len(SCRIPT)), st.booleans())))
def test_nothing_is_taken_while_replies_wait_unread(moments: list[tuple[int, bool]]) -> None:
    """Then no command is read either; later all are taken, in order, and the end at the end."""
    conversation = Conversation().connected()
    protocol = conversation.protocol
    assert isinstance(protocol, DriverProtocol)
    verifyObject(IPushProducer, protocol)
    start, held = 0, False
    for end, hold in sorted(moments):
        if hold and not held:
            protocol.pauseProducing()
        elif held and not hold:
            protocol.resumeProducing()
        held = hold
        assert conversation.transport.producerState == ("paused" if held else "producing")
        before = list(conversation.heard)
        protocol.dataReceived(SCRIPT[start:end])  # what was on its way
        assert not held or conversation.heard == before
        start = end
    protocol.dataReceived(SCRIPT[start:])
    protocol.readConnectionLost()
    assert EOF not in conversation.heard or not held
    if held:
        protocol.resumeProducing()
    assert conversation.heard == HEARD


@pytest.mark.parametrize("way", ["write lost", "all lost", "stopped"])
def test_a_driver_that_dies_with_replies_unread(way: str) -> None:
    """What it said before is still carried out, and its end is noticed."""
    conversation = Conversation().connected()
    protocol = conversation.protocol
    assert isinstance(protocol, DriverProtocol)
    protocol.pauseProducing()
    protocol.dataReceived(b"CLOSE-VOLUME w\n")
    if way == "all lost":
        conversation.lose()
    else:
        protocol.writeConnectionLost() if way == "write lost" else protocol.stopProducing()
        assert conversation.transport.producerState == "producing"
        protocol.readConnectionLost()
    assert conversation.heard == [commands.CloseVolume("w"), EOF]
    assert protocol.deaf or way == "all lost"


def test_end_of_input_executes_the_last_line_and_is_told_once() -> None:
    conversation = Conversation().connected()
    conversation.protocol.dataReceived(b"CLOSE-VOLUME w")
    conversation.protocol.readConnectionLost()
    assert conversation.heard == [commands.CloseVolume("w"), EOF]
    conversation.lose()
    assert conversation.heard == [commands.CloseVolume("w"), EOF]


def test_replies_may_follow_the_end_of_input() -> None:
    conversation = Conversation().connected()
    conversation.protocol.readConnectionLost()
    conversation.protocol.send(replies.ClosedVolume("w"))
    assert conversation.transport.value() == b"CLOSED-VOLUME w\n"


def test_every_reply_is_one_write_of_a_whole_line() -> None:
    conversation = Conversation().connected()
    writes: list[bytes] = []
    conversation.transport.write = writes.append  # type: ignore[method-assign]
    conversation.protocol.send(replies.TaperOk("w", replies.ALLOW_TAKE_SCRIBE_FROM))
    conversation.protocol.send(replies.Port("w", "h", 1, ("127.0.0.1:2",)))
    assert writes == [
        b"TAPER-OK w ALLOW-TAKE-SCRIBE-FROM\n",
        b'PORT w h 1 "127.0.0.1:2"\n',
    ]


def test_the_drivers_end_hears_replies() -> None:
    conversation = Conversation(TaperProtocol).connected()
    conversation.protocol.dataReceived(b"READY w h\nready w h\n")
    assert conversation.heard == [replies.Ready("w", "h"), BadLine("unknown reply 'ready'")]


def test_both_ends_understand_each_other() -> None:
    taper, driver = Conversation().connected(), Conversation(TaperProtocol).connected()
    driver.protocol.send(commands.StartScan("w", "h"))
    taper.protocol.dataReceived(driver.transport.value())
    taper.protocol.send(replies.NewTape("w", "h", "A tape"))
    driver.protocol.dataReceived(taper.transport.value())
    assert taper.heard == [commands.StartScan("w", "h")]
    assert driver.heard == [replies.NewTape("w", "h", "A tape")]


def test_losing_the_writing_half_leaves_the_reading_one() -> None:
    conversation = Conversation().connected()
    conversation.protocol.writeConnectionLost()
    conversation.protocol.dataReceived(b"QUIT\n")
    assert conversation.heard == [commands.Quit()]


def test_sending_before_there_is_a_connection_is_a_mistake() -> None:
    with pytest.raises(RuntimeError, match="not connected"):
        Conversation().protocol.send(replies.ClosedVolume("w"))


@pytest.mark.parametrize("kind", [DriverProtocol, TaperProtocol])
def test_both_ends_are_protocols(kind: type[DriverProtocol | TaperProtocol]) -> None:
    protocol = Conversation(kind).connected().protocol
    assert verifyObject(IProtocol, protocol)
    assert verifyObject(IHalfCloseableProtocol, protocol)


@pytest.mark.parametrize("way", ["goes on", "input ends", "all lost"])
def test_what_a_line_asks_for_is_waited_for(way: str) -> None:
    """Meanwhile nothing is read, and nothing taken of what was on its way."""
    heard: list[object] = []
    waits: list[Deferred[None]] = []

    def take(message: object) -> Deferred[None] | None:
        heard.append(message)
        if not isinstance(message, BadLine):
            return None
        waits.append(Deferred())
        return waits[-1]

    protocol = DriverProtocol(take, lambda: heard.append(EOF))
    transport = StringTransport()
    protocol.makeConnection(transport)  # type: ignore[no-untyped-call]
    protocol.dataReceived(b"GARBAGE\nCLOSE-VOLUME w\n")
    assert len(heard) == 1
    assert transport.producerState == "paused"
    protocol.pauseProducing()
    protocol.resumeProducing()
    assert (len(heard), transport.producerState) == (1, "paused")
    if way == "input ends":
        protocol.readConnectionLost()
    elif way == "all lost":
        protocol.connectionLost()
    assert EOF not in heard
    waits[0].callback(None)
    assert heard[1:] == [commands.CloseVolume("w"), *([] if way == "goes on" else [EOF])]
    assert transport.producerState == ("producing" if way == "goes on" else "paused")

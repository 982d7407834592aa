"""Whatever a client says, a session answers it once, in order, and its mover keeps its states."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, TypeVar

from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.directtcp import Address
from protocols.ndmp import messages as m
from protocols.ndmp.base import REQUESTS
from protocols.ndmp.codec import REPLY, REQUEST, Header, decode_body, decode_header, encode
from protocols.ndmp.codes import AuthType, ErrorCode, MoverMode, MoverState, Mtio, TapeMode
from protocols.ndmp.record import RecordReader
from protocols.ndmp_server.interfaces import (
    Channel,
    Contents,
    Element,
    Identity,
    MoveEnd,
    Place,
    Progress,
    Refused,
    Robot,
    Tape,
)
from protocols.ndmp_server.profile import PERSONALITIES, Profile
from protocols.ndmp_server.session import ENOUGH, Session
from tests.fakes.medium import Medium
from tests.protocols.ndmp_values import records, versions

T = TypeVar("T")
SIZE = 512


class StillDrive:
    """A drive that does at once what it is asked."""

    block_size = 0
    loaded = True

    def __init__(self) -> None:
        self.user: object | None = None
        self.medium = Medium()

    @property
    def place(self) -> Place:
        return Place(self.medium.file_num, self.medium.blockno)

    def refuse_record_size(self, size: int) -> None:
        if size == 7:
            raise Refused(ErrorCode.ILLEGAL_ARGS, "records of 7 bytes")

    async def do(self, work: Callable[[Tape], T]) -> T:
        return work(self.medium)

    async def settled(self) -> None: ...
    async def claim(self) -> None: ...
    async def unload(self) -> None: ...
    async def let_go(self) -> None: ...


class PlannedChannel:
    """A data connection that moves one record, and then ends its work as planned."""

    def __init__(self, plan: list[MoveEnd]) -> None:
        self._plan = plan

    def _end(self) -> MoveEnd:
        return self._plan.pop(0) if self._plan else MoveEnd.CLOSED

    def store(self, tape: Tape, progress: Progress) -> MoveEnd:
        tape.write(bytes(progress.record_size))
        progress.position += progress.record_size
        return self._end()

    def serve(self, tape: Tape, progress: Progress, *, watch: bool) -> MoveEnd:
        progress.left = 0
        return self._end()

    def begin(self) -> None: ...
    def interrupt(self) -> None: ...
    def wake(self) -> None: ...
    def close(self, *, reset: bool = False) -> None: ...
    def account(self) -> str:
        return "nothing went by"


class Awaited:
    """What waits for a peer."""

    address = Address("127.0.0.1", 5)

    def __init__(self, came: Callable[[Channel | None], None]) -> None:
        self.came: Callable[[Channel | None], None] | None = came

    def close(self) -> None:
        self.came = None


class StillRobot:
    """A changer with one slot and no drive."""

    user: object | None = None
    drives: tuple[()] = ()

    async def look(self) -> Contents:
        return Contents(("ONE",), ())

    async def move(self, source: Element, target: Element) -> None:
        raise AssertionError("there is no drive")


class House:
    """A server without sockets: what it is asked for happens at once."""

    identity = Identity()
    extensions: Mapping[int, tuple[int, ...]] = {}
    anybody = False

    def __init__(self, plan: list[MoveEnd]) -> None:
        self.drives: Mapping[str, Any] = {"t0": StillDrive()}
        self.robots: Mapping[str, Robot] = {"robot": StillRobot()}
        self.waiting: Awaited | None = None
        self._plan = plan

    def now(self) -> int:
        return 1

    def challenge(self) -> bytes:
        return bytes(64)

    def password_of(self, name: str) -> str | None:
        return "secret" if name == "ndmp" else None

    def spawn(self, story: Coroutine[Any, Any, None]) -> None:
        try:
            story.send(None)
        except StopIteration:
            return
        raise AssertionError("it waits for something")

    def listen(
        self, host: str, came: Callable[[Channel | None], None], *, ipv6: bool = False
    ) -> Awaited:
        self.waiting = Awaited(came)
        return self.waiting

    def told_addresses(self, address: Address, version: int) -> tuple[Address, ...]:
        return (address,)

    async def connect(self, addresses: Sequence[Address]) -> Channel:
        return PlannedChannel(self._plan)

    def peer_comes(self, channel: Channel | None) -> None:
        """If one is awaited."""
        if self.waiting is not None and self.waiting.came is not None:
            self.waiting.came(channel)


class Talk:
    """A client of a session, and all that it heard."""

    def __init__(self, profile: Profile, version: int, plan: list[MoveEnd]) -> None:
        self.house = House(plan)
        self.plan = plan
        self.over = False
        self._reader = RecordReader()
        self._heard: list[tuple[Header, bytes]] = []
        self.posts: list[m.Post] = []
        self.session = Session(
            self.house, 1, profile, host="127.0.0.1", write=self._hear, hang_up=self._end
        )
        self.session.greet()
        self._sequence = 0
        assert self.ask(m.ConnectOpen(protocol_version=version)) == ErrorCode.NO_ERR
        login = m.AuthData(AuthType.TEXT, "ndmp", "secret")
        assert self.ask(m.ConnectClientAuth(auth=login)) == ErrorCode.NO_ERR

    def _hear(self, data: bytes) -> None:
        for record in self._reader.feed(data):
            header = decode_header(record)
            if header.message_type == REPLY:
                self._heard.append((header, record))
                continue
            post = decode_body(header, record, self.session.version)
            assert isinstance(post, m.Post)
            self.posts.append(post)

    def _end(self, reset: bool) -> None:
        self.over = True
        self.session.ended()

    def ask(self, request: m.Message) -> int | None:
        """The error that it was answered with; None: the session ended."""
        self._sequence += 1
        version = self.session.version
        header = Header(self._sequence, 1, REQUEST, request.code)
        before = len(self._heard)
        self.session.feed(encode(header, request, version))
        heard = self._heard[before:]
        if not heard:
            assert self.over
            return None
        ((header, record),) = heard
        assert (header.code, header.reply_sequence) == (request.code, self._sequence)
        if header.error or request.code == m.ConnectClose.code:
            return None if self.over else header.error
        reply = decode_body(header, record, self.session.version)
        assert isinstance(reply, m.Reply)
        return int(reply.error)

    def check(self) -> None:
        """The last post of the mover is what its state says."""
        posts = [p for p in self.posts if isinstance(p, m.NotifyMoverPaused | m.NotifyMoverHalted)]
        state = self.session.mover.state
        if state is MoverState.PAUSED and not self.over:
            assert isinstance(posts[-1], m.NotifyMoverPaused)
        if state is MoverState.HALTED and not self.over:
            assert isinstance(posts[-1], m.NotifyMoverHalted)


SENSIBLE = (
    *[m.TapeOpen(device="t0", mode=mode) for mode in TapeMode],
    m.TapeClose(),
    m.MoverSetRecordSize(size=SIZE),
    *[m.MoverSetWindow(offset=0, length=length) for length in (0, SIZE, 2**64 - 1)],
    *[m.MoverListen(mode=mode) for mode in (MoverMode.READ, MoverMode.WRITE)],
    m.MoverContinue(),
    m.MoverRead(offset=0, length=SIZE),
    m.MoverClose(),
    m.MoverAbort(),
    m.MoverStop(),
    m.TapeWrite(data=b"record"),
    m.TapeRead(count=SIZE),
    *[m.TapeMtio(op=op, count=2) for op in Mtio],
    m.ScsiOpen(device="robot"),
    m.ScsiClose(),
)
PEER = ("peer", "nobody")


def anything(version: int) -> st.SearchStrategy[Any]:
    """A request, sensible or not; or what happens to a mover that waits."""
    every = [request for request in REQUESTS.values() if version in request.versions]
    return st.one_of(
        st.sampled_from([one for one in SENSIBLE if version in one.versions]),
        st.sampled_from([*SENSIBLE[5:12], *PEER]),
        st.sampled_from(every).flatmap(lambda request: records(request, version)),
    )


@settings(max_examples=300)
@given(data=st.data())
def test_every_request_has_its_answer(data: st.DataObject) -> None:
    """One each, in order; what it posts is what its mover is; and the drive is free in the end."""
    name, version = data.draw(st.sampled_from(list(PERSONALITIES))), data.draw(versions)
    plan = data.draw(st.lists(st.sampled_from(list(MoveEnd)), max_size=6))
    talk = Talk(PERSONALITIES[name], version, plan)
    for step in data.draw(st.lists(anything(version), max_size=40)):
        if step in PEER:
            talk.house.peer_comes(PlannedChannel(plan) if step == "peer" else None)
        elif talk.ask(step) is None:
            break
        talk.check()
    talk.session.ended()
    assert talk.house.drives["t0"].user is None
    assert talk.session.mover.state is MoverState.IDLE


def test_who_takes_no_replies_is_asked_no_more() -> None:
    """What it said waits, bounded, until it has taken them; then all is answered in order."""
    talk = Talk(PERSONALITIES["conforming"], 4, [])
    heard = len(talk.posts), len(talk._heard)
    talk.session.hold()
    asked = [
        encode(Header(n, 1, REQUEST, m.MoverGetState.code), m.MoverGetState(), 4) for n in (7, 8)
    ]
    assert talk.session.feed(b"".join(asked))
    assert not talk.session.feed(asked[0] * ENOUGH)
    assert (len(talk.posts), len(talk._heard)) == heard
    talk.session.go_on()
    answered = [header.reply_sequence for header, _ in talk._heard[heard[1] :]]
    assert answered == [7, 8, *[7] * ENOUGH]


@settings(max_examples=200)
@given(pieces=st.lists(st.binary(max_size=60), max_size=8))
def test_rubbish_never_breaks_it(pieces: list[bytes]) -> None:
    """It is answered, ignored, or the end of the session."""
    talk = Talk(PERSONALITIES["conforming"], 4, [])
    for piece in pieces:
        if not talk.over:
            talk.session.feed(piece)
            talk.session.feed((len(piece) | 1 << 31).to_bytes(4, "big") + piece)

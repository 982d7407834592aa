"""A dump whose application meets us first, onto devices of both kinds, in this process."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from twisted.internet.defer import CancelledError, Deferred
from zope.interface.verify import verifyObject

from devices.interfaces import AccessMode
from devices.lane import Lane, LaneDevice
from protocols.directtcp import Address
from protocols.driver.commands import PortWrite
from protocols.driver.messages import SplitFields
from protocols.header import Header, HeaderType, build_header
from protocols.rendezvous.frames import HeaderBlock, HeaderFields, Outcome, Send, Why
from taper.core.errors import SourceFault
from taper.core.interfaces import IFlow, IOrigin, IToldOrigin
from taper.core.outcome import Verdict
from taper.flow.flows import Flows
from taper.flow.interfaces import IMoverOrigin
from taper.flow.rendezvous import feeding, origin, sender
from taper.flow.rendezvous.origin import RendezvousOrigin
from taper.flow.rendezvous.terms import Terms
from tests.contract.flow import DATA as APPLICANTS
from tests.devices.ndmp_world import World
from tests.fakes.device import FakeDevice, FakeVolume
from tests.fakes.ndmp_server import CONFORMING, STRICT
from tests.fakes.turning import Turning, turning_reactor
from tests.flow.flowing import PLAN, make_context
from tests.flow.rendezvous_peer import KEY, PATIENCE, Application, Cut, Script, crc_of
from tests.flow.test_contract import Applicant
from tests.flow.test_spanning import OVER, Volumes, dump
from tests.opened import threads

STAMP = "20260102030405"
HEADER = Header(
    type=HeaderType.DUMPFILE,
    datestamp=STAMP,
    host="localhost",
    disk="/var",
    level=0,
    program="APPLICATION",
    application="amdirecttar",
)
BLOCK_HEADER = HeaderBlock(build_header(HEADER, 32768, None))
DATA = os.urandom(65536) * 24 + b"the end"
COMMAND = PortWrite("w", "00-00001", "localhost", "/var", "0", STAMP, SplitFields(), "DIRECTTCP")


@pytest.fixture
def turning() -> Iterator[Turning]:
    with turning_reactor() as turning:
        yield turning


class Pumped:
    """A device that blocks, in a lane."""

    def __init__(self, turning: Turning) -> None:
        self.volume = FakeVolume()
        self._lane = Lane(turning.reactor, "device")
        self.device: Any = LaneDevice(FakeDevice(self.volume), self._lane)

    def stored(self) -> bytes:
        files = self.volume.files
        return b"".join(bytes(files[number].data) for number in sorted(files) if number)

    async def close(self) -> None:
        await self.device.finish()
        await self._lane.stop()


class Moved:
    """A drive of a tape server."""

    def __init__(self, turning: Turning, profile: Any = CONFORMING) -> None:
        self._world = World(turning, profile)
        self._turning = turning
        self.device: Any = self._world.device("drive0")

    def stored(self) -> bytes:
        return self._world.payload("drive0")

    async def close(self) -> None:
        await self.device.finish()
        await self._world.server.stop()


class Strict(Moved):
    """One that listens only once the header is on the volume."""

    def __init__(self, turning: Turning) -> None:
        super().__init__(turning, STRICT)


class Meeting:
    """One dump, and the application that brings it.

    :param later: seconds of patience once the application is there
    :ivar errors: of the source.
    :ivar offered: to the driver.
    """

    def __init__(
        self,
        turning: Turning,
        target: Any,
        script: Script | None = None,
        data: bytes = DATA,
        *,
        patience: float = 60.0,
        later: float | None = None,
        plan: Any = PLAN,
        key: bytes = KEY,
        window: int = 1 << 24,
        tls: Any = None,
    ) -> None:
        self.turning = turning
        self.target = target
        self.context = make_context(turning.reactor, patience)
        terms = Terms(key=KEY, hosts=("127.0.0.1",), tls=tls)
        self.origin = RendezvousOrigin(self.context, COMMAND, terms)
        self._flows, self._plan = Flows(self.context), plan
        self.flow: IFlow = self._flows.between(self.origin, target.device, plan)
        self.script = script or Script(header=BLOCK_HEADER)
        self.data = data
        self.key = key
        self.window = window
        self.later = later
        self.errors: list[str] = []
        self.interrupted: list[str] = []
        self.offered: tuple[Address, ...] = ()
        self.application: Application | None = None
        self.before_send: Callable[[Send], object] = lambda order: None
        self.good = 0
        self.ended = False
        self._readying: Deferred[None] = Deferred()

    async def begin(self) -> None:
        await self.origin.find()
        offer = await self.flow.offer()
        assert offer is not None
        self.offered = tuple(Address.parse(text) for text in offer.addresses)
        self.application = Application(
            self.offered,
            self.data,
            self.script,
            key=self.key,
            window=self.window,
            before_send=self.before_send,
        ).start()

    async def run(self) -> Verdict:
        """All of it. :return: as the ledger would have it"""
        try:
            await self._write()
        except SourceFault as fault:
            self.errors.append(fault.text)
        except CancelledError:
            assert self.interrupted
        await self.flow.close()
        self.errors += self.flow.take_errors()
        crc = self.flow.dest_crc()
        fate = Verdict.PARTIAL if self.good else Verdict.FAILED
        if not self.errors and self.good and self.ended:
            fate = Verdict.DONE
        self.origin.tell_end(fate, crc, self.good, "; ".join(self.errors))
        return fate

    async def _write(self) -> None:
        await self.begin()
        header = await self.origin.header()
        if self.later is not None:
            inner: Any = self.origin
            inner._context = evolve(self.context, patience=self.later)
            inner._meeting._patience = self.later
        self.origin.follow(lambda: (self.good, self.flow.bytes_written), self._interrupt)
        self._readying = ready = self.flow.ready()
        if self.flow.ready_first:
            await ready
        await self.target.device.start(AccessMode.WRITE, "V", STAMP)
        if not self.flow.ready_first:
            await ready
        while not self.ended:
            await self._go_on()
            result = await self.flow.write_part(self.target.device, header)
            if result.stored is not None:
                await result.stored
            if not result.successful and not self.flow.can_retry():
                self.errors += self.flow.take_errors() or [result.error or "?"]
                return
            self.good += result.size if result.successful else 0
            self.origin.tell_progress()
            self.ended = result.eof

    async def _go_on(self) -> None:
        """By another flow, if this one can no more."""
        flow, device = self.flow, self.target.device
        self.flow = await self._flows.going_on(flow, self.origin, device, self._plan)
        if self.flow is not flow:
            await self.flow.ready()

    def _interrupt(self, text: str) -> None:
        self.interrupted.append(text)
        self.flow.cancel("")
        self._readying.cancel()

    async def close(self) -> None:
        await self.flow.close()
        await self.origin.close()
        await self.target.close()
        application = self.application
        if application is not None:
            application.stop()
            self.turning.until(lambda: application.over)


@pytest.fixture
def meet(turning: Turning) -> Iterator[Any]:
    """Makes meetings, and clears away."""
    made: list[Meeting] = []

    def make(target: Any, script: Script | None = None, **options: Any) -> Meeting:
        if script is not None and script.header is not None:
            script.header = BLOCK_HEADER
        made.append(Meeting(turning, target(turning), script, **options))
        return made[-1]

    yield make
    for meeting in made:
        turning.run(meeting.close())
    for each in threads("rendezvous data"):
        each.join(PATIENCE)
        assert not each.is_alive(), "it was told to end"


def check_whole(meeting: Meeting, turning: Turning) -> None:
    """It is there, byte for byte, and both ends know it."""
    application = meeting.application
    assert application is not None
    turning.until(lambda: application.over)
    turning.wait(meeting.target.device.finish())
    stored = meeting.target.stored()
    assert stored[: len(meeting.data)] == meeting.data
    assert stored[len(meeting.data) :].strip(b"\0") == b""
    assert meeting.flow.source_crc() == meeting.flow.dest_crc()
    assert meeting.flow.dest_crc().value == crc_of(meeting.data)
    assert meeting.flow.dest_crc().size == len(meeting.data)
    result = application.result
    assert result is not None, application.error
    assert (result.result, result.crc) == (Outcome.GOOD, crc_of(meeting.data))


TARGETS = [Pumped, Moved, Strict]


@pytest.mark.parametrize("target", TARGETS)
def test_a_dump_by_rendezvous(turning: Turning, meet: Any, target: Any) -> None:
    """The header, the data, one checksum of both ends; nobody is told 255.255.255.255."""
    meeting = meet(target)
    assert verifyObject(IMoverOrigin, meeting.origin)
    assert verifyObject(IToldOrigin, meeting.origin)
    assert verifyObject(IOrigin, meeting.origin)
    assert turning.run(meeting.run()) is Verdict.DONE
    check_whole(meeting, turning)
    assert not any(address.is_indirect for address in meeting.offered)
    assert [order.offset for order in meeting.application.orders] == [0]
    assert meeting.application.doubled == 0


@pytest.mark.parametrize("target", TARGETS)
def test_an_empty_dump(turning: Turning, meet: Any, target: Any) -> None:
    meeting = meet(target, data=b"")
    turning.run(meeting.run())
    assert meeting.errors == []
    turning.wait(meeting.target.device.finish())
    assert meeting.target.stored().strip(b"\0") == b""


@pytest.mark.parametrize("how", ["reset", "closed"])
@pytest.mark.parametrize("link", [False, True])
@pytest.mark.parametrize("ahead", [False, True])
@pytest.mark.parametrize("target", [Pumped, Moved])
def test_cuts(
    turning: Turning,
    meet: Any,
    monkeypatch: pytest.MonkeyPatch,
    target: Any,
    how: str,
    ahead: bool,
    link: bool,
) -> None:
    """Wherever the data connection is cut, the dump goes on at the very byte; so it does where the
    rendezvous is cut as well, where nobody is told of the cut, and where the application has read
    all long before."""
    monkeypatch.setattr(feeding, "END_PATIENCE", 0.1)
    monkeypatch.setattr(feeding, "COME_PATIENCE", 0.5)
    monkeypatch.setattr(sender, "VERDICT_PATIENCE", 0.1)
    points = [0, 100_000, len(DATA) - 1]
    cuts = [Cut(at, how, link) for at in points]
    meeting = meet(target, Script(cuts=cuts, reads_ahead=ahead))
    assert turning.run(meeting.run()) is Verdict.DONE, meeting.errors
    check_whole(meeting, turning)
    offsets = [order.offset for order in meeting.application.orders]
    assert offsets == sorted(offsets)
    if len(offsets) == len(points) + 1:  # else a connection took too long to come
        assert meeting.application.doubled <= sum(points)


def test_cut_behind_the_last_byte(turning: Turning, meet: Any) -> None:
    """What is lost then is the end only."""
    meeting = meet(Pumped, Script(cuts=[Cut(len(DATA), "reset")]))
    assert turning.run(meeting.run()) is Verdict.DONE
    check_whole(meeting, turning)


@pytest.mark.parametrize("target", [Pumped, Moved])
@pytest.mark.parametrize(
    ("script", "text"),
    [
        (Script(fails="tar died"), "the application failed: tar died"),
        (Script(cannot=[Why.KEPT_NO_MORE]), "no such luck (it has kept what follows byte 1)"),
        (Script(cannot=[Why.FAILED]), "the application cannot send: no such luck"),
    ],
)
def test_what_it_says_of_its_failure(
    turning: Turning, meet: Any, target: Any, script: Script, text: str
) -> None:
    meeting = meet(target, script)
    check_failed(meeting, turning, text)


LATE = ("has not come back to the rendezvous in", "has sent nothing", "has not connected to")


@pytest.mark.parametrize("target", [Pumped, Moved])
@pytest.mark.parametrize(
    "script", [Script(lies=40_000), Script(mute=True), Script(idle=True), Script(dies_at=500_000)]
)
def test_what_it_does_not_say(
    turning: Turning, meet: Any, monkeypatch: pytest.MonkeyPatch, target: Any, script: Script
) -> None:
    """Each ends, with its reason, once patience is over."""
    monkeypatch.setattr(sender, "LEAST_SILENCE", 0.3)
    meeting = meet(target, script, later=0.3)
    check_failed(meeting, turning, *LATE, str(len(DATA) + 40_000))


def check_failed(meeting: Meeting, turning: Turning, *texts: str) -> None:
    """It is not DONE, for one of these reasons, and the application is told of no success."""
    assert turning.run(meeting.run()) is not Verdict.DONE
    errors = "; ".join(meeting.errors + meeting.interrupted)
    assert any(text in errors for text in texts), errors
    assert meeting.application is not None
    result = meeting.application.result
    assert result is None or result.result != Outcome.GOOD


def test_a_checksum_that_differs(turning: Turning, meet: Any) -> None:
    """All bytes came, but they are not those that were sent."""
    meeting = meet(Pumped, Script(wrong_crc=True))
    assert turning.run(meeting.run()) is Verdict.PARTIAL
    assert "differ" in meeting.errors[0]


@pytest.mark.parametrize(
    ("target", "cannot"), [(Pumped, []), (Moved, [Why.NOBODY_ANSWERS])], ids=["pumped", "kept"]
)
def test_other_bytes_the_second_time(
    turning: Turning, meet: Any, monkeypatch: pytest.MonkeyPatch, target: Any, cannot: list[Why]
) -> None:
    """What an application sends again must follow what was read: its checksum is compared then,
    not only at the end."""
    monkeypatch.setattr(feeding, "END_PATIENCE", 0.1)
    script = Script(cuts=[Cut(400_000, "closed")], cannot=cannot, other_start=True)
    meeting = meet(target, script)
    check_failed(meeting, turning, "bytes cannot follow those that were read")
    assert meeting.application.orders[-1].offset == 400_000


def test_nobody_answers_at_a_movers_address(turning: Turning, meet: Any) -> None:
    """Then the dump passes through this host, and is compared all the same."""
    meeting = meet(Moved, Script(cannot=[Why.NOBODY_ANSWERS]))
    assert turning.run(meeting.run()) is Verdict.DONE
    check_whole(meeting, turning)
    assert len(meeting.application.orders) == 2


@pytest.mark.parametrize("told", ["amdirecttar", "another"])
def test_a_header_that_is_not_the_configurations(
    turning: Turning, meet: Any, monkeypatch: pytest.MonkeyPatch, told: str
) -> None:
    """What the application says of it is compared with what we make of the configuration."""
    monkeypatch.setattr(origin, "make_header", lambda command, config: HEADER)
    meeting = meet(Pumped)
    meeting.script.header = HeaderFields((("application", told), ("unheard-of", "x")))
    if told == HEADER.application:
        assert turning.run(meeting.run()) is Verdict.DONE
        assert meeting.target.volume.files[1].header.application == told
    else:
        assert turning.run(meeting.run()) is Verdict.FAILED
        assert "the dump's application is 'another', the configuration" in meeting.errors[0]
        assert meeting.target.volume.files == {}


def test_one_that_never_comes(turning: Turning, meet: Any) -> None:
    """No volume is touched for it."""
    meeting = meet(Pumped, patience=0.5, key=b"another key of sixteen bytes")
    assert turning.run(meeting.run()) is Verdict.FAILED
    assert meeting.target.volume.files == {}


def test_one_that_does_not_see_a_reset(
    turning: Turning, meet: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its data connection is gone before we look at it: it is sent anew, long before dtimeout."""
    monkeypatch.setattr("taper.flow.rendezvous.feeding.COME_PATIENCE", 0.05)
    meeting = meet(Pumped, Script(loses_first=True), patience=60.0)
    assert turning.run(meeting.run()) is Verdict.DONE
    assert [order.offset for order in meeting.application.orders] == [0, 0]


def test_one_that_keeps_too_little(turning: Turning, meet: Any) -> None:
    """It would wait for a device that waits for it."""
    meeting = meet(Pumped, window=1 << 20)
    assert turning.run(meeting.run()) is Verdict.FAILED
    assert "can keep 1048576 bytes for a second time" in meeting.errors[0]
    assert meeting.target.volume.files == {}


def test_progress_is_told(turning: Turning, meet: Any) -> None:
    """After each part at least; never less than before, nor more than there is."""
    plan = evolve(PLAN, part_size=4 * 32768, allow_split=True)
    meeting = meet(Pumped, Script(), plan=plan)
    assert turning.run(meeting.run()) is Verdict.DONE
    check_whole(meeting, turning)
    stored = meeting.application.stored
    assert stored == sorted(stored)
    assert stored[-1] == len(DATA)
    assert len(stored) >= len(DATA) // plan.part_size


@pytest.mark.parametrize(
    ("kinds", "indirect"), [(OVER[0], False), (OVER[1], True), (OVER[2], False)]
)
def test_over_devices_that_share_no_connection(
    turning: Turning, tmp_path: Path, kinds: str, indirect: bool
) -> None:
    """The application is sent from each to the next; every byte is stored once, in order."""
    applicant = Applicant(turning, tmp_path, whole=True)
    context = applicant.context(make_context(turning.reactor))
    volumes = Volumes(turning, kinds, CONFORMING, indirect=indirect)
    flow = turning.run(dump(Flows(context), applicant.origin(context), applicant, volumes))
    applicant.close()
    volumes.close()
    assert volumes.stored[: len(APPLICANTS)] == APPLICANTS
    assert len(volumes.stored) - len(APPLICANTS) < 32768
    assert flow.dest_crc().value == crc_of(APPLICANTS)
    assert flow.take_errors() == []

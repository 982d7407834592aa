"""A rendezvous by TLS: the real application in a thread, and our side on a reactor."""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.task import Clock

from protocols.crc import UNKNOWN
from protocols.directtcp import Address
from protocols.rendezvous.application import Names
from protocols.rendezvous.frames import Outcome
from protocols.rendezvous.times import MOST_UNPROVEN, PROOF_PATIENCE
from taper.application.tls import Trust
from taper.core.outcome import Verdict
from taper.flow.rendezvous.link import Link, Lobby
from taper.flow.rendezvous.meeting import Meeting, Presence
from taper.flow.rendezvous.meeting import Names as Wanted
from taper.flow.rendezvous.tls import by_tls
from taper.tls import Pem, make_options
from tests.application.taper_side import Application
from tests.fakes.certificates import Authority
from tests.fakes.turning import Turning, turning_reactor
from tests.flow.rendezvous_peer import KEY
from tests.flow.test_rendezvous import BLOCK_HEADER, Pumped
from tests.flow.test_rendezvous import Meeting as Dump

HOME = "127.0.0.1"


class Papers:
    """An authority, and the taper's certificate of it."""

    def __init__(self, place: Path, name: str = "authority", address: str = HOME) -> None:
        self.authority = Authority(place, name)
        self._key, self.certificate = self.authority.sign(f"{name}-taper", address=address)

    @property
    def options(self) -> Any:
        files = (self._key, self.certificate)
        return make_options(*(Pem(str(file), str(file), file.read_bytes()) for file in files))

    @property
    def trust(self) -> Trust:
        return Trust(self.authority.file.read_bytes())


@pytest.fixture
def papers(tmp_path: Path) -> Papers:
    return Papers(tmp_path)


@pytest.fixture
def turning() -> Iterator[Turning]:
    with turning_reactor() as turning:
        yield turning


class SecuredDump(Dump):
    """A dump of the real application, onto a device."""

    def __init__(self, turning: Turning, papers: Papers) -> None:
        super().__init__(turning, Pumped(turning), tls=papers.options)
        self.trust = papers.trust

    async def begin(self) -> None:
        offer = await self.flow.offer()
        assert offer is not None
        self.real = Application(
            Address.parse(offer.addresses[0]),
            memory=1 << 24,
            key=KEY,
            names=Names("localhost", "/var", 0, "amdirecttar"),
            header=BLOCK_HEADER,
            trust=self.trust,
        )
        self.real.write(self.data)


def test_a_dump_by_tls(turning: Turning, papers: Papers) -> None:
    """All of it; the data themselves are as they were."""
    dump = SecuredDump(turning, papers)
    assert turning.run(dump.run()) is Verdict.DONE
    turning.wait(dump.target.device.finish())
    assert dump.target.stored().rstrip(b"\0") == dump.data
    turning.run(dump.close())
    dump.real.join()
    assert dump.real.failure is None


class CountingLobby(Lobby):
    """:ivar seen: connections that came."""

    seen = 0

    def came(self, link: Link) -> None:
        super().came(link)
        self.seen += 1


class House:
    """A lobby, and the port that leads there.

    :param options: for TLS; None: without
    """

    def __init__(self, turning: Turning, options: Any, clock: Any = None) -> None:
        self._turning = turning
        reactor = turning.reactor
        clock = clock or reactor
        self.meeting = Meeting(clock, Wanted("client", "/data", "0"), 60.0)
        self.lobby = CountingLobby(clock, KEY, self.meeting, lambda caller, ours: None)
        factory = self.lobby if options is None else by_tls(reactor, options, self.lobby)
        self._port = reactor.listenTCP(0, factory, interface=HOME)
        self.address = Address(HOME, self._port.getHost().port)

    @property
    def link(self) -> Any:
        """The application's connection."""
        return self.meeting._link

    def application(self, trust: Trust | None) -> Application:
        return Application(self.address, key=KEY, trust=trust)

    def see_off(self, application: Application) -> str | None:
        """Until it has ended. :return: why it is not content"""
        self._turning.until(lambda: not application._thread.is_alive())
        application.write(b"")
        return application.failure

    def close(self) -> None:
        self._turning.wait(self.lobby.close())
        self._turning.wait(self._port.stopListening())


def test_it_comes_back(turning: Turning, papers: Papers) -> None:
    """With a handshake of its own; whoever trusts the certificate itself needs no authority. The
    last word is taken before the connection is closed."""
    house = House(turning, papers.options)
    application = house.application(Trust(papers.certificate.read_bytes()))
    turning.until(lambda: house.link is not None)
    first = house.link
    first.abort()
    turning.until(lambda: house.link not in (None, first))
    house.meeting.result(Outcome.FAILED, UNKNOWN, 0, "enough is seen")
    assert house.see_off(application) == "the taper has not stored the dump: enough is seen"
    turning.until(lambda: house.link is None)
    house.close()


@pytest.mark.parametrize("case", ["authority", "address", "taper is plain", "application is plain"])
def test_no_meeting(
    turning: Turning, tmp_path: Path, papers: Papers, caplog: pytest.LogCaptureFixture, case: str
) -> None:
    """Both say why, and soon; nobody has heard anything of the dump."""
    caplog.set_level(logging.WARNING)
    if case == "address":
        papers = Papers(tmp_path, "elsewhere", "192.0.2.1")
    house = House(turning, None if case == "taper is plain" else papers.options)
    trust: Trust | None = papers.trust
    if case == "authority":
        trust = Papers(tmp_path, "stranger").trust
    elif case == "application is plain":
        trust = None
    text = house.see_off(house.application(trust)) or ""
    where = f"{HOME} port {house.address.port}"
    if case == "application is plain":
        assert text.startswith(f"no taper with our key: the connection to {where} broke: ")
        assert text.endswith("and do both use TLS, or neither?")
    else:
        assert text.startswith(f"no TLS with {where}: ")
        assert "in RENDEZVOUS-TLS-CA, is it for this address" in text
    if case == "authority":
        assert "its certificate is not trusted: " in text
    elif case == "address":
        assert f"IP address mismatch, certificate is not valid for '{HOME}'" in text
    elif case == "taper is plain":
        assert "that is TLS" in caplog.text
    else:
        assert f"rendezvous with {HOME}: TLS failed: " in caplog.text
    assert house.meeting.presence is Presence.AWAITED
    house.close()


def test_who_shows_nothing(turning: Turning, papers: Papers) -> None:
    """It is counted before its handshake, and has as long as for a proof."""
    clock = Clock()
    house = House(turning, papers.options, clock)
    silent: list[socket.socket] = []
    for number in range(1, MOST_UNPROVEN + 2):
        silent.append(socket.create_connection((HOME, house.address.port)))
        silent[-1].setblocking(False)
        if number % 2:
            silent[-1].send(b"\x16\x03\x01\x02\0\1\0\1\xfc\x03\x03")  # so a handshake begins
        turning.until(lambda: house.lobby.seen == len(silent))
        assert len(house.lobby._unproven) == min(number, MOST_UNPROVEN)
    turning.until(lambda: is_over(silent[0]))
    assert not any(map(is_over, silent[1:]))
    clock.advance(PROOF_PATIENCE)
    for link in silent:
        turning.until(lambda link=link: is_over(link))  # type: ignore[misc]
        link.close()
    turning.until(lambda: not house.lobby._links)
    house.close()


def is_over(link: socket.socket) -> bool:
    try:
        return link.recv(1000) == b""
    except BlockingIOError:
        return False
    except ConnectionResetError:
        return True

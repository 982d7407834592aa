"""A dump by rendezvous over real sockets; the taper's side is the library's half."""

from __future__ import annotations

import resource
from random import Random

import pytest
from crc32c import crc32c

from protocols.directtcp import Address
from protocols.rendezvous.errors import RendezvousError
from protocols.rendezvous.frames import (
    Broken,
    Cannot,
    End,
    EndResult,
    Halt,
    Halted,
    Outcome,
    Result,
    Send,
    Stored,
    Why,
)
from taper.application.calls import Patience
from tests.application.driving import Peer, closed_port, take_all
from tests.application.taper_side import Application, Ended, TaperSide

DATA = Random(5).randbytes(5_000_000)
WINDOW = 1 << 20


def finish(taper: TaperSide, application: Application) -> None:
    """The dump is whole."""
    end = taper.hear(End)
    assert end == End(len(DATA), crc32c(DATA), EndResult.GOOD, "")
    assert bytes(taper.received) == DATA
    taper.good()
    application.join()
    assert application.failure is None


def store(taper: TaperSide) -> None:
    """All that came is stored for good."""
    size = len(taper.received)
    taper.say(Stored(size, size))


def take_rest(taper: TaperSide) -> None:
    """To the end of the stream, storing as it comes."""
    while taper.take(WINDOW // 4):
        store(taper)


def test_a_dump(taper: TaperSide) -> None:
    application = Application(taper.address)
    application.write(DATA)
    taper.meet()
    taper.send()
    take_rest(taper)
    finish(taper, application)
    with pytest.raises(Ended):
        taper.hear(End)


def test_no_more_is_read_than_the_window_has_room_for(taper: TaperSide) -> None:
    """A taper that takes everything and stores nothing is not given more."""
    application = Application(taper.address, memory=WINDOW)
    application.write(DATA)
    taper.meet()
    taper.send()
    assert taper.take(WINDOW) == WINDOW
    assert taper.data is not None
    taper.data.settimeout(0.3)
    with pytest.raises(TimeoutError):
        taper.data.recv(1)
    used = resource.getrusage(resource.RUSAGE_SELF)
    with pytest.raises(TimeoutError):
        taper.data.recv(1)
    more = resource.getrusage(resource.RUSAGE_SELF)
    assert more.ru_nvcsw - used.ru_nvcsw < 50, "whoever waits sleeps"
    taper.data.settimeout(30)
    store(taper)
    take_rest(taper)
    finish(taper, application)


def test_cut_data_connections(taper: TaperSide) -> None:
    """Each is made anew, and costs no more than the window."""
    application = Application(taper.address, memory=WINDOW)
    application.write(DATA)
    taper.meet()
    taper.send()
    for size in (1, 700_000, 300_001, 65_536, 1):
        taper.take(size)
        at = len(taper.received) - (size == 1)  # one byte that came is not stored
        taper.drop()
        taper.hear(Broken)
        taper.send(at)
        store(taper)
    take_rest(taper)
    finish(taper, application)
    assert taper.crossed <= len(DATA) + 5 * (WINDOW + 2 * 65536)


def test_the_last_bytes_are_cut(taper: TaperSide) -> None:
    """All was sent, and the stream ended; what had not arrived comes again."""
    application = Application(taper.address)
    application.write(DATA)
    taper.meet()
    taper.send()
    while len(taper.received) < len(DATA) - 100_000:
        taper.take(100_000)
        store(taper)
    taper.hear(End)
    taper.drop()
    taper.hear(Broken)
    taper.send(len(taper.received))
    assert taper.take() == 100_000
    assert bytes(taper.received) == DATA
    taper.good()
    application.join()
    assert application.failure is None


def test_the_rendezvous_is_cut(taper: TaperSide) -> None:
    """Data flow on, and END is told on the next connection."""
    application = Application(taper.address)
    application.write(DATA)
    taper.meet()
    taper.send()
    taper.take(WINDOW // 2)
    taper.cut()
    taper.take(WINDOW // 2)
    taper.meet()
    store(taper)
    take_rest(taper)
    taper.cut()
    taper.meet()
    finish(taper, application)


def test_both_are_cut(taper: TaperSide) -> None:
    application = Application(taper.address)
    application.write(DATA)
    taper.meet()
    taper.send()
    taper.take(WINDOW // 2)
    taper.cut()
    taper.drop()
    taper.meet()
    taper.hear(Broken)
    taper.send(len(taper.received))
    take_rest(taper)
    finish(taper, application)


def test_halt(taper: TaperSide) -> None:
    """The stream does not end, it breaks off: nobody can take it for the end of the dump."""
    application = Application(taper.address)
    application.write(DATA)
    taper.meet()
    taper.send()
    taper.take(123_456)
    taper.say(Halt(1, 123_456))
    assert taper.hear(Halted) == Halted(1, 123_456, crc32c(DATA[:123_456]))
    with pytest.raises(ConnectionResetError):
        taper.take()
    taper.send(123_456)
    take_rest(taper)
    finish(taper, application)


def test_addresses_where_nobody_listens(taper: TaperSide) -> None:
    application = Application(taper.address)
    application.write(DATA)
    taper.meet()
    dead = Address("127.0.0.1", closed_port())
    taper.say(Send(1, 0, (dead, dead)))
    cannot = taper.hear(Cannot)
    assert cannot.reason == Why.NOBODY_ANSWERS
    told = f"127.0.0.1 port {dead.port}: Connection refused"
    assert cannot.text == f"{told}; {told}"
    taper.run = 1
    taper.send()
    take_rest(taper)
    finish(taper, application)


def test_a_taper_that_is_gone(taper: TaperSide) -> None:
    application = Application(taper.address, patience=Patience(first=5, again=1))
    application.write(DATA)
    taper.meet()
    taper.vanish()
    application.join()
    port = application.address.port
    told = f"no rendezvous with the taper for 1 seconds: 127.0.0.1 port {port}: Connection refused"
    assert application.failure == told


def test_a_source_that_is_no_good(taper: TaperSide) -> None:
    """The taper is told, and the data connection is reset."""
    application = Application(taper.address)
    application.wrong = "tar exited with status 2"
    application.write(DATA[:500], end=False)
    taper.meet()
    taper.send()  # one that knows of its end before it is sent for connects to nobody
    application.write(DATA[500:1000])
    assert taper.hear(End) == End(1000, 0, EndResult.FAILED, "tar exited with status 2")
    with pytest.raises(ConnectionResetError):
        taper.take()
    taper.say(Result(Outcome.FAILED, 0, False, 0, "tar exited with status 2"))
    application.join()
    assert application.failure == "tar exited with status 2"


def test_a_device_in_the_place_of_a_taper(monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes what we say for a dump; but not our end for its end."""
    monkeypatch.setattr("taper.application.calls.CHALLENGE_PATIENCE", 0.1)
    device = Peer(take_all)
    application = Application(Address("127.0.0.1", device.port))
    application.join()
    device.join()
    assert device.received
    assert device.reset
    assert "no taper with our key: the taper did not answer" in str(application.failure)


def test_a_taper_with_another_key() -> None:
    taper = TaperSide(key=b"another key of the tests")
    application = Application(taper.address)
    for _ in range(3):
        with pytest.raises(RendezvousError, match="not made with our key"):
            taper.meet()
        taper.cut()
    application.join()
    taper.close()
    assert "no taper with our key" in str(application.failure)

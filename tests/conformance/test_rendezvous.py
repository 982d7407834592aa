"""PORT-WRITE with data path DIRECTTCP where the disk's application knows the rendezvous.

A chapter for tapers that offer one, as docs/rendezvous.md has it; one that offers none when it is
asked is left out. Amanda's own has none, which one case shows. The driver's part is played here,
the application's by the library.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from protocols.directtcp import Address
from protocols.rendezvous.application import ApplicationHalf, Names
from protocols.rendezvous.frames import HeaderBlock, Outcome, Refusal, Refused
from protocols.rendezvous.half import VERSIONS
from taper.application.tls import Trust
from tests.application.taper_side import Application as RealApplication
from tests.conformance.harness import ETC, Program, World
from tests.conformance.harness_files import Dump, dump_header
from tests.conformance.harness_rendezvous import (
    DATA,
    KEY_FILE,
    NAMES,
    Story,
    is_rendezvous,
    no_rendezvous,
)
from tests.conformance.harness_talk import (
    DEADLINE,
    HANDLE,
    WORKER,
)
from tests.conformance.harness_text import split_line
from tests.docs.test_rendezvous import program
from tests.fakes.certificates import Authority
from tests.flow.rendezvous_peer import KEY, Application, Cut, Script

pytestmark = pytest.mark.usefixtures("rendezvous")

HEADER = dump_header(Dump())


@pytest.fixture
def story(world: World) -> Iterator[Story]:
    story = Story(world)
    try:
        yield story
    finally:
        story.close()


@pytest.mark.known_stock_failure("the stock taper knows no rendezvous")
def test_a_dump(story: Story) -> None:
    """The header is made of what the application says, with no waiting and no remark; the data come
    once, in parts, and both ends agree on their checksum."""
    story.begin()
    application = story.send()
    assert story.write_all() == len(DATA)
    story.finish(application)
    assert len(application.orders) == 1
    assert application.doubled == 0
    header = story.world.volume("PROTO01")[1].header
    assert "APPLICATION=amdirecttar\n" in header


def test_whether_a_taper_has_one(taper: Program) -> None:
    """It is asked: by that others are left out."""
    reason = no_rendezvous(taper)
    assert (reason is not None) is taper.stock, reason


@pytest.mark.own_only
def test_a_port_that_is_none() -> None:
    """One where a device takes the data, say: whatever comes, it says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        assert not is_rendezvous(Address("127.0.0.1", listener.getsockname()[1]), 0.1)


@pytest.mark.own_only
def test_a_program_of_somebody_else(world: World, tmp_path: Path) -> None:
    """The one on the page that describes the rendezvous."""
    key, dump = tmp_path / "key", tmp_path / "dump"
    key.write_bytes(KEY)
    key.chmod(0o600)
    dump.write_bytes(DATA)
    story = Story(world, "send-file")
    story.begin()
    words = (str(story.addresses[0]), str(key), "localhost", "/home", str(dump))
    with subprocess.Popen([sys.executable, "-c", program(), *words]) as sender:
        assert story.write_all() == len(DATA)
        assert sender.wait(DEADLINE) == 0
    story.be_done(DATA)


@pytest.mark.own_only
def test_by_tls(world: World, tmp_path: Path) -> None:
    """A taper begins without what TLS needs, and has it when a dump is met; the application is the
    real one but for its tar."""
    authority = Authority(tmp_path)
    key, certificate = authority.sign("taper", address="127.0.0.1")
    world.write(f"{ETC}/taper.key", key.read_bytes())
    world.write(f"{ETC}/taper.crt", certificate.read_bytes())
    story = Story(
        world,
        more=f'property "rendezvous-tls-key" "{ETC}/taper.key"\n'
        f'property "rendezvous-tls-certificate" "{ETC}/taper.crt"\n',
    )
    story.begin()
    application = RealApplication(
        story.addresses[0],
        memory=1 << 24,
        key=KEY,
        names=NAMES,
        trust=Trust(authority.file.read_bytes()),
    )
    application.write(DATA)
    assert story.write_all() == len(DATA)
    application.join()
    assert application.failure is None
    story.be_done(DATA)


@pytest.mark.own_only
@pytest.mark.parametrize(
    "cuts",
    [
        (Cut(400_001), Cut(1_200_003, "closed")),
        (Cut(400_001, link=True), Cut(1_200_003, link=True)),
    ],
    ids=["data", "both"],
)
def test_it_is_cut(story: Story, cuts: tuple[Cut, ...]) -> None:
    """The data connection breaks, or ends where it should not, and is made anew; so is the
    rendezvous. What is written is not sent again, but for what was under way."""
    story.begin()
    application = story.send(script=Script(cuts=cuts))
    assert story.write_all() == len(DATA)
    story.finish(application)
    first, *others = application.orders
    assert first.offset == 0
    assert len(others) >= 2


@pytest.mark.own_only
def test_another_size_at_its_end(story: Story) -> None:
    """More came than was sent: that is never DONE."""
    story.begin()
    application = story.send(script=Script(lies=-1000))
    ends_badly(story, application)


@pytest.mark.own_only
def test_another_checksum_at_its_end(story: Story) -> None:
    """Nor is that."""
    story.begin()
    application = story.send(script=Script(wrong_crc=True))
    ends_badly(story, application)


@pytest.mark.own_only
def test_a_source_that_fails(story: Story) -> None:
    """The reason comes to the driver."""
    story.begin()
    application = story.send(script=Script(fails="tar died of a signal"))
    line = ends_badly(story, application)
    assert "tar died of a signal" in line


def ends_badly(story: Story, application: Application) -> str:
    """The dump is not DONE, and the application hears of it. :return: what the driver is told"""
    talk = story.talk
    while True:
        line = talk.read_line()
        assert line is not None
        words = split_line(line)
        if words[0] == "REQUEST-NEW-TAPE":
            talk.send(f"START-SCAN {WORKER} {HANDLE}", f"NEW-TAPE {WORKER} {HANDLE}")
        elif words[0] in ("PARTIAL", "FAILED"):
            break
        else:
            assert words[0] in ("NEW-TAPE", "READY", "PARTDONE"), line
    assert words[3] == "INPUT-ERROR"
    application.thread.join(DEADLINE)
    assert application.result is not None
    assert application.result.result != Outcome.GOOD
    assert not story.world.log("DONE taper")
    talk.quit()
    return line


@pytest.mark.own_only
def test_who_is_refused(story: Story) -> None:
    """Who does not know the key gets no answer, who does is told why; and none of them disturbs the
    one that is meant, which brings the whole header as it is to stand on the volume."""
    story.begin()
    assert _refusal(story, key=b"another key, as long") is None
    assert _refusal(story, versions=(9, 9)) == Refusal.VERSION
    assert _refusal(story, Names("localhost", "/var", 0, "amdirecttar")) == Refusal.OTHER_DUMP
    first = story.send(script=Script(header=HeaderBlock(HEADER)))
    story.talk.expect(f"REQUEST-NEW-TAPE {WORKER} {HANDLE}")
    assert _refusal(story) == Refusal.BUSY
    story.talk.send(f"START-SCAN {WORKER} {HANDLE}", f"NEW-TAPE {WORKER} {HANDLE}")
    assert story.write_all(0) == len(DATA)
    story.finish(first)


def _refusal(
    story: Story, names: Names = NAMES, key: bytes = KEY, versions: tuple[int, int] = VERSIONS
) -> Refusal | None:
    """Come to the rendezvous as this one. :return: why it is refused; None: hung up on"""
    where = story.addresses[0]
    half = ApplicationHalf(key, names, bytes(16), os.urandom(32), 0, versions)
    with socket.create_connection((where.host, where.port), DEADLINE) as link:
        link.settimeout(DEADLINE)
        half.begin()
        while True:
            link.sendall(half.output())
            data = link.recv(65536)
            if not data:
                return None
            for frame in half.receive(data):
                assert isinstance(frame, Refused)
                return Refusal(frame.reason)


@pytest.mark.own_only
def test_a_key_that_others_can_read(world: World) -> None:
    """It is none: the dump fails before a volume is spent on it, and why is told."""
    story = Story(world)
    world.path(KEY_FILE).chmod(0o644)
    story.ask()
    text = '"no rendezvous can be offered: <*>mode is 0644, not 0600<*>"'
    story.talk.expect(f'FAILED {WORKER} {HANDLE} INPUT-ERROR TAPE-GOOD {text} ""')
    story.talk.quit()
    world.check_logged("FAIL taper <*>mode is 0644, not 0600<*>")

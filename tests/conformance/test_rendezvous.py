"""PORT-WRITE with data path DIRECTTCP where the disk's application knows the rendezvous.

A chapter for tapers that offer one, as docs/rendezvous.md has it; Amanda's own does not, which one
case shows. The driver's part is played here, the application's by the library.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from protocols.directtcp import Address
from protocols.rendezvous.application import ApplicationHalf, Names
from protocols.rendezvous.frames import HeaderBlock, Outcome, Refusal, Refused
from protocols.rendezvous.half import VERSIONS
from tests.conformance.harness import ETC, STAMP, Options, World
from tests.conformance.harness_files import Dump, dump_header
from tests.conformance.harness_talk import (
    DEADLINE,
    HANDLE,
    WORKER,
    Conversation,
    Dumper,
    split_by,
)
from tests.conformance.harness_text import crc, payload, split_line
from tests.docs.test_rendezvous import program
from tests.flow.rendezvous_peer import FIELDS, KEY, Application, Cut, Script

DATA = payload(1_500_000)
HEADER = dump_header(Dump())
NAMES = Names("localhost", "/home", 0, "amdirecttar")
POOL = '"ST:PROTO" "POOL:PROTO"'
HOME = f"localhost /home {STAMP}"
KEY_FILE = f"{ETC}/rendezvous-key"
DISKLIST = "localhost /home meeting\n"
MEETING = f"""
define application meeting-tar {{
  plugin "amdirecttar"
  property "RENDEZVOUS" "YES"
}}
define dumptype meeting {{
  program "APPLICATION"
  application "meeting-tar"
  compress none
  data-path directtcp
}}
property "rendezvous-key-file" "{KEY_FILE}"
property "rendezvous-address" "127.0.0.1"
"""


class Story:
    """A taper, a dump, and as many applications as one likes."""

    def __init__(self, world: World, plugin: str = "amdirecttar", **options: Any) -> None:
        self.world = world
        world.write(KEY_FILE, KEY + b"\n")
        world.write(f"{ETC}/disklist", DISKLIST)
        world.configure(Options(extra=MEETING.replace("amdirecttar", plugin), **options))
        self.talk: Conversation = world.start()
        self.header_port = 0
        self.addresses: tuple[Address, ...] = ()
        self.applications: list[Application] = []

    def begin(self, part: int = 1 << 20) -> None:
        """Ask for the dump; the taper tells where it is to be met."""
        self.talk.start_taper()
        dump = Dump()
        who = f"{dump.host} {dump.disk} {dump.level} {dump.datestamp}"
        split = split_by(part)
        self.talk.send(f"PORT-WRITE {WORKER} {HANDLE} {who} {split} DIRECTTCP")
        words = split_line(self.talk.expect(f'PORT {WORKER} {HANDLE} <n> "<*>"'))
        self.header_port = int(words[3])
        self.addresses = tuple(map(Address.parse, words[4].split(";")))
        assert [address.host for address in self.addresses] == ["127.0.0.1"]

    def send(self, data: bytes = DATA, script: Script | None = None, **more: Any) -> Application:
        """An application comes."""
        script = script or Script(header=FIELDS)
        found = Application(self.addresses, data, script, NAMES, **more)
        self.applications.append(found)
        return found.start()

    def write_all(self, volumes: int = 1) -> int:
        """Give volumes as they are asked for, until all is there. :return: bytes in parts"""
        told = granted = 0
        while not (line := self.talk.read_line() or "").startswith("DUMPER-STATUS"):
            assert line, "the taper ended"
            words = split_line(line)
            if words[0] == "REQUEST-NEW-TAPE":
                granted += 1
                self.talk.send(f"START-SCAN {WORKER} {HANDLE}", f"NEW-TAPE {WORKER} {HANDLE}")
            elif words[0] == "PARTDONE":
                told += int(words[6].split()[3])
            else:
                assert words[0] in ("NEW-TAPE", "READY"), line
        assert granted >= volumes
        return told

    def finish(self, application: Application, data: bytes = DATA) -> None:
        """All is stored: the application knows, the driver hears it, the log has the checksum."""
        application.thread.join(DEADLINE)
        assert application.over
        assert application.error is None
        result = application.result
        assert result is not None
        assert (result.result, result.size) == (Outcome.GOOD, len(data))
        assert result.crc_known
        assert f"{result.crc:08x}:{result.size}" == crc(data)
        self.be_done(data)
        (line,) = self.world.log("DONE taper")
        assert crc(data) in line

    def be_done(self, data: bytes) -> None:
        """The dumper, who was asked, has fared well."""
        self.talk.send(f"DONE {WORKER} {HANDLE} 64 00000000:0 00000000:0 00000000:0")
        self.talk.done(crc(data))
        self.talk.quit()
        self.world.check_dump(HANDLE, data)

    def close(self) -> None:
        for application in self.applications:
            application.stop()
            application.thread.join(DEADLINE)


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
    assert not story.world.log("INFO taper no header")


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
def test_over_several_volumes(world: World) -> None:
    """They need not be of one size, and no byte is sent twice where volumes warn of their end."""
    story = Story(world, usage_kib=640, leom=True)
    story.begin(262144)
    application = story.send()
    assert story.write_all(3) == len(DATA)
    story.finish(application)
    assert application.doubled == 0
    assert sorted(application.stored) == application.stored


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
    application = story.send(script=Script(header=FIELDS, cuts=cuts))
    assert story.write_all() == len(DATA)
    story.finish(application)
    first, *others = application.orders
    assert first.offset == 0
    assert len(others) >= 2


@pytest.mark.own_only
def test_another_size_at_its_end(story: Story) -> None:
    """More came than was sent: that is never DONE."""
    story.begin()
    application = story.send(script=Script(header=FIELDS, lies=-1000))
    ends_badly(story, application)


@pytest.mark.own_only
def test_another_checksum_at_its_end(story: Story) -> None:
    """Nor is that."""
    story.begin()
    application = story.send(script=Script(header=FIELDS, wrong_crc=True))
    ends_badly(story, application)


@pytest.mark.own_only
def test_a_source_that_fails(story: Story) -> None:
    """The reason comes to the driver."""
    story.begin()
    application = story.send(script=Script(header=FIELDS, fails="tar died of a signal"))
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
    """It is none: the dump goes the usual way, and why is told."""
    story = Story(world, properties='device-property "DIRECTTCP-ADDRESS" "127.0.0.1"')
    world.path(KEY_FILE).chmod(0o644)
    story.begin()
    where = story.addresses[0]
    Dumper(story.header_port).header(HEADER)
    with socket.create_connection((where.host, where.port), DEADLINE) as link:
        link.sendall(DATA[:100_000])
        link.shutdown(socket.SHUT_WR)
        assert story.write_all() == 100_000
    story.be_done(DATA[:100_000])
    world.check_logged("INFO taper <*>mode is 0644, not 0600<*>")

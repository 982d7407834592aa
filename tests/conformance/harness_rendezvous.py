"""Dumps by rendezvous: the configuration of one, the driver's part, and applications."""

from __future__ import annotations

import functools
import os
import socket
from typing import Any

from protocols.directtcp import Address
from protocols.rendezvous.application import ApplicationHalf, Names
from protocols.rendezvous.errors import RendezvousError
from protocols.rendezvous.frames import Outcome
from protocols.rendezvous.times import CHALLENGE_PATIENCE
from tests.conformance.harness import ETC, STAMP, Options, Program, World
from tests.conformance.harness_files import Dump
from tests.conformance.harness_talk import DEADLINE, HANDLE, WORKER, Conversation, split_by
from tests.conformance.harness_text import crc, payload, split_line
from tests.flow.rendezvous_peer import KEY, Application, Script

DATA = payload(1_500_000)
NAMES = Names("localhost", "/home", 0, "amdirecttar")
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


@functools.cache
def no_rendezvous(program: Program) -> str | None:
    """Ask a taper for a dump that may have a rendezvous. :return: why it has none; None: it has"""
    world = World(program)
    try:
        story = Story(world)
        story.ask()
        reply = story.talk.read_line() or "the taper ended"
        words = split_line(reply)
        if words[0] != "PORT":
            return f"it offers no rendezvous: {reply}"
        address = Address.parse(words[4].split(";")[0])
        if not is_rendezvous(address):
            return f"it offers no rendezvous, but another port: {reply}"
        return None
    finally:
        world.close()


def is_rendezvous(address: Address, patience: float = CHALLENGE_PATIENCE) -> bool:
    """Knock: only a taper that knows the key answers a greeting with a challenge."""
    half = ApplicationHalf(KEY, NAMES, bytes(16), os.urandom(32), 0)
    half.begin()
    try:
        with socket.create_connection((address.host, address.port), patience) as link:
            link.settimeout(patience)
            link.sendall(half.output())
            while not half.established:
                data = link.recv(65536)
                if not data:
                    return False
                half.receive(data)
    except (OSError, RendezvousError):
        return False
    return True


class Story:
    """A taper, a dump, and as many applications as one likes.

    :param more: lines of the configuration
    """

    def __init__(
        self, world: World, plugin: str = "amdirecttar", more: str = "", **options: Any
    ) -> None:
        self.world = world
        world.write(KEY_FILE, KEY + b"\n")
        world.write(f"{ETC}/disklist", DISKLIST)
        world.configure(Options(extra=MEETING.replace("amdirecttar", plugin) + more, **options))
        self.talk: Conversation = world.start()
        self.header_port = 0
        self.addresses: tuple[Address, ...] = ()
        self.applications: list[Application] = []

    def begin(self, part: int = 1 << 20) -> None:
        """Ask for the dump; the taper tells where it is to be met."""
        self.ask(part)
        words = split_line(self.talk.expect(f'PORT {WORKER} {HANDLE} <n> "<*>"'))
        self.header_port = int(words[3])
        self.addresses = tuple(map(Address.parse, words[4].split(";")))
        assert [address.host for address in self.addresses] == ["127.0.0.1"]

    def ask(self, part: int = 1 << 20) -> None:
        """Ask for the dump."""
        self.talk.send(f"START-TAPER taper0 {WORKER} PROTO {STAMP}")
        self.talk.expect(f"TAPER-OK {WORKER} <*>")
        dump = Dump()
        who = f"{dump.host} {dump.disk} {dump.level} {dump.datestamp}"
        split = split_by(part)
        self.talk.send(f"PORT-WRITE {WORKER} {HANDLE} {who} {split} DIRECTTCP")

    def send(self, data: bytes = DATA, script: Script | None = None, **more: Any) -> Application:
        """An application comes."""
        found = Application(self.addresses, data, script or Script(), NAMES, **more)
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
        self.hear_result(application, data)
        self.be_done(data)
        (line,) = self.world.log("DONE taper")
        assert crc(data) in line
        self.world.check_not_logged("INFO taper no header <*>")

    def hear_result(self, application: Application, data: bytes = DATA) -> None:
        """The application knows that all is stored, before its dumper can."""
        application.thread.join(DEADLINE)
        assert application.over
        assert application.error is None
        result = application.result
        assert result is not None
        assert (result.result, result.size) == (Outcome.GOOD, len(data))
        assert result.crc_known
        assert f"{result.crc:08x}:{result.size}" == crc(data)

    def be_done(self, data: bytes) -> None:
        """The dumper, who was asked, has fared well; all is on the volumes."""
        self.say_done(data)
        self.world.check_dump(HANDLE, data)

    def say_done(self, data: bytes = DATA) -> None:
        """The dumper has fared well."""
        self.talk.send(f"DONE {WORKER} {HANDLE} 64 00000000:0 00000000:0 00000000:0")
        self.talk.done(crc(data))
        self.talk.quit()

    def close(self) -> None:
        for application in self.applications:
            application.stop()
            application.thread.join(DEADLINE)

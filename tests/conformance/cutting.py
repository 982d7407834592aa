"""Dump after dump by rendezvous with one taper, and somebody on the way who cuts their connections.

The application is that of the product but for tar, in a thread of ours: a dump costs no process.
"""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from random import Random

from attrs import define, field, frozen
from crc32c import crc32c

from protocols.crc import Crc
from protocols.directtcp import Address
from protocols.rendezvous.application import ApplicationHalf, Names
from protocols.rendezvous.frames import HeaderFields
from protocols.rendezvous.window import BLOCK, Window
from taper.application.calls import Patience
from taper.application.connection import RESET_ON_CLOSE
from taper.application.conversation import Conversation as Meant
from taper.application.errors import ApplicationError
from taper.application.meeting import Meeting
from tests.conformance.harness import ETC, STAMP, Options, World
from tests.conformance.harness_rendezvous import DISKLIST, KEY_FILE, MEETING
from tests.conformance.harness_talk import DEADLINE, WORKER, Conversation, split_by
from tests.conformance.harness_text import split_line
from tests.fakes.medium import Medium

KEY = b"the key of all that is cut"
WINDOW = 6 << 20
HEAD = 32768
"""Bytes of the header of a file on a vtape."""

WAYS = ("reset", "sender only", "receiver only", "end")
"""How a connection is cut: both ends see a reset; only one of them does, and the other nothing at
all; or the sender sees a reset, and the receiver what looks like a good end."""

LATE = "late end"
"""The same, once the sender has ended the connection: what it sent last is lost."""

Cut = tuple[int, str]
"""After how many bytes of a data connection it is cut, and how."""


@frozen(kw_only=True)
class Cuts:
    """What happens to a dump.

    :ivar data: to its data connections, one after another
    :ivar talk: after how many bytes of all data its rendezvous breaks, each time
    """

    data: Sequence[Cut] = ()
    talk: Sequence[int] = ()

    @property
    def number(self) -> int:
        return len(self.data) + len(self.talk)


def random_cuts(dice: Random, size: int, talks: int = 0) -> Cuts:
    """One cut of the data anywhere, and so many of the rendezvous."""
    return Cuts(
        data=[(dice.randrange(1, size + 1), dice.choice(WAYS))],
        talk=sorted(dice.randrange(size) for _ in range(talks)),
    )


class Way:
    """What is between an application and whoever takes its data: cuts one connection after another.

    :ivar address: where to connect instead
    """

    def __init__(self, cuts: Iterable[Cut]) -> None:
        self._cuts = list(cuts)
        self._target = Address("127.0.0.1", 1)
        self._held: list[socket.socket] = []
        self._server = socket.create_server(("127.0.0.1", 0))
        self.address = Address(*self._server.getsockname()[:2])
        threading.Thread(target=self._accept, daemon=True).start()

    def lead_to(self, target: Address) -> Address:
        """Where connections lead from now on. :return: where to connect instead"""
        self._target = target
        return self.address

    def cut(self, cuts: Iterable[Cut]) -> None:
        """What happens to the next connections."""
        self._cuts = list(cuts)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # it is closed
            while True:
                sender = self._server.accept()[0]
                cut = self._cuts.pop(0) if self._cuts else (sys.maxsize, "")
                threading.Thread(
                    target=self._pass, args=(sender, self._target, *cut), daemon=True
                ).start()

    def _pass(self, sender: socket.socket, target: Address, left: int, how: str) -> None:
        try:
            receiver = socket.create_connection((target.host, target.port), DEADLINE)
        except OSError:
            sender.close()
            return
        receiver.settimeout(None)
        try:
            while left and (data := sender.recv(min(left, 1 << 18))):
                receiver.sendall(data)
                left -= len(data)
            while how == LATE and not left and sender.recv(1 << 18):
                continue
        except OSError:
            how = "reset"
        if not left and how == "sender only":
            self._held.append(receiver)
        elif left and how != "reset":
            receiver.close()  # as the sender ended it
        else:
            hang_up(receiver, reset=how not in ("end", LATE))
        if not left and how == "receiver only":
            self._held.append(sender)
        else:
            hang_up(sender, reset=not left or how == "reset")

    def close(self) -> None:
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        for each in self._held:
            each.close()


def hang_up(connection: socket.socket, *, reset: bool) -> None:
    """Close it, in good order or not."""
    if reset:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
    connection.close()


class CutMeeting(Meeting):
    """The application's edge; data go by a way, and the rendezvous breaks where it should.

    :ivar given: bytes that were given to data connections
    """

    def __init__(self, conversation: Meant, address: Address, way: Way, cuts: Cuts) -> None:
        super().__init__(conversation, [address], 30)
        self.given = 0
        self._way = way
        self._talk_cuts = list(cuts.talk)

    def _dial(self, addresses: Sequence[Address]) -> None:
        super()._dial([self._way.lead_to(addresses[0])])

    def _send(self, connection: socket.socket) -> None:
        before = self._conversation.position
        try:
            super()._send(connection)
        finally:
            self.given += max(self._conversation.position - before, 0)
            if self._talk_cuts and self.given > self._talk_cuts[0] and self._talk.connection:
                del self._talk_cuts[0]
                hang_up(self._talk.connection, reset=True)
                self._lost("cut")


@define
class Application:
    """One dump in a thread.

    :ivar failure: why it is not good
    """

    address: Address
    data: bytes
    cuts: Cuts
    memory: int
    failure: str | None = None
    stored: Crc | None = None
    way: Way = field(init=False)
    meeting: CutMeeting = field(init=False)
    thread: threading.Thread = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.way = Way(self.cuts.data)
        window = Window(self.memory, crc32c)
        dump_id = os.urandom(16)

        def half() -> ApplicationHalf:
            names = Names("localhost", "/home", 0, "amdirecttar")
            return ApplicationHalf(KEY, names, dump_id, os.urandom(32), window.capacity)

        header = HeaderFields((("program", "APPLICATION"), ("application", "amdirecttar")))
        patience = Patience(first=DEADLINE, again=DEADLINE)
        conversation = Meant(half, header, window, patience, time.monotonic())
        self.meeting = CutMeeting(conversation, self.address, self.way, self.cuts)
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self) -> None:
        source, target = os.pipe()
        writer = threading.Thread(target=self._write, args=(target,), daemon=True)
        writer.start()
        try:
            with self.meeting:
                self.meeting.meet()
                self.stored = self.meeting.send(source, writer.join, lambda _size: None)
        except ApplicationError as error:
            self.failure = str(error)
        finally:
            os.close(source)
            self.way.close()
            self.data = b""

    def _write(self, target: int) -> None:
        view = memoryview(self.data)
        try:
            while view:
                view = view[os.write(target, view) :]
        except BrokenPipeError:
            pass  # the dump is over
        finally:
            os.close(target)


@frozen
class Fate:
    """What became of a dump.

    :ivar word: what the driver was told: DONE, PARTIAL, FAILED
    :ivar parts: label and number of the file of each part
    """

    word: str
    line: str
    parts: list[tuple[str, int]]
    application: Application


class Nights:
    """One taper, and as many dumps as one likes."""

    def __init__(self, world: World, chosen: Options, *overrides: str) -> None:
        """:param chosen: its ``extra`` is added to"""
        world.write(KEY_FILE, KEY + b"\n")
        world.write(f"{ETC}/disklist", DISKLIST)
        chosen.extra += MEETING
        world.configure(chosen)
        self.talk: Conversation = world.start(*overrides)
        self.talk.send(f"START-TAPER taper0 {WORKER} PROTO {STAMP}")
        self.talk.expect(f"TAPER-OK {WORKER} <*>")
        self._number = 0

    def dump(self, data: bytes, cuts: Cuts, part: int = 1 << 20, memory: int = WINDOW) -> Fate:
        """One dump, from PORT-WRITE to its end."""
        self._number += 1
        handle = f"00-{self._number:05d}"
        who = f"localhost /home 0 {STAMP}"
        talk = self.talk
        talk.send(f"PORT-WRITE {WORKER} {handle} {who} {split_by(part)} DIRECTTCP")
        words = split_line(talk.expect(f'PORT {WORKER} {handle} <n> "<*>"'))
        address = Address.parse(words[4].split(";")[0])
        assert address.host == "127.0.0.1"
        application = Application(address, data, cuts, memory)
        try:
            while True:
                line = talk.read_line()
                assert line is not None, "the taper ended"
                word = line.split(" ")[0]
                if word == "REQUEST-NEW-TAPE":
                    talk.send(f"START-SCAN {WORKER} {handle}", f"NEW-TAPE {WORKER} {handle}")
                elif word == "DUMPER-STATUS":
                    self._tell_status(application, handle)
                elif word in ("DONE", "PARTIAL", "FAILED"):
                    application.thread.join(DEADLINE)
                    return Fate(word, line, talk.parts.get(handle, []), application)
                else:
                    assert word in ("NEW-TAPE", "READY", "PARTDONE"), line
        finally:
            application.thread.join(DEADLINE)

    def end(self) -> None:
        """Give the volume back, and the taper its leave."""
        self.talk.send(f"CLOSE-VOLUME {WORKER}")
        self.talk.expect(f"CLOSED-VOLUME {WORKER}")
        self.talk.quit()

    def _tell_status(self, application: Application, handle: str) -> None:
        """The dumper knows how the application ended."""
        application.thread.join(DEADLINE)
        if application.failure is None:
            self.talk.send(f"DONE {WORKER} {handle} 64 00000000:0 00000000:0 00000000:0")
        else:
            self.talk.send(f"FAILED {WORKER} {handle}")


Reader = Callable[[list[tuple[str, int]]], bytes]
"""Reads the parts of a dump from the volumes, and makes room for the next."""


def vtape_reader(slots: Iterable[Path]) -> Reader:
    """Reads vtapes; what was read is taken off the disk."""
    directories = list(slots)

    def read(parts: list[tuple[str, int]]) -> bytes:
        found = b""
        for label, number in parts:
            (volume,) = [each for each in directories if (each / f"00000.{label}").exists()]
            (path,) = volume.glob(f"{number:05d}.*")
            found += path.read_bytes()[HEAD:]
            os.truncate(path, HEAD)
        return found

    return read


def tape_reader(tape: Path) -> Reader:
    """Reads a tape in a file, as ndmjob has it, all of it at once."""
    medium = Medium.in_file(tape)
    files = medium.files()
    medium.close()

    def read(parts: list[tuple[str, int]]) -> bytes:
        return b"".join(b"".join(files[number][1:]) for _, number in parts)

    return read


def check(fate: Fate, data: bytes, memory: int = WINDOW) -> None:
    """All say that the dump is whole, and nothing was sent more often than it must."""
    application = fate.application
    assert fate.word == "DONE", (fate.line, application.failure, application.cuts)
    assert application.failure is None
    assert application.stored == Crc(crc32c(data), len(data))
    most = len(data) + application.cuts.number * (memory + 2 * BLOCK)
    assert application.meeting.given <= most, (application.meeting.given, application.cuts)


def check_content(fate: Fate, data: bytes, read: Reader) -> None:
    """And it is, but for what a mover adds to its last record."""
    found = read(fate.parts)
    assert len(found) - len(data) < HEAD
    assert not found[len(data) :].strip(b"\0")
    assert found[: len(data)] == data, fate.application.cuts

"""Conversations about tapes: a drive alone, whose stack gives it the next cartridge."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from protocols.header import parse_header
from tests.conformance.conftest import public_copy
from tests.conformance.harness import HOLDING, STAMP, Options, Program, World
from tests.conformance.harness_files import Dump, dump_header
from tests.conformance.harness_talk import HANDLE, WORKER, Conversation, split_by
from tests.conformance.harness_text import crc, payload
from tests.conformance.vaulting import DATA, DUMP, opened, vault
from tests.conformance.vaulting_ndmp import TapeLibrary
from tests.fakes.tape import Fault, files_on
from tests.fakes.tape.placed import HOME, PlacedDrive
from tests.fakes.tape.stock_door import made_library, why_no_door

BLOCK = 32768
STORAGE = """mailer "{home}/mailer"
mailto "operator"
define interactivity operator {{
  plugin "email"
  property "check-file" "{home}/reply"
  property "check-file-delay" "1"
}}
define storage PROTO {{
  tpchanger "tape:{node}"
  tapetype "T"
  tapepool "PROTO"
  eject-volume yes
  taperscan "lexical"
  interactivity "operator"
  labelstr "^PROTO[0-9][0-9]$"
  autolabel "PROTO%%" empty
  {storage}
}}
storage "PROTO"
device-property "LEOM" "{leom}"
{properties}
"""


class TapeRoom:
    """A world whose storage is a tape drive."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.tape = PlacedDrive(world)
        self.cartridges: list[Path] = []

    def configure(self, *, leom: bool = True, properties: str = "", **more: Any) -> None:
        storage = more.pop("storage", "")
        self.world.write(f"{HOME}/mailer", f"#!/bin/sh\ncat > {HOME}/mail\n", 0o700)
        extra = STORAGE.format(
            home=HOME,
            node=self.tape.node,
            leom="true" if leom else "false",
            properties=properties,
            storage=storage,
        )
        self.world.configure(
            Options(changer="", labels="", usage_kib=None, leom=None, extra=extra, slots=0, **more)
        )

    def stack(self, count: int, **facts: Any) -> None:
        """So many more blank cartridges."""
        first = len(self.cartridges)
        names = [f"cartridge{number}" for number in range(first, first + count)]
        new = [self.tape.cartridge(name, **facts) for name in names]
        self.cartridges += new
        self.tape.stack(*new)

    def answer(self) -> None:
        """As the operator who is asked for a volume: it is there."""
        mail = self.world.path(f"{HOME}/mail")
        self.world.wait_for("a mail", mail.exists)
        mail.unlink()
        self.world.write(f"{HOME}/reply", "\n")

    def labels(self) -> list[str]:
        """Of the cartridges, in the order of the stack; empty where there is none."""
        labels = [(files_on(path) or [[]])[0] for path in self.cartridges]
        return [parse_header(label[0]).label if label else "" for label in labels]

    def check(self, data: bytes, *sizes: list[int]) -> None:
        """The parts on the cartridges, by their sizes in blocks, hold these bytes in this order.

        What else is on them, 0 for a part that does not count, is passed over.
        """
        found = b""
        for cartridge, wanted in zip(self.cartridges, sizes, strict=True):
            files = files_on(cartridge)[1:]
            assert len(files) == len(wanted), [len(file) for file in files]
            for file, blocks in zip(files, wanted, strict=True):
                if blocks:
                    assert len(file) == 1 + blocks
                    found += b"".join(file[1:])
        assert found[: len(data)] == data
        assert len(found) - len(data) < BLOCK


@pytest.fixture(scope="module")
def library() -> Iterator[Path | None]:
    if why_no_door() is not None:
        yield None
        return
    with made_library() as library:
        yield library


@pytest.fixture
def room(world: World, library: Path | None, monkeypatch: pytest.MonkeyPatch) -> Iterator[TapeRoom]:
    room = TapeRoom(world)
    with ExitStack() as stack:
        if world.program.stock:
            if library is None:
                pytest.skip(str(why_no_door()))
            monkeypatch.setenv("LD_PRELOAD", str(library))
            stack.enter_context(room.tape.for_stock())
        else:
            # the launcher that knows of simulated drives
            world.program = Program(public_copy(), world.program.name, False)
        yield room


def test_a_dump(room: TapeRoom) -> None:
    """Labelled, written in parts, told: every byte is on the tape."""
    room.configure()
    room.stack(1)
    data = payload(1_000_000)
    talk = room.world.start()
    talk.start_taper()
    talk.file_write(room.world.holding(data), split_by(262144))
    talk.grant("PROTO01")
    talk.ready()
    for number, size in enumerate([262144, 262144, 262144, 213568], 1):
        talk.part("PROTO01", number, size)
    talk.done(crc(data))
    talk.quit()
    room.check(data, [8, 8, 8, 7])
    assert room.labels() == ["PROTO01"]


Parts = list[tuple[str, int, int]]


def follow(room: TapeRoom, talk: Conversation, parts: Parts, orig: str | None = "64") -> None:
    """Expect these parts (label, file, bytes), granting each new volume as it is asked for.

    Parts of no bytes are those that failed.
    """
    first, label = parts[0][0], ""
    for part, fileno, size in parts:
        if part != label:
            label = part
            talk.expect(f"REQUEST-NEW-TAPE {WORKER} {HANDLE}")
            talk.send(f"START-SCAN {WORKER} {HANDLE}", f"NEW-TAPE {WORKER} {HANDLE}")
            if label != first:
                room.answer()
            talk.expect(f"NEW-TAPE {WORKER} {HANDLE} {label}")
            if label == first:
                talk.ready()
        if size:
            talk.part(part, fileno, size, orig)


def write(room: TapeRoom, data: bytes, parts: Parts, split: str, source: str) -> None:
    """A dump from a holding disk or a dumper in these parts, DONE at the end."""
    talk = room.world.start()
    talk.start_taper()
    if source == "holding":
        talk.file_write(room.world.holding(data), split)
        follow(room, talk, parts)
    else:
        dumper = talk.port_write(split)
        dumper.header(dump_header(Dump()))
        sender = dumper.data(data)
        follow(room, talk, parts, None)
        sender.join(60)
        talk.dumper_done()
    talk.done(crc(data))
    talk.quit()


@pytest.mark.parametrize("source", ["holding", "port"])
def test_a_dump_on_three_cartridges(room: TapeRoom, source: str) -> None:
    """With LEOM each part ends at the warning, and the next begins with the next block."""
    room.configure(leom=True)
    room.stack(3, capacity=20 * BLOCK, early=14 * BLOCK - 1)
    data = payload(33 * BLOCK + 100)
    # label, header, then 12 blocks: the thirteenth meets the warning, and is stored
    parts = [
        ("PROTO01", 1, 13 * BLOCK),
        ("PROTO02", 1, 13 * BLOCK),
        ("PROTO03", 1, 7 * BLOCK + 100),
    ]
    write(room, data, parts, split_by(100 * BLOCK), source)
    room.check(data, [13], [13], [8])
    assert room.labels() == ["PROTO01", "PROTO02", "PROTO03"]


@pytest.mark.parametrize(
    ("source", "cache"), [("holding", "none"), ("port", "memory"), ("port", "disk")]
)
def test_without_leom(room: TapeRoom, source: str, cache: str) -> None:
    """The part that met the end is written again on the next cartridge, from its first byte."""
    room.configure(leom=False)
    room.stack(2, capacity=20 * BLOCK, early=16 * BLOCK - 1)
    data = payload(18 * BLOCK + 100)
    # label; header and 8 blocks; header and 5 blocks, and the sixth is refused
    parts = [
        ("PROTO01", 1, 8 * BLOCK),
        ("PROTO01", 2, 0),
        ("PROTO02", 1, 8 * BLOCK),
        ("PROTO02", 2, 2 * BLOCK + 100),
    ]
    split = split_by(8 * BLOCK, cache, HOLDING) if cache != "none" else split_by(8 * BLOCK)
    write(room, data, parts, split, source)
    room.check(data, [8, 0], [8, 3])


@pytest.mark.parametrize("call", ["write", "WEOF"])
def test_a_bad_spot(room: TapeRoom, call: str) -> None:
    """The part that met it is written again on the next cartridge."""
    room.configure(leom=True)
    after = {"write": 2 + 8 + 1 + 3, "WEOF": 1 + 1}[call]
    room.tape.drive.change(faults=(Fault(call=call, after=after),))
    room.stack(2)
    room.tape.own()
    data = payload(18 * BLOCK + 100)
    parts = [
        ("PROTO01", 1, 8 * BLOCK),
        ("PROTO01", 2, 0),
        ("PROTO02", 1, 8 * BLOCK),
        ("PROTO02", 2, 2 * BLOCK + 100),
    ]
    write(room, data, parts, split_by(8 * BLOCK), "holding")
    room.check(data, [8, 0], [8, 3])
    room.world.check_logged(
        'PARTPARTIAL taper "ST:PROTO" "POOL:PROTO" PROTO01 2 localhost /home <*>'
    )


def sent(connection: socket.socket, data: bytes) -> None:
    """Send, as far as the taper lets us."""
    with contextlib.suppress(OSError):
        connection.settimeout(None)
        connection.sendall(data)


@pytest.mark.known_stock_failure("stock dies of QUIT while it writes")
def test_quit_in_the_middle(room: TapeRoom) -> None:
    """The tape is ended by a filemark and rewound; what was told is on it."""
    room.configure(leom=True)
    room.stack(1)
    talk = room.world.start()
    talk.start_taper()
    dumper = talk.port_write(split_by(64 * BLOCK))
    dumper.header(dump_header(Dump()))
    # a tape is begun when the ring is full, before every part
    data = payload(160 * BLOCK)
    with dumper.connect() as connection:
        # who closes the connection after all is sent would end the dump
        threading.Thread(target=sent, args=(connection, data), daemon=True).start()
        talk.grant("PROTO01")
        talk.ready()
        for number in (1, 2):
            talk.part("PROTO01", number, 64 * BLOCK, None)
        talk.send("QUIT")
        talk.expect(f"PARTIAL {WORKER} {HANDLE} <*>")
        talk.expect_end()
    _, *files = files_on(room.cartridges[0])
    assert b"".join(b"".join(file[1:]) for file in files[:2]) == data[: 128 * BLOCK]
    assert room.tape.drive.state().at == 0


@pytest.mark.parametrize(
    ("facts", "text"),
    [
        ({"cleaning": True}, "is not "),
        ({"write_protected": True}, "for writing: Read-only file system"),
    ],
)
def test_a_cartridge_that_cannot_be_used(room: TapeRoom, facts: dict[str, Any], text: str) -> None:
    """Nothing is written; the operator is asked, or the driver told, with the reason."""
    room.configure()
    room.stack(1, **facts)
    talk = room.world.start()
    talk.send(f"START-TAPER taper0 {WORKER} PROTO {STAMP}")
    if "cleaning" in facts:
        mail = room.world.path(f"{HOME}/mail")
        room.world.wait_for("a mail", lambda: mail.exists() and mail.read_text())
        assert text in mail.read_text()
        talk.send("QUIT")
        if not room.world.program.stock:
            talk.expect(f'TAPE-ERROR {WORKER} "taper is quitting"')
        talk.expect_end()
    else:
        talk.expect(f"TAPER-OK {WORKER} ALLOW-TAKE-SCRIBE-FROM")
        talk.file_write(room.world.holding(payload(1000)))
        talk.expect(f"REQUEST-NEW-TAPE {WORKER} {HANDLE}")
        talk.send(f"START-SCAN {WORKER} {HANDLE}", f"NEW-TAPE {WORKER} {HANDLE}")
        talk.expect(f"NO-NEW-TAPE {WORKER} {HANDLE}")
        talk.deny("enough")
        talk.expect(f"FAILED {WORKER} {HANDLE} INPUT-GOOD TAPE-CONFIG <*>")
        talk.quit()
        room.world.check_logged(f"<*>{text}<*>")
        assert room.world.tapelist() == []
    assert len(files_on(room.cartridges[0])) == 1


@pytest.mark.known_stock_failure("stock copies the padding of the last block")
def test_a_dump_is_copied_from_a_tape(room: TapeRoom) -> None:
    """To vtapes, part by part, the padding of the last block cut."""
    room.world.configure(Options())
    cartridge = room.tape.cartridge("source", fresh=True)
    library = TapeLibrary(room.world, tapes={"SRC01": cartridge})
    library.setup(f"tape:{room.tape.node}", "")
    library.dump(DATA, [("SRC01", 262_144), ("SRC01", 262_144), ("SRC01", 75_712)])
    room.tape.insert(cartridge)
    talk = room.world.start()
    talk.start_taper()
    vault(talk, split=split_by(262_144))
    opened(talk, "SRC01")
    talk.grant("PROTO01")
    talk.ready()
    for number, size in enumerate([262_144, 262_144, 75_712], 1):
        talk.part("PROTO01", number, size)
    talk.done(crc(DATA))
    room.world.check_dump(HANDLE, DATA, DUMP)
    talk.quit()
    assert room.tape.drive.state().at == 0

"""What docs/rendezvous.md says holds for the library, and is enough to do without it."""

from __future__ import annotations

import hmac
import re
import socket
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from attrs import astuple
from crc32c import crc32c

from protocols.application import Properties
from protocols.directtcp import Address
from protocols.rendezvous import times
from protocols.rendezvous.frames import (
    Broken,
    Delivered,
    End,
    Frame,
    Halt,
    Halted,
    HeaderBlock,
    HeaderFields,
    Kind,
    Outcome,
    Result,
    Send,
    Sending,
    decode_body,
)
from protocols.rendezvous.half import OF_APPLICATION, OF_TAPER
from protocols.rendezvous.taper import TaperHalf
from tests.docs import rendezvous_bytes
from tests.docs.markdown import ROOT, Block, blocks

TEXT = (ROOT / "docs" / "rendezvous.md").read_text()
SECONDS = 300


def block_of(kind: str) -> Block:
    (found,) = (
        block
        for block in blocks("docs/rendezvous.md", TEXT)
        if f"{block.language} {block.mark}" == kind
    )
    return found


ROWS = {
    int(number): (name, whose, body)
    for number, name, whose, body in re.findall(
        r"^\| (\d+) \| ([A-Z]+) \| (\w+) \| (.*) \|$", TEXT, re.MULTILINE
    )
}


# the table


def test_the_table_has_all_frames() -> None:
    """Numbers, names, and who says them."""
    assert {number: name for number, (name, _, _) in ROWS.items()} == {
        int(kind): kind.name for kind in Kind
    }
    for number, (_, whose, _) in ROWS.items():
        sides = {"application": OF_APPLICATION, "taper": OF_TAPER}
        assert {side for side, says in sides.items() if number in says} == (
            set(sides) if whose == "both" else {whose}
        )


def test_the_times() -> None:
    """Those that are the library's, in their order."""
    told = re.findall(r"^\| [^|]+ \| (?:every )?([\d.]+)(?: to ([\d.]+))?[^|]* \|$", TEXT, re.M)
    assert [float(number) for numbers in told for number in numbers if number] == [
        times.PROOF_PATIENCE,
        times.CHALLENGE_PATIENCE,
        times.ALIVE_SECONDS,
        times.SILENCE,
        times.STORED_SECONDS,
        times.END_PATIENCE,
        times.VERDICT_PATIENCE,
        times.FIRST_PAUSE,
        times.LONGEST_PAUSE,
    ]
    assert f"at most {times.MOST_UNPROVEN} connections that have not proved themselves" in TEXT
    assert f"`rendezvous-patience` ({Properties().rendezvous_patience})" in TEXT


# the bytes


def test_the_bytes_are_those_of_the_library() -> None:
    """``python -m tests.docs.rendezvous_bytes --write`` makes it so."""
    assert rendezvous_bytes.main([]) == 0


def test_other_bytes_are_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """And mended, with all around them kept."""
    document = tmp_path / "rendezvous.md"
    document.write_text(f"before\n{rendezvous_bytes.BEGIN}old\n{rendezvous_bytes.END}after\n")
    monkeypatch.setattr(rendezvous_bytes, "DOCUMENT", document)
    assert rendezvous_bytes.main([]) == 1
    assert "rendezvous_bytes --write" in capsys.readouterr().out
    assert rendezvous_bytes.main(["--write"]) == 0
    assert rendezvous_bytes.main([]) == 0
    assert document.read_text().startswith("before\n")
    assert "old" not in document.read_text()
    document.write_text("nothing of it")
    with pytest.raises(ValueError, match="has no place for the bytes"):
        rendezvous_bytes.main([])


class Stranger:
    """Reads frames as the page says, with what Python brings."""

    def __init__(self, secret: bytes) -> None:
        self.base = hmac.digest(secret, b"taper rendezvous 1", "sha256")
        self.keys = {"application": self.base}
        self.numbers = {"application": 0, "taper": 0}

    def read(self, whose: str, whole: bytes) -> tuple[str, list[Any]]:
        """A frame that this one says. :return: its name, and the values of its body"""
        (length,) = struct.unpack(">I", whole[:4])
        assert length == len(whole) - 4
        assert 41 <= length <= 65577
        assert hmac.digest(self.keys[whose], whole[4:-32], "sha256") == whole[-32:]
        kind, number = struct.unpack(">BQ", whole[4:13])
        assert number == self.numbers[whose]
        self.numbers[whose] += 1
        name, side, form = ROWS[kind]
        assert side in (whose, "both")
        values = list(self.values(form, whole[13:-32]))
        if name == "HELLO":
            self.nonce = values[2]
            self.keys["taper"] = hmac.digest(self.base, whole, "sha256")
        if name == "CHALLENGE":
            end = self.nonce + values[1] + bytes([values[0]])
            for each in self.numbers:
                self.keys[each] = hmac.digest(self.base, each.encode() + end, "sha256")
        return name, values

    def values(self, form: str, body: bytes) -> Iterator[Any]:
        """Each value of a body, by the words of the table; all of it must be used."""
        self.body = body
        if form.startswith("form `u8`"):
            (which,) = self.take(1)
            assert which in (1, 2)
            yield self.pairs() if which == 1 else self.take(len(self.body))
        else:
            for item in form.split(", "):
                yield self.value(item)
        assert self.body == b""

    def value(self, item: str) -> Any:
        if number := re.search(r"`u(\d+)`$", item):
            return int.from_bytes(self.take(int(number[1]) // 8), "big")
        if size := re.search(r"(\d+) bytes$", item):
            return self.take(int(size[1]))
        if item.endswith("list of strings"):
            return tuple(self.string() for _ in range(self.value("`u16`")))
        assert item.endswith(("string", "text")), item
        return self.string()

    def pairs(self) -> tuple[tuple[str, str], ...]:
        return tuple((self.string(), self.string()) for _ in range(self.value("`u16`")))

    def string(self) -> str:
        return self.take(self.value("`u16`")).decode()

    def take(self, size: int) -> bytes:
        assert size <= len(self.body)
        taken, self.body = self.body[:size], self.body[size:]
        return taken


def test_the_page_is_enough_to_read_them() -> None:
    """All kinds are there; each is what the library takes it for."""
    first, *examples = block_of("text bytes").text.strip().split("\n\n")
    secret = first.partition("secret")[2].strip().encode()
    names = set()
    stranger = Stranger(secret)
    for example in examples:
        head, *lines = example.split("\n")
        title, _, whose = head.partition(", said by the ")
        whole = bytes.fromhex("".join(line[10:] for line in lines))
        if title == "REFUSED":  # it is said on another connection
            stranger.numbers["taper"] = 1
        name, values = stranger.read(whose, whole)
        assert name == title
        found = decode_body(whole[4], whole[13:-32])
        expected = list(astuple(found, recurse=False))
        if isinstance(found, Send):
            expected[-1] = tuple(map(str, found.addresses))
        assert values == expected
        names.add(name)
    assert names == {kind.name for kind in Kind}


# the program


def program() -> str:
    """The text of it."""
    return block_of("python program").text


class Taper:
    """The other end of one connection: waits until it has heard what it waits for."""

    def __init__(self, connection: socket.socket, key: bytes) -> None:
        self.half = TaperHalf(key, bytes(32))
        self.heard: list[Frame] = []
        self._connection = connection

    def say(self, frame: Frame) -> None:
        self.half.say(frame)
        self._connection.sendall(self.half.output())

    def until(self, happened: Callable[[], bool]) -> None:
        while not happened():
            data = self._connection.recv(65536)
            assert data
            self.heard += self.half.receive(data)
            self._connection.sendall(self.half.output())

    def wait_for(self, kind: type[Frame]) -> Any:
        """The next frame of this kind; those before it are forgotten."""
        self.until(lambda: any(isinstance(frame, kind) for frame in self.heard))
        while not isinstance(found := self.heard.pop(0), kind):
            pass
        return found


def test_the_program_sends_a_file(tmp_path: Path) -> None:
    """On three data connections: one breaks in the middle, one is halted, one comes to its end."""
    key, dump = tmp_path / "key", tmp_path / "dump"
    key.write_text("not a secret any more\n")
    key.chmod(0o600)
    content = bytes(range(251)) * 40000
    dump.write_bytes(content)
    with listener() as meeting, listener() as data_port:
        here = f"127.0.0.1:{meeting.getsockname()[1]}"
        sender = subprocess.Popen(
            [sys.executable, "-c", program(), here, str(key), "client", "/home", str(dump)],
            cwd=ROOT,
        )
        try:
            with accepted(meeting) as connection:
                taper = Taper(connection, b"not a secret any more")
                hold_the_meeting(taper, data_port, content)
            assert sender.wait(SECONDS) == 0
        finally:
            sender.kill()
            sender.wait()


def hold_the_meeting(taper: Taper, data_port: socket.socket, content: bytes) -> None:
    taper.until(lambda: taper.half.established)
    assert taper.half.peer is not None
    assert (taper.half.peer.host, taper.half.peer.disk) == ("client", "/home")
    header = taper.wait_for(HeaderFields)
    assert dict(header.fields)["application"] == "send-file"
    assert not isinstance(header, HeaderBlock)
    end = taper.wait_for(End)
    assert end == End(len(content), crc32c(content), 0, "")
    there = (Address("127.0.0.1", data_port.getsockname()[1]),)
    taper.say(Send(1, 0, there))
    with accepted(data_port) as data:
        assert taper.wait_for(Sending) == Sending(1, 0, 0)
        assert read(data, 100000) == content[:100000]
        data.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    assert taper.wait_for(Broken).run == 1
    taper.say(Send(2, 90000, there))
    with accepted(data_port) as data:
        assert taper.wait_for(Sending) == Sending(2, 90000, crc32c(content[:90000]))
        assert read(data, 1000) == content[90000:91000]
        taper.say(Halt(2, 91000))
        assert taper.wait_for(Halted) == Halted(2, 91000, crc32c(content[:91000]))
    taper.say(Send(3, 91000, there))
    with accepted(data_port) as data:
        assert read(data, len(content)) == content[91000:]
    assert taper.wait_for(Delivered) == Delivered(3, len(content))
    taper.say(Result(Outcome.GOOD, len(content), True, crc32c(content), ""))


def listener() -> closing[socket.socket]:
    made = socket.create_server(("127.0.0.1", 0))
    made.settimeout(SECONDS)
    return closing(made)


def accepted(port: socket.socket) -> closing[socket.socket]:
    connection, _ = port.accept()
    connection.settimeout(SECONDS)
    return closing(connection)


def read(connection: socket.socket, size: int) -> bytes:
    """So many bytes, or fewer at the end."""
    data = bytearray()
    while len(data) < size and (piece := connection.recv(size - len(data))):
        data += piece
    return bytes(data)

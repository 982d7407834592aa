"""Dumps that are archives of small files on the volumes of two nights, and a person who types."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path
from typing import Any

import pytest
from attrs import define, field

from protocols.header import Header, HeaderType, build_header
from taper.people.restore import session
from taper.people.restore.dialogue import Dialogue
from taper.people.screen import Screen
from tests.people.nights import Dump, Nights
from tests.plane.dumping import crc_of

FULL, LATER = "20260107000000", "20260108000000"
SIZE = 40_000
"""Bytes of a file: several are in a part, and some in two."""


@define
class Archive(Dump):
    """A dump that is an archive of small files; the size is how many."""

    first: int = 0
    root: str = "./"
    more: dict[str, bytes] = field(factory=dict)

    def files(self) -> dict[str, bytes]:
        numbers = range(self.first, self.first + self.size)
        return {f"dir/f{number}": b"%04d" % number * (SIZE // 4) for number in numbers} | self.more

    def data(self, stamp: str) -> bytes:
        target = io.BytesIO()
        with tarfile.open(fileobj=target, mode="w", format=tarfile.GNU_FORMAT) as tar:
            for name, data in self.files().items():
                info = tarfile.TarInfo(f"{self.root}{name}")
                info.size = len(data)
                info.uid, info.gid = os.getuid(), os.getgid()
                tar.addfile(info, io.BytesIO(data))
        return target.getvalue()


HOME = Archive("/home", 8)
AGAIN = Archive("/home", 2, level=1, first=6, more={"late": b"late", "dir/f6": b"new"})


def found(place: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(place)): path.read_bytes()
        for path in place.rglob("*")
        if path.is_file()
    }


async def two_nights(tmp_path: Path) -> Nights:
    """C01 with a full dump of six parts, C02 with the next."""
    nights = Nights(tmp_path).make()
    await nights.hold(FULL, HOME)
    await nights.hold(LATER, AGAIN)
    return nights


def part(nights: Nights, slot: int, number: int) -> Path:
    (path,) = (nights.root / f"vtapes/slot{slot}").glob(f"{number:05}.*")
    return path


def behead(path: Path, junk: bytes = b"\0") -> None:
    """Damage the header of a part, and nothing else."""
    path.write_bytes(junk * 32768 + path.read_bytes()[32768:])


def packed(nights: Nights, program: Path, **more: Any) -> None:
    """A held dump that is undone by a program."""
    data = HOME.data(FULL)
    header = Header(
        type=HeaderType.DUMPFILE,
        datestamp=FULL,
        host="localhost",
        disk="/packed",
        program="GNUTAR",
        recover_cmd="tar",
        comp_suffix="cust",
        server_custom_compress=str(program),
        server_crc=crc_of(data),
        **more,
    )
    directory = nights.root / "holding" / FULL
    directory.mkdir()
    (directory / "localhost._packed.0").write_bytes(build_header(header, 32768, None) + data)


def script(path: Path, text: str) -> Path:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


class Terminal(io.StringIO):
    """What is shown, and who types."""

    def __init__(self, *answers: str) -> None:
        super().__init__()
        self.answers = list(answers)
        self.before: Any = None

    def isatty(self) -> bool:
        return True

    def readline(self, size: int | None = -1) -> str:
        if self.before is not None:
            self.before()
        return self.answers.pop(0) if self.answers else ""


def at_terminal(monkeypatch: pytest.MonkeyPatch, terminal: Terminal) -> None:
    def make(screen: Screen, make_lane: Any) -> Dialogue:
        return Dialogue(screen, make_lane, terminal, terminal)

    monkeypatch.setattr(session, "Dialogue", make)

"""The plain loops that the limit is taken from move every byte, as a taper would."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.bench.loops import HEADER, STEPS, Piece, Sum, Volume, move
from tests.bench.talks import sender
from tests.conformance.harness_text import crc, payload
from tests.installation import ROOT

DATA = payload(3_000_000)
PART = 1_048_576


def holding(directory: Path, data: bytes, name: str = "dump") -> Piece:
    path = directory / name
    path.write_bytes(bytes(HEADER) + data)
    return str(path), HEADER, len(data)


def parts(directory: Path) -> list[bytes]:
    """The data of the files on a volume; each has a header."""
    found = []
    for path in sorted(directory.iterdir()):
        content = path.read_bytes()
        assert content[:HEADER] == bytes(HEADER)
        found.append(content[HEADER:])
    return found


def cut(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


@pytest.mark.parametrize("kind", ["sendfile", "copy_file_range", "read"])
@pytest.mark.parametrize("part", [0, PART])
def test_from_files(tmp_path: Path, kind: str, part: int) -> None:
    """From two files into parts that fit neither."""
    pieces = [holding(tmp_path, DATA[:1_700_000]), holding(tmp_path, DATA[1_700_000:], "more")]
    (tmp_path / "to").mkdir()
    volume, total = Volume(str(tmp_path / "to"), part), Sum()
    move(pieces, volume, STEPS[kind](total))
    volume.close()
    assert parts(tmp_path / "to") == cut(DATA, part or len(DATA))
    assert str(total) == (crc(DATA) if kind == "read" else "")


def run(directory: Path, kind: str, **job: Any) -> list[Any]:
    """A loop as a process of its own, fed by a sender. :return: its last answer"""
    path, _, _ = holding(directory, DATA)
    question = {"kind": kind, "part": PART, "dumps": [([], str(directory / "to"))], **job}
    with subprocess.Popen(
        [sys.executable, "-m", "tests.bench.loops"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        with sender(path) as tell:
            process.stdin.write(json.dumps(question) + "\n")
            process.stdin.flush()
            tell(*json.loads(process.stdout.readline()))
            answer: list[Any] = json.loads(process.stdout.readline())
    assert process.returncode == 0
    return answer


@pytest.mark.parametrize("kind", ["splice", "receive", "ring", "ring, summed"])
def test_from_a_sender(tmp_path: Path, kind: str) -> None:
    """By TCP, and through a ring in shared memory, of which nothing is left."""
    before = {name for name in os.listdir("/dev/shm") if "amanda" in name}
    seconds, cpu, said = run(tmp_path, kind)
    assert parts(tmp_path / "to") == cut(DATA, PART)
    assert said == (crc(DATA) if kind in ("receive", "ring, summed") else "")
    assert seconds > 0
    assert cpu > 0
    left = {name for name in os.listdir("/dev/shm") if f"-{os.getpid()}-" in name}
    assert left <= before

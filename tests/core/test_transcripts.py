"""What a stock taper and the driver said, said again with our core [protocol 7]."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.core.conversing import WORKER, Conversation, content, mask
from tests.core.stocked import Tape
from tests.core.surroundings import Dumped

TRANSCRIPTS = Path(__file__).parent.parent / "vectors" / "driver_transcripts.txt"
MIB = 1 << 20
START = f"> START-TAPER taper0 {WORKER} PROTO 20260101000000"
STARTED = f"< TAPER-OK {WORKER} ALLOW-TAKE-SCRIBE-FROM"


def transcript(title: str) -> list[str]:
    """Its lines; those that say how a conversation begins are added where they were left out."""
    lines: list[str] = []
    inside = False
    for line in TRANSCRIPTS.read_text().splitlines():
        if line.startswith("#"):
            inside = line.startswith(f"# {title} ")
        elif inside:
            lines.append(line)
    assert lines, title
    return lines if START in lines else [START, STARTED, *lines]


def plain(line: str) -> str:
    """Without times and checksums, which differ."""
    return re.sub(r"\b[0-9a-f]{8}:(\d+)", r"CRC:\1", mask(line))


@pytest.mark.parametrize(
    ("title", "tapes", "sizes"),
    [
        ("T1", [Tape()], [MIB, MIB]),
        ("T3", [Tape(MIB, leom=False), Tape(MIB, leom=False)], [1575936]),
    ],
)
def test_the_same_is_said_and_logged(title: str, tapes: list[Tape], sizes: list[int]) -> None:
    """Every reply in its place, and the whole trace log."""
    lines = transcript(title)
    talk = Conversation(*tapes, granting=False)
    said: list[str] = []
    for line in lines:
        if line.startswith("> "):
            talk.settle()
            if " FILE-WRITE " in line:
                talk.origins.dumps["HF"] = Dumped(content(sizes.pop(0)))
            said.append(line)
            before = len(talk.driver.lines)
            talk.tell(line[2:])
            talk.settle()
            said += [f"< {plain(reply)}" for reply in talk.driver.lines[before:]]
    if not talk.quits:
        talk.quit()
    assert said == [plain(line) for line in lines if line[0] in "<>"]
    expected = [plain(line[4:]) for line in lines if line.startswith("log ")]
    logged = [plain(line) for line in talk.logged()]
    # the short ones leave out how the scan went before the first label
    begin = logged.index(next(line for line in logged if line.startswith("START")))
    first = (
        0
        if expected[0].startswith("START")
        else next(number for number, line in enumerate(expected) if line.startswith("START"))
    )
    assert logged[begin:] == [line for line in expected[first:] if " pid-done " not in line]

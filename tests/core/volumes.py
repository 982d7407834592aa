"""Volumes that are small, and a worker who is ready to write to them."""

from __future__ import annotations

from tests.core.conversing import (
    START,
    WORKER,
    Conversation,
    content,
)
from tests.core.stocked import Tape
from tests.core.surroundings import Dumped

BLOCK = 1000
DATA = content(9500)


def small(blocks: int = 10, **options: object) -> Tape:
    """A volume for so many blocks, label and file headers included."""
    return Tape(blocks * BLOCK, block_size=BLOCK, warning=1, **options)  # type: ignore[arg-type]


def idle(*tapes: Tape, data: bytes = DATA, **options: object) -> Conversation:
    options = {"dumps": {"HF": Dumped(data)}, "dumpers": [Dumped(data)], **options}
    talk = Conversation(*tapes, **options)  # type: ignore[arg-type]
    assert talk.say(START) == [f"TAPER-OK {WORKER} ALLOW-TAKE-SCRIBE-FROM"]
    return talk

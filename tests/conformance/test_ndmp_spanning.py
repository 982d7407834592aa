"""A dump over many NDMP volumes on one data connection: no byte is lost, none is doubled."""

from __future__ import annotations

import pytest

from tests.conformance.harness import World
from tests.conformance.harness_talk import split_by
from tests.conformance.harness_text import payload
from tests.fakes.ndmp_process import NdmpProcess
from tests.fakes.ndmp_runs import (
    BLOCK,
    Client,
    begin,
    carry_on,
    close_volume,
    expected_parts,
    library,
    on_tapes,
    padded,
    port_write,
    send_header,
)

PART = 5
LIMITS = [9, 3, 7, 2, 8, 1, 5, 13, 6, 4, 10, 12, 11, 9, 3, 7, 6, 2, 8, 4, 14, 5, 10, 0]
"""Records of each volume before its early warning; in the last it comes with the label."""
DATA = payload(112 * BLOCK + 777)


@pytest.mark.parametrize("indirect", [True, False], ids=["indirect", "at once"])
@pytest.mark.parametrize("kind", ["lenient", "strict"])
def test_a_dump_over_twenty_volumes(world: World, kind: str, indirect: bool) -> None:
    """Parts are cut where volumes warn: in a header, in a first block, in a last, at an end."""
    slots = [f"{limit}r" for limit in LIMITS]
    with NdmpProcess(slots=slots, arguments=[f"--{kind}"]) as server:
        talk = begin(
            world, library(server.port, indirect=indirect), "-oruntapes=30", "-otapecycle=40"
        )
        port, address = port_write(talk, split_by(PART * BLOCK - 1000))
        client = Client(address, DATA)
        send_header(port)
        outcome = carry_on(talk)
        assert outcome.word == "DONE", outcome.words
        client.thread.join(10)
        close_volume(talk)
        expected = expected_parts(LIMITS, PART, 113)
        volumes = {label: number for number, label in enumerate(outcome.labels)}
        parts = [(volumes[label], fileno, size // BLOCK) for label, fileno, size in outcome.parts]
        assert parts == expected
        assert on_tapes(outcome, [server.files(tape) for tape in server.tapes]) == padded(DATA)
        assert len(outcome.labels) >= 20


@pytest.mark.parametrize("indirect", [True, False], ids=["indirect", "at once"])
@pytest.mark.known_stock_failure("it takes the early warning at a filemark for an error")
def test_the_end_is_announced_at_a_filemark(world: World, indirect: bool) -> None:
    """The part before it is whole, and the next one goes to the next volume."""
    data = payload(9 * BLOCK + 5)
    with NdmpProcess(slots=["7rf", "100r"]) as server:
        talk = begin(world, library(server.port, indirect=indirect))
        port, address = port_write(talk, split_by(PART * BLOCK))
        Client(address, data)
        send_header(port)
        outcome = carry_on(talk)
        assert outcome.word == "DONE", outcome.words
        close_volume(talk)
        assert outcome.parts == [("PROTO01", 1, PART * BLOCK), ("PROTO02", 1, PART * BLOCK)]
        assert on_tapes(outcome, [server.files(tape) for tape in server.tapes]) == padded(data)

"""Dumps over volumes whose devices share no connection: two NDMP servers and directories."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.conformance.harness import World
from tests.conformance.harness_rendezvous import Story
from tests.conformance.harness_talk import HANDLE, WORKER, split_by
from tests.conformance.harness_text import crc, payload
from tests.fakes.ndmp_process import NdmpProcess
from tests.fakes.ndmp_runs import (
    BLOCK,
    begin,
    by_turns,
    carry_on,
    close_volume,
    on_tapes,
    options,
    padded,
)

pytestmark = pytest.mark.known_stock_failure("it does not go on on another kind of device")

VOLUMES = 30
RECORDS = [9, 3, 7, 4, 8, 5, 6, 4, 10, 11]
"""Of each tape before its early warning."""


class Shelf:
    """Volumes in a ``chg-multi``: a drive of one server, one of another, a directory, by turns."""

    def __init__(self, world: World, servers: list[NdmpProcess], count: int) -> None:
        self._world = world
        self._servers = servers
        self._files = range(3, count + 1, 3)
        self.changer = by_turns(servers, count, 13 * BLOCK)
        self.options = options(self.changer)
        self.options.slots = count  # the directories

    def tapes(self) -> list[list[list[bytes]]]:
        """The files of all volumes, each a list of records."""
        tapes = [server.files(tape) for server in self._servers for tape in server.tapes]
        for slot in self._files:
            tapes.append([[f.header.encode(), f.data] for f in self._world.slot(slot)])
        return tapes


@pytest.fixture
def shelf(world: World) -> Iterator[Shelf]:
    limits = {f"t{number}": f"{limit}r" for number, limit in enumerate(RECORDS)}
    with ExitStack() as stack:
        servers = [
            stack.enter_context(NdmpProcess(limits, arguments=[f"--{kind}"]))
            for kind in ("lenient", "strict")
        ]
        yield Shelf(world, servers, VOLUMES)


def test_a_holding_file_over_thirty_volumes(world: World, shelf: Shelf) -> None:
    """Every change is to a device that cannot take the connection; one checksum is over all."""
    data = payload(145 * BLOCK + 321)
    talk = begin(world, shelf.options, "-oruntapes=40", "-otapecycle=60")
    talk.file_write(world.holding(data), split_by(4 * BLOCK))
    outcome = carry_on(talk)
    assert outcome.word == "DONE", outcome.words
    assert crc(data) in outcome.words
    close_volume(talk)
    assert len(outcome.labels) > 25
    assert on_tapes(outcome, shelf.tapes()) in (data, padded(data))


@pytest.mark.own_only
@pytest.mark.usefixtures("rendezvous")
def test_a_rendezvous_over_thirty_volumes(world: World, shelf: Shelf) -> None:
    """The client sends past this host where it can, and is sent from place to place."""
    data = payload(145 * BLOCK + 321)
    more = {"tapecycle": 60, "properties": "runtapes 40"}
    changer = shelf.changer
    story = Story(world, slots=VOLUMES, usage_kib=None, leom=None, changer=changer, **more)
    story.begin(4 * BLOCK)
    application = story.send(data)

    def be_done() -> str:
        story.hear_result(application, data)
        return f"DONE {WORKER} {HANDLE} 64 00000000:0 00000000:0 00000000:0"

    outcome = carry_on(story.talk, dumper=be_done)
    assert outcome.word == "DONE", outcome.words
    assert crc(data) in outcome.words
    close_volume(story.talk)
    assert len(outcome.labels) > 25
    assert on_tapes(outcome, shelf.tapes()) in (data, padded(data))
    story.close()


def test_a_data_connection_that_breaks(world: World) -> None:
    """The part ends where its data are certain, and the next one follows on the same volume."""
    data = payload(90 * BLOCK + 321)
    arguments = ["--fault", "after:MOVER_CONTINUE:2:kill-data"]
    with NdmpProcess({"tape": ""}, arguments=arguments) as server:
        chosen = options(f'tpchanger "chg-single:{server.url("tape")}"')
        talk = begin(world, chosen)
        talk.file_write(world.holding(data), split_by(40 * BLOCK))
        outcome = carry_on(talk)
        assert outcome.word == "DONE", outcome.words
        assert crc(data) in outcome.words
        close_volume(talk)
        assert on_tapes(outcome, [server.files("tape")]) == padded(data)
        assert len(outcome.labels) == 1
        assert outcome.size == len(padded(data))
        assert server.said("MOVER_LISTEN") == 2

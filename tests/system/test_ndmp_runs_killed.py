"""Somebody dies in mid-dump: never DONE unless both ends said so; what was reported is readable."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable

import pytest

from tests.conformance.harness import World
from tests.conformance.harness_talk import Conversation, split_by
from tests.conformance.harness_text import payload
from tests.fakes.ndmp_process import NdmpProcess
from tests.fakes.ndmp_runs import (
    BLOCK,
    DONE,
    FAILED,
    HOME,
    POOL,
    Client,
    Outcome,
    begin,
    carry_on,
    library,
    on_tapes,
    port_write,
    send_header,
)
from tests.namespace import missing
from tests.system.ndmp_world import MakeWorld, make_world

__all__ = ["make_world"]
_REASON = missing()
pytestmark = [pytest.mark.system, pytest.mark.skipif(_REASON is not None, reason=_REASON or "")]

SEEDS = range(2)
BLOCKS = 60
DATA = payload(BLOCKS * BLOCK - 500)
PART = 4

Ends = Callable[[NdmpProcess, Client, Conversation], str]
"""Somebody's end. :return: what the dumper says in the end"""


def sender_is_killed(server: NdmpProcess, client: Client, talk: Conversation) -> str:
    client.kill()
    return FAILED


def sender_is_reset(server: NdmpProcess, client: Client, talk: Conversation) -> str:
    client.reset()
    return FAILED


def dumper_fails(server: NdmpProcess, client: Client, talk: Conversation) -> str:
    talk.send(FAILED)
    return FAILED


def mover_is_killed(server: NdmpProcess, client: Client, talk: Conversation) -> str:
    """The dumper is content: all it had was taken by its socket."""
    server.kill()
    return DONE


def control_connection_drops(server: NdmpProcess, client: Client, talk: Conversation) -> str:
    assert server.command("drop") == "OK"
    return DONE


def data_connection_breaks(server: NdmpProcess, client: Client, talk: Conversation) -> str:
    assert server.command("kill-data") == "OK"
    return FAILED


def data_connection_ends_as_if_it_were_over(
    server: NdmpProcess, client: Client, talk: Conversation
) -> str:
    """A middleman closes both sides in good order: only the client knows better."""
    assert server.command("end-data") == "OK"
    return FAILED


def mover_halts(server: NdmpProcess, client: Client, talk: Conversation) -> str:
    assert server.command("halt INTERNAL_ERROR") == "OK"
    return DONE


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(
    "end",
    [
        sender_is_killed,
        sender_is_reset,
        dumper_fails,
        mover_is_killed,
        control_connection_drops,
        data_connection_breaks,
        data_connection_ends_as_if_it_were_over,
        mover_halts,
    ],
)
def test_an_end_at_a_random_moment(make_world: MakeWorld, end: Ends, seed: int) -> None:
    """After so many bytes, over three volumes: PARTIAL in the log, and the parts told are there."""
    moment = random.Random(f"{end.__name__} {seed}").randrange(1, len(DATA) - BLOCK)
    with NdmpProcess(slots=["27r", "21r", "100r"]) as server:
        world = make_world()
        talk = begin(world, library(server.port, indirect=bool(seed % 2)))
        port, address = port_write(talk, split_by(PART * BLOCK))
        client = Client(address, DATA, stop_at=moment)
        send_header(port)
        said: list[str] = []

        def somebody_ends() -> None:
            client.stopped()
            time.sleep(0.05)
            said.append(end(server, client, talk))

        thread = threading.Thread(target=somebody_ends, daemon=True)

        def dumper() -> str:
            thread.join(60)
            return said[0]

        thread.start()
        outcome = carry_on(talk, dumper=dumper)
        thread.join(60)
        client.kill()
        talk.send("QUIT")
        talk.expect_end(0, timeout=600)
        check(world, server, outcome)


def check(world: World, server: NdmpProcess, outcome: Outcome) -> None:
    """Never DONE in the log; every PARTDONE is on a volume, and is the dump's."""
    assert not world.log("DONE taper"), outcome
    logged = world.log("PARTIAL taper") + world.log("FAIL taper")
    assert len(logged) == 1, world.log()
    assert logged[0].startswith((f"PARTIAL taper {POOL} {HOME} ", f"FAIL taper {POOL} {HOME} "))
    found = on_tapes(outcome, [server.files(tape) for tape in server.tapes])
    body = found.rstrip(b"\0")
    assert DATA.startswith(body)
    assert len(found) - len(body) < BLOCK


@pytest.mark.parametrize(
    "fault",
    [
        "post:NOTIFY_MOVER_HALTED:1:drop",
        "request:MOVER_GET_STATE:1:drop",
        "request:TAPE_MTIO:1:drop",
        "reply:TAPE_MTIO:1:drop",
        "reply:TAPE_MTIO:1:wrong=IO",
    ],
)
def test_the_mover_is_lost_at_the_very_end(make_world: MakeWorld, fault: str) -> None:
    """All was sent and the dumper is content, but the filemark is not sure: not DONE."""
    with NdmpProcess(slots=["100r"]) as server:
        world, outcome = ended_by(make_world, server, fault)
        assert outcome.word != "DONE"
        check(world, server, outcome)


def test_the_mover_is_lost_when_all_is_stored(make_world: MakeWorld) -> None:
    """The filemark was written: what comes after it takes nothing away."""
    with NdmpProcess(slots=["100r"]) as server:
        world, outcome = ended_by(make_world, server, "request:MOVER_STOP:1:drop")
        assert outcome.word == "DONE"
        assert world.log("DONE taper")
        tape = [server.files(tape) for tape in server.tapes]
        assert on_tapes(outcome, tape) == DATA.ljust(BLOCKS * BLOCK, b"\0")


def ended_by(make_world: MakeWorld, server: NdmpProcess, fault: str) -> tuple[World, Outcome]:
    """A dump of one part; the fault is planted while it runs."""
    world = make_world()
    talk = begin(world, library(server.port))
    port, address = port_write(talk, split_by(0))
    client = Client(address, DATA, stop_at=len(DATA) // 2)
    send_header(port)
    talk.grant("PROTO01")
    talk.ready()
    client.stopped()
    time.sleep(0.05)
    assert server.command(f"fault {fault}") == "OK"
    client.finish()
    outcome = carry_on(talk)
    talk.send("QUIT")
    talk.expect_end(0)
    return world, outcome

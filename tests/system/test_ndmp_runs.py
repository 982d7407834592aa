"""Dumps of every kind onto one NDMP volume: the same words, sizes and logs as from stock."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.conformance.conftest import STOCK
from tests.conformance.harness import Options, Program, World
from tests.conformance.harness_talk import HANDLE, WORKER, Conversation, split_by
from tests.conformance.harness_text import crc, payload
from tests.fakes.medium import Medium
from tests.fakes.ndmjob import NdmJob, missing_ndmjob
from tests.fakes.ndmp_process import NdmpProcess
from tests.fakes.ndmp_runs import (
    BLOCK,
    HOME,
    POOL,
    Client,
    Outcome,
    begin,
    carry_on,
    close_volume,
    on_tapes,
    options,
    padded,
    port_write,
    send_header,
)
from tests.namespace import missing
from tests.system.ndmp_world import MakeWorld, make_world

__all__ = ["make_world"]
_REASON = missing_ndmjob() or missing(STOCK)
pytestmark = [pytest.mark.system, pytest.mark.skipif(_REASON is not None, reason=_REASON or "")]

DATA = payload(13 * BLOCK + 1001)
SPLIT = split_by(4 * BLOCK + 100)
KINDS = ["FILE-WRITE", "AMANDA", "DIRECTTCP"]
TIMES = re.compile(r"sec \d+\.\d+|kps \d+\.\d+| pid(-done)? \d+|PORT \S+ \S+ \d+|:\d{4,5}\b")


@pytest.fixture(scope="module")
def job() -> Iterator[NdmJob]:
    with NdmJob() as job:
        yield job


def single(url: str, indirect: bool | None) -> Options:
    return options(f'tpchanger "chg-single:{url}"', indirect=indirect)


def dump(world: World, talk: Conversation, kind: str) -> Outcome:
    """One dump, by whatever way."""
    if kind == "FILE-WRITE":
        talk.file_write(world.holding(DATA), SPLIT)
    else:
        port, address = port_write(talk, SPLIT, kind)
        Client(address, DATA)
        send_header(port)
    return carry_on(talk)


def without_times(lines: list[str]) -> list[str]:
    return [TIMES.sub("#", line) for line in lines]


@pytest.mark.parametrize("indirect", [None, False], ids=["default", "direct"])
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_dump_is_as_stock_s(
    make_world: MakeWorld, job: NdmJob, kind: str, indirect: bool | None
) -> None:
    """Both tapers: the same conversation, trace log, tapelist and, to the byte, the same tape."""
    seen = []
    for program in (None, Program(STOCK, "stock", stock=True)):
        world = make_world(program)
        job.blank("tape")
        talk = begin(world, single(job.url("tape"), indirect))
        outcome = dump(world, talk, kind)
        assert outcome.word == "DONE", outcome.words
        close_volume(talk)
        tape = files_of(job)
        assert on_tapes(outcome, [tape]) == padded(DATA)
        seen.append((without_times(talk.transcript), without_times(world.story()), tape))
        assert [size // BLOCK for _, _, size in outcome.parts] == [5, 5, 4]
        # a mover tells no checksum; what we send ourselves has one
        assert outcome.words[5] == (crc(DATA) if kind == "FILE-WRITE" else "00000000:0")
    ours, stock = seen
    assert ours == stock


def files_of(job: NdmJob) -> list[list[bytes]]:
    medium = Medium.in_file(job.directory / "tape")
    try:
        return medium.files()
    finally:
        medium.close()


@pytest.mark.parametrize("indirect", [None, False], ids=["IndirectTCP", "refused window"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_strict_server_takes_the_dump(
    make_world: MakeWorld, kind: str, indirect: bool | None
) -> None:
    """No tape request while it listens, no empty window: IndirectTCP, chosen or forced on us."""
    with NdmpProcess({"tape": ""}, arguments=["--strict"]) as server:
        world = make_world()
        talk = begin(world, single(server.url("tape"), indirect))
        outcome = dump(world, talk, kind)
        assert outcome.word == "DONE", outcome.words
        close_volume(talk)
        assert on_tapes(outcome, [server.files("tape")]) == padded(DATA)
        refused = server.said("MOVER_SET_WINDOW(offset=0, length=0) ILLEGAL_ARGS")
        assert refused == (0 if indirect is None else 1)


@pytest.mark.parametrize("error", ["DEVICE_BUSY", "ILLEGAL_STATE"])
def test_a_server_that_is_too_strict_to_listen_first(make_world: MakeWorld, error: str) -> None:
    """It takes the empty window, then no tape request before a block: FAILED, why, and no hang."""
    fault = f"request:TAPE_WRITE:1+:wrong={error}"
    with NdmpProcess({"tape": ""}, arguments=["--fault", fault]) as server:
        world = make_world()
        talk = begin(world, single(server.url("tape"), False))
        port, address = port_write(talk, SPLIT)
        Client(address, DATA)
        send_header(port)
        outcome = carry_on(talk)
        assert outcome.words[:5] == ["FAILED", WORKER, HANDLE, "INPUT-GOOD", "TAPE-ERROR"]
        assert outcome.parts == []
        talk.quit()
        world.check_logged(f"FAIL taper {POOL} {HOME} 0 <*>")
        assert any(text in "".join(world.log()) for text in (error, "device busy"))


def test_the_status_file_tells_how_far_the_mover_is(make_world: MakeWorld) -> None:
    """While a part runs its bytes are in the status file, as of any dump; stock shows none."""
    with NdmpProcess({"tape": ""}) as server:
        world = make_world()
        talk = begin(world, single(server.url("tape"), None))
        port, address = port_write(talk, split_by(0))
        client = Client(address, DATA, stop_at=8 * BLOCK)
        send_header(port)
        talk.grant("PROTO01")
        talk.ready()
        client.stopped()

        def shown() -> bool:
            (path,) = world.status_files()
            return path.read_text() == str(8 * BLOCK)

        world.wait_for("the bytes of the running part", shown, 14)
        client.finish()
        assert carry_on(talk).word == "DONE"
        world.wait_for("the status file to go", lambda: not world.status_files())


def test_ndmjob_never_fills_a_record_larger_than_its_buffer(
    make_world: MakeWorld, job: NdmJob
) -> None:
    """100 KiB: at 256 nothing ever moves, whoever asks; the driver's FAILED ends it cleanly."""
    world = make_world()
    job.blank("large")
    chosen = single(job.url("large"), None)
    chosen.tapetype = "blocksize 256 kbytes"
    talk = begin(world, chosen)
    port, address = port_write(talk, SPLIT)
    Client(address, DATA)
    send_header(port)
    talk.grant("PROTO01")
    talk.ready()
    talk.expect_silence(2)
    talk.send(f"FAILED {WORKER} {HANDLE}")
    assert carry_on(talk).words[:3] == ["PARTIAL", WORKER, HANDLE]
    talk.quit()
    assert not job.locked("large")

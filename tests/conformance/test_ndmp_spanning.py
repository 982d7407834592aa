"""A dump over many NDMP volumes on one data connection: no byte is lost, none is doubled."""

from __future__ import annotations

import time

import pytest

from tests.conformance.harness import ETC, VTAPES, Options, World
from tests.conformance.harness_talk import HANDLE, WORKER, split_by
from tests.conformance.harness_text import crc, payload
from tests.fakes.ndmp_process import NdmpProcess
from tests.fakes.ndmp_runs import (
    BLOCK,
    HOME,
    POOL,
    Client,
    begin,
    carry_on,
    close_volume,
    expected_parts,
    library,
    on_tapes,
    options,
    padded,
    port_write,
    send_header,
)

PART = 5
LIMITS = [9, 3, 7, 2, 8, 1, 5, 13, 6, 4, 10, 12, 11, 9, 3, 7, 6, 2, 8, 4, 14, 5, 10, 0]
"""Records of each volume before its early warning; in the last it comes with the label."""
DATA = payload(112 * BLOCK + 777)


@pytest.mark.parametrize(("kind", "indirect"), [("lenient", False), ("strict", True)])
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
        client.thread.join(60)
        close_volume(talk)
        expected = expected_parts(LIMITS, PART, 113)
        volumes = {label: number for number, label in enumerate(outcome.labels)}
        parts = [(volumes[label], fileno, size // BLOCK) for label, fileno, size in outcome.parts]
        assert parts == expected
        assert on_tapes(outcome, [server.files(tape) for tape in server.tapes]) == padded(DATA)
        assert len(outcome.labels) >= 20


@pytest.mark.known_stock_failure("it takes the early warning at a filemark for an error")
def test_the_end_is_announced_at_a_filemark(world: World) -> None:
    """The part before it is whole, and the next one goes to the next volume."""
    data = payload(9 * BLOCK + 5)
    with NdmpProcess(slots=["7rf", "100r"]) as server:
        talk = begin(world, library(server.port, indirect=False))
        port, address = port_write(talk, split_by(PART * BLOCK))
        Client(address, data)
        send_header(port)
        outcome = carry_on(talk)
        assert outcome.word == "DONE", outcome.words
        close_volume(talk)
        assert outcome.parts == [("PROTO01", 1, PART * BLOCK), ("PROTO02", 1, PART * BLOCK)]
        assert on_tapes(outcome, [server.files(tape) for tape in server.tapes]) == padded(data)


def test_the_source_waits_for_a_slow_volume(world: World) -> None:
    """The next volume comes long after dtimeout; the connection is kept, and nothing happens."""
    data = payload(20 * BLOCK)
    with NdmpProcess(slots=["6r", "9r", "100r"]) as server:
        chosen = library(server.port)
        chosen.dtimeout = 1
        talk = begin(world, chosen)
        port, address = port_write(talk, split_by(0))
        client = Client(address, data)
        send_header(port)
        outcome = carry_on(talk, on_request=lambda number: time.sleep(1.8 if number == 2 else 0))
        assert outcome.word == "DONE", outcome.words
        client.thread.join(60)
        assert client.fault is None
        close_volume(talk)
        assert [size // BLOCK for _, _, size in outcome.parts] == [4, 7, 9]
        assert on_tapes(outcome, [server.files(tape) for tape in server.tapes]) == data


MIXED = """
define changer mixed {{
  tpchanger "chg-ndmp:127.0.0.1:{port}@robot"
  property "tape-device" "0=ndmp:127.0.0.1:{port}@d0" "1={other}"
  changerfile "{etc}/mixed"
}}
tpchanger "mixed"
"""


@pytest.mark.known_stock_failure(
    "it writes on the first server's drive of that name, or hangs in a mutex"
)
@pytest.mark.parametrize("kind", ["another server", "file:"])
def test_a_volume_that_cannot_take_the_connection(world: World, kind: str) -> None:
    """PARTIAL at once, both devices named, and exactly what was reported is stored."""
    data = payload(20 * BLOCK)
    with NdmpProcess(slots=["9r", "9r"]) as server, NdmpProcess({"d1": ""}) as second:
        world.mkdir(f"{VTAPES}/alone")
        other = second.url("d1") if kind == "another server" else f"file:{VTAPES}/alone"
        mixed = MIXED.format(port=server.port, other=other, etc=ETC)
        talk = begin(world, options("", extra=mixed))
        talk.hopeless_after(3)
        port, address = port_write(talk, split_by(PART * BLOCK))
        client = Client(address, data)
        send_header(port)
        outcome = carry_on(talk)
        assert outcome.words[:5] == ["PARTIAL", WORKER, HANDLE, "INPUT-GOOD", "TAPE-ERROR"]
        assert other in outcome.words[-1]
        told = f"the client sends to the mover of '{server.url('d0')}', and can be told no other"
        assert told in outcome.words[-1]
        assert outcome.labels == ["PROTO01"]
        assert f" bytes {6 * BLOCK} " in outcome.words[6]
        client.thread.join(60)
        close_volume(talk)
        assert outcome.parts == [("PROTO01", 1, 5 * BLOCK), ("PROTO01", 2, BLOCK)]
        tapes = [server.files(tape) for tape in server.tapes]
        assert on_tapes(outcome, tapes) == data[: 6 * BLOCK]
        assert second.files("d1") == []
        world.check_logged(f"PARTIAL taper {POOL} {HOME} 2 0 <*>")


BEGUN_HERE = """
define device dir {{
  tapedev "file:{vtapes}/slot1"
  device-property "DIRECTTCP-ADDRESS" "127.0.0.1"
  device-property "MAX_VOLUME_USAGE" "{limit}"
  device-property "LEOM" "true"
}}
define changer shelf {{
  tpchanger "chg-multi:{{dir,{first},{second}}}"
  changerfile "{etc}/shelf"
}}
tpchanger "shelf"
"""


@pytest.mark.known_stock_failure("it refuses DIRECTTCP dumps for file: devices")
def test_a_dump_begun_on_a_directory_goes_on_to_movers(world: World) -> None:
    """Its client is connected to us, so we can send what it says to whatever comes next."""
    data = payload(40 * BLOCK + 321)
    with NdmpProcess({"t": "15r"}) as first, NdmpProcess({"t": ""}) as second:
        urls = {"first": first.url("t"), "second": second.url("t")}
        begun = BEGUN_HERE.format(vtapes=VTAPES, limit=13 * BLOCK, etc=ETC, **urls)
        chosen = options(begun)
        chosen.slots = 1
        talk = begin(world, chosen, take=True)
        port, address = port_write(talk, split_by(PART * BLOCK))
        client = Client(address, data)
        send_header(port)
        outcome = carry_on(talk)
        assert outcome.word == "DONE", outcome.words
        client.thread.join(60)
        assert client.fault is None
        assert crc(data) in outcome.words
        close_volume(talk)
        assert len(outcome.labels) == 3
        on_disk = [[f.header.encode(), f.data] for f in world.slot(1)]
        assert on_tapes(outcome, [on_disk, first.files("t"), second.files("t")]) == padded(data)


@pytest.mark.known_stock_failure("it refuses DIRECTTCP dumps for file: devices")
def test_one_socket_over_twenty_file_volumes(world: World) -> None:
    """Volumes of several sizes, some of them on file systems that are really full."""
    data = payload(150 * BLOCK + 4321)
    chosen = Options(
        slots=30,
        usage_kib=13 * 32,
        leom=True,
        properties='device-property "DIRECTTCP-ADDRESS" "127.0.0.1"',
    )
    world.configure(chosen)
    for slot in (3, 8, 9, 15):
        world.mount_small(f"{VTAPES}/slot{slot}", 32 * slot + 200)
    talk = begin(world, chosen, "-oruntapes=30", "-otapecycle=40", take=True)
    port, address = port_write(talk, split_by(PART * BLOCK - 1000))
    client = Client(address, data)
    send_header(port)
    outcome = carry_on(talk)
    assert outcome.word == "DONE", outcome.words
    client.thread.join(60)
    talk.quit()
    assert len(outcome.labels) >= 20
    assert outcome.size == len(data)
    tapes = [[[f.header.encode(), f.data] for f in world.slot(n)] for n in range(1, 31)]
    assert on_tapes(outcome, tapes) == data

"""SHM-WRITE given up by the driver, by FAILED or QUIT, at every moment."""

import threading
import time

import pytest

from tests.conformance.harness import STAMP, Options, World
from tests.conformance.harness_shm import begun, gone, recovers, sending
from tests.conformance.harness_talk import HANDLE, PLAIN, SOON, WORKER, shared_memory, split_by
from tests.conformance.harness_text import crc, payload, stats

DATA = payload(200_000)
LONG = payload(3_000_000)
POOL = '"ST:PROTO" "POOL:PROTO"'
HOME = f"localhost /home {STAMP}"
SPLITTER = split_by(131072, "none")
CACHED = split_by(131072, "memory")
CACHER = pytest.param(
    CACHED,
    id="cacher",
    marks=pytest.mark.known_stock_failure(
        "stock with a cache never cancels the ring: it takes all that comes, and without a "
        "producer never answers [data-plane Q10]"
    ),
)
EMPTY = f'FAILED {WORKER} {HANDLE} INPUT-ERROR TAPE-GOOD "Got empty header" ""'
DUMPER_FAILED = f'FAILED {WORKER} {HANDLE} INPUT-ERROR TAPE-GOOD "dumper failed" ""'


@pytest.mark.parametrize("attached", [True, False])
@pytest.mark.parametrize("split", [SPLITTER, CACHER])
def test_failed_before_the_header_connection(world: World, split: str, attached: bool) -> None:
    """'Got empty header' at once, whether anybody attached or not."""
    talk, ring = begun(world, split)
    if attached:
        ring.send(LONG)
        time.sleep(0.2)
    talk.send(f"FAILED {WORKER} {HANDLE}")
    talk.expect(EMPTY)
    if attached:
        ring.given_up()
    recovers(world, talk, volume=True)


def test_failed_before_the_headers_first_byte(world: World) -> None:
    """The header connection is idle, and then closes."""
    talk, ring = begun(world)
    with ring.connect_header():
        time.sleep(0.1)
        talk.send(f"FAILED {WORKER} {HANDLE}")
        time.sleep(0.1)
    talk.expect(EMPTY)
    recovers(world, talk, volume=True)
    gone(world, talk)


def test_failed_before_the_first_volume(world: World) -> None:
    """FAILED 'dumper failed', and the producer is told."""
    talk, ring = begun(world)
    ring.send(LONG)
    ring.header()
    talk.expect(f"REQUEST-NEW-TAPE {WORKER} {HANDLE}")
    talk.send(f"FAILED {WORKER} {HANDLE}")
    talk.expect(DUMPER_FAILED)
    world.check_logged(f'FAIL taper {POOL} {HOME} 0 error "dumper failed"')
    ring.given_up()
    gone(world, talk)


@pytest.mark.known_stock_failure("stock never asks for a volume again and hangs")
def test_a_worker_is_usable_after_that(world: World) -> None:
    """The request is cleared: the next dump asks again."""
    talk, ring = begun(world)
    talk.hopeless_after(4)
    ring.send(DATA)
    ring.header()
    talk.expect(f"REQUEST-NEW-TAPE {WORKER} {HANDLE}")
    talk.send(f"FAILED {WORKER} {HANDLE}")
    talk.expect(DUMPER_FAILED)
    recovers(world, talk, volume=True)


@pytest.mark.parametrize("split", [PLAIN, CACHER])
def test_failed_without_any_producer(world: World, split: str) -> None:
    """Nobody ever attached to the ring: still an answer at once."""
    talk, ring = begun(world, split)
    ring.header()
    talk.grant("PROTO01")
    talk.ready()
    talk.send(f"FAILED {WORKER} {HANDLE}")
    line = talk.expect("<w> <*>", timeout=SOON)
    assert line.split()[0] in ("FAILED", "PARTIAL"), line
    assert " INPUT-ERROR TAPE-GOOD " in line, line
    assert '"dumper failed" ""' in line, line
    recovers(world, talk)


@pytest.mark.parametrize("split", [SPLITTER, CACHER])
def test_failed_in_the_middle_of_the_data(world: World, split: str) -> None:
    """PARTIAL 'dumper failed' with what is good; the producer is told."""
    talk, ring = begun(world, split)
    producer = ring.attach()
    ring.header()
    talk.grant("PROTO01")
    talk.ready()
    producer.negotiate()
    producer.write(DATA)
    talk.part("PROTO01", 1, 131072, None)
    if split == SPLITTER:
        world.wait_for_data("PROTO01", 2)  # between two parts stock says DONE
    talk.send(f"FAILED {WORKER} {HANDLE}")
    producer.wait_cancelled(SOON)
    producer.close()
    tail = f'"{crc(DATA[:131072])}" "{stats(131072)}" "dumper failed" ""'
    talk.expect(f"PARTIAL {WORKER} {HANDLE} INPUT-ERROR TAPE-GOOD {tail}")
    recovers(world, talk)


@pytest.mark.known_stock_failure("stock says DONE ... INPUT-ERROR [data-plane 5.4]")
@pytest.mark.parametrize("split", [SPLITTER, CACHED])
def test_failed_while_waiting_for_another_volume(world: World, split: str) -> None:
    """PARTIAL 'dumper failed', never DONE."""
    world.configure(Options(usage_kib=320, leom="none" in split))
    talk, ring = begun(world, split)
    ring.send(payload(9_000_000))
    ring.header()
    talk.grant("PROTO01")
    talk.ready()
    line = talk.expect("<w> <*>")
    while not line.startswith("REQUEST"):
        line = talk.expect("<w> <*>")
    talk.send(f"FAILED {WORKER} {HANDLE}")
    talk.expect(f'PARTIAL {WORKER} {HANDLE} INPUT-ERROR TAPE-GOOD "<crc>" <*> "dumper failed" ""')
    ring.given_up()
    gone(world, talk)


def test_failed_after_all_data(world: World) -> None:
    """In answer to DUMPER-STATUS: DONE to the driver, PARTIAL in the log."""
    talk, _ = sending(world, DATA)
    talk.part("PROTO01", 1, 200_000, None)
    talk.expect(f"DUMPER-STATUS {WORKER} {HANDLE}")
    talk.send(f"FAILED {WORKER} {HANDLE}")
    talk.done(crc(DATA), None)
    world.check_logged(f"PARTIAL taper {POOL} {HOME} 1 0 00000000:0 00000000:0 <*>")
    recovers(world, talk)


def test_failed_of_another_dump_is_ignored(world: World) -> None:
    """A wrong handle gives nothing up."""
    talk, ring = begun(world)
    ring.send(DATA)
    talk.send(f"FAILED {WORKER} 00-00009")
    ring.header()
    talk.grant("PROTO01")
    talk.ready()
    talk.part("PROTO01", 1, 200_000, None)
    ring.dumper_done(DATA)
    talk.done(crc(DATA))


@pytest.mark.known_stock_failure("stock dies, or leaves its rings behind")
@pytest.mark.parametrize("split", [PLAIN, CACHED], ids=["splitter", "cacher"])
@pytest.mark.parametrize("moment", ["header", "volume", "data"])
def test_quit_at_any_moment(world: World, split: str, moment: str) -> None:
    """The producer is told, the end is good, nothing is left."""
    talk, ring = begun(world, split)
    talk.hopeless_after(5)
    producer = ring.attach()
    feeding = threading.Thread(target=lambda: producer.negotiate(), daemon=True)
    feeding.start()
    feeding.join(60)
    if moment != "header":
        ring.header()
        talk.expect(f"REQUEST-NEW-TAPE {WORKER} {HANDLE}")
    if moment == "data":
        producer.write(DATA)
        talk.send(f"START-SCAN {WORKER} {HANDLE}", f"NEW-TAPE {WORKER} {HANDLE}")
        talk.expect(f"NEW-TAPE {WORKER} {HANDLE} PROTO01")
        talk.ready()
    talk.send("QUIT")
    producer.wait_cancelled(SOON)
    producer.close()
    while (line := talk.read_line()) is not None:
        assert not line.startswith("DONE"), line
    assert talk.process.wait(60) == 0
    assert len(world.log("PARTIAL taper") + world.log("FAIL taper")) == 1
    assert shared_memory(talk.process.pid) == []

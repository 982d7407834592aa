"""SHM-WRITE: the ring in shared memory, and every way its producer can end."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conformance import producer as script
from tests.conformance.harness import STAMP, Options, World
from tests.conformance.harness_files import Dump, dump_header
from tests.conformance.harness_shm import HEADER, Ring, begun, gone, recovers, sending
from tests.conformance.harness_talk import HANDLE, PLAIN, SOON, WORKER, shared_memory, split_by
from tests.conformance.harness_text import crc, payload, stats
from tests.conformance.kinds import AT_ONCE, EXACT
from tests.conformance.producer import DUMPER, SENDBACKUP

DATA = payload(200_000)
LONG = payload(3_000_000)
H2 = "00-00002"
POOL = '"ST:PROTO" "POOL:PROTO"'
HOME = f"localhost /home {STAMP}"
PARTS = split_by(1 << 20, "none")
CACHED = split_by(1 << 20, "memory")


@pytest.mark.parametrize("sizes", [DUMPER, SENDBACKUP], ids=["dumper", "sendbackup"])
@pytest.mark.parametrize("split", [PARTS, CACHED], ids=["splitter", "cacher"])
def test_a_dump_by_shared_memory(world: World, sizes: tuple[int, int], split: str) -> None:
    """SHM-NAME, header, volume, READY, parts, DUMPER-STATUS, DONE; every byte is there
    [protocol T19]."""
    talk, ring = begun(world, split)
    ring.send(LONG, sizes)
    ring.header()
    talk.grant("PROTO01")
    talk.ready()
    for number, size in enumerate([1 << 20, 1 << 20, 902_848], 1):
        talk.part("PROTO01", number, size, None)
    ring.sent()
    ring.dumper_done(LONG, "77")
    talk.done(crc(LONG), "77")
    talk.quit()
    world.check_dump(HANDLE, LONG)
    world.check_log(
        "INFO taper Slot 1 without label can be labeled",
        f"START taper datestamp {STAMP} {POOL} label PROTO01 tape 1",
        f"PART taper {POOL} PROTO01 1 {HOME} 1/-1 0 {stats(1 << 20)}",
        f"PART taper {POOL} PROTO01 2 {HOME} 2/-1 0 {stats(1 << 20)}",
        f"PART taper {POOL} PROTO01 3 {HOME} 3/-1 0 {stats(902_848)}",
        f"DONE taper {POOL} {HOME} 3 0 aaaaaaaa:1 bbbbbbbb:2 <crc> {stats(3_000_000, 77)}",
        "INFO taper tape PROTO01 kb 2929 fm 3 [OK]",
    )


@pytest.mark.known_stock_failure("stock counts nothing of a ring [data-plane Q16]")
def test_the_log_has_the_checksum(world: World) -> None:
    """The server CRC of the DONE line is that of what was stored."""
    talk, ring = sending(world, DATA)
    talk.part("PROTO01", 1, 200_000, None)
    ring.dumper_done(DATA)
    talk.done(crc(DATA))
    world.check_logged(f"DONE taper {POOL} {HOME} 1 0 aaaaaaaa:1 bbbbbbbb:2 {crc(DATA)} <*>")


@pytest.mark.known_stock_failure("stock compares nothing of a ring [data-plane Q16]")
def test_the_dumpers_checksum_is_compared(world: World) -> None:
    """The dumper counted other bytes: never DONE."""
    talk, ring = sending(world, DATA)
    talk.part("PROTO01", 1, 200_000, None)
    ring.dumper_done(DATA[:-1] + b"?")
    talk.expect(f'PARTIAL {WORKER} {HANDLE} INPUT-ERROR TAPE-GOOD "{crc(DATA)}" <*> "<*>differ" ""')


@pytest.mark.parametrize("unknown", ["00000000:0", "ffffffff:0"])
def test_an_unknown_checksum_is_not_compared(world: World, unknown: str) -> None:
    """A server that filters, or an application that moves the data itself, counts nothing."""
    talk, _ = sending(world, DATA)
    talk.part("PROTO01", 1, 200_000, None)
    talk.expect(f"DUMPER-STATUS {WORKER} {HANDLE}")
    talk.send(f"DONE {WORKER} {HANDLE} 64 aaaaaaaa:1 bbbbbbbb:2 {unknown}")
    talk.done(crc(DATA))


@pytest.mark.only_on(*EXACT, "mixed", why="the children have a block size of their own")
@pytest.mark.parametrize(
    ("split", "device", "wished", "made"),
    [
        (PLAIN, "", (1310720, 32768), 1310720),
        (PARTS, 'device-property "BLOCK_SIZE" "512 kbytes"', (2097152, 524288), 2097152),
        (CACHED, "", (1048576, 32768), 1048576),
        (CACHED, 'device-property "BLOCK_SIZE" "512 kbytes"', (1048576, 32768), 1048576),
    ],
    ids=["splitter", "splitter-512k", "cacher", "cacher-512k"],
)
def test_the_sizes_are_known_before_the_header(
    world: World, split: str, device: str, wished: tuple[int, int], made: int
) -> None:
    """A producer fills the ring before its dumper sends the header."""
    world.configure(Options(properties=device))
    talk, ring = begun(world, split)
    producer = ring.send(DATA)
    world.wait_for("the sizes", lambda: producer.size)
    assert (producer.consumer, producer.size) == (wished, made)
    ring.header()
    talk.grant("PROTO01")
    talk.ready()
    talk.part("PROTO01", 1, 200_000, None)


@pytest.mark.only_on(*EXACT, "mixed", why="the children have a block size of their own")
@pytest.mark.known_stock_failure("stock producers make half a gigabyte of it [data-plane Q8]")
def test_odd_block_sizes_make_no_huge_rings(world: World) -> None:
    """48 KiB blocks; the wish is one that a stock producer gets right."""
    world.configure(Options(properties='device-property "BLOCK_SIZE" "48 kbytes"'))
    talk, ring = sending(world, LONG, sizes=DUMPER)
    talk.part("PROTO01", 1, 3_000_000, None)
    assert ring.producer.size < 1 << 24
    assert ring.producer.size % 49152 == 0


def test_a_ring_of_any_size(world: World) -> None:
    """The producer decides; the consumer takes what it gets."""
    talk, ring = begun(world)
    producer = ring.attach()
    producer.step = 10_007
    ring.send(LONG, size=98304)
    ring.header()
    talk.grant("PROTO01")
    talk.ready()
    talk.part("PROTO01", 1, 3_000_000, None)
    ring.sent()
    world.check_dump(HANDLE, LONG)


def test_no_data_at_all(world: World) -> None:
    """An empty dump: one empty part, DONE, CRC zero."""
    talk, ring = sending(world, b"")
    talk.part("PROTO01", 1, 0, None)
    ring.dumper_done(b"")
    talk.done("00000000:0")
    gone(world, talk)


@pytest.mark.only_on(*AT_ONCE, why="a tape waits for more")
def test_a_slow_producer(world: World) -> None:
    """Bytes come and go in little pieces; the parts wait for them."""
    talk, ring = begun(world, split_by(131072, "none"))
    producer = ring.attach()
    ring.header()
    talk.grant("PROTO01")
    talk.ready()
    producer.negotiate()
    for at in range(0, 200_000, 10_000):
        producer.write(DATA[at : at + 10_000])
        time.sleep(0.01)
    talk.part("PROTO01", 1, 131072, None)
    producer.finish()
    talk.part("PROTO01", 2, 68928, None)
    world.check_dump(HANDLE, DATA)


def test_more_data_than_the_ring_before_the_volume(world: World) -> None:
    """The producer waits for the volume's sake, and nothing is lost."""
    talk, ring = begun(world, PARTS)
    ring.send(payload(9_000_000))
    ring.header()
    talk.expect(f"REQUEST-NEW-TAPE {WORKER} {HANDLE}")
    talk.expect_silence(0.5)
    talk.send(f"NO-NEW-TAPE {WORKER} {HANDLE} sorry")
    talk.expect(f'FAILED {WORKER} {HANDLE} INPUT-GOOD TAPE-CONFIG "" sorry')
    ring.given_up()
    gone(world, talk)


@pytest.mark.every_kind
@pytest.mark.parametrize("leom", [True, False])
def test_over_two_volumes(world: World, leom: bool) -> None:
    """Parts end early with LEOM, or are repeated from the cache; every byte is there."""
    world.configure(Options(usage_kib=1536, leom=leom))
    talk, ring = begun(world, PARTS if leom else CACHED)
    ring.send(LONG)
    ring.header()
    talk.grant("PROTO01")
    talk.ready()
    labels = iter(["PROTO02", "PROTO03", "PROTO04"])
    while not (line := talk.expect("<w> <*>")).startswith("DUMPER-STATUS"):
        if line.startswith("REQUEST-NEW-TAPE"):
            talk.send(f"START-SCAN {WORKER} {HANDLE}", f"NEW-TAPE {WORKER} {HANDLE}")
            talk.expect(f"NEW-TAPE {WORKER} {HANDLE} {next(labels)}")
    ring.sent()
    talk.send(f"DONE {WORKER} {HANDLE} 64 aaaaaaaa:1 bbbbbbbb:2 {crc(LONG)}")
    talk.done(crc(LONG))
    world.check_dump(HANDLE, LONG)


def test_the_volume_ends_without_cache_and_leom(world: World) -> None:
    """What was not kept cannot be repeated: PARTIAL, and the producer is told."""
    world.configure(Options(usage_kib=1536))
    talk, ring = begun(world, PARTS)
    ring.send(payload(9_000_000))
    ring.header()
    talk.grant("PROTO01")
    talk.ready()
    talk.part("PROTO01", 1, 1 << 20, None)
    talk.expect(f'PARTIAL {WORKER} {HANDLE} INPUT-GOOD TAPE-ERROR "<crc>" <*> "" "<*>"')
    ring.given_up()
    gone(world, talk)


def test_several_dumps_one_after_another(world: World) -> None:
    """Each has a ring of its own; nothing is left of any."""
    talk, ring = sending(world, DATA)
    talk.part("PROTO01", 1, 200_000, None)
    ring.dumper_done(DATA)
    talk.done(crc(DATA))
    gone(world, talk)
    for number in (2, 3):
        recovers(world, talk, handle=f"00-0000{number}")
        gone(world, talk)
    talk.quit()
    assert shared_memory(talk.process.pid) == []


@pytest.mark.known_stock_failure("stock leaves the ring of a cached dump behind [data-plane Q10]")
def test_nothing_is_left_of_a_cached_dump(world: World) -> None:
    """The same with a cache."""
    talk, ring = sending(world, DATA, CACHED)
    talk.part("PROTO01", 1, 200_000, None)
    ring.dumper_done(DATA)
    talk.done(crc(DATA))
    talk.quit()
    assert shared_memory(talk.process.pid) == []


# headers


@pytest.mark.known_stock_failure("stock takes whoever comes first for the dumper")
def test_an_empty_header_connection(world: World) -> None:
    """Who hangs up without a byte was not the dumper; the driver says when that one has failed."""
    talk, ring = begun(world)
    ring.header(b"")
    talk.expect_silence(0.2)
    talk.send(f"FAILED {WORKER} {HANDLE}")
    talk.expect(f'FAILED {WORKER} {HANDLE} INPUT-ERROR TAPE-GOOD "Got empty header" ""')
    world.check_logged(f'FAIL taper {POOL} {HOME} 0 error "Got empty header"')
    recovers(world, talk, volume=True)


def test_a_header_that_never_comes(world: World) -> None:
    """No header connection within dtimeout: FAILED, next dump fine."""
    world.configure(Options(dtimeout=1))
    talk, ring = begun(world)
    ring.send(DATA)
    text = '"Error accepting incoming connection: Connection timed out"'
    talk.expect(f'FAILED {WORKER} {HANDLE} INPUT-ERROR TAPE-GOOD {text} ""')
    recovers(world, talk, volume=True)
    gone(world, talk)


@pytest.mark.known_stock_failure("stock dies of a header it does not expect [protocol 8]")
def test_a_wrong_header_fails_one_dump_only(world: World) -> None:
    """FAILED INPUT-ERROR with a reason, and the producer is told."""
    talk, ring = begun(world)
    ring.send(LONG)
    ring.header(dump_header(Dump("/other")))
    talk.expect(f'FAILED {WORKER} {HANDLE} INPUT-ERROR TAPE-GOOD "<*>" ""')
    ring.given_up()
    recovers(world, talk, volume=True)
    gone(world, talk)


# producers that go wrong


def test_a_producer_that_cancels_before_the_sizes_are_set(world: World) -> None:
    """FAILED with its text; the next dump is fine."""
    talk, ring = begun(world)
    ring.attach().cancel()
    ring.header()
    line = talk.expect("<w> <*>")
    if line.startswith("REQUEST-NEW-TAPE"):
        talk.send(f"START-SCAN {WORKER} {HANDLE}", f"NEW-TAPE {WORKER} {HANDLE}")
        line = talk.expect("<w> <*>")
    while line.startswith(("NEW-TAPE", "READY")):
        line = talk.expect("<w> <*>")
    text = '"failed to set shm-ring"'
    assert line == f'FAILED {WORKER} {HANDLE} INPUT-ERROR TAPE-GOOD {text} ""'
    world.check_logged(f"FAIL taper {POOL} {HOME} 0 error {text}")


@pytest.mark.only_on(*AT_ONCE, why="a tape waits for more")
@pytest.mark.known_stock_failure("stock has no word for it [data-plane Q5]")
@pytest.mark.parametrize("split", [split_by(131072, "none"), split_by(131072, "memory")])
def test_a_producer_that_cancels_in_the_middle(world: World, split: str) -> None:
    """PARTIAL INPUT-ERROR with a text; good parts stay."""
    talk, ring = begun(world, split)
    producer = ring.attach()
    ring.header()
    talk.grant("PROTO01")
    talk.ready()
    producer.negotiate()
    producer.write(DATA)
    talk.part("PROTO01", 1, 131072, None)
    producer.cancel()
    producer.close()
    tail = f'"{crc(DATA[:131072])}" "{stats(131072)}" "shm-ring cancelled" ""'
    talk.expect(f"PARTIAL {WORKER} {HANDLE} INPUT-ERROR TAPE-GOOD {tail}")
    world.check_logged(f'PARTIAL taper {POOL} {HOME} <n> 0 <*> "shm-ring cancelled"')
    recovers(world, talk)
    gone(world, talk)


@pytest.mark.only_on(*AT_ONCE, why="a tape waits for more")
@pytest.mark.known_stock_failure("stock says DONE to a cancelled ring [data-plane 5.4]")
def test_a_producer_that_cancels_between_two_parts(world: World) -> None:
    """Never DONE: what follows was not given."""
    talk, ring = begun(world, split_by(131072, "none"))
    producer = ring.attach()
    ring.header()
    talk.grant("PROTO01")
    talk.ready()
    producer.negotiate()
    producer.write(DATA[:131072])
    talk.part("PROTO01", 1, 131072, None)
    time.sleep(0.2)
    producer.cancel()
    talk.expect(
        f'PARTIAL {WORKER} {HANDLE} INPUT-ERROR TAPE-GOOD "<crc>" <*> "shm-ring cancelled" ""'
    )


@pytest.mark.only_on(*AT_ONCE, why="a tape waits for more")
@pytest.mark.known_stock_failure("stock waits 300 s for a dead producer, and then has no word")
@pytest.mark.parametrize("split", [split_by(131072, "none"), split_by(131072, "memory")])
def test_a_producer_that_is_killed(world: World, split: str) -> None:
    """Noticed at once, though its parent has not buried it; good parts stay."""
    talk, ring = begun(world, split)
    world.write("/tmp/amanda/data", payload(500_000))
    path = str(world.path("/tmp/amanda/data"))
    slow = [sys.executable, script.__file__, ring.name, path, "0", "10000", "0.05"]
    process = subprocess.Popen(slow)
    try:
        ring.header()
        talk.grant("PROTO01")
        talk.ready()
        talk.part("PROTO01", 1, 131072, None)
        process.send_signal(signal.SIGKILL)
        line = talk.expect("<w> <*>", timeout=SOON)
        while line.startswith("PARTDONE"):
            line = talk.expect("<w> <*>", timeout=SOON)
    finally:
        process.kill()
        process.wait()
    text = f"shm-ring: process {process.pid} ended before its data did"
    assert line.startswith(f"PARTIAL {WORKER} {HANDLE} INPUT-ERROR TAPE-GOOD "), line
    assert line.endswith(f'"{text}" ""'), line
    recovers(world, talk)
    gone(world, talk)


def test_a_producer_that_waits_long_is_waited_for(world: World) -> None:
    """Silence is no death."""
    talk, ring = begun(world)
    producer = ring.attach()
    ring.header()
    talk.grant("PROTO01")
    talk.ready()
    producer.negotiate()
    producer.write(DATA[:100_000])
    talk.expect_silence(3)
    producer.write(DATA[100_000:])
    producer.finish()
    talk.part("PROTO01", 1, 200_000, None)
    world.check_dump(HANDLE, DATA)


def test_the_ring_is_the_users_own(world: World) -> None:
    """Mode 0600, of the dump user, 472 bytes: the driver's sweep looks for that."""
    talk, ring = begun(world)
    names = shared_memory(talk.process.pid)
    assert len(names) == 6
    for name in names:
        status = os.stat(Path("/dev/shm", name))
        assert (status.st_uid, status.st_mode & 0o777) == (world.user.pw_uid, 0o600)
    assert os.stat("/dev/shm" + ring.name).st_size == 472
    assert ring.attach().ints[144 // 4] == talk.process.pid
    ring.header(HEADER)
    talk.expect(f"REQUEST-NEW-TAPE {WORKER} {HANDLE}")


def test_two_rings_at_once_do_not_meet(world: World) -> None:
    """Two workers, two dumps, two producers."""
    other = "worker0-1"
    talk, ring = begun(world)
    talk.start_taper(other)
    second = Ring(talk, PLAIN, H2, other)
    ring.send(DATA)
    second.send(LONG)
    ring.header()
    talk.grant("PROTO01")
    talk.ready()
    talk.part("PROTO01", 1, 200_000, None)
    talk.expect(f"DUMPER-STATUS {WORKER} {HANDLE}")
    second.header()
    talk.grant("PROTO02", H2, other)
    talk.ready(H2, other)
    talk.part("PROTO02", 1, 3_000_000, None, H2, other)
    world.check_dump(HANDLE, DATA)
    world.check_dump(H2, LONG)

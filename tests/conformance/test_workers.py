"""Several workers in one process, and handing a volume from one to another."""

import pytest

from tests.conformance.harness import STAMP, Options, World
from tests.conformance.harness_files import Dump
from tests.conformance.harness_talk import HANDLE, NO_SPLIT, PLAIN, WORKER, Conversation, split_by
from tests.conformance.harness_text import crc, payload

W1 = "worker0-1"
H1 = "01-00002"
H3 = "00-00003"
B = Dump("/b")
DATA = payload(1_000_000)
SMALL = payload(65_536)


def pair(world: World, usage_kib: int = 1024, leom: bool = False) -> Conversation:
    """Start a taper with two workers, the second after the first has its volume reserved."""
    world.configure(Options(usage_kib=usage_kib, leom=leom, slots=6))
    talk = world.start()
    talk.start_taper()
    talk.start_taper(W1)
    return talk


def test_each_worker_has_a_volume_of_its_own(world: World) -> None:
    """Two dumps at once on two volumes, one counter of volumes for both [protocol T21]."""
    talk = pair(world)
    talk.file_write(world.holding(SMALL))
    talk.grant("PROTO01")
    talk.ready()
    talk.part("PROTO01", 1, 65_536)
    talk.done(crc(SMALL))
    talk.file_write(world.holding(SMALL, B), handle=H1, worker=W1, dump=B)
    talk.grant("PROTO02", H1, W1)
    talk.ready(H1, W1)
    talk.part("PROTO02", 1, 65_536, handle=H1, worker=W1)
    talk.done(crc(SMALL), handle=H1, worker=W1)
    talk.send(f"CLOSE-VOLUME {WORKER}", f"CLOSE-VOLUME {W1}")
    assert {talk.expect("CLOSED-VOLUME <w>"), talk.expect("CLOSED-VOLUME <w>")} == {
        f"CLOSED-VOLUME {WORKER}",
        f"CLOSED-VOLUME {W1}",
    }
    talk.quit()
    world.check_dump(HANDLE, SMALL)
    world.check_dump(H1, SMALL, B)
    world.check_logged("START <*> label PROTO01 tape 1", "START <*> label PROTO02 tape 2")
    assert len(world.log("INFO taper tape PROTO0")) == 2


def test_one_worker_writes_while_the_other_waits(world: World) -> None:
    """A worker that waits for its volume does not hold up the other [protocol T21]."""
    talk = pair(world)
    talk.file_write(world.holding(SMALL))
    talk.expect(f"REQUEST-NEW-TAPE {WORKER} {HANDLE}")
    talk.file_write(world.holding(SMALL, B), handle=H1, worker=W1, dump=B)
    talk.grant("PROTO01", H1, W1)
    talk.ready(H1, W1)
    talk.part("PROTO01", 1, 65_536, handle=H1, worker=W1)
    talk.done(crc(SMALL), handle=H1, worker=W1)
    talk.send(f"NEW-TAPE {WORKER} {HANDLE}")
    talk.expect(f"NEW-TAPE {WORKER} {HANDLE} PROTO02")
    talk.ready()
    talk.part("PROTO02", 1, 65_536)
    talk.done(crc(SMALL))


def test_the_status_files_tell_the_workers_apart(world: World) -> None:
    """Each running dump has a status file of its own, named on stderr."""
    talk = pair(world)
    talk.file_write(world.holding(SMALL))
    talk.expect(f"REQUEST-NEW-TAPE {WORKER} {HANDLE}")
    talk.file_write(world.holding(SMALL, B), handle=H1, worker=W1, dump=B)
    talk.expect(f"REQUEST-NEW-TAPE {W1} {H1}")
    assert len(world.status_files()) == 2
    lines = [line for line in talk.stderr() if "status file" in line]
    assert lines[0].startswith(f"taper: status file taper0 {WORKER} localhost /home:/tmp/amanda/")
    assert lines[1].startswith(f"taper: status file taper0 {W1} localhost /b:/tmp/amanda/")


def test_a_reservation_is_taken_over(world: World) -> None:
    """TAKE-SCRIBE-FROM a worker that only reserved: a new request, READY again
    ([protocol T22] a)."""
    talk = pair(world)
    talk.file_write(world.holding(DATA), split_by(262_144))
    talk.grant("PROTO01")
    talk.ready()
    for fileno in (1, 2, 3):
        talk.part("PROTO01", fileno, 262_144)
    talk.expect(f"REQUEST-NEW-TAPE {WORKER} {HANDLE}")
    talk.send(f"TAKE-SCRIBE-FROM {WORKER} {HANDLE} {W1}")
    talk.grant("PROTO02")
    talk.ready()
    talk.part("PROTO02", 1, 213_568)
    talk.done(crc(DATA))
    world.check_dump(HANDLE, DATA)
    world.check_logged('DONE taper "ST:PROTO" "POOL:PROTO" <*> 4 0 <*>')


def test_a_started_volume_is_taken_over(world: World) -> None:
    """TAKE-SCRIBE-FROM a worker that has written: no request, next file there
    ([protocol T22] b)."""
    talk = pair(world)
    talk.file_write(world.holding(SMALL, B), handle=H1, worker=W1, dump=B)
    talk.grant("PROTO01", H1, W1)
    talk.ready(H1, W1)
    talk.part("PROTO01", 1, 65_536, handle=H1, worker=W1)
    talk.done(crc(SMALL), handle=H1, worker=W1)
    talk.file_write(world.holding(DATA), split_by(262_144))
    talk.grant("PROTO02")
    talk.ready()
    for fileno in (1, 2, 3):
        talk.part("PROTO02", fileno, 262_144)
    talk.expect(f"REQUEST-NEW-TAPE {WORKER} {HANDLE}")
    talk.send(f"TAKE-SCRIBE-FROM {WORKER} {HANDLE} {W1}")
    talk.ready()
    talk.part("PROTO01", 2, 213_568)
    talk.done(crc(DATA))
    talk.start_taper(W1)
    talk.file_write(world.holding(SMALL, B), handle=H3, worker=W1, dump=B)
    talk.grant("PROTO03", H3, W1)
    talk.ready(H3, W1)
    talk.part("PROTO03", 1, 65_536, handle=H3, worker=W1)
    talk.done(crc(SMALL), handle=H3, worker=W1)
    talk.quit()
    world.check_dump(HANDLE, DATA)
    world.check_logged("PART <*> PROTO01 2 localhost /home <*> 4/-1 0 <*>")
    world.check_logged("INFO taper tape PROTO02 kb 768 fm 4 [OK]")
    world.check_logged("INFO taper tape PROTO01 kb 272 fm 2 [OK]")


def test_a_volume_is_taken_over_before_anything_was_written(world: World) -> None:
    """TAKE-SCRIBE-FROM at the first request: the other worker's volume is used from the start."""
    talk = pair(world)
    talk.file_write(world.holding(SMALL, B), handle=H1, worker=W1, dump=B)
    talk.grant("PROTO01", H1, W1)
    talk.ready(H1, W1)
    talk.part("PROTO01", 1, 65_536, handle=H1, worker=W1)
    talk.done(crc(SMALL), handle=H1, worker=W1)
    talk.file_write(world.holding(SMALL))
    talk.expect(f"REQUEST-NEW-TAPE {WORKER} {HANDLE}")
    talk.send(f"TAKE-SCRIBE-FROM {WORKER} {HANDLE} {W1}")
    talk.ready()
    talk.part("PROTO01", 2, 65_536)
    talk.done(crc(SMALL))
    talk.quit()
    world.check_dump(HANDLE, SMALL)
    assert len(world.log("START")) == 1


@pytest.mark.known_stock_failure("stock forgets the other worker though it refused the take-over")
def test_taking_over_in_the_wrong_state(world: World) -> None:
    """TAKE-SCRIBE-FROM a busy worker, then for an idle one, is refused."""
    talk = pair(world)
    talk.file_write(world.holding(SMALL))
    talk.expect(f"REQUEST-NEW-TAPE {WORKER} {HANDLE}")
    talk.file_write(world.holding(SMALL, B), handle=H1, worker=W1, dump=B)
    talk.expect(f"REQUEST-NEW-TAPE {W1} {H1}")
    talk.send(f"TAKE-SCRIBE-FROM {WORKER} {HANDLE} {W1}")
    talk.expect('BAD-COMMAND "command not appropriate in state <*>"')
    for worker, handle in ((WORKER, HANDLE), (W1, H1)):
        talk.send(f"NO-NEW-TAPE {worker} {handle} enough")
        talk.expect(f"FAILED {worker} {handle} <*>")


def test_taking_over_for_an_idle_worker(world: World) -> None:
    """TAKE-SCRIBE-FROM for a worker without a dump is refused."""
    talk = pair(world)
    talk.send(f"TAKE-SCRIBE-FROM {WORKER} {HANDLE} {W1}")
    talk.expect('BAD-COMMAND "command not appropriate in state <*>"')


def test_start_scan_finds_a_volume_ahead_of_the_permission(world: World) -> None:
    """START-SCAN scans at once; NEW-TAPE comes later; a second START-SCAN does nothing."""
    talk = pair(world, 512)
    talk.file_write(world.holding(payload(524_288)), split_by(262_144))
    talk.grant("PROTO01")
    talk.ready()
    talk.part("PROTO01", 1, 262_144)
    talk.expect(f"REQUEST-NEW-TAPE {WORKER} {HANDLE}")
    seen = len(world.log("INFO taper Slot"))
    talk.send(f"START-SCAN {WORKER} {HANDLE}", f"START-SCAN {WORKER} {HANDLE}")
    world.wait_for("the scan", lambda: len(world.log("INFO taper Slot")) > seen)
    talk.send(f"START-SCAN {WORKER} {HANDLE}")
    talk.expect_silence(0.3)
    talk.send(f"NEW-TAPE {WORKER} {HANDLE}")
    talk.expect(f"NEW-TAPE {WORKER} {HANDLE} PROTO02")
    talk.part("PROTO02", 1, 262_144)
    assert len(world.log("INFO taper Slot")) == seen + 1


def test_a_dump_ends_where_its_volume_is_full(world: World) -> None:
    """One worker's full volume does not touch the other's."""
    talk = pair(world, 512)
    talk.file_write(world.holding(DATA), NO_SPLIT)
    talk.grant("PROTO01")
    talk.ready()
    talk.expect(f"PARTIAL {WORKER} {HANDLE} INPUT-GOOD TAPE-ERROR <*>")
    talk.file_write(world.holding(SMALL, B), PLAIN, H1, W1, B)
    talk.grant("PROTO02", H1, W1)
    talk.ready(H1, W1)
    talk.part("PROTO02", 1, 65_536, handle=H1, worker=W1)
    talk.done(crc(SMALL), handle=H1, worker=W1)
    world.check_dump(H1, SMALL, B)
    talk.send(f"START-TAPER taper0 worker0-2 PROTO {STAMP}")
    talk.expect("TAPER-OK worker0-2 ALLOW-TAKE-SCRIBE-FROM")

"""The end: QUIT and end of input in every state, CLOSE-VOLUME, being killed."""

import fcntl

import pytest

from tests.conformance.harness import STAMP, TAPELIST, Options, World
from tests.conformance.harness_files import Dump, dump_header
from tests.conformance.harness_talk import HANDLE, SOON, WORKER, Conversation, split_by
from tests.conformance.harness_text import crc, payload
from tests.conformance.kinds import ANY_BUT_DISCS, AT_ONCE, EXACT

DATA = payload(200_000)
H2 = "00-00002"
POOL = '"ST:PROTO" "POOL:PROTO"'
HOME = f"localhost /home {STAMP}"
DIES = "stock dies: 'Scribe cannot quit while a transfer is active' [protocol 4.8]"

both_ways = pytest.mark.parametrize("way", ["quit", "eof", "quit-and-close"])


def leave(talk: Conversation, way: str) -> None:
    """Say QUIT, or close our side, or both, and see the taper off."""
    if way != "eof":
        talk.send("QUIT")
    if way != "quit":
        talk.socket.shutdown(1)
    talk.expect_end(0)


@both_ways
def test_before_any_worker(world: World, way: str) -> None:
    """Nothing was started: pid, pid-done, exit 0 [protocol T24]."""
    leave(world.start(), way)
    world.check_log()
    assert len(world.log()) == 2


@both_ways
def test_with_a_volume_in_hand(world: World, way: str) -> None:
    """The volume is finished and released, exit 0 [protocol T24]."""
    talk = world.dumped(DATA)
    leave(talk, way)
    assert world.story()[-1] == "INFO taper tape PROTO01 kb 195 fm 1 [OK]"
    assert world.log()[-1].startswith("INFO taper pid-done")


def test_while_the_header_is_awaited(world: World) -> None:
    """Exit 0 in time; the dump may be reported and logged as failed or passed over
    [protocol T24]."""
    talk = world.start()
    talk.start_taper()
    talk.port_write()
    talk.send("QUIT")
    gone(talk)
    world.check_not_logged("FATAL <*>")
    assert world.log()[-1].startswith("INFO taper pid-done")


def test_while_the_dumpers_status_is_awaited(world: World) -> None:
    """Exit 0; the part and the volume are in the log [protocol T24]."""
    talk = world.start()
    talk.start_taper()
    dumper = talk.port_write()
    dumper.header(dump_header(Dump()))
    dumper.data(DATA)
    talk.grant("PROTO01")
    talk.ready()
    talk.part("PROTO01", 1, 200_000, None)
    talk.expect(f"DUMPER-STATUS {WORKER} {HANDLE}")
    talk.send("QUIT")
    line = talk.read_line()
    while line is not None:
        line = talk.read_line()
    assert talk.process.wait(60) == 0
    world.check_logged(
        f"PART taper {POOL} PROTO01 1 {HOME} 1/-1 0 <*>",
        "INFO taper tape PROTO01 kb 195 fm 1 [OK]",
        "INFO taper pid-done <n>",
    )


def test_a_second_quit_is_nothing(world: World) -> None:
    """QUIT twice, then the end of input: one end, exit 0."""
    talk = world.start()
    talk.start_taper()
    talk.send("QUIT", "QUIT")
    talk.expect_end(0)
    assert len(world.log("INFO taper pid-done")) == 1


def test_what_was_sent_before_quit_is_done_first(world: World) -> None:
    """CLOSE-VOLUME and QUIT in one packet: CLOSED-VOLUME, then the end."""
    talk = world.start()
    talk.start_taper()
    talk.send(f"CLOSE-VOLUME {WORKER}", "QUIT")
    talk.expect(f"CLOSED-VOLUME {WORKER}")
    talk.expect_end(0)


def gone(talk: Conversation) -> None:
    """Read to the end, whatever comes; exit 0 in time."""
    while talk.read_line(SOON) is not None:
        pass
    assert talk.process.wait(SOON) == 0


@pytest.mark.known_stock_failure("stock dies when a scan is running [protocol 4.8]")
@pytest.mark.parametrize("way", ["quit", "eof"])
def test_while_scanning(world: World, way: str) -> None:
    """QUIT right behind START-TAPER: it is answered, clean end, exit 0."""
    talk = world.start()
    command = f"START-TAPER taper0 {WORKER} PROTO {STAMP}\n" + ("QUIT\n" if way == "quit" else "")
    talk.send_bytes(command.encode())
    if way == "eof":
        talk.socket.shutdown(1)
    reply = talk.read_line(6)
    assert reply is not None, "START-TAPER was not answered"
    assert reply.startswith((f"TAPER-OK {WORKER} ", f'TAPE-ERROR {WORKER} "taper is quitting"')), (
        reply
    )
    gone(talk)
    assert world.log()[-1].startswith("INFO taper pid-done")
    world.check_not_logged("FATAL <*>")


@pytest.mark.every_kind
@pytest.mark.known_stock_failure(DIES)
def test_while_a_volume_is_asked_for(world: World) -> None:
    """The dump is logged as failed, exit 0, no status file left."""
    talk = world.start()
    talk.start_taper()
    talk.file_write(world.holding(DATA))
    talk.expect(f"REQUEST-NEW-TAPE {WORKER} {HANDLE}")
    talk.send("QUIT")
    gone(talk)
    world.check_logged(f"FAIL taper {POOL} {HOME} 0 <*>", "INFO taper pid-done <n>")
    assert world.status_files() == []


@pytest.mark.only_on(*EXACT, why="another number of blocks fits")
@pytest.mark.known_stock_failure(DIES)
def test_while_a_second_volume_is_asked_for(world: World) -> None:
    """What is on the first volume is logged with PARTIAL, the volume released, exit 0."""
    world.configure(Options(usage_kib=512))
    talk = world.start()
    talk.start_taper()
    talk.file_write(world.holding(payload(500_000)), split_by(262144))
    talk.grant("PROTO01")
    talk.ready()
    talk.part("PROTO01", 1, 262144)
    talk.expect(f"REQUEST-NEW-TAPE {WORKER} {HANDLE}")
    talk.send("QUIT")
    gone(talk)
    world.check_logged("INFO taper tape PROTO01 kb 256 fm 2 [OK]")
    world.check_logged(f"PARTIAL taper {POOL} {HOME} 2 0 <*>", "INFO taper pid-done <n>")
    world.check_dump(HANDLE, payload(500_000)[:262144])


@pytest.mark.only_on(*AT_ONCE, why="a tape waits for more")
@pytest.mark.known_stock_failure(DIES)
@pytest.mark.parametrize("way", ["quit", "eof"])
def test_while_writing(world: World, way: str) -> None:
    """The volume is finished, what is on it logged (PARTIAL, tape line), exit 0."""
    talk = world.start()
    talk.start_taper()
    dumper = talk.port_write(split_by(131072, "none"))
    dumper.header(dump_header(Dump()))
    data = dumper.connect()
    talk.grant("PROTO01")
    talk.ready()
    data.sendall(DATA)
    talk.part("PROTO01", 1, 131072, None)
    if way == "quit":
        talk.send("QUIT")
    else:
        talk.socket.shutdown(1)
    gone(talk)
    data.close()
    world.check_logged(f"PARTIAL taper {POOL} {HOME} <n> 0 <*>")
    world.check_logged("INFO taper tape PROTO01 kb 128 fm <n> [OK]", "INFO taper pid-done <n>")
    world.check_dump(HANDLE, DATA[:131072])
    assert world.status_files() == []


def test_closing_a_volume_and_dumping_on(world: World) -> None:
    """CLOSE-VOLUME releases it; the next dump scans before it asks for a volume [protocol T23]."""
    talk = world.dumped(DATA)
    talk.send(f"CLOSE-VOLUME {WORKER}")
    talk.expect(f"CLOSED-VOLUME {WORKER}")
    assert world.story()[-1] == "INFO taper tape PROTO01 kb 195 fm 1 [OK]"
    talk.send(f"CLOSE-VOLUME {WORKER}")
    talk.expect(f"CLOSED-VOLUME {WORKER}")
    talk.file_write(world.holding(DATA), handle=H2)
    talk.expect(f"REQUEST-NEW-TAPE {WORKER} {H2}")
    assert world.story()[-1] == world.kind.named("INFO taper Slot 2 without label can be labeled")
    talk.send(f"NEW-TAPE {WORKER} {H2}")
    talk.expect(f"NEW-TAPE {WORKER} {H2} PROTO02")
    talk.ready(H2)
    talk.part("PROTO02", 1, 200_000, handle=H2)
    talk.done(crc(DATA), handle=H2)
    talk.quit()
    assert len(world.log("INFO taper tape PROTO01")) == 1


def test_closing_what_is_only_reserved(world: World) -> None:
    """CLOSE-VOLUME before any label: answered, the reservation stays, no new scan."""
    talk = world.start()
    talk.start_taper()
    talk.send(f"CLOSE-VOLUME {WORKER}")
    talk.expect(f"CLOSED-VOLUME {WORKER}")
    talk.file_write(world.holding(DATA))
    talk.expect(f"REQUEST-NEW-TAPE {WORKER} {HANDLE}")
    talk.send(f"NEW-TAPE {WORKER} {HANDLE}")
    talk.expect(f"NEW-TAPE {WORKER} {HANDLE} PROTO01")
    world.check_not_logged("INFO taper tape <*>")
    assert len(world.log("INFO taper Slot")) == 1


def test_no_volume_is_left_after_closing(world: World) -> None:
    """The next dump's own scan fails: FAILED TAPE-ERROR with the prefix of early errors
    [protocol T23]."""
    world.configure(Options(slots=1))
    talk = world.start()
    talk.start_taper()
    talk.file_write(world.holding(b"q" * 100))
    talk.grant("PROTO01")
    talk.ready()
    talk.part("PROTO01", 1, 100)
    talk.done(crc(b"q" * 100))
    talk.send(f"CLOSE-VOLUME {WORKER}")
    talk.expect(f"CLOSED-VOLUME {WORKER}")
    talk.file_write(world.holding(DATA), handle=H2)
    text = '"error; got_device failed: No acceptable volumes found"'
    talk.expect(f'FAILED {WORKER} {H2} INPUT-GOOD TAPE-ERROR "" {text}')
    world.check_logged(f"FAIL taper {POOL} {HOME} 0 error {text}")
    talk.quit()


def test_closing_a_vault_source_that_was_never_opened(world: World) -> None:
    """CLOSE-SOURCE-VOLUME of an idle worker does no harm, whether it is answered or not."""
    talk = world.start()
    talk.start_taper()
    talk.send(f"CLOSE-SOURCE-VOLUME {WORKER}", f"CLOSE-VOLUME {WORKER}")
    line = talk.expect("CLOSED-<*>")
    if line.startswith("CLOSED-SOURCE"):
        assert line == f"CLOSED-SOURCE-VOLUME {WORKER}"
        talk.expect(f"CLOSED-VOLUME {WORKER}")
    talk.quit()


@pytest.mark.every_kind
@pytest.mark.only_on(*ANY_BUT_DISCS, why="a burner is busy with what is on no disc yet")
def test_killed_in_the_middle_and_started_again(world: World) -> None:
    """A taper killed while writing: the next run takes another volume, loses nothing."""
    talk = world.start()
    talk.start_taper()
    talk.file_write(world.holding(DATA))
    talk.grant("PROTO01")
    talk.ready()
    talk.part("PROTO01", 1, 200_000)
    talk.end()
    again = world.start()
    again.start_taper(stamp="20260102000000")
    again.file_write(world.holding(DATA), handle=H2)
    again.grant("PROTO02", H2)
    again.ready(H2)
    again.part("PROTO02", 1, 200_000, handle=H2)
    again.done(crc(DATA), handle=H2)
    again.quit()
    world.check_dump(HANDLE, DATA)
    world.check_dump(H2, DATA)
    labels = [line.split()[:3] for line in world.tapelist()]
    assert labels == [["20260102000000", "PROTO02", "reuse"], [STAMP, "PROTO01", "reuse"]]


@pytest.mark.known_stock_failure("stock waits for the lock for ever and hears nothing meanwhile")
def test_while_the_tapelist_is_locked_by_another(world: World) -> None:
    """No label is written, nothing is listed, the dump is logged, exit 0."""
    talk = world.start()
    talk.start_taper()
    with world.path(world.write(f"{TAPELIST}.lock", "")).open("r+b") as stream:
        fcntl.lockf(stream, fcntl.LOCK_EX)
        talk.file_write(world.holding(DATA))
        talk.expect(f"REQUEST-NEW-TAPE {WORKER} {HANDLE}")
        talk.send(f"START-SCAN {WORKER} {HANDLE}", f"NEW-TAPE {WORKER} {HANDLE}")
        talk.expect_silence(0.3)
        talk.send("QUIT")
        said = (
            f"NO-NEW-TAPE {WORKER} {HANDLE}",
            f'FAILED {WORKER} {HANDLE} <*> "taper is quitting" ""',
        )
        talk.expect(*said, timeout=SOON)
        talk.expect_end(0)
    assert not world.tapelist()
    assert not [*world.path(world.slot_path(1)).glob("0*")]
    assert not world.log("START taper")
    world.check_logged(
        f'FAIL taper {POOL} {HOME} 0 error "taper is quitting"', "INFO taper pid-done <n>"
    )


@pytest.mark.known_stock_failure("stock waits for the lock for a thousand seconds")
def test_while_the_changer_is_locked_by_another(world: World) -> None:
    """The volume is finished; its slot is free all the same, as its holder is no more."""
    talk = world.dumped(DATA)
    with world.path(world.kind.state).open("r+b") as stream:
        fcntl.lockf(stream, fcntl.LOCK_EX)
        talk.send("QUIT")
        talk.expect_end(0, timeout=SOON)  # then a driver kills
    world.check_logged("INFO taper tape PROTO01 kb 195 fm 1 [OK]", "INFO taper pid-done <n>")
    again = world.start()
    again.start_taper()
    again.quit()

"""Where stock is wrong and nobody depends on it: the right behaviour, one case each."""

import time

import pytest

from tests.conformance.harness import STAMP, TAPELIST, VTAPES, Options, World
from tests.conformance.harness_files import Dump, dump_header, volume_label
from tests.conformance.harness_talk import HANDLE, PLAIN, WORKER, Conversation, split_by
from tests.conformance.harness_text import crc, payload

W1 = "worker0-1"
H1 = "01-00002"
H2 = "00-00003"
B = Dump("/b")
SMALL = payload(65_536)
DATA = payload(1_000_000)
HEADER = dump_header(Dump())
TYPES = ("INFO ", "START ", "PART ", "DONE ", "FAIL ", "ERROR ", "PARTIAL ", "PARTPARTIAL ")


def started(world: World, **knobs: int | bool | str | None) -> Conversation:
    """Start a taper with one worker."""
    world.configure(Options(**knobs))  # type: ignore[arg-type]
    talk = world.start()
    talk.hopeless_after(5)
    talk.start_taper()
    return talk


def answer(talk: Conversation, handle: str = HANDLE) -> None:
    """Scan for a volume and grant it."""
    talk.send(f"START-SCAN {WORKER} {handle}", f"NEW-TAPE {WORKER} {handle}")


def follow(talk: Conversation, handle: str = HANDLE, limit: int = 9) -> tuple[str, int]:
    """Grant every volume that is asked for; the final reply and the number of requests."""
    asked = 0
    while True:
        line = talk.expect(f"<w> {WORKER} {handle}<*>")
        if line.startswith("REQUEST-NEW-TAPE"):
            asked += 1
            assert asked <= limit, f"asked for {asked} volumes"
            answer(talk, handle)
        elif line.startswith(("DONE", "PARTIAL", "FAILED")):
            return line, asked


def small_dump(world: World, talk: Conversation, label: str, handle: str = H2) -> None:
    """Write a small dump on a new volume."""
    talk.file_write(world.holding(SMALL), handle=handle)
    talk.grant(label, handle)
    talk.ready(handle)
    talk.part(label, 1, 65_536, handle=handle)
    talk.done(crc(SMALL), handle=handle)


@pytest.mark.known_stock_failure("stock dies: 'Can only run one scan at a time'")
def test_two_scans_at_once_are_queued(world: World) -> None:
    """Two START-TAPER in one burst: two TAPER-OK, two volumes."""
    talk = world.start()
    talk.send(*(f"START-TAPER taper0 {who} PROTO {STAMP}" for who in (WORKER, W1)))
    replies = {talk.expect("TAPER-OK <w> <w>"), talk.expect("TAPER-OK <w> <w>")}
    assert replies == {f"TAPER-OK {who} ALLOW-TAKE-SCRIBE-FROM" for who in (WORKER, W1)}
    small_dump(world, talk, "PROTO01")
    talk.quit()
    assert len(world.log("INFO taper Slot")) == 2


@pytest.mark.known_stock_failure("stock dies: NEW-TAPE with no scan done or running")
def test_permission_without_a_scan_scans(world: World) -> None:
    """NEW-TAPE for a second volume without START-SCAN: the scan is made then."""
    talk = started(world, usage_kib=512)
    talk.file_write(world.holding(DATA[:500_000]), split_by(262_144))
    talk.grant("PROTO01")
    talk.ready()
    talk.part("PROTO01", 1, 262_144)
    talk.expect(f"REQUEST-NEW-TAPE {WORKER} {HANDLE}")
    talk.send(f"NEW-TAPE {WORKER} {HANDLE}")
    talk.expect(f"NEW-TAPE {WORKER} {HANDLE} PROTO02")
    talk.part("PROTO02", 1, 237_856)
    talk.done(crc(DATA[:500_000]))


def test_a_second_permission_is_refused_or_ignored(world: World) -> None:
    """NEW-TAPE while writing: perhaps BAD-COMMAND, no second volume, the dump is whole."""
    talk = started(world)
    dumper = talk.port_write()
    dumper.header(HEADER)
    talk.grant("PROTO01")
    talk.ready()
    talk.send(f"NEW-TAPE {WORKER} {HANDLE}")
    assert all(line.startswith("BAD-COMMAND ") for line in talk.heard())
    dumper.data(SMALL)
    talk.expect(f"PARTDONE {WORKER} {HANDLE} PROTO01 1 64 <*>")
    talk.dumper_done()
    talk.done(crc(SMALL))
    world.check_dump(HANDLE, SMALL)
    talk.quit()
    assert len(world.log("START")) == 1


@pytest.mark.known_stock_failure("stock crashes on a denial without a reason")
def test_a_denial_without_a_reason_is_a_denial(world: World) -> None:
    """NO-NEW-TAPE with an empty reason: FAILED TAPE-CONFIG, the next dump is fine."""
    talk = started(world)
    talk.file_write(world.holding(SMALL))
    talk.deny("")
    talk.expect(f'FAILED {WORKER} {HANDLE} INPUT-GOOD TAPE-CONFIG "" <*>')
    small_dump(world, talk, "PROTO01")


@pytest.mark.known_stock_failure("stock dies on the name of a worker it does not know")
@pytest.mark.parametrize(
    "line",
    [
        "FILE-WRITE nobody {HANDLE} /hf localhost /home 0 {STAMP} {PLAIN} 1",
        "PORT-WRITE nobody {HANDLE} localhost /home 0 {STAMP} {PLAIN} AMANDA",
        "START-SCAN nobody {HANDLE}",
        "NEW-TAPE nobody {HANDLE}",
        "NO-NEW-TAPE nobody {HANDLE} why",
        "CLOSE-VOLUME nobody",
        "CLOSE-SOURCE-VOLUME nobody",
        "TAKE-SCRIBE-FROM nobody {HANDLE} {WORKER}",
        "TAKE-SCRIBE-FROM {WORKER} {HANDLE} nobody",
    ],
)
def test_an_unknown_worker_is_a_bad_command(world: World, line: str) -> None:
    """BAD-COMMAND that names the worker; the taper goes on."""
    talk = started(world)
    if line.startswith("TAKE-SCRIBE-FROM {WORKER}"):
        talk.file_write(world.holding(SMALL))
        talk.expect(f"REQUEST-NEW-TAPE {WORKER} {HANDLE}")
    talk.send(line.format(HANDLE=HANDLE, WORKER=WORKER, STAMP=STAMP, PLAIN=PLAIN))
    talk.expect('BAD-COMMAND "<*>nobody<*>"')
    talk.still_there()


@pytest.mark.known_stock_failure("stock replaces the worker and leaks its reservation")
def test_a_worker_is_started_once(world: World) -> None:
    """START-TAPER for a worker that exists: refused, or the first volume is let go."""
    talk = started(world, slots=1)
    talk.send(f"START-TAPER taper0 {WORKER} PROTO {STAMP}")
    line = talk.expect("<w> <*>")
    assert line.startswith(("BAD-COMMAND ", f"TAPER-OK {WORKER} ")), line
    small_dump(world, talk, "PROTO01")


@pytest.mark.known_stock_failure(
    "stock skips the bytes between two failed attempts [data-plane Q2]"
)
def test_a_part_that_fails_twice_loses_nothing(world: World) -> None:
    """The second try of a part ends earlier than the first: the third still has every byte."""
    talk = started(world, usage_kib=1024, slots=6)
    talk.start_taper(W1)
    small_dump(world, talk, "PROTO01")
    half = DATA[:524_288]
    talk.file_write(world.holding(half, B), PLAIN, H1, W1, B)
    talk.grant("PROTO02", H1, W1)
    talk.ready(H1, W1)
    talk.part("PROTO02", 1, 524_288, handle=H1, worker=W1)
    talk.done(crc(half), handle=H1, worker=W1)
    talk.file_write(world.holding(DATA), split_by(917_504))
    talk.ready()
    talk.expect(f"REQUEST-NEW-TAPE {WORKER} {HANDLE}")
    talk.send(f"TAKE-SCRIBE-FROM {WORKER} {HANDLE} {W1}")
    talk.ready()
    talk.grant("PROTO03")
    talk.expect(f"PARTDONE {WORKER} {HANDLE} PROTO03 1 896 <*>")
    talk.grant("PROTO04")
    talk.part("PROTO04", 1, 82_496)
    talk.done(crc(DATA))
    world.check_dump(HANDLE, DATA)


@pytest.mark.known_stock_failure(
    "stock eats volume after volume until it is denied [data-plane Q14]"
)
def test_a_part_larger_than_any_volume_ends(world: World) -> None:
    """It fails at the start of an empty volume: two volumes at most, then TAPE-ERROR."""
    talk = started(world, usage_kib=512, slots=8)
    talk.file_write(world.holding(DATA), split_by(2_000_000))
    line, asked = follow(talk)
    assert asked <= 2, f"asked for {asked} volumes"
    assert f"{WORKER} {HANDLE} INPUT-GOOD TAPE-ERROR" in line
    talk.file_write(world.holding(SMALL), handle=H2)
    line, _ = follow(talk, H2)
    assert line.startswith(f"DONE {WORKER} {H2} INPUT-GOOD TAPE-GOOD")


@pytest.mark.known_stock_failure(
    "stock overwrites a volume of this very run [data-plane Q31]: data lost"
)
def test_a_volume_of_this_run_is_never_overwritten(world: World) -> None:
    """tapecycle smaller than the volumes used: no volume is found, the parts stay."""
    talk = started(world, usage_kib=512, slots=2, tapecycle=1)
    talk.file_write(world.holding(DATA), split_by(262_144))
    line, _ = follow(talk, limit=3)
    good = DATA[: 262_144 * 2]
    assert line.startswith(f"PARTIAL {WORKER} {HANDLE} INPUT-GOOD TAPE-ERROR"), line
    world.check_dump(HANDLE, good)
    assert f'"{crc(good)}"' in line


@pytest.mark.known_stock_failure("stock judges a volume when it scans, not when it labels")
def test_a_volume_that_became_active_is_not_overwritten(world: World) -> None:
    """Between scan and permission somebody marks the volume no-reuse: it is left alone."""
    world.configure(Options(slots=2, tapecycle=1))
    world.labelled(1, "PROTO01", "20250101000000")
    talk = world.start()
    talk.hopeless_after(5)
    talk.start_taper()
    entry = "20250101000000 PROTO01 no-reuse POOL:PROTO STORAGE:PROTO CONFIG:PROTO\n"
    world.write(TAPELIST, entry)
    talk.file_write(world.holding(SMALL))
    line, _ = follow(talk)
    assert volume_label(world.slot(1)) == ("PROTO01", "20250101000000")
    assert entry.strip() in world.tapelist()
    assert line.startswith(f"DONE {WORKER} {HANDLE} INPUT-GOOD TAPE-GOOD")
    world.check_dump(HANDLE, SMALL)


@pytest.mark.known_stock_failure("stock aborts on a part cache without a part size [data-plane Q1]")
@pytest.mark.parametrize("cache", ["memory", "disk"])
def test_a_part_cache_without_a_part_size(world: World, cache: str) -> None:
    """The dump is written as one part."""
    world.mkdir("/var/lib/amanda/cache")
    talk = started(world)
    dumper = talk.port_write(f'"" "" "" 1 "" {cache} /var/lib/amanda/cache ""')
    dumper.header(HEADER)
    dumper.data(DATA)
    talk.grant("PROTO01")
    talk.ready()
    talk.part("PROTO01", 1, 1_000_000, None)
    talk.dumper_done()
    talk.done(crc(DATA))
    world.check_dump(HANDLE, DATA)


@pytest.mark.known_stock_failure("stock reports a part with file number 0 [data-plane Q12]")
def test_no_part_is_reported_where_none_was_written(world: World) -> None:
    """The volume's end meets a part's header: nothing is reported, the number is not used up."""
    talk = started(world, usage_kib=512, leom=True)
    talk.file_write(world.holding(DATA[:300_000], B), dump=B, handle=H2)
    talk.grant("PROTO01", H2)
    talk.ready(H2)
    talk.part("PROTO01", 1, 300_000, handle=H2)
    talk.done(crc(DATA[:300_000]), handle=H2)
    talk.file_write(world.holding(SMALL))
    follow(talk)
    assert all(fileno for _, fileno in talk.parts[HANDLE])
    world.check_not_logged("PART taper <*> PROTO01 0 <*>")
    world.check_dump(HANDLE, SMALL)


@pytest.mark.known_stock_failure("stock dies at the release, before CLOSED-VOLUME [data-plane Q9]")
def test_set_no_reuse_marks_the_volume(world: World) -> None:
    """A storage with set-no-reuse: the entry is no-reuse after release, and life goes on."""
    storage = 'define storage PROTO {\n  tpchanger "chg-disk:/var/lib/amanda/vtapes"\n'
    labels = '  labelstr "^PROTO[0-9][0-9]$"\n  autolabel "PROTO%%" any\n'
    options = '  tapetype "T"\n  tapepool "PROTO"\n  set-no-reuse yes\n}\nstorage "PROTO"'
    talk = started(world, changer="", labels="", extra=storage + labels + options)
    small_dump(world, talk, "PROTO01")
    talk.send(f"CLOSE-VOLUME {WORKER}")
    talk.expect(f"CLOSED-VOLUME {WORKER}")
    assert world.tapelist()[0].startswith(f"{STAMP} PROTO01 no-reuse ")
    small_dump(world, talk, "PROTO02", H1)


@pytest.mark.known_stock_failure("stock loses the checksums of a DONE that comes before the header")
def test_an_early_result_keeps_its_checksums(world: World) -> None:
    """DONE before the header: its native and client CRC are in the log."""
    talk = started(world)
    dumper = talk.port_write()
    talk.send(f"DONE {WORKER} {HANDLE} 77 aaaaaaaa:1 bbbbbbbb:2 00000000:0")
    dumper.header(HEADER)
    dumper.data(SMALL)
    talk.grant("PROTO01")
    talk.ready()
    talk.part("PROTO01", 1, 65_536, "77")
    talk.done(crc(SMALL), "77")
    world.check_logged(f"DONE taper <*> 1 0 aaaaaaaa:1 bbbbbbbb:2 {crc(SMALL)} <*>")


@pytest.mark.known_stock_failure(
    "stock waits until the peer closes its connection [data-plane Q20]"
)
def test_a_cancelled_dump_ends_at_once(world: World) -> None:
    """FAILED while data flow: PARTIAL comes though the dumper keeps its connection open."""
    talk = started(world)
    talk.hopeless_after(3)
    dumper = talk.port_write(split_by(32_768, "none"))
    dumper.header(HEADER)
    talk.grant("PROTO01")
    talk.ready()
    with dumper.connect() as data:
        data.sendall(SMALL[:40_000])
        talk.part("PROTO01", 1, 32_768, None)
        talk.send(f"FAILED {WORKER} {HANDLE}")
        talk.expect(f'PARTIAL {WORKER} {HANDLE} INPUT-ERROR TAPE-GOOD <*> "dumper failed" ""')


@pytest.mark.known_stock_failure(
    "stock blames a lack of space for every failed part [data-plane Q13]"
)
def test_a_failed_part_has_the_right_reason(world: World) -> None:
    """The dumper failed, so PARTPARTIAL does not speak of space."""
    talk = started(world)
    dumper = talk.port_write(split_by(32_768, "none"))
    dumper.header(HEADER)
    talk.grant("PROTO01")
    talk.ready()
    with dumper.connect() as data:
        data.sendall(SMALL[:40_000])
        talk.part("PROTO01", 1, 32_768, None)
        talk.send(f"FAILED {WORKER} {HANDLE}")
        time.sleep(0.2)
    talk.expect(f'PARTIAL {WORKER} {HANDLE} INPUT-ERROR TAPE-GOOD <*> "dumper failed" ""')
    assert not [line for line in world.log("PARTPARTIAL") if "No space left" in line]


@pytest.mark.stock_may_fail("stock counts the wait for data from PORT on, if it is not slow itself")
def test_data_may_come_as_late_after_the_header_as_it_after_port(world: World) -> None:
    """A slow client: header just in time, data a while later."""
    talk = started(world, dtimeout=5)
    dumper = talk.port_write()
    with dumper.connect_header() as link:
        time.sleep(5.5)
        link.sendall(HEADER)
    talk.grant("PROTO01")
    talk.ready()
    time.sleep(0.8)
    dumper.data(SMALL)
    talk.part("PROTO01", 1, 65_536, None)
    talk.dumper_done()
    talk.done(crc(SMALL))


@pytest.mark.known_stock_failure(
    "stock leaves the status file empty for five seconds [data-plane Q32]"
)
def test_the_status_file_says_zero_at_once(world: World) -> None:
    """A reader finds a number in it from the start."""
    talk = started(world)
    talk.file_write(world.holding(SMALL))
    talk.expect(f"REQUEST-NEW-TAPE {WORKER} {HANDLE}")
    assert [path.read_text() for path in world.status_files()] == ["0"]


@pytest.mark.known_stock_failure("stock does not answer before the first vault [data-plane Q27]")
def test_closing_a_source_volume_is_always_answered(world: World) -> None:
    """CLOSE-SOURCE-VOLUME of a worker that never read a volume: CLOSED-SOURCE-VOLUME."""
    talk = started(world)
    talk.hopeless_after(2)
    talk.send(f"CLOSE-SOURCE-VOLUME {WORKER}")
    talk.expect(f"CLOSED-SOURCE-VOLUME {WORKER}")


@pytest.mark.known_stock_failure("stock writes a line feed of a reason into the log as it is")
def test_the_log_keeps_one_record_a_line(world: World) -> None:
    """A reason with a line feed in it does not make a second line."""
    talk = started(world)
    talk.file_write(world.holding(SMALL))
    talk.expect(f"REQUEST-NEW-TAPE {WORKER} {HANDLE}")
    talk.send(f'NO-NEW-TAPE {WORKER} {HANDLE} "two\\nlines"')
    talk.expect(f'FAILED {WORKER} {HANDLE} INPUT-GOOD TAPE-CONFIG "" <*>')
    assert [line for line in world.log() if not line.startswith(TYPES)] == []


@pytest.mark.known_stock_failure("stock takes such a volume for a full one, without a word")
def test_a_volume_that_takes_no_file_is_told_of(world: World) -> None:
    """The dump goes to the next volume, and the trace log says what is wrong with this one."""
    talk = started(world)
    data = payload(1000)
    talk.file_write(world.holding(data))
    talk.grant("PROTO01")
    talk.ready()
    talk.part("PROTO01", 1, 1000)
    talk.done(crc(data))
    world.path(f"{VTAPES}/slot1").chmod(0o500)
    talk.file_write(world.holding(data), split_by(65536), handle="00-00002")
    talk.ready("00-00002")
    talk.grant("PROTO02", "00-00002")
    talk.part("PROTO02", 1, 1000, handle="00-00002")
    talk.done(crc(data), handle="00-00002")
    talk.quit()
    world.check_logged("INFO taper <*>: Permission denied<*>")


@pytest.mark.known_stock_failure("stock labels what it could not wipe, beside the old files")
def test_a_volume_that_cannot_be_wiped_is_not_labelled(world: World) -> None:
    """It keeps its old label, the log says why, and the next volume is taken."""
    world.configure(Options(slots=2, tapecycle=1))
    world.labelled(2, "PROTO02", "20250102000000")
    world.labelled(1, "PROTO01", "20250101000000")
    world.mkdir(f"{VTAPES}/slot1/00005.kept")
    talk = world.start()
    talk.start_taper()
    talk.file_write(world.holding(SMALL))
    talk.expect(f"REQUEST-NEW-TAPE {WORKER} {HANDLE}")
    answer(talk)
    talk.expect(f"NO-NEW-TAPE {WORKER} {HANDLE}")
    talk.grant("PROTO02")
    talk.ready()
    talk.part("PROTO02", 1, 65_536)
    talk.done(crc(SMALL))
    assert volume_label(world.slot(1)) == ("PROTO01", "20250101000000")
    assert world.tapelist()[1].startswith("20250101000000 PROTO01 reuse")
    world.check_logged("INFO taper while labeling new volume: Error unlinking <*>")

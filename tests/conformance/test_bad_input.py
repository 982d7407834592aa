"""Lines that are no command: each gets its answer, none kills the taper."""

import pytest

from tests.conformance.harness import STAMP, World
from tests.conformance.harness_files import Dump, dump_header
from tests.conformance.harness_talk import HANDLE, PLAIN, WORKER
from tests.conformance.harness_text import crc, stats

UNKNOWN = 'BAD-COMMAND "unknown command<*>"'
START = f"START-TAPER taper0 {WORKER} PROTO {STAMP}"
DUMP = f"localhost /home 0 {STAMP}"
SPLIT_FIELDS = [
    "dle_tape_splitsize",
    "dle_split_diskbuffer",
    "dle_fallback_splitsize",
    "dle_allow_split",
    "part_size",
    "part_cache_type",
    "part_cache_dir",
    "part_cache_max_size",
]


def few(name: str, field: str) -> str:
    """Write the answer to a command that lacks a field."""
    return f"too few arguments to '{name}': first missing argument is {field}"


def many(name: str, field: str) -> str:
    """Write the answer to a command with a field too many."""
    return f"too many arguments to '{name}': first unmatched argument is '{field}'"


TOO_FEW = [
    ("START-TAPER", "taper_name"),
    ("START-TAPER taper0", "worker_name"),
    (f"START-TAPER taper0 {WORKER}", "storage"),
    (f"START-TAPER taper0 {WORKER} PROTO", "timestamp"),
    (f"FILE-WRITE {WORKER}", "handle"),
    (f"FILE-WRITE {WORKER} {HANDLE}", "filename"),
    (f"FILE-WRITE {WORKER} {HANDLE} /hf", "hostname"),
    (f"FILE-WRITE {WORKER} {HANDLE} /hf localhost", "diskname"),
    (f"FILE-WRITE {WORKER} {HANDLE} /hf localhost /home", "level"),
    (f"FILE-WRITE {WORKER} {HANDLE} /hf localhost /home 0", "datestamp"),
    (f"FILE-WRITE {WORKER} {HANDLE} /hf {DUMP}", SPLIT_FIELDS[0]),
    (f"FILE-WRITE {WORKER} {HANDLE} /hf {DUMP} {PLAIN}", "orig_kb"),
    (f"PORT-WRITE {WORKER} {HANDLE} {DUMP} {PLAIN}", "data_path"),
    (f"PORT-WRITE {WORKER} {HANDLE} {DUMP} 1 2 3", SPLIT_FIELDS[3]),
    (f"START-SCAN {WORKER}", "handle"),
    (f"NEW-TAPE {WORKER}", "handle"),
    (f"NO-NEW-TAPE {WORKER} {HANDLE}", "reason"),
    (f"DONE {WORKER} {HANDLE} 1 2 3", "server_crc"),
    (f"FAILED {WORKER}", "handle"),
    ("CLOSE-VOLUME", "worker_name"),
    ("CLOSE-SOURCE-VOLUME", "worker_name"),
    (f"TAKE-SCRIBE-FROM {WORKER} {HANDLE}", "<w>"),
]


@pytest.mark.parametrize("batch", [TOO_FEW[:8], TOO_FEW[8:15], TOO_FEW[15:]], ids="abc")
def test_too_few_fields(world: World, batch: list[tuple[str, str]]) -> None:
    """The first missing field is named; the text is in the log and on stderr too [protocol T20]."""
    talk = world.start()
    for line, field in batch:
        talk.send(line)
        text = few(line.split()[0], field)
        talk.expect(f'BAD-COMMAND "{text}"')
        world.check_logged(f"ERROR taper {text}")
    talk.quit()
    first = few(batch[0][0].split()[0], batch[0][1])
    assert first in talk.stderr()


def test_too_many_fields(world: World) -> None:
    """The first field too many is named; two spaces and a trailing space make empty fields."""
    talk = world.start()
    lines = [
        (f"{START} extra more", many("START-TAPER", "extra")),
        ("QUIT now", many("QUIT", "now")),
        ("QUIT ", many("QUIT", "")),
        (f"CLOSE-VOLUME {WORKER} {HANDLE}", many("CLOSE-VOLUME", HANDLE)),
        (f"START-SCAN {WORKER}  {HANDLE}", many("START-SCAN", HANDLE)),
        (f"NEW-TAPE {WORKER} {HANDLE} ", many("NEW-TAPE", "")),
    ]
    for line, text in lines:
        talk.send(line)
        talk.expect(f'BAD-COMMAND "{text}"')
        world.check_logged(f"ERROR taper {text}")
    talk.quit()


@pytest.mark.parametrize(
    "line",
    ["GARBAGE foo", " QUIT", " ", "\t", '""', "00", "QUIT\r", "QUITT", "\udcff\udcfe x", "é"],
)
def test_unknown_commands(world: World, line: str) -> None:
    """Whatever is no command gets 'unknown command', the taper goes on."""
    talk = world.start()
    talk.send(line)
    talk.expect(UNKNOWN)
    talk.start_taper()
    talk.quit()
    world.check_logged("ERROR taper unknown command<*>")
    assert any(line.startswith("unknown command") for line in talk.stderr())


def test_the_tapers_own_words_are_no_commands(world: World) -> None:
    """A reply's name with the right fields: 'unhandled command' [protocol T20]."""
    talk = world.start()
    for line in ["TAPER-OK a b", "READY a b", "CLOSED-VOLUME a", "BAD-COMMAND x"]:
        talk.send(line)
        talk.expect(f"BAD-COMMAND \"unhandled command '{line.split()[0]}'\"")
    talk.quit()


def test_lines_without_meaning_are_skipped(world: World) -> None:
    """An empty line and a lone 0 are nothing at all."""
    talk = world.start()
    talk.send("", "0", "", START)
    talk.expect(f"TAPER-OK {WORKER} <w>")
    talk.quit()


def test_commands_in_any_case_in_quotes_in_pieces(world: World) -> None:
    """Lower case, quoted fields, a line in two packets, two lines in one packet."""
    talk = world.start()
    talk.send(f'start-taper "taper0" "{WORKER}" PRO"TO" {STAMP}')
    talk.expect(f"TAPER-OK {WORKER} <w>")
    talk.send_bytes(b"CLOSE-VOL")
    talk.expect_silence(0.1)
    talk.send_bytes(f"UME {WORKER}\nCLOSE-VOLUME {WORKER}\n".encode())
    talk.expect(f"CLOSED-VOLUME {WORKER}", f"CLOSED-VOLUME {WORKER}")
    talk.quit()


def test_a_very_long_line(world: World) -> None:
    """A megabyte without sense is refused like a short one, the next command works."""
    talk = world.start()
    talk.send("X" * 1_000_000)
    talk.expect(UNKNOWN)
    talk.start_taper()
    talk.quit()


def test_a_long_line_that_makes_sense(world: World) -> None:
    """A command with a field of 100 kB is read whole; log lines are cut, not broken."""
    talk = world.start()
    talk.start_taper()
    talk.send(f"NO-NEW-TAPE {WORKER} {HANDLE} {'r' * 100_000}")
    talk.expect("BAD-COMMAND \"command not appropriate in state 'idle' : 'writing'<*>\"")
    talk.send(f"CLOSE-VOLUME {WORKER} {'x' * 100_000}")
    talk.expect('BAD-COMMAND "too many arguments <*>"')
    talk.quit()
    assert all(len(line) < 4200 for line in world.log())


def test_commands_in_the_wrong_state(world: World) -> None:
    """The text names the state and the one that is needed; nothing is logged [protocol T20]."""
    talk = world.start()
    talk.start_taper()
    for line in [f"NEW-TAPE {WORKER} {HANDLE}", f'NO-NEW-TAPE {WORKER} {HANDLE} "no more"']:
        talk.send(line)
        talk.expect("BAD-COMMAND \"command not appropriate in state 'idle' : 'writing'<*>\"")
    talk.send(
        f"DONE {WORKER} {HANDLE} 1 2 3 4", f"FAILED {WORKER} {HANDLE}", f"CLOSE-VOLUME {WORKER}"
    )
    talk.expect(f"CLOSED-VOLUME {WORKER}")
    talk.quit()
    world.check_not_logged("ERROR <*>")


def test_commands_that_must_wait_for_the_end_of_a_dump(world: World) -> None:
    """CLOSE-VOLUME or another write during a dump is refused, the dump goes on [protocol T20]."""
    talk = world.start()
    talk.start_taper()
    hf = world.holding(b"z" * 70_000)
    talk.file_write(hf)
    talk.expect(f"REQUEST-NEW-TAPE {WORKER} {HANDLE}")
    busy = "BAD-COMMAND \"command not appropriate in state 'writing' : 'idle'<*>\""
    talk.send(f"CLOSE-VOLUME {WORKER}")
    talk.expect(busy)
    talk.file_write(hf, handle="00-00002")
    talk.expect(busy)
    talk.send(f"PORT-WRITE {WORKER} 00-00002 {DUMP} {PLAIN} AMANDA")
    talk.expect(busy)
    talk.send(f"CLOSE-SOURCE-VOLUME {WORKER}")
    talk.expect(busy)
    talk.send(f"START-SCAN {WORKER} {HANDLE}", f"NEW-TAPE {WORKER} {HANDLE}")
    talk.expect(f"NEW-TAPE {WORKER} {HANDLE} PROTO01")
    talk.ready()
    talk.part("PROTO01", 1, 70_000)
    talk.done(crc(b"z" * 70_000))


def test_commands_while_the_header_is_awaited(world: World) -> None:
    """Waiting for a header is a state of its own; the dump is not disturbed."""
    talk = world.start()
    talk.start_taper()
    dumper = talk.port_write()
    talk.send(f"NEW-TAPE {WORKER} {HANDLE}")
    talk.expect("BAD-COMMAND \"command not appropriate in state 'getting_header' : 'writing'<*>\"")
    talk.send(f"CLOSE-VOLUME {WORKER}")
    talk.expect("BAD-COMMAND \"command not appropriate in state 'getting_header' : 'idle'<*>\"")
    dumper.header(dump_header(Dump()))
    dumper.data(b"y" * 5000)
    talk.grant("PROTO01")
    talk.ready()
    talk.expect(f'PARTDONE {WORKER} {HANDLE} PROTO01 1 4 "{stats(5000)}"')


def test_a_last_line_without_its_end_is_carried_out(world: World) -> None:
    """EOF in the middle of a line: the line counts, then QUIT."""
    talk = world.start()
    talk.send_bytes(b"NONSENSE")
    talk.socket.shutdown(1)
    talk.expect(UNKNOWN)
    talk.expect_end(0)

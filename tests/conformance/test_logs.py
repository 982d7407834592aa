"""What the taper tells besides the protocol: trace log, stderr, status file, debug file."""

import fcntl
import re

import pytest

from tests.conformance.harness import LOG, TAPELIST, World
from tests.conformance.harness_files import Dump, dump_header
from tests.conformance.harness_talk import HANDLE, WORKER, Conversation, split_by
from tests.conformance.harness_text import crc, matches, payload

DATA = payload(200_000)
STATUS = (
    r"taper: status file taper0 worker0-0 localhost /home:(/tmp/amanda/taper_status_file_\w{6,8})"
)


def asked(world: World) -> Conversation:
    """Start a taper and a dump up to the first request of a volume."""
    talk = world.start()
    talk.start_taper()
    talk.file_write(world.holding(DATA), split_by(131072))
    talk.expect(f"REQUEST-NEW-TAPE {WORKER} {HANDLE}")
    return talk


def test_the_log_is_ahead_of_the_replies(world: World) -> None:
    """START, PART and DONE are in the log when the driver hears of them."""
    talk = asked(world)
    talk.send(f"START-SCAN {WORKER} {HANDLE}", f"NEW-TAPE {WORKER} {HANDLE}")
    talk.expect(f"NEW-TAPE {WORKER} {HANDLE} PROTO01")
    assert world.log("START taper"), "START comes before NEW-TAPE"
    assert "taper: wrote label 'PROTO01'" in talk.stderr()
    talk.ready()
    talk.part("PROTO01", 1, 131072)
    assert world.log("PART taper"), "PART comes before PARTDONE"
    talk.part("PROTO01", 2, 68928)
    talk.done(crc(DATA))
    assert world.log("DONE taper"), "the log's DONE comes before the driver's"


def test_lines_are_added_to_what_the_driver_wrote(world: World) -> None:
    """The log is never truncated, its mode stays."""
    world.write(LOG, "INFO amdump amdump pid 1\n")
    asked(world).end()
    assert world.log()[0] == "INFO amdump amdump pid 1"
    assert world.log()[1].startswith("INFO taper taper pid ")


def test_a_new_log_is_private(world: World) -> None:
    """A log that the taper makes has mode 0600, like the tapelist."""
    talk = asked(world)
    talk.send(f"NEW-TAPE {WORKER} {HANDLE}")
    talk.expect(f"NEW-TAPE {WORKER} {HANDLE} PROTO01")
    assert world.path(LOG).stat().st_mode & 0o777 == 0o600
    assert world.path(TAPELIST).stat().st_mode & 0o777 == 0o600


def test_the_log_of_another_writer_is_respected(world: World) -> None:
    """While somebody holds the log's lock no line is written; afterwards it is."""
    talk = asked(world)
    before = len(world.log())
    with world.path(LOG).open("r+b") as stream:
        fcntl.lockf(stream, fcntl.LOCK_EX)
        talk.send(f'NO-NEW-TAPE {WORKER} {HANDLE} "no more"')
        talk.expect_silence(0.4)
        assert len(world.path(LOG).read_text().splitlines()) == before
    talk.expect(f"FAILED {WORKER} {HANDLE} <*>")
    world.check_logged("ERROR taper no-tape config [no more]", "FAIL taper <*>")


def test_stderr_tells_the_status_file_and_the_label(world: World) -> None:
    """The lines amstatus reads, in this order, nothing else."""
    talk = asked(world)
    talk.send(f"NEW-TAPE {WORKER} {HANDLE}")
    talk.expect(f"NEW-TAPE {WORKER} {HANDLE} PROTO01")
    talk.ready()
    talk.part("PROTO01", 1, 131072)
    talk.part("PROTO01", 2, 68928)
    talk.done(crc(DATA))
    talk.quit()
    first, second = talk.stderr()
    assert re.fullmatch(STATUS, first), first
    assert second == "taper: wrote label 'PROTO01'"


def test_the_status_file_lives_as_long_as_the_dump(world: World) -> None:
    """Mode 0600, a number or nothing yet, gone after the last reply."""
    talk = asked(world)
    found = re.fullmatch(STATUS, talk.stderr()[0])
    assert found
    path = world.path(found[1])
    assert path.stat().st_mode & 0o777 == 0o600
    assert re.fullmatch(r"\d*", path.read_text())
    talk.send(f'NO-NEW-TAPE {WORKER} {HANDLE} "no more"')
    talk.expect(f"FAILED {WORKER} {HANDLE} <*>")
    world.wait_for("the status file to go", lambda: not world.status_files())


def test_names_that_need_quoting_on_stderr(world: World) -> None:
    """Host and disk are quoted in the status line, the label line is plain."""
    dump = Dump('/a b:"c"')
    talk = world.start()
    talk.start_taper()
    talk.file_write(world.holding(DATA, dump), dump=dump)
    talk.grant("PROTO01")
    start = 'taper: status file taper0 worker0-0 localhost "/a b:\\"c\\"":/tmp/amanda/'
    assert talk.stderr()[0].startswith(start)
    assert talk.stderr()[1] == "taper: wrote label 'PROTO01'"


def test_the_debug_file_is_where_amanda_keeps_it(world: World) -> None:
    """server/PROTO/taper.<time>.debug, mode 0640, in directories of mode 0700."""
    asked(world)
    place = world.path("/var/log/amanda/server/PROTO")
    files = [path for path in place.iterdir() if path.name.startswith("taper.")]
    assert len(files) == 1
    assert re.fullmatch(r"taper\.\d{14}(\d{3})?\.debug", files[0].name)
    assert files[0].stat().st_mode & 0o777 == 0o640
    assert place.stat().st_mode & 0o777 == 0o700


def test_every_volume_is_counted_in_the_log(world: World) -> None:
    """START says tape 1, tape 2, and each released volume has one line with its totals."""
    talk = asked(world)
    talk.send(f"NEW-TAPE {WORKER} {HANDLE}")
    talk.expect(f"NEW-TAPE {WORKER} {HANDLE} PROTO01")
    talk.ready()
    talk.part("PROTO01", 1, 131072)
    talk.part("PROTO01", 2, 68928)
    talk.done(crc(DATA))
    talk.send(f"CLOSE-VOLUME {WORKER}")
    talk.expect(f"CLOSED-VOLUME {WORKER}")
    usr = Dump("/usr")
    talk.file_write(world.holding(DATA, usr), handle="00-00002", dump=usr)
    talk.grant("PROTO02", "00-00002")
    talk.ready("00-00002")
    talk.part("PROTO02", 1, 200_000, handle="00-00002")
    talk.done(crc(DATA), handle="00-00002")
    talk.quit()
    world.check_logged(
        "START taper datestamp <n> <*> label PROTO01 tape 1",
        "INFO taper tape PROTO01 kb 195 fm 2 [OK]",
        "START taper datestamp <n> <*> label PROTO02 tape 2",
        "INFO taper tape PROTO02 kb 195 fm 1 [OK]",
    )


@pytest.mark.stock_may_fail("what stock says after FAILED depends on how fast it gives up")
def test_a_labelled_volume_without_a_file(world: World) -> None:
    """A volume whose dump never came: fm -1, kb 0."""
    talk = world.start()
    talk.start_taper()
    dumper = talk.port_write()
    dumper.header(dump_header(Dump()))
    talk.grant("PROTO01")
    talk.ready()
    talk.send(f"FAILED {WORKER} {HANDLE}")
    said = talk.heard()
    if not said:  # stock waits for the end of the data
        dumper.connect().close()
        said = [talk.expect("<w> <*>")]
    assert matches(f'<w> {WORKER} {HANDLE} INPUT-ERROR TAPE-GOOD <*>"dumper failed" ""', said[0])
    talk.quit()
    assert world.log("INFO taper tape PROTO01 kb 0 fm ")

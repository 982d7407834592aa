"""Volumes in a conversation: spanning, retries, labelling, release, QUIT and CLOSE-VOLUME."""

from __future__ import annotations

import pytest

from protocols.header import Header, HeaderType
from taper.core.splitting import DirectoryFacts
from tests.core.checking import check_dump, check_permissions
from tests.core.conversing import (
    HANDLE,
    WORKER,
    content,
    file_write,
    masked,
    port_write,
    split_by,
)
from tests.core.stocked import Tape
from tests.core.surroundings import Dumped
from tests.core.volumes import BLOCK, DATA, idle, small

# Spanning


def test_a_failed_part_is_written_again_from_the_holding_file() -> None:
    """[protocol T3]: PARTPARTIAL, the volume is let go, the same part comes first on the next."""
    talk = idle(small(leom=False), small(leom=False))
    talk.say(file_write(split=split_by(4000)))
    assert check_dump(talk, HANDLE, DATA, "/home") == "DONE"
    assert [line.split(" ")[0] for line in talk.logged()] == [
        "INFO",
        "START",
        "PART",
        "PARTPARTIAL",
        "INFO",
        "INFO",
        "INFO",
        "START",
        "PART",
        "PART",
        "DONE",
    ]
    assert talk.logged("PARTPARTIAL")[0].endswith(
        '2/-1 0 [3000 orig-kb 64] "No space left on device"'
    )
    assert talk.logged("INFO")[1:3] == [
        "INFO taper Will request retry of failed split part.",
        "INFO taper tape PROTO01 kb 3 fm 2 [OK]",
    ]
    talk.quit()


def test_with_leom_no_part_fails() -> None:
    """[protocol T4]: parts end early, all good, and go on where they stopped."""
    talk = idle(small(), small())
    talk.say(file_write(split=split_by(4000)))
    assert check_dump(talk, HANDLE, DATA, "/home") == "DONE"
    assert not talk.logged("PARTPARTIAL")
    talk.quit()


@pytest.mark.parametrize("cache", ["memory", "disk"])
def test_a_part_in_a_cache_is_written_again(cache: str, tmp_path: object) -> None:
    """A dump over TCP, no LEOM: from memory or disk onto the next volume."""
    split = f'"" "" "" 1 4000 {cache} {tmp_path} ""'
    talk = idle(small(leom=False), small(leom=False))
    talk.look.directories[str(tmp_path)] = DirectoryFacts(exists=True, free=1 << 30)
    talk.tell(port_write(split=split))
    talk.settle()
    talk.say(f"DONE {WORKER} {HANDLE} 1 1:1 2:2 00000000:0")
    assert check_dump(talk, HANDLE, DATA, "/var") == "DONE"
    assert talk.logged("PARTPARTIAL")
    talk.quit()


def test_a_cache_directory_that_is_missing_is_warned_of() -> None:
    talk = idle(Tape(leom=False))
    talk.say(port_write(split='"" "" "" 1 65536 disk /nowhere ""'))
    assert talk.logged("WARNING") == [
        "WARNING taper localhost:/var: part-cache-dir '/nowhere does not exist; "
        "using part cache type 'none'"
    ]
    talk.quit()


def test_without_cache_the_end_of_the_volume_is_fatal() -> None:
    """[protocol T12]: PARTIAL, splitting not enabled; the next dump asks for another volume."""
    talk = idle(small(leom=False), small(20))
    replies = talk.say(file_write(split='"" "" "" 0 "" "" "" ""'))
    assert masked(replies)[-1] == (
        f"PARTIAL {WORKER} {HANDLE} INPUT-GOOD TAPE-ERROR "
        '"00000000:0" "[0 orig-kb 64]" "" "No space left '
        'on device: more than MAX_VOLUME_USAGE bytes written, splitting not enabled"'
    )
    assert talk.say(file_write("HF", "00-00002").replace("/home", "/b"))[0].startswith("REQUEST")
    assert check_dump(talk, "00-00002", DATA, "/b") == "DONE"
    assert talk.logged("INFO taper tape") == ["INFO taper tape PROTO01 kb 0 fm 1 [OK]"]
    talk.quit()


def test_leom_without_splitting_keeps_what_was_written() -> None:
    talk = idle(small(), small())
    replies = talk.say(file_write(split='"" "" "" 0 "" "" "" ""'))
    assert replies[-1].endswith('"" "No space left on device, splitting not enabled"')
    assert check_dump(talk, HANDLE, DATA, "/home") == "PARTIAL"
    talk.quit()


def test_a_header_that_does_not_fit_is_no_part() -> None:
    """[protocol T5] done better: nothing is told of it, and its number is used on the next
    volume."""
    talk = idle(small(5, leom=False), small(20), data=content(1000))
    talk.say(file_write())
    assert check_dump(talk, HANDLE, content(1000), "/home") == "DONE"
    talk.tapes["1"].medium.capacity = 4 * BLOCK
    talk.say(file_write("HF", "00-00002", split_by(3000)).replace("/home", "/b"))
    assert check_dump(talk, "00-00002", content(1000), "/b") == "DONE"
    assert " PROTO02 1 localhost /b 20260101000000 1/-1 " in talk.logged("PART ")[-1]
    talk.quit()


@pytest.mark.parametrize("leom", [False, True])
def test_a_part_larger_than_any_volume_stops(leom: bool) -> None:
    """It does not go from volume to volume for ever [data-plane Q14]: two that took nothing
    without losing anything are enough, and one that failed."""
    talk = idle(*(small(2 if leom else 6, leom=leom) for _ in range(4)))
    talk.say(file_write(split=split_by(8000)))
    assert check_dump(talk, HANDLE, DATA, "/home") == ("FAILED" if leom else "PARTIAL")
    tried = 2 if leom else 1
    assert f"does not fit on the empty volume PROTO0{tried}" in talk.driver.lines[-1]
    assert talk.words().count("REQUEST-NEW-TAPE") == tried
    talk.quit()


def test_a_second_volume_of_another_block_size_is_refused_before_its_label_dies() -> None:
    """NO-NEW-TAPE, PARTIAL; the volume is not written [data-plane Q7]."""
    other = Tape(block_size=2000)
    talk = idle(small(), other)
    talk.say(file_write(split=split_by(4000)))
    assert check_dump(talk, HANDLE, DATA, "/home") == "PARTIAL"
    assert "must have the same block size" in talk.driver.lines[-1]
    assert other.medium.label is None
    check_permissions(talk)
    talk.quit()


def test_a_scan_that_finds_no_second_volume() -> None:
    """[protocol T9]: NO-NEW-TAPE, then PARTIAL TAPE-ERROR."""
    talk = idle(small())
    replies = talk.say(file_write(split=split_by(4000)))
    assert [line.split()[0] for line in replies[-3:]] == [
        "REQUEST-NEW-TAPE",
        "NO-NEW-TAPE",
        "PARTIAL",
    ]
    assert "INPUT-GOOD TAPE-ERROR" in replies[-1]
    assert replies[-1].endswith('"" "No acceptable volumes found"')
    check_dump(talk, HANDLE, DATA, "/home")
    # and it is looked for again when the next dump begins
    (reply,) = talk.say(file_write("HF", "00-00002"))
    assert reply == (
        f'FAILED {WORKER} 00-00002 INPUT-GOOD TAPE-ERROR "" '
        '"error; got_device failed: No acceptable volumes found"'
    )
    talk.quit()


def test_a_new_tape_without_a_scan_scans() -> None:
    """No START-SCAN is needed [data-plane Q17]."""
    talk = idle(small(), small(), granting=False)
    talk.say(file_write(split=split_by(4000)), f"NEW-TAPE {WORKER} {HANDLE}")
    talk.say(f"NEW-TAPE {WORKER} {HANDLE}")
    talk.say(f"NEW-TAPE {WORKER} {HANDLE}")
    assert check_dump(talk, HANDLE, DATA, "/home") == "DONE"
    talk.quit()


def test_a_second_permission_is_refused() -> None:
    talk = idle(Tape(), granting=False)
    talk.say(file_write())
    talk.tell(f"NEW-TAPE {WORKER} {HANDLE}")
    talk.tell(f"NEW-TAPE {WORKER} {HANDLE}")
    assert talk.driver.lines[-1].startswith("BAD-COMMAND")
    talk.settle()
    assert check_dump(talk, HANDLE, DATA, "/home") == "DONE"
    check_permissions(talk)
    talk.quit()


def test_a_device_error_in_a_part_ends_the_dump() -> None:
    wanted = {"finish_file"}
    talk = idle(Tape(faults=wanted.__contains__), Tape())
    talk.say(file_write())
    assert check_dump(talk, HANDLE, DATA, "/home") == "PARTIAL"
    assert talk.driver.lines[-1].endswith('"" "the fake filemark fails"')
    wanted.clear()
    talk.say(file_write("HF", "00-00002").replace("/home", "/b"))
    assert check_dump(talk, "00-00002", DATA, "/b") == "DONE"
    talk.quit()


def test_cancelled_while_a_part_is_written() -> None:
    """FAILED comes between two blocks: PARTPARTIAL with the true reason, PARTIAL, no waiting."""
    talk = idle(Tape(block_size=BLOCK), data=content(4_000_000))
    blocks: list[int] = []

    def fail_at_third() -> None:
        blocks.append(1)
        if len(blocks) == 3:
            talk.tell(f"FAILED {WORKER} {HANDLE}")

    talk.tapes["1"].at_write = fail_at_third
    talk.say(port_write())
    assert check_dump(talk, HANDLE, content(4_000_000), "/var") == "PARTIAL"
    assert '"dumper failed" ""' in talk.driver.lines[-1]
    assert talk.logged("PARTPARTIAL")[0].endswith('"dumper failed"')
    assert len(blocks) < 4000
    talk.quit()
    talk.check_sound()


def test_quit_while_a_part_is_written() -> None:
    """The part ends, all is logged, the volume is finished."""
    talk = idle(Tape(block_size=BLOCK), data=content(4_000_000))
    talk.tapes["1"].at_write = lambda: talk.tell("QUIT")
    talk.say(file_write())
    talk.check_released()
    assert check_dump(talk, HANDLE, content(4_000_000), "/home") == "PARTIAL"
    assert '"taper is quitting" ""' in talk.driver.lines[-1]
    assert talk.logged()[-1].startswith("INFO taper tape PROTO01 kb 0 fm 1")
    talk.check_sound()


def test_a_volume_that_failed_before_its_first_part_is_not_called_ok() -> None:
    """What amtoc would take for a volume with a dump on it."""
    talk = idle(Tape(faults={"start_file"}.__contains__))
    talk.say(file_write())
    assert check_dump(talk, HANDLE, DATA, "/home") == "FAILED"
    assert talk.say(f"CLOSE-VOLUME {WORKER}") == [f"CLOSED-VOLUME {WORKER}"]
    assert talk.logged("INFO taper tape") == [
        "INFO taper tape PROTO01 kb 0 fm 0 [the fake header fails]"
    ]
    talk.quit()


def test_a_volume_that_failed_after_a_part_is_told_as_ever() -> None:
    """amtoc shows what is on it."""
    failing = iter([False] * 5 + [True])
    talk = idle(small(faults=lambda what: what == "write" and next(failing)))
    talk.say(file_write(split=split_by(4000)))
    assert check_dump(talk, HANDLE, DATA, "/home") == "PARTIAL"
    talk.say(f"CLOSE-VOLUME {WORKER}")
    assert talk.logged("INFO taper tape") == ["INFO taper tape PROTO01 kb 3 fm 2 [OK]"]
    talk.quit()


def test_a_name_that_no_header_holds_whole_is_told_by_its_size() -> None:
    """The cut name and the whole one would look alike."""
    disk = "/" + "d" * 299
    there = Header(
        type=HeaderType.DUMPFILE,
        datestamp="20260101000000",
        host="localhost",
        disk=disk[:255],
        program="/usr/bin/tar",
    )
    talk = idle(Tape(), dumps={"HF": Dumped(DATA, header=there)})
    (reply,) = talk.say(file_write().replace("/home", disk))
    text = f"disk '/{'d' * 59}...' has 300 bytes, of which a header holds 255"
    assert reply == (
        f"FAILED {WORKER} {HANDLE} INPUT-ERROR TAPE-GOOD "
        f'"Header of dumpfile does not match command from driver: {text}" ""'
    )
    talk.quit()

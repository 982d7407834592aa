"""Several workers, and everything the controller refuses."""

from __future__ import annotations

import errno

import pytest

from protocols.driver.codec import BadLine
from taper.core.controller import MOST_UNLOGGED
from taper.core.moment import MOMENT
from tests.core.checking import check_dump, check_permissions
from tests.core.conversing import (
    HANDLE,
    RUN,
    START,
    WORKER,
    Conversation,
    content,
    file_write,
    split_by,
)
from tests.core.stocked import Tape
from tests.core.surroundings import Dumped

W2 = "worker0-1"
START2 = f"START-TAPER taper0 {W2} PROTO {RUN}"
DATA = content(9500)


def test_two_scans_at_once_wait_for_each_other() -> None:
    """Stock dies of it; ours find two volumes [protocol 8]."""
    talk = Conversation(Tape(), Tape())
    assert talk.say(START, START2) == [
        f"TAPER-OK {WORKER} ALLOW-TAKE-SCRIBE-FROM",
        f"TAPER-OK {W2} ALLOW-TAKE-SCRIBE-FROM",
    ]
    assert sorted(held.slot for held in talk.changer.reserved) == ["1", "2"]
    talk.quit()


def test_the_second_worker_finds_no_volume() -> None:
    """It alone is in error."""
    talk = Conversation(Tape(), dumps={"HF": Dumped(DATA)})
    replies = talk.say(START, START2)
    assert replies[0] == f"TAPER-OK {WORKER} ALLOW-TAKE-SCRIBE-FROM"
    assert replies[1].startswith(f"TAPE-ERROR {W2} ")
    talk.say(file_write())
    assert check_dump(talk, HANDLE, DATA, "/home") == "DONE"
    talk.quit()


def test_two_dumps_at_once_over_several_volumes() -> None:
    """Each keeps its own volumes, parts and numbers; tape numbers count over both."""
    talk = Conversation(
        *(Tape(10_000, block_size=1000, warning=1) for _ in range(6)),
        dumps={"A": Dumped(DATA), "B": Dumped(content(9700, 2))},
    )
    talk.say(START, START2)
    split = split_by(3000)
    talk.tell(file_write("A", HANDLE, split))
    talk.tell(file_write("B", "01-00002", split, W2).replace("/home", "/b"))
    talk.settle()
    assert check_dump(talk, HANDLE, DATA, "/home") == "DONE"
    assert check_dump(talk, "01-00002", content(9700, 2), "/b") == "DONE"
    check_permissions(talk)
    numbers = [line.split()[-1] for line in talk.logged("START")]
    assert numbers == [str(n) for n in range(1, len(numbers) + 1)]
    assert len({line.split()[7] for line in talk.logged("START")}) == len(numbers)
    talk.quit()
    talk.check_sound()


def test_one_worker_stopped_by_a_failing_volume_does_not_stop_the_other() -> None:
    talk = Conversation(
        Tape(block_size=1000, faults=lambda what: what == "write"),
        Tape(block_size=1000),
        dumps={"A": Dumped(DATA), "B": Dumped(DATA)},
    )
    talk.say(START, START2)
    talk.tell(file_write("A"))
    talk.tell(file_write("B", "01-00002", worker=W2).replace("/home", "/b"))
    talk.settle()
    assert check_dump(talk, HANDLE, DATA, "/home") == "PARTIAL"
    assert check_dump(talk, "01-00002", DATA, "/b") == "DONE"
    talk.quit()


COMMANDS = [
    f"FILE-WRITE {{0}} {HANDLE} HF localhost /home 0 20260101000000" + ' ""' * 8 + " 1",
    f"PORT-WRITE {{0}} {HANDLE} localhost /home 0 20260101000000" + ' ""' * 8 + " AMANDA",
    f"START-SCAN {{0}} {HANDLE}",
    f"NEW-TAPE {{0}} {HANDLE}",
    f"NO-NEW-TAPE {{0}} {HANDLE} no",
    f"TAKE-SCRIBE-FROM {{0}} {HANDLE} {WORKER}",
    f"DONE {{0}} {HANDLE} 1 1:1 1:1 00000000:0",
    f"FAILED {{0}} {HANDLE}",
    "CLOSE-VOLUME {0}",
    "CLOSE-SOURCE-VOLUME {0}",
]


@pytest.mark.parametrize("command", COMMANDS)
def test_an_unknown_worker_is_a_bad_command(command: str) -> None:
    """Stock dies of it."""
    talk = Conversation(Tape(), dumpers=[Dumped()])
    talk.say(START)
    (reply,) = talk.say(command.format("worker9-9"))
    assert reply.startswith("BAD-COMMAND \"unknown worker 'worker9-9' in ")
    talk.quit()
    assert len(talk.changer.released) == 1


@pytest.mark.parametrize("command", COMMANDS)
def test_no_command_disturbs_the_first_scan(command: str) -> None:
    """It is refused or ignored, and the worker is ready afterwards."""
    talk = Conversation(Tape(), Tape(), dumpers=[Dumped()], dumps={"HF": Dumped(DATA)})
    talk.tell(START)
    talk.tell(command.format(WORKER))
    refused = not command.startswith(("START-SCAN", "DONE", "FAILED"))
    assert [line.split()[0] for line in talk.driver.lines] == ["BAD-COMMAND"] * refused
    talk.settle()
    assert talk.driver.lines[-1] == f"TAPER-OK {WORKER} ALLOW-TAKE-SCRIBE-FROM"
    talk.say(file_write())
    assert check_dump(talk, HANDLE, DATA, "/home") == "DONE"
    talk.quit()


def test_no_second_dump_disturbs_the_first() -> None:
    talk = Conversation(Tape(), dumps={"HF": Dumped(DATA)}, granting=False)
    talk.say(START)
    talk.say(file_write())
    (reply,) = talk.say(file_write("HF", "00-00002"))
    assert "command not appropriate in state 'writing' : 'idle'" in reply
    talk.say(f"NEW-TAPE {WORKER} {HANDLE}")
    assert check_dump(talk, HANDLE, DATA, "/home") == "DONE"
    talk.quit()


def test_a_worker_is_started_once() -> None:
    """A second START-TAPER would leak its reservation."""
    talk = Conversation(Tape(), Tape())
    talk.say(START)
    assert talk.say(START) == [
        f"BAD-COMMAND \"START-TAPER: worker '{WORKER}' is already started\"",
    ]
    assert len(talk.changer.reserved) == 1
    talk.quit()


@pytest.mark.parametrize("stamp", ["", "X", "2026", "2026060101010", "20260601o10101", "²0260601"])
def test_a_timestamp_that_is_none(stamp: str) -> None:
    talk = Conversation(Tape())
    shown = stamp if stamp.isascii() and stamp else f'"{stamp}"'
    (reply,) = talk.say(f"START-TAPER taper0 {WORKER} PROTO {shown}")
    assert reply.startswith("BAD-COMMAND")
    assert "expected 8 or 14 digits" in reply
    assert talk.say(START) == [f"TAPER-OK {WORKER} ALLOW-TAKE-SCRIBE-FROM"]
    talk.quit()


@pytest.mark.parametrize(
    ("line", "vault"),
    [
        (
            f"VAULT-WRITE {WORKER} {HANDLE} S P L localhost /var 0 20260101000000"
            + ' ""' * 8
            + " 1",
            "VAULT ",
        ),
    ],
)
def test_a_dump_that_cannot_be_taken_fails_alone(line: str, vault: str) -> None:
    """A BAD-COMMAND would be the end of the driver's whole night."""
    talk = Conversation(Tape(), dumps={"HF": Dumped(DATA)})
    talk.say(START)
    text = "Storage 'S' not found"
    assert talk.say(line) == [f'FAILED {WORKER} {HANDLE} INPUT-ERROR TAPE-GOOD "{text}" ""']
    (logged,) = talk.logged("FAIL")
    assert logged.startswith(f'FAIL taper {vault}"ST:')
    assert logged.endswith(f' 0 error "{text}"')
    talk.say(file_write("HF", "00-00002"))
    assert check_dump(talk, "00-00002", DATA, "/home") == "DONE"
    talk.quit()


def test_bad_lines_go_to_log_stderr_and_driver() -> None:
    """[protocol T20]; the conversation goes on."""
    talk = Conversation(Tape())
    assert talk.say("GARBAGE foo", "", "0", "QUIT now") == [
        "BAD-COMMAND \"unknown command 'GARBAGE'\"",
        "BAD-COMMAND \"too many arguments to 'QUIT': first unmatched argument is 'now'\"",
    ]
    assert talk.logged("ERROR")[0] == "ERROR taper unknown command 'GARBAGE'"
    assert talk.console.lines[0] == "unknown command 'GARBAGE'"
    assert talk.say(START.lower().replace("proto", "PROTO"))[0].startswith("TAPER-OK")
    talk.quit()


def test_a_bad_line_is_answered_even_if_it_cannot_be_logged() -> None:
    talk = Conversation(Tape())
    talk.moments.fail("log Error", OSError(errno.ENOSPC, "No space left on device"))
    assert talk.say("GARBAGE") == ["BAD-COMMAND \"unknown command 'GARBAGE'\""]
    talk.quit()


def test_after_quit_nothing_is_taken() -> None:
    """Neither commands nor bad lines nor a second QUIT nor the end of file."""
    talk = Conversation(Tape())
    talk.say(START)
    talk.tell("QUIT")
    assert talk.say("QUIT", START, "GARBAGE", f"CLOSE-VOLUME {WORKER}") == []
    talk.controller.quit()
    talk.settle()
    talk.check_released()


def test_the_end_of_file_is_a_quit() -> None:
    talk = Conversation(Tape(), dumps={"HF": Dumped(DATA)})
    talk.say(START)
    talk.tell(file_write())
    talk.until("run")
    talk.controller.quit()
    talk.settle()
    talk.check_released()
    assert check_dump(talk, HANDLE, DATA, "/home") in ("FAILED", "PARTIAL")


@pytest.mark.parametrize("steps", range(6))
def test_quit_during_the_first_scan(steps: int) -> None:
    """No reply, no trace-log line, nothing reserved; with two scans in the queue, too."""
    talk = Conversation(Tape(), Tape())
    talk.tell(START)
    talk.tell(START2)
    for _ in range(steps):
        talk.moments.step()
    talk.quit()
    assert not talk.logged("ERROR")
    talk.check_sound()


def test_an_old_scans_failure_does_not_fail_the_next_dump() -> None:
    """The scan for a dump that was given up found nothing; now there is a volume."""
    talk = Conversation(
        Tape(10_000, block_size=1000, warning=1), granting=False, dumpers=[Dumped(DATA)]
    )
    talk.say(START)
    header = f"PORT-WRITE {WORKER} {HANDLE} localhost /var 0 20260101000000 {split_by(4000)} AMANDA"
    talk.say(header, f"NEW-TAPE {WORKER} {HANDLE}")
    talk.say(f"NEW-TAPE {WORKER} {HANDLE}")
    assert talk.driver.lines[-1] == f"REQUEST-NEW-TAPE {WORKER} {HANDLE}"
    talk.say(f"START-SCAN {WORKER} {HANDLE}", f"FAILED {WORKER} {HANDLE}")
    assert talk.words()[-1] == "PARTIAL"
    talk.changer.slots["2"] = (extra := Tape(block_size=1000)).listing
    talk.changer.tapes["2"] = talk.tapes["2"] = extra
    talk.origins.dumps["HF"] = Dumped(DATA)
    talk.say(file_write("HF", "00-00002"))
    assert talk.driver.lines[-1] == f"REQUEST-NEW-TAPE {WORKER} 00-00002"
    talk.quit()


def test_a_second_answer_to_a_dump_that_ends_is_refused() -> None:
    """The first one crossed the end and gets its reply; the second answers nothing."""
    talk = Conversation(Tape(), dumpers=[Dumped(DATA)], granting=False)
    talk.say(START)
    talk.say(
        f"PORT-WRITE {WORKER} {HANDLE} localhost /var 0 20260101000000 {split_by(4000)} AMANDA"
    )
    talk.tell(f"FAILED {WORKER} {HANDLE}")
    talk.tell(f"NEW-TAPE {WORKER} {HANDLE}")
    talk.tell(f"NEW-TAPE {WORKER} {HANDLE}")
    assert [line.split()[0] for line in talk.driver.lines[-2:]] == ["NO-NEW-TAPE", "BAD-COMMAND"]
    talk.settle()
    assert check_dump(talk, HANDLE, DATA, "/var") == "FAILED"
    talk.quit()
    talk.check_sound()


def test_rubbish_waits_for_the_log_in_a_bounded_number() -> None:
    """When enough wait, no more is read; when that does not help, the rest is not logged. All of it
    is answered, and QUIT is heard behind it."""
    talk = Conversation()
    lines = [BadLine(f"unknown command '{number}'") for number in range(MOST_UNLOGGED + 3)]
    waits = [talk.controller.bad_line_received(line) for line in lines[:MOST_UNLOGGED]]
    (wait,) = [wait for wait in waits if wait is not None]
    assert wait is waits[-1]
    assert not wait.called
    talk.step()
    assert wait.called
    last = talk.controller.bad_line_received(lines[MOST_UNLOGGED])
    assert last is not None
    assert not last.called
    talk.clock.advance(MOMENT)
    assert last.called
    for line in lines[MOST_UNLOGGED + 1 :]:
        assert talk.controller.bad_line_received(line) is None
    assert len(talk.driver.lines) == 3
    talk.settle()
    assert len(talk.driver.lines) == len(lines)
    assert len(talk.logged("ERROR")) == MOST_UNLOGGED + 1
    assert talk.quit() == []
    talk.check_sound()

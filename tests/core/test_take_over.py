"""One worker takes over another's volume or reservation [protocol 4.7]."""

from __future__ import annotations

import pytest

from devices.errors import ChangerError
from tests.core.checking import check_dump, check_permissions
from tests.core.conversing import (
    HANDLE,
    RUN,
    START,
    WORKER,
    Conversation,
    content,
    file_write,
    masked,
    port_write,
    split_by,
)
from tests.core.stocked import Tape
from tests.core.surroundings import Dumped

W2, H2 = "worker0-1", "01-00002"
START2 = f"START-TAPER taper0 {W2} PROTO {RUN}"
TAKE = f"TAKE-SCRIBE-FROM {WORKER} {HANDLE} {W2}"
DATA = content(20000)


def two_workers(**options: object) -> Conversation:
    """Two idle workers, each with a reservation."""
    talk = Conversation(
        *(Tape(block_size=1000) for _ in range(4)),
        dumps={"HF": Dumped(DATA), "HF2": Dumped(DATA)},
        dumpers=[Dumped(DATA)],
        granting=False,
        **options,  # type: ignore[arg-type]
    )
    assert talk.say(START) == [f"TAPER-OK {WORKER} ALLOW-TAKE-SCRIBE-FROM"]
    assert talk.say(START2) == [f"TAPER-OK {W2} ALLOW-TAKE-SCRIBE-FROM"]
    return talk


def write_with_second(talk: Conversation) -> None:
    """The second worker labels its volume and writes a dump on it."""
    talk.say(file_write("HF2", H2, worker=W2).replace("/home", "/two"))
    talk.say(f"NEW-TAPE {W2} {H2}")
    assert check_dump(talk, H2, DATA, "/two") == "DONE"


def test_a_reservation_is_taken_over() -> None:
    """[protocol T22] a: the volume is asked for again, our own spare one is given back."""
    talk = two_workers()
    assert talk.say(file_write()) == [f"REQUEST-NEW-TAPE {WORKER} {HANDLE}"]
    assert talk.say(TAKE) == [f"REQUEST-NEW-TAPE {WORKER} {HANDLE}"]
    assert talk.changer.released == [("1", False)]
    replies = talk.say(f"START-SCAN {WORKER} {HANDLE}", f"NEW-TAPE {WORKER} {HANDLE}")
    assert masked(replies[:2]) == [
        f"NEW-TAPE {WORKER} {HANDLE} PROTO01",
        f"READY {WORKER} {HANDLE}",
    ]
    assert talk.tapes["2"].medium.label == "PROTO01"
    assert check_dump(talk, HANDLE, DATA, "/home") == "DONE"
    check_permissions(talk)
    talk.quit()
    talk.check_sound()


def test_a_started_volume_is_taken_over() -> None:
    """[protocol T22] b: no request, no NEW-TAPE: READY, and the parts go on behind what is
    there."""
    talk = two_workers()
    write_with_second(talk)
    talk.say(file_write())
    replies = talk.say(TAKE)
    assert replies[0] == f"READY {WORKER} {HANDLE}"
    assert replies[1].startswith(f"PARTDONE {WORKER} {HANDLE} PROTO01 2 ")
    assert check_dump(talk, HANDLE, DATA, "/home") == "DONE"
    assert talk.say(f"CLOSE-VOLUME {W2}")[0].startswith("BAD-COMMAND")
    assert talk.say(f"CLOSE-VOLUME {WORKER}") == [f"CLOSED-VOLUME {WORKER}"]
    assert talk.logged("INFO taper tape") == ["INFO taper tape PROTO01 kb 39 fm 2 [OK]"]
    assert talk.say(START2) == [f"TAPER-OK {W2} ALLOW-TAKE-SCRIBE-FROM"]
    talk.quit()
    talk.check_sound()


def test_in_the_middle_of_a_dump_ready_is_said_again() -> None:
    """A dump goes on on the other worker's volume; part numbers go on."""
    talk = two_workers()
    talk.tapes["1"].medium.capacity = 12 * 1000
    talk.tapes["1"].warning = 1
    write_with_second(talk)
    talk.say(file_write(split=split_by(100_000)))
    talk.say(f"NEW-TAPE {WORKER} {HANDLE}")
    assert talk.driver.lines[-1] == f"REQUEST-NEW-TAPE {WORKER} {HANDLE}"
    talk.say(TAKE)
    assert check_dump(talk, HANDLE, DATA, "/home") == "DONE"
    assert talk.words().count("READY") == 3
    check_permissions(talk)
    talk.quit()


@pytest.mark.parametrize(
    ("command", "why"),
    [
        (f"TAKE-SCRIBE-FROM {WORKER} {HANDLE} {WORKER}", "cannot take its own scribe"),
        (f"TAKE-SCRIBE-FROM {WORKER} 00-00077 {W2}", "handle '00-00077' is not that of the dump"),
        (f"TAKE-SCRIBE-FROM {WORKER} {HANDLE} worker0-9", "unknown worker 'worker0-9'"),
        (f"TAKE-SCRIBE-FROM worker0-9 {HANDLE} {WORKER}", "unknown worker 'worker0-9'"),
    ],
)
def test_a_refused_take_over_changes_nothing(command: str, why: str) -> None:
    """BAD-COMMAND says why; both workers and the waiting dump go on as before."""
    talk = two_workers()
    talk.say(file_write())
    (reply,) = talk.say(command)
    assert reply.startswith("BAD-COMMAND")
    assert why in reply
    write_with_second(talk)
    talk.say(f"NEW-TAPE {WORKER} {HANDLE}")
    assert check_dump(talk, HANDLE, DATA, "/home") == "DONE"
    talk.quit()
    talk.check_sound()


def test_a_busy_worker_keeps_its_scribe() -> None:
    """The other worker writes: BAD-COMMAND, and the request can still be answered."""
    talk = two_workers()
    talk.say(file_write(), file_write("HF2", H2, worker=W2).replace("/home", "/two"))
    (reply,) = talk.say(TAKE)
    assert reply.startswith("BAD-COMMAND")
    assert "must be idle" in reply
    talk.say(f"NEW-TAPE {WORKER} {HANDLE}", f"NEW-TAPE {W2} {H2}")
    assert check_dump(talk, HANDLE, DATA, "/home") == "DONE"
    assert check_dump(talk, H2, DATA, "/two") == "DONE"
    talk.quit()


def test_a_worker_that_asked_for_nothing_takes_nothing() -> None:
    talk = two_workers()
    (reply,) = talk.say(TAKE)
    assert reply.startswith("BAD-COMMAND")
    write_with_second(talk)
    talk.quit()


def test_a_second_take_over_while_the_first_is_going_on_is_refused() -> None:
    """The third worker is left as it was."""
    talk = two_workers()
    third = "worker0-2"
    talk.say(f"START-TAPER taper0 {third} PROTO {RUN}", file_write())
    talk.tell(TAKE)
    talk.tell(f"TAKE-SCRIBE-FROM {WORKER} {HANDLE} {third}")
    assert talk.driver.lines[-1].startswith("BAD-COMMAND")
    talk.settle()
    talk.say(f"NEW-TAPE {WORKER} {HANDLE}")
    assert check_dump(talk, HANDLE, DATA, "/home") == "DONE"
    assert talk.say(f"CLOSE-VOLUME {third}") == [f"CLOSED-VOLUME {third}"]
    talk.quit()


def test_a_take_over_that_crosses_the_end_of_the_dump() -> None:
    """The driver could not know: the worker has the scribe, and its next dump uses it."""
    talk = two_workers()
    write_with_second(talk)
    talk.say(port_write())
    talk.say(f"FAILED {WORKER} {HANDLE}")
    assert check_dump(talk, HANDLE, DATA, "/var") == "FAILED"
    assert talk.say(TAKE) == []
    assert ("1", False) in talk.changer.released
    replies = talk.say(file_write("HF", "00-00003"))
    assert replies[0] == f"READY {WORKER} 00-00003"
    assert check_dump(talk, "00-00003", DATA, "/home") == "DONE"
    talk.quit()
    talk.check_sound()


def test_quit_during_the_hand_over() -> None:
    """Both scribes are given back, and the dump's end is told."""
    for moment in range(4):
        talk = two_workers()
        write_with_second(talk)
        talk.say(file_write())
        talk.tell(TAKE)
        for _ in range(moment):
            talk.moments.step()
        talk.quit()
        assert check_dump(talk, HANDLE, DATA, "/home") in ("FAILED", "PARTIAL")
        talk.check_sound()


def test_a_failure_during_the_hand_over_does_not_stop_the_next_dump() -> None:
    """FAILED while our own reservation goes back."""
    talk = two_workers()
    talk.say(port_write())
    talk.tell(TAKE)
    talk.tell(f"FAILED {WORKER} {HANDLE}")
    talk.settle()
    assert check_dump(talk, HANDLE, DATA, "/var") == "FAILED"
    assert talk.say(file_write("HF", "00-00003"))[-1] == f"REQUEST-NEW-TAPE {WORKER} 00-00003"
    talk.say(f"NEW-TAPE {WORKER} 00-00003")
    assert check_dump(talk, "00-00003", DATA, "/home") == "DONE"
    talk.quit()


def test_a_spare_reservation_that_cannot_be_released_does_not_stop_the_dump() -> None:
    talk = two_workers()
    talk.say(file_write())
    talk.moments.fail("release", ChangerError("the door is shut"))
    talk.say(TAKE, f"NEW-TAPE {WORKER} {HANDLE}")
    assert talk.say(f"NEW-TAPE {WORKER} {HANDLE}")[0] == f"NEW-TAPE {WORKER} {HANDLE} PROTO01"
    assert check_dump(talk, HANDLE, DATA, "/home") == "DONE"
    assert "INFO taper while releasing a volume: the door is shut" in talk.logged("INFO")
    talk.quit()


def test_a_running_scan_of_the_taker_is_stopped() -> None:
    """Its own scan finds nothing that nobody gives back [data-plane Q30]."""
    talk = two_workers()
    talk.tapes["1"].medium.capacity = 12 * 1000
    talk.tapes["1"].warning = 1
    talk.say(file_write(split=split_by(100_000)))
    talk.say(f"NEW-TAPE {WORKER} {HANDLE}")
    assert talk.driver.lines[-1] == f"REQUEST-NEW-TAPE {WORKER} {HANDLE}"
    write_with_second(talk)
    talk.tell(f"START-SCAN {WORKER} {HANDLE}")
    talk.moments.step()
    talk.tell(TAKE)
    talk.settle()
    assert check_dump(talk, HANDLE, DATA, "/home") == "DONE"
    assert [held.slot for held in talk.changer.reserved] == ["2"]
    talk.quit()
    talk.check_sound()

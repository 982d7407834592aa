"""At a change of volumes data flow while the new volume is made known; nothing counts before."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from protocols import tracelog
from protocols.tapelist import TapelistError
from tests.core.checking import check_dump, check_permissions
from tests.core.conversing import (
    HANDLE,
    WORKER,
    Conversation,
    content,
    file_write,
    masked,
    port_write,
    split_by,
)
from tests.core.stocked import Tape
from tests.core.test_behind import settle_but
from tests.core.volumes import DATA, idle, small

PART = 4000
STEPS = pytest.mark.parametrize("held", ["tapelist update", "log Start"])
BEHIND = pytest.mark.parametrize("behind", [False, True])


def at_the_change(write: str, *tapes: Tape, data: bytes = DATA) -> Conversation:
    """The label of the second volume is written, and it is not made known yet."""
    talk = idle(*tapes, data=data)
    talk.tell(write)
    talk.until("start", times=2)
    talk.moments.step()
    return talk


def written(tape: Tape) -> int:
    """Files behind the label."""
    return len(tape.medium.files)


def told_of(talk: Conversation, label: str) -> list[str]:
    """The names of the replies that speak of a volume."""
    return [line.split(" ")[0] for line in talk.driver.lines if f" {label}" in line]


@STEPS
@BEHIND
def test_data_flow_before_the_volume_is_known(held: str, behind: bool) -> None:
    """Tapelist and START may take their time; only what is told waits for them."""
    tapes = [small(behind=behind), small(behind=behind)]
    talk = at_the_change(file_write(split=split_by(PART)), *tapes)
    settle_but(talk, held)
    assert written(tapes[1]) == 1
    assert told_of(talk, "PROTO02") == []
    assert not [one for one in talk.log.records if getattr(one, "label", "") == "PROTO02"]
    talk.settle()
    assert told_of(talk, "PROTO02") == ["NEW-TAPE", "PARTDONE"]
    assert check_dump(talk, HANDLE, DATA, "/home") == "DONE"
    kinds = [type(one).__name__ for one in talk.log.records if "PROTO02" in str(one)]
    assert kinds[:2] == ["Start", "Part"]
    check_permissions(talk)
    talk.quit()
    talk.check_sound()


@BEHIND
def test_the_next_part_need_not_wait_for_the_one_that_was_begun_ahead(behind: bool) -> None:
    """That one counts a moment later, in another thread, whatever the device."""
    data = content(3 * 9500)
    talk = at_the_change(
        file_write(split=split_by(PART)), small(behind=behind), small(40, behind=behind), data=data
    )
    settle_but(talk, "storing")
    while any(entry[0] == "storing" for entry in talk.moments.waiting):
        talk.moments.step([entry[0] for entry in talk.moments.waiting].index("storing"))
        settle_but(talk, "storing")
    assert check_dump(talk, HANDLE, data, "/home") == "DONE"
    assert talk.stored() == data
    talk.quit()
    talk.check_sound()


@STEPS
def test_a_source_that_cannot_be_read_again_waits(held: str) -> None:
    tapes = [small(), small()]
    talk = at_the_change(port_write(split=split_by(PART)), *tapes)
    settle_but(talk, held)
    assert written(tapes[1]) == 0
    talk.settle()
    talk.say(f"DONE {WORKER} {HANDLE} 1 1:1 2:2 00000000:0")
    assert check_dump(talk, HANDLE, DATA, "/var") == "DONE"
    talk.quit()


def test_nothing_flows_ahead_onto_the_first_volume() -> None:
    """READY is told behind its NEW-TAPE, and the dump begins then."""
    tape = small(20)
    talk = idle(tape)
    talk.tell(file_write())
    talk.until("start")
    talk.moments.step()
    settle_but(talk, "log Start")
    assert written(tape) == 0
    talk.settle()
    assert talk.words()[-4:] == ["NEW-TAPE", "READY", "PARTDONE", "DONE"]
    talk.quit()


@BEHIND
@pytest.mark.parametrize("fault", [TapelistError("somebody broke it"), OSError(5, "disk")])
def test_a_volume_that_cannot_be_listed_is_followed_by_another(
    fault: Exception, behind: bool
) -> None:
    """As if it had been seen before the part: NO-NEW-TAPE, the same line, and the next volume; the
    part that was written in vain never happened, and comes again."""
    tapes = [small(behind=behind) for _ in range(3)]
    talk = at_the_change(file_write(split=split_by(PART)), *tapes)
    settle_but(talk, "tapelist update")
    assert written(tapes[1]) == 1
    talk.moments.fail("tapelist update", fault)
    before = len(talk.driver.lines)
    talk.settle()
    assert talk.driver.lines[before] == f"NO-NEW-TAPE {WORKER} {HANDLE}"
    assert talk.driver.lines[before + 1] == f"REQUEST-NEW-TAPE {WORKER} {HANDLE}"
    assert f"INFO taper while labeling new volume: {fault}" in talk.logged()
    assert told_of(talk, "PROTO02") == []
    assert not talk.logged("PARTPARTIAL")
    assert check_dump(talk, HANDLE, DATA, "/home") == "DONE"
    assert talk.stored() == DATA
    assert ("2", False) in talk.changer.released
    check_permissions(talk)
    talk.quit()
    talk.check_sound()


@BEHIND
def test_a_volume_that_cannot_be_logged_ends_the_dump(behind: bool) -> None:
    """In the words of a dump that had not begun there."""
    tapes = [small(behind=behind) for _ in range(3)]
    talk = at_the_change(file_write(split=split_by(PART)), *tapes)
    talk.moments.fail("log Start", OSError(28, "No space left on device"))
    settle_but(talk, "log Start")
    assert written(tapes[1]) == 1
    before = len(talk.driver.lines)
    talk.settle()
    told = masked(talk.driver.lines[before:])
    assert told[0] == f"NO-NEW-TAPE {WORKER} {HANDLE}"
    assert told[1].startswith(f"PARTIAL {WORKER} {HANDLE} INPUT-GOOD TAPE-ERROR ")
    assert told[1].endswith('"" "cannot write the trace log: [Errno 28] No space left on device"')
    assert told_of(talk, "PROTO02") == []
    assert not [one for one in talk.log.records if isinstance(one, tracelog.PartPartial)]
    assert check_dump(talk, HANDLE, DATA, "/home") == "PARTIAL"
    assert ("2", False) in talk.changer.released
    talk.quit()
    talk.check_sound()


def while_it_is_written(talk: Conversation, tape: Tape, what: Callable[[], object]) -> None:
    """Let something happen between two blocks of the first part on this volume."""

    def once() -> None:
        tape.at_write = lambda: None
        what()

    tape.at_write = once


def test_a_part_ends_at_once_when_its_volume_does_not_count() -> None:
    """It may be as large as the volume."""
    data, split = content(2_500_000), split_by(2_000_000)
    tapes = [small(2000), small(2000), small(2000)]
    talk = at_the_change(file_write(split=split), *tapes, data=data)
    talk.moments.fail("tapelist update", OSError(5, "disk"))
    while_it_is_written(talk, tapes[1], talk.moments.step)
    settle_but(talk, "tapelist update")
    (part,) = tapes[1].medium.files.values()
    assert len(part.data) < 600_000
    talk.settle()
    assert check_dump(talk, HANDLE, data, "/home") == "DONE"
    assert talk.stored() == data
    assert sum(tape.medium.label is not None for tape in tapes) == 3
    talk.quit()
    talk.check_sound()


@STEPS
def test_quit_while_the_volume_is_not_known(held: str) -> None:
    """The part that was begun is told of as failed, once its volume is known."""
    tapes = [small(), small()]
    talk = at_the_change(file_write(split=split_by(PART)), *tapes)
    while_it_is_written(talk, tapes[1], lambda: talk.tell("QUIT"))
    settle_but(talk, held)
    assert told_of(talk, "PROTO02") == []
    talk.settle()
    talk.check_released()
    assert told_of(talk, "PROTO02") == ["NEW-TAPE"]
    assert check_dump(talk, HANDLE, DATA, "/home") == "PARTIAL"
    talk.check_sound()


@STEPS
def test_quit_while_somebody_holds_what_makes_it_known(held: str) -> None:
    """It is waited for a moment only."""
    tapes = [small(), small()]
    talk = at_the_change(file_write(split=split_by(PART)), *tapes)
    settle_but(talk, held)
    talk.tell("QUIT")
    settle_but(talk, held)
    assert "PARTIAL" not in talk.words()
    talk.clock.advance(5)
    settle_but(talk, held)
    assert talk.words()[-2:] == ["NO-NEW-TAPE", "PARTIAL"]
    assert told_of(talk, "PROTO02") == []
    talk.settle()
    talk.check_released()


def at_the_end_of_the_first(*tapes: Tape) -> Conversation:
    """The last part of the first volume is stored, and is on its way into the trace log."""
    talk = idle(*tapes)
    talk.tell(file_write(split=split_by(PART)))
    talk.until("log Part", times=2)
    settle_but(talk, "log Part", "log TapeInfo")
    return talk


@BEHIND
def test_a_volume_is_given_back_while_its_last_part_is_logged(behind: bool) -> None:
    """PARTDONE waits for the log, and all that is asked of the driver for PARTDONE."""
    talk = at_the_end_of_the_first(small(behind=behind), small(behind=behind))
    assert talk.changer.released == [("1", False)]
    assert told_of(talk, "PROTO01") == ["NEW-TAPE", "PARTDONE"]
    assert talk.words().count("REQUEST-NEW-TAPE") == 1
    talk.settle()
    assert talk.words()[4:8] == ["PARTDONE", "PARTDONE", "REQUEST-NEW-TAPE", "NEW-TAPE"]
    assert [line.split(" ")[0] for line in talk.logged()][2:5] == ["PART", "PART", "INFO"]
    assert check_dump(talk, HANDLE, DATA, "/home") == "DONE"
    talk.quit()
    talk.check_sound()


@BEHIND
def test_a_last_part_that_cannot_be_logged_ends_the_dump(behind: bool) -> None:
    talk = at_the_end_of_the_first(small(behind=behind), small(behind=behind))
    talk.moments.fail("log Part", OSError(28, "No space left on device"))
    talk.settle()
    assert talk.words().count("REQUEST-NEW-TAPE") == 1
    assert check_dump(talk, HANDLE, DATA, "/home", whole_log=False) == "PARTIAL"
    assert talk.driver.lines[-1].endswith(
        '"" "cannot write the trace log: [Errno 28] No space left on device"'
    )
    assert talk.tapes["2"].medium.label is None
    talk.quit()
    talk.check_sound()

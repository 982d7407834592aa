"""Parts are stored behind: the next is written meanwhile, and nobody is told of one too early."""

from __future__ import annotations

import pytest

from protocols import tracelog
from tests.core.checking import check_dump, check_permissions
from tests.core.conversing import (
    HANDLE,
    START,
    WORKER,
    Conversation,
    content,
    file_write,
    port_write,
    split_by,
)
from tests.core.stocked import Tape
from tests.core.surroundings import Dumped
from tests.core.test_erasing import Full, old

BLOCK = 200
PART = 4 * BLOCK
DATA = content(5 * PART + 50)
LOST = "the fake disk lost file"
OTHER = "worker0-1"


class Losing:
    """The disk does not take the files of these numbers, counted over all volumes."""

    def __init__(self, *numbers: int) -> None:
        self._numbers = numbers
        self._count = 0

    def __call__(self, what: str) -> bool:
        if what != "store":
            return False
        self._count += 1
        return self._count in self._numbers


def tape(blocks: int | None = None, faults: object = None, **options: object) -> Tape:
    more = {} if faults is None else {"faults": faults}
    capacity = None if blocks is None else blocks * BLOCK
    return Tape(capacity, block_size=BLOCK, warning=1, behind=True, **more, **options)  # type: ignore[arg-type]


def talk_of(*tapes: Tape, **options: object) -> Conversation:
    talk = Conversation(
        *tapes,
        dumps={"HF": Dumped(DATA)},
        dumpers=[Dumped(DATA), Dumped(DATA)],
        **options,  # type: ignore[arg-type]
    )
    talk.say(START)
    return talk


def settle_but(talk: Conversation, *names: str) -> None:
    """Let all happen but the operations of these names."""
    while True:
        places = [at for at, entry in enumerate(talk.moments.waiting) if entry[0] not in names]
        if talk.inbox or not places:
            if not talk.inbox:
                return
            talk.tell(talk.inbox.popleft())
        else:
            talk.moments.step(places[0])


def stores(talk: Conversation) -> bool:
    """A part waits for the disk."""
    return any(entry[0] == "storing" for entry in talk.moments.waiting)


def store_next(talk: Conversation) -> None:
    """Let the oldest part that waits for the disk be stored, and all that follows but the next."""
    at = next(at for at, entry in enumerate(talk.moments.waiting) if entry[0] == "storing")
    talk.moments.step(at)
    settle_but(talk, "storing")


def parts_written(talk: Conversation) -> int:
    return sum(len(tape.medium.files) for tape in talk.tapes.values())


def parts_told(talk: Conversation) -> int:
    return talk.words().count("PARTDONE")


def failed_parts(talk: Conversation) -> list[int]:
    records = talk.log.records
    return [one.partnum for one in records if isinstance(one, tracelog.PartPartial)]


def test_at_most_two_parts_are_behind() -> None:
    """A part is told when it is stored, in order, while the next one was begun before; nothing is
    told of the end before all are stored."""
    talk = talk_of(tape())
    talk.tell(file_write(split=split_by(PART)))
    settle_but(talk, "storing")
    assert (parts_written(talk), parts_told(talk)) == (3, 0)
    for number in (1, 2, 3):
        store_next(talk)
        assert (parts_written(talk), parts_told(talk)) == (3 + number, number)
        last = talk.log.records[-1]
        assert isinstance(last, tracelog.Part)
        assert last.partnum == number
    for number in (4, 5):
        store_next(talk)
        assert parts_told(talk) == number
    assert "DONE" not in talk.words()
    store_next(talk)
    assert talk.words()[-2:] == ["PARTDONE", "DONE"]
    assert check_dump(talk, HANDLE, DATA, "/home") == "DONE"
    talk.quit()
    talk.check_sound()


@pytest.mark.parametrize("number", [2, 3, 6])
def test_a_part_that_is_not_stored_comes_again(number: int) -> None:
    """On the next volume, under its own number; what was written behind it does not count."""
    talk = talk_of(tape(faults=Losing(number)), tape())
    talk.say(file_write(split=split_by(PART)))
    assert check_dump(talk, HANDLE, DATA, "/home") == "DONE"
    assert failed_parts(talk) == [number]
    assert f'"{LOST} {number}"' in talk.logged("PARTPARTIAL")[0]
    parts = [one for one in talk.log.records if isinstance(one, tracelog.Part)]
    assert [one.partnum for one in parts] == [1, 2, 3, 4, 5, 6]
    assert [one.label for one in parts].count("PROTO01") == number - 1
    for one in parts:
        medium = next(it.medium for it in talk.tapes.values() if it.medium.label == one.label)
        assert medium.files[one.fileno].header.partnum == one.partnum
    assert talk.stored() == DATA
    check_permissions(talk)
    talk.quit()
    talk.check_sound()


@pytest.mark.parametrize("ahead", [1, 2, 3])
def test_a_part_is_lost_with_others_behind_it(ahead: int) -> None:
    """However far writing has gone meanwhile."""
    talk = talk_of(tape(faults=Losing(2)), tape())
    talk.tell(file_write(split=split_by(PART)))
    for _ in range(1 + ahead):
        talk.until("run")
        talk.moments.step()
    talk.settle()
    assert check_dump(talk, HANDLE, DATA, "/home") == "DONE"
    assert failed_parts(talk) == [2]
    talk.quit()
    talk.check_sound()


def test_the_first_file_of_a_volume_is_not_tried_for_ever() -> None:
    """As with any other part that fails there."""
    talk = talk_of(tape(faults=Losing(1)), tape())
    talk.say(file_write(split=split_by(PART)))
    assert check_dump(talk, HANDLE, DATA, "/home") == "PARTIAL"
    assert parts_told(talk) == 0
    text = f"{LOST} 1: part 1 cannot be stored on the empty volume PROTO01"
    assert talk.driver.lines[-1].endswith(f'"" "{text}"')
    talk.quit()
    talk.check_sound()


@pytest.mark.parametrize("number", [2, 6])
def test_bytes_that_come_once(number: int) -> None:
    """The dump ends with what is known to be good."""
    talk = talk_of(tape(faults=Losing(number)), tape())
    talk.say(port_write(split=split_by(PART)))
    assert check_dump(talk, HANDLE, DATA, "/var") == "PARTIAL"
    assert parts_told(talk) == number - 1
    end = talk.driver.lines[-1]
    assert end.startswith(f"PARTIAL {WORKER} {HANDLE} INPUT-GOOD TAPE-ERROR ")
    assert LOST in end
    assert failed_parts(talk) == [number]
    assert [it.medium.label for it in talk.tapes.values()] == ["PROTO01", None]
    talk.quit()
    talk.check_sound()


def test_a_dump_that_may_not_be_split() -> None:
    talk = talk_of(tape(faults=Losing(1)), tape())
    talk.say(file_write(split='"" "" "" 0 "" "" "" ""'))
    assert check_dump(talk, HANDLE, DATA, "/home") == "PARTIAL"
    assert failed_parts(talk) == [1]
    talk.quit()


@pytest.mark.parametrize("losing", [2, 3, 99])
def test_nothing_is_behind_when_a_volume_is_given_back(losing: int) -> None:
    """All parts of a full volume are told before the next volume is asked for."""
    volumes = [tape(16, faults=Losing(losing)), tape(16), tape(16), tape(16)]
    talk = talk_of(*volumes)
    talk.tell(file_write(split=split_by(PART)))
    settle_but(talk, "storing")
    while stores(talk):
        assert talk.words().count("REQUEST-NEW-TAPE") == talk.words().count("NEW-TAPE")
        assert len(talk.changer.released) == talk.words().count("NEW-TAPE") - 1
        store_next(talk)
    assert check_dump(talk, HANDLE, DATA, "/home") == "DONE"
    assert failed_parts(talk) == ([] if losing == 99 else [losing])
    talk.quit()
    talk.check_sound()


@pytest.mark.parametrize("losing", [1, 2, 99])
def test_quit_while_parts_are_behind(losing: int) -> None:
    """What is stored is told before the end, and the volume given back after it."""
    talk = talk_of(tape(faults=Losing(losing)), tape())
    talk.tell(file_write(split=split_by(PART)))
    settle_but(talk, "storing")
    talk.tell("QUIT")
    settle_but(talk, "storing")
    assert talk.ended == 0
    assert talk.changer.released == []
    talk.settle()
    told = check_dump(talk, HANDLE, DATA, "/home")
    assert told == "PARTIAL"
    assert parts_told(talk) == min(losing - 1, 3)
    assert "taper is quitting" in talk.driver.lines[-1]
    assert (LOST in talk.driver.lines[-1]) is (losing != 99)
    talk.check_released()
    talk.check_sound()


def test_a_source_that_fails_while_parts_are_behind() -> None:
    talk = talk_of(tape(), tape())
    talk.origins.dumps["HF"] = Dumped(DATA[: 3 * PART], source_error="the disk is bad")
    talk.say(file_write(split=split_by(PART)))
    assert check_dump(talk, HANDLE, DATA, "/home") == "PARTIAL"
    assert parts_told(talk) == 3
    talk.quit()
    talk.check_sound()


@pytest.mark.parametrize("source_error", ["", "the disk is bad"])
def test_a_part_is_lost_and_the_source_is_gone(source_error: str) -> None:
    """Parts that were read before the source failed come again as far as they go."""
    talk = talk_of(tape(faults=Losing(2)), tape())
    talk.origins.dumps["HF"] = Dumped(DATA[: 3 * PART], source_error=source_error)
    talk.say(file_write(split=split_by(PART)))
    word = check_dump(talk, HANDLE, DATA[: 3 * PART], "/home")
    assert word == ("PARTIAL" if source_error else "DONE")
    talk.quit()
    talk.check_sound()


def test_take_scribe_from_comes_after_all_is_told() -> None:
    """A worker gives its volume away only once its dump is over, and then nothing is behind."""
    talk = talk_of(tape())
    talk.tell(file_write(split=split_by(PART)))
    settle_but(talk, "storing")
    talk.granting = False
    talk.tell(START.replace(WORKER, OTHER))
    settle_but(talk, "storing")
    refused = f"TAKE-SCRIBE-FROM {OTHER} 00-00002 {WORKER}"
    talk.tell(refused)
    settle_but(talk, "storing")
    assert talk.words().count("BAD-COMMAND") == 1
    talk.settle()
    assert check_dump(talk, HANDLE, DATA, "/home") == "DONE"
    talk.quit()


def test_no_volume_is_erased_while_parts_are_behind() -> None:
    """Room is made only when all that was written is stored."""
    talk = Full(*(old(number) for number in range(1, 6)))
    behind_at_label: list[bool] = []

    def label(label: str | None, stamp: str | None) -> None:
        behind_at_label.append(stores(talk))
        talk.free(6)

    for one in talk.tapes.values():
        one.behind = True
        one.at_label = label
    talk.begin()
    talk.inbox.append(file_write(split=split_by(3 * 1024)))
    settle_but(talk, "storing")
    while stores(talk):
        store_next(talk)
    assert check_dump(talk, HANDLE, talk.origins.dumps["HF"].data, "/home") == "DONE"
    assert len(behind_at_label) > 1
    assert not any(behind_at_label)
    talk.quit()


def test_a_part_that_cannot_be_logged() -> None:
    """Nothing more is written or told, and the reason is given."""
    talk = talk_of(tape(), tape())
    talk.moments.fail("log Part", None, OSError(28, "No space left on device"))
    talk.say(file_write(split=split_by(PART)))
    assert parts_told(talk) == 1
    end = talk.driver.lines[-1]
    assert end.startswith(f"PARTIAL {WORKER} {HANDLE} INPUT-GOOD TAPE-ERROR ")
    assert "cannot write the trace log" in end
    assert end.count("cannot write the trace log") == 1
    talk.quit()
    talk.check_sound()


def test_a_cache_waits_for_each_part() -> None:
    """What a part cache keeps is of one part only: that is stored before the next begins."""
    talk = talk_of(tape(leom=False))
    talk.say(port_write(split=split_by(PART, cache="memory")))
    assert "storing" not in talk.moments.done
    talk.say(f"DONE {WORKER} {HANDLE} 10 11111111:1 22222222:2 00000000:0")
    assert check_dump(talk, HANDLE, DATA, "/var") == "DONE"
    talk.quit()


def test_a_volume_without_room_for_a_header_while_parts_are_behind() -> None:
    """No further file was begun there; what is behind is told before the next volume is asked
    for."""
    talk = talk_of(tape(11, leom=False), tape())
    talk.tell(file_write(split=split_by(PART)))
    settle_but(talk, "storing")
    assert talk.words().count("REQUEST-NEW-TAPE") == 1
    talk.settle()
    assert check_dump(talk, HANDLE, DATA, "/home") == "DONE"
    labels = [one.label for one in talk.log.records if isinstance(one, tracelog.Part)]
    assert labels == ["PROTO01"] * 2 + ["PROTO02"] * 4
    assert failed_parts(talk) == []
    talk.quit()
    talk.check_sound()

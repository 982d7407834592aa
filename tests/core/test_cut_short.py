"""A dump that ends while a volume is sought or labelled for it: nobody waits for what may be long.

Another program may hold the tapelist's lock for hours, and an operator may take as long to answer.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from taper.core.moment import MOMENT
from taper.plane.transfer import Transfer
from tests.core.checking import check_dump, check_permissions
from tests.core.conversing import (
    HANDLE,
    RUN,
    START,
    WORKER,
    Conversation,
    configuration,
    content,
    file_write,
    port_write,
    split_by,
)
from tests.core.stocked import Tape
from tests.core.surroundings import Dumped
from tests.core.test_erasing import Full, old

DATA = content(5000)
H2 = "00-00002"
FAILED = f"FAILED {WORKER} {HANDLE}"


@contextmanager
def held_up(talk: Conversation, name: str, *, times: int = 1) -> Iterator[None]:
    """Go on until this operation is next; while the context lasts, all happens but that."""
    talk.until(name, times=times)
    entry = talk.moments.waiting.pop(0)
    talk.settle()
    yield
    if not entry[1].called:  # nobody gave it up
        talk.moments.waiting.append(entry)


def dumping(*tapes: Tape, entries: object = (), line: str = "") -> Conversation:
    talk = Conversation(
        *tapes,
        entries=entries,  # type: ignore[arg-type]
        config=configuration(tapecycle=1),
        dumps={"HF": Dumped(DATA)},
        dumpers=[Dumped(DATA), Dumped(DATA)],
    )
    talk.say(START)
    talk.inbox.append(line or port_write())
    return talk


@pytest.mark.parametrize("known", [False, True])
@pytest.mark.parametrize("how", ["QUIT", FAILED])
def test_the_tapelist_is_locked_by_another(how: str, known: bool) -> None:
    """Nothing is labelled or listed, the driver is answered, the volume given back."""
    tape = Tape(label="PROTO01", timestamp=old(1).datestamp) if known else Tape()
    talk = dumping(tape, entries=[old(1)] if known else [])
    before = talk.tapelists.store.tapelist
    label = talk.tapes["1"].medium.label
    reason = "taper is quitting" if how == "QUIT" else "dumper failed"
    end = f'FAILED {WORKER} {HANDLE} INPUT-ERROR TAPE-GOOD "{reason}" ""'
    with held_up(talk, "tapelist update"):
        assert talk.say(how)[-2:] == [f"NO-NEW-TAPE {WORKER} {HANDLE}", end]
    assert talk.tapelists.store.tapelist == before
    assert talk.tapes["1"].medium.label == label
    assert not talk.logged("START")
    if how == FAILED:
        talk.say(port_write(H2).replace("/var", "/opt"))  # onto the very volume
        talk.say(f"DONE {WORKER} {H2} 10 11111111:1 22222222:2 00000000:0")
        assert check_dump(talk, H2, DATA, "/opt") == "DONE"
        talk.tell("QUIT")
    talk.settle()
    talk.check_released()
    check_permissions(talk)
    talk.check_sound()


def test_the_entry_of_a_label_that_was_written_is_waited_for() -> None:
    """Only what comes before the label may be given up."""
    talk = dumping(Tape())
    with held_up(talk, "tapelist update", times=2):
        assert talk.say(FAILED) == []
    talk.settle()
    assert talk.tapelists.store.tapelist.entries[0].datestamp == RUN
    assert "NEW-TAPE" in talk.words()
    assert talk.words()[-1] == "FAILED"
    talk.quit()


def test_room_cannot_be_made_as_the_tapelist_is_locked() -> None:
    """The part ends where it is; no volume was erased."""
    talk = Full(*(old(number) for number in range(1, 6)))
    talk.begin()
    before = talk.listed()
    talk.inbox.append(file_write())
    with held_up(talk, "tapelist update", times=3):
        assert talk.say("QUIT")[-1].startswith(f"PARTIAL {WORKER} {HANDLE} INPUT-ERROR TAPE-GOOD")
    talk.check_released()
    assert talk.freed == 0
    assert talk.listed() == before | {"PROTO01": RUN}
    talk.check_sound()


def test_a_scan_that_takes_long() -> None:
    """FAILED ends the dump; the scan goes on, and what it finds is the next dump's."""
    talk = dumping(Tape(1000, block_size=100), Tape(), line=port_write(split=split_by(900)))
    talk.until_reply("PARTDONE")
    with held_up(talk, "load"):
        replies = talk.say(FAILED)
        assert [line.split()[0] for line in replies] == ["NO-NEW-TAPE", "PARTIAL"]
    talk.say(file_write(handle=H2))
    assert check_dump(talk, H2, DATA, "/home") == "DONE"
    check_permissions(talk)
    talk.quit()
    talk.check_sound()


def test_memory_that_a_part_needs_and_cannot_have(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sentence, on the device's side; the next dump is well."""

    def short(*_: object) -> object:
        raise MemoryError

    talk = dumping(Tape(), line=file_write())
    with monkeypatch.context() as patched:
        patched.setattr(Transfer, "write_part", short)
        talk.settle()
        (line,) = [line for line in talk.driver.lines if line.startswith("FAILED")]
    assert line == f'FAILED {WORKER} {HANDLE} INPUT-GOOD TAPE-ERROR "" "not enough memory"'
    talk.say(port_write(H2))
    talk.say(f"DONE {WORKER} {H2} 10 11111111:1 22222222:2 00000000:0")
    assert check_dump(talk, H2, DATA, "/var") == "DONE"
    talk.quit()


def answered_in_time(talk: Conversation, *said: str) -> list[str]:
    """What is answered a moment after something was said while something is held up."""
    assert talk.say(*said) == []
    before = len(talk.driver.lines)
    talk.clock.advance(MOMENT)
    talk.settle()
    return talk.driver.lines[before:]


LOCKED = (
    "cannot write the trace log: not done within 4 s, another program may hold the lock of the file"
)


@pytest.mark.parametrize("how", ["QUIT", FAILED])
def test_the_trace_log_is_locked_when_a_part_is_to_be_told(how: str) -> None:
    """The driver is answered, with the reason; what was asked for is in the log once it can be."""
    talk = dumping(Tape())
    reason = "taper is quitting" if how == "QUIT" else "dumper failed"
    with held_up(talk, "log Part"):
        (end,) = answered_in_time(talk, how)
    assert end.startswith(f"PARTIAL {WORKER} {HANDLE} INPUT-ERROR TAPE-ERROR ")
    assert end.endswith(f'"{reason}" "{LOCKED}"')
    assert "PARTDONE" not in talk.words()
    talk.settle()
    assert [line.split()[0] for line in talk.logged() if "localhost" in line] == ["PARTIAL", "PART"]
    if how == FAILED:
        talk.tell("QUIT")
    talk.settle()
    talk.check_released()
    talk.check_sound()


def test_the_trace_log_is_locked_when_the_end_is_to_be_told() -> None:
    """Of a dump that failed nothing can be lost: the driver need not wait for the log."""
    talk = dumping(Tape())
    talk.until("data")
    talk.tell(FAILED)
    with held_up(talk, "log Fail"):
        (end,) = answered_in_time(talk)
        assert end.startswith(f"FAILED {WORKER} {HANDLE} INPUT-ERROR TAPE-ERROR ")
        assert LOCKED in end
    talk.settle()
    assert len(talk.logged("FAIL")) == 1
    talk.quit()
    talk.check_sound()


def test_a_good_dump_waits_for_the_trace_log() -> None:
    """Without the record it could not be restored, and with it all is well."""
    talk = dumping(Tape(), line=file_write())
    with held_up(talk, "log Done"):
        assert answered_in_time(talk) == []
        talk.clock.advance(600)
    talk.settle()
    assert check_dump(talk, HANDLE, DATA, "/home") == "DONE"
    talk.quit()
    talk.check_sound()


@pytest.mark.parametrize("name", ["log Start", "tapelist update"])
@pytest.mark.parametrize("how", ["QUIT", FAILED])
def test_a_file_is_locked_after_the_label_was_written(how: str, name: str) -> None:
    """The driver is answered and the volume given back; what was begun is done some time."""
    talk = dumping(Tape())
    with held_up(talk, name, times=1 if name == "log Start" else 2):
        replies = answered_in_time(talk, how)
        assert [line.split()[0] for line in replies] == ["NO-NEW-TAPE", "FAILED"]
    talk.settle()
    assert talk.tapelists.store.tapelist.entries[0].datestamp == RUN
    assert "NEW-TAPE" not in talk.words()
    if how == FAILED:
        talk.say(port_write(H2))
        talk.say(f"DONE {WORKER} {H2} 10 11111111:1 22222222:2 00000000:0")
        talk.tell("QUIT")
    talk.settle()
    talk.check_released()
    talk.check_sound()


@pytest.mark.parametrize("name", ["log TapeInfo", "tapelist update", "released"])
def test_a_full_volume_cannot_be_given_back(name: str) -> None:
    """Whatever holds that up: FAILED is answered, and the next volume taken after it."""
    config = configuration(tapecycle=1, more="set-no-reuse yes")
    talk = Conversation(
        Tape(1000, block_size=100), Tape(), config=config, dumpers=[Dumped(DATA)] * 2
    )
    talk.say(START)
    talk.inbox.append(port_write(split=split_by(900)))
    talk.until_reply("PARTDONE")
    with held_up(talk, name):
        (end,) = answered_in_time(talk, FAILED)
        assert end.startswith(f"PARTIAL {WORKER} {HANDLE} INPUT-ERROR")
    talk.settle()
    assert [entry.label for entry in talk.tapelists.store.tapelist.entries if not entry.reuse] == [
        "PROTO01"
    ]
    talk.say(port_write(H2).replace("/var", "/opt"))
    talk.say(f"DONE {WORKER} {H2} 10 11111111:1 22222222:2 00000000:0")
    assert check_dump(talk, H2, DATA, "/opt") == "DONE"
    talk.quit()
    talk.check_sound()


def test_a_refused_volume_and_a_locked_trace_log() -> None:
    """NO-NEW-TAPE is answered although nothing can be logged."""
    talk = dumping(Tape())
    talk.granting = False
    talk.until_reply("REQUEST-NEW-TAPE")
    talk.tell(f"NO-NEW-TAPE {WORKER} {HANDLE} no")
    with held_up(talk, "log NoTapeConfig"):
        (end,) = answered_in_time(talk)
        assert end.startswith(f"FAILED {WORKER} {HANDLE} INPUT-GOOD TAPE-CONFIG")
    talk.settle()
    talk.quit()
    talk.check_sound()


def test_a_volume_that_cannot_be_used_and_a_locked_trace_log() -> None:
    """A line for people is waited for a moment only, whoever waits."""
    talk = Conversation()
    talk.tell(START)
    with held_up(talk, "log NoTapeError"):
        (end,) = answered_in_time(talk)
        assert end.startswith(f"TAPE-ERROR {WORKER}")
    talk.settle()
    talk.quit()

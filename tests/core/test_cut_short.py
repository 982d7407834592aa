"""A dump that ends while a volume is sought or labelled for it: nobody waits for what may be long.

Another program may hold the tapelist's lock for hours, and an operator may take as long to answer.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from taper.plane.transfer import Transfer
from tests.core.checking import check_dump, check_permissions
from tests.core.conversing import (
    RUN,
    START,
    H,
    Talk,
    W,
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
FAILED = f"FAILED {W} {H}"


@contextmanager
def held_up(talk: Talk, name: str, *, times: int = 1) -> Iterator[None]:
    """Go on until this operation is next; while the context lasts, all happens but that."""
    talk.until(name, times=times)
    entry = talk.moments.waiting.pop(0)
    talk.settle()
    yield
    if not entry[1].called:  # nobody gave it up
        talk.moments.waiting.append(entry)


def dumping(*tapes: Tape, entries: object = (), line: str = "") -> Talk:
    talk = Talk(
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
    end = f'FAILED {W} {H} INPUT-ERROR TAPE-GOOD "{reason}" ""'
    with held_up(talk, "tapelist update"):
        assert talk.say(how)[-2:] == [f"NO-NEW-TAPE {W} {H}", end]
    assert talk.tapelists.store.tapelist == before
    assert talk.tapes["1"].medium.label == label
    assert not talk.logged("START")
    if how == FAILED:
        talk.say(port_write(H2).replace("/var", "/opt"))  # onto the very volume
        talk.say(f"DONE {W} {H2} 10 11111111:1 22222222:2 00000000:0")
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
        assert talk.say("QUIT")[-1].startswith(f"PARTIAL {W} {H} INPUT-ERROR TAPE-GOOD")
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
    assert line == f'FAILED {W} {H} INPUT-GOOD TAPE-ERROR "" "not enough memory"'
    talk.say(port_write(H2))
    talk.say(f"DONE {W} {H2} 10 11111111:1 22222222:2 00000000:0")
    assert check_dump(talk, H2, DATA, "/var") == "DONE"
    talk.quit()

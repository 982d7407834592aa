"""VAULT-WRITE in a conversation: source volumes, failures and interruptions at every moment."""

from __future__ import annotations

import pytest
from attrs import evolve

from devices.errors import ChangerError, ChangerReason, DeviceError
from protocols.crc import Crc
from protocols.stored import StoredDump
from protocols.tapelist import TapelistEntry
from taper.core.errors import SourceFault
from tests.core.conversing import (
    HANDLE,
    PLAIN,
    START,
    WORKER,
    Conversation,
    content,
    crc_text,
    file_write,
    masked,
    split_by,
)
from tests.core.stocked import StockedChanger, Tape
from tests.core.surroundings import Dumped
from tests.core.vaulting import HEADER, OLD, shelve
from tests.opened import threads

DATA = content(300_000)
H2 = "00-00002"
W1 = "worker0-1"


def vault(
    disk: str = "/home",
    handle: str = HANDLE,
    split: str = PLAIN,
    worker: str = WORKER,
    storage: str = "SRC",
) -> str:
    return f"VAULT-WRITE {worker} {handle} {storage} P L localhost {disk} 0 {OLD} {split} 64"


def source(number: int = 1, **options: object) -> Tape:
    """A volume SRC01, ..."""
    return Tape(label=f"SRC{number:02}", timestamp=OLD, **options)  # type: ignore[arg-type]


def two_volumes(target: Tape | None = None) -> tuple[Conversation, StockedChanger]:
    """A worker, and a dump of two parts on two volumes.

    :param target: the first volume to write on
    """
    one, two = source(1), source(2)
    talk = Conversation(target or Tape(), Tape(), dumps={"HF": Dumped(DATA)})
    changer = talk.vaults.add("SRC", {"1": one, "2": two})
    talk.vaults.dumps["/home"] = shelve(DATA, (one, 200_000), (two, 100_000))
    talk.say(START)
    return talk, changer


def test_a_dump_from_two_volumes() -> None:
    """[protocol T25]."""
    talk, _ = two_volumes()
    replies = talk.say(vault(split=split_by(131_072)))
    assert replies[0] == f"OPENED-SOURCE-VOLUME {WORKER} {HANDLE} SRC01"
    changes = [line for line in replies[1:] if "SOURCE-VOLUME" in line]
    assert changes == [
        f"CLOSED-SOURCE-VOLUME {WORKER}",
        f"OPENED-SOURCE-VOLUME {WORKER} {HANDLE} SRC02",
    ]
    assert masked(replies)[-1] == (
        f"DONE {WORKER} {HANDLE} INPUT-GOOD TAPE-GOOD "
        f'"{crc_text(DATA)}" "[300000 orig-kb 64]" "" ""'
    )
    assert talk.stored() == DATA
    assert talk.say(f"CLOSE-SOURCE-VOLUME {WORKER}") == [f"CLOSED-SOURCE-VOLUME {WORKER}"]
    assert talk.vaults.held == []
    talk.quit()
    talk.check_sound()


def test_the_volume_is_kept_until_quit() -> None:
    """The next dump from it says nothing of it."""
    talk, _ = two_volumes()
    talk.say(vault())
    tape = talk.vaults.changers["SRC"].tapes["2"]  # type: ignore[union-attr]
    talk.vaults.dumps["/b"] = shelve(DATA[:5000], (tape, 5000), disk="/b")
    replies = talk.say(vault("/b", H2))
    assert [line.split(" ")[0] for line in replies] == ["READY", "PARTDONE", "DONE"]
    assert talk.vaults.held == ["2"]
    assert talk.quit() == []


@pytest.mark.parametrize(
    ("found", "text"),
    [
        (None, "Dump not found"),
        (OSError("the log is unreadable"), "Dump not found: the log is unreadable"),
    ],
)
def test_a_dump_that_the_catalogue_lacks(found: Exception | None, text: str) -> None:
    """Nothing is asked for, and no volume is blamed."""
    talk, changer = two_volumes()
    talk.vaults.dumps.clear()
    if found is not None:
        talk.vaults.dumps["/home"] = found
    (reply,) = talk.say(vault())
    assert reply == f'FAILED {WORKER} {HANDLE} INPUT-ERROR TAPE-GOOD "{text}" ""'
    assert talk.logged("FAIL")[0].startswith('FAIL taper VAULT "ST:PROTO"')
    assert changer.requests == []
    talk.quit()
    talk.check_sound()


def test_a_storage_that_cannot_be_had_fails_that_dump_only() -> None:
    """[changers quirk 27]"""
    talk, _ = two_volumes()
    talk.vaults.changers["BAD"] = SourceFault("directory '/bad' does not exist")
    (reply,) = talk.say(vault(storage="BAD"))
    assert reply == (
        f'FAILED {WORKER} {HANDLE} INPUT-ERROR TAPE-GOOD "directory \'/bad\' does not exist" ""'
    )
    assert talk.say(vault(handle=H2))[-1].startswith(f"DONE {WORKER} {H2} INPUT-GOOD TAPE-GOOD")
    talk.quit()


def test_another_storage_closes_the_one_before() -> None:
    talk, _ = two_volumes()
    talk.say(vault())
    other = source(7)
    talk.vaults.add("ELSE", {"1": other})
    talk.vaults.dumps["/b"] = shelve(DATA[:5000], (other, 5000), disk="/b", storage="ELSE")
    replies = talk.say(vault("/b", H2, storage="ELSE"))
    assert replies[:2] == [
        f"CLOSED-SOURCE-VOLUME {WORKER}",
        f"OPENED-SOURCE-VOLUME {WORKER} {H2} SRC07",
    ]
    assert replies[-1].startswith("DONE")
    talk.quit()


def test_a_volume_in_a_slot_of_unknown_content_is_found() -> None:
    """Slots are looked into from the current one on, until it is there."""
    talk, changer = two_volumes()
    for tape in changer.tapes.values():
        tape.listing.known = False
    changer.current = "2"
    assert talk.say(vault())[-1].startswith("DONE")
    assert [request.slot for request in changer.requests[:2]] == ["2", "1"]
    talk.quit()


def test_a_changer_without_inventory_is_searched_in_turn() -> None:
    talk, changer = two_volumes()
    changer.inventory_error = ChangerError("no inventory", ChangerReason.NOTIMPL)
    changer.current = "2"
    assert talk.say(vault())[-1].startswith("DONE")
    talk.vaults.dumps["/home"] = shelve(b"x", (source(9), 1))
    reply = talk.say(vault(handle=H2))[-1]
    assert "label 'SRC09' not found" in reply
    talk.quit()


def test_a_reserved_source_volume() -> None:
    talk, changer = two_volumes()
    changer.tapes["1"].listing.in_use = True
    (reply,) = talk.say(vault())
    reason = "Source volume 'SRC01' in slot 1 is reserved"
    assert reply == f'FAILED {WORKER} {HANDLE} INPUT-ERROR TAPE-GOOD "{reason}" ""'
    talk.quit()


def test_the_second_volume_is_missing() -> None:
    """[data-plane Q0]: never DONE; what was read is stored."""
    talk, changer = two_volumes()
    del changer.slots["2"], changer.tapes["2"]
    replies = talk.say(vault(split=split_by(65_536)))
    reason = "Source Volume 'SRC02' not found"
    assert replies[-1].startswith(f"PARTIAL {WORKER} {HANDLE} INPUT-ERROR TAPE-GOOD ")
    assert f'"{reason}"' in replies[-1]
    assert talk.stored() == DATA[: 3 * 65_536]
    assert reason in talk.logged("PARTIAL")[0]
    talk.quit()
    talk.check_sound()


def reader_over() -> None:
    """Wait until what can be read ahead is read; in the thread that writes a part."""
    for thread in threads("taper-reader"):
        thread.join(60)
        assert not thread.is_alive(), "it reads on and on"


def test_a_source_that_failed_is_no_fault_of_the_volume_written_on() -> None:
    """Its end comes in a part whose rest cannot be read: nothing is asked for, nobody blames it."""
    target = Tape(6 * 32768 + 65_536, leom=False)
    target.at_write = reader_over
    talk, changer = two_volumes(target)
    del changer.slots["2"], changer.tapes["2"]
    replies = talk.say(vault(split=split_by(131_072, "memory")))
    assert [line.split(" ")[0] for line in replies[-2:]] == ["PARTDONE", "PARTIAL"]
    assert replies[-1].startswith(f"PARTIAL {WORKER} {HANDLE} INPUT-ERROR TAPE-GOOD ")
    assert replies[-1].endswith('"Source Volume \'SRC02\' not found" ""')
    assert talk.stored() == DATA[:131_072]
    talk.quit()
    talk.check_sound()


def test_less_on_the_volume_than_the_log_says() -> None:
    """[data-plane Q0]: sizes are compared."""
    talk, changer = two_volumes()
    del changer.tapes["2"].medium.files[1].data[-10:]
    reply = talk.say(vault())[-1]
    assert reply.startswith(f"PARTIAL {WORKER} {HANDLE} INPUT-ERROR TAPE-GOOD ")
    reason = "part 2 on 'SRC02' file 1 is truncated: 99990 bytes, 100000 expected"
    assert reason in reply
    assert talk.logged("PARTPARTIAL")[0].endswith(f'"{reason}"')
    talk.quit()


def test_the_checksum_of_the_catalogue_counts() -> None:
    talk, _ = two_volumes()
    dump = talk.vaults.dumps["/home"]
    assert isinstance(dump, StoredDump)
    talk.vaults.dumps["/home"] = evolve(dump, crc=Crc(1, len(DATA)))
    reply = talk.say(vault())[-1]
    assert reply.startswith(f"PARTIAL {WORKER} {HANDLE} INPUT-ERROR TAPE-GOOD ")
    assert "and input server crc (00000001:300000) differ)" in reply
    talk.quit()


def test_a_partial_dump_is_done_for_the_driver() -> None:
    talk, changer = two_volumes()
    header = evolve(HEADER, is_partial=True)
    talk.vaults.dumps["/c"] = shelve(
        DATA[:5000], (changer.tapes["1"], 5000), disk="/c", header=header
    )
    assert talk.say(vault("/c"))[-1].startswith(f"DONE {WORKER} {HANDLE} INPUT-GOOD TAPE-GOOD")
    assert talk.logged("PARTIAL")
    talk.quit()


def test_our_own_candidate_is_not_written_on_when_it_is_the_source() -> None:
    """Storage and source are one, and retention lets the volume go: another is taken."""
    tape = Tape(label="PROTO01", timestamp=OLD)
    entry = TapelistEntry(
        datestamp=OLD, label="PROTO01", pool="PROTO", storage="PROTO", config="PROTO"
    )
    older = evolve(entry, label="PROTO02", datestamp="20240101000000")
    talk = Conversation(tape, Tape(), entries=[entry, older], dumps={"HF": Dumped(DATA)})
    talk.vaults.changers["PROTO"] = talk.changer
    talk.vaults.dumps["/home"] = shelve(DATA, (tape, 300_000), storage="PROTO")
    talk.say(START)
    reply = talk.say(vault(storage="PROTO"))[-1]
    assert reply.startswith("DONE")
    assert tape.medium.label == "PROTO01"
    assert tape.stored(1) == DATA
    talk.say("QUIT")


def test_an_idle_worker_gives_its_source_volume_up() -> None:
    """The busy one is told OPENED, the idle one CLOSED."""
    talk, changer = two_volumes()
    talk.vaults.dumps["/home"] = shelve(DATA, (changer.tapes["1"], 300_000))
    talk.say(vault())
    talk.say(START.replace(WORKER, W1))
    replies = talk.say(vault(handle=H2, worker=W1))
    assert replies[:2] == [
        f"CLOSED-SOURCE-VOLUME {WORKER}",
        f"OPENED-SOURCE-VOLUME {W1} {H2} SRC01",
    ]
    assert replies[-1].startswith(f"DONE {W1}")
    talk.quit()


def test_a_volume_that_is_being_given_up_is_told_of_once() -> None:
    """CLOSE-SOURCE-VOLUME for it comes meanwhile; of a second end the driver knows no volume."""
    talk, changer = two_volumes()
    talk.vaults.dumps["/home"] = shelve(DATA, (changer.tapes["1"], 300_000))
    talk.say(vault())
    talk.say(START.replace(WORKER, W1))
    talk.tell(vault(handle=H2, worker=W1))
    talk.until("released")
    talk.tell(f"CLOSE-SOURCE-VOLUME {WORKER}")
    assert f"CLOSED-SOURCE-VOLUME {WORKER}" not in talk.driver.lines
    replies = talk.say()
    assert replies.count(f"CLOSED-SOURCE-VOLUME {WORKER}") == 1
    assert replies[-1].startswith(f"DONE {W1}")
    talk.quit()
    talk.check_sound()


@pytest.mark.parametrize("name", ["load", "start", "catalogue", "run", "changer", "log Start"])
def test_quit_at_every_kind_of_moment(name: str) -> None:
    """The dump is told FAILED or PARTIAL, and nothing stays reserved."""
    talk, _ = two_volumes()
    talk.tell(vault())
    talk.until(name)
    talk.quit()
    assert talk.words()[-1] in ("FAILED", "PARTIAL")
    talk.check_sound()


def test_quit_after_every_step() -> None:
    """However far the dump has come."""
    for steps in range(60):
        talk, _ = two_volumes()
        talk.tell(vault(split=split_by(65_536)))
        if not all(talk.step() for _ in range(steps)):
            return
        talk.quit()
        talk.check_sound()


@pytest.mark.parametrize("name", ["start", "load"])
def test_a_source_that_fails_once_is_fine_the_next_time(name: str) -> None:
    """The text is told, and the volume is looked for again."""
    talk, _ = two_volumes()
    fault = DeviceError("the drive is dirty") if name == "start" else ChangerError("it is stuck")
    talk.moments.fail(name, fault)
    (reply,) = talk.say(vault())
    assert reply.startswith(f'FAILED {WORKER} {HANDLE} INPUT-ERROR TAPE-GOOD "{fault}"')
    assert talk.say(vault(handle=H2))[-1].startswith(f"DONE {WORKER} {H2}")
    talk.quit()


def test_after_bad_reading_the_volume_is_loaded_anew() -> None:
    talk, changer = two_volumes()
    good = changer.tapes["1"].medium.files[1].header
    changer.tapes["1"].medium.files[1].header = evolve(good, partnum=5)
    assert "got partnum '5'; expected '1'" in talk.say(vault())[-1]
    changer.tapes["1"].medium.files[1].header = good
    replies = talk.say(vault(handle=H2))
    assert replies[:2] == [
        f"CLOSED-SOURCE-VOLUME {WORKER}",
        f"OPENED-SOURCE-VOLUME {WORKER} {H2} SRC01",
    ]
    assert replies[-1].startswith("DONE")
    talk.quit()


def test_a_scribe_taken_over_closes_the_source_of_its_worker() -> None:
    """The worker that is no more reads no more."""
    talk, _ = two_volumes()
    talk.say(vault())
    talk.granting = False
    talk.say(START.replace(WORKER, W1))
    talk.say(file_write("HF", H2, worker=W1))
    assert talk.vaults.held
    talk.say(f"TAKE-SCRIBE-FROM {W1} {H2} {WORKER}")
    assert talk.vaults.held == []
    assert talk.driver.lines[-1].startswith(f"DONE {W1}")
    talk.quit()

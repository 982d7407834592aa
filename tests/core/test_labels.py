"""When a label is written, and when it is free again."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from attrs import evolve

from devices.errors import DeviceError, Status
from protocols.tapelist import Tapelist, TapelistEntry, TapelistError
from tests.core.checking import check_dump, check_permissions
from tests.core.conversing import (
    HANDLE,
    RUN,
    START,
    WORKER,
    Conversation,
    configuration,
    file_write,
)
from tests.core.stocked import Tape
from tests.core.surroundings import Dumped
from tests.core.volumes import DATA, idle, small

# Labelling


def test_a_volume_that_cannot_be_labelled_is_told_and_the_next_one_asked_for() -> None:
    """[protocol T10]: NO-NEW-TAPE and REQUEST-NEW-TAPE; the tapelist keeps no trace of the
    first."""
    wanted = {"start"}
    talk = idle(Tape(faults=wanted.__contains__), Tape(), granting=False)
    talk.say(file_write())
    assert talk.say(f"NEW-TAPE {WORKER} {HANDLE}") == [
        f"NO-NEW-TAPE {WORKER} {HANDLE}",
        f"REQUEST-NEW-TAPE {WORKER} {HANDLE}",
    ]
    assert talk.tapelists.store.tapelist == Tapelist()
    assert talk.changer.told[0][1].status is Status.DEVICE_ERROR
    assert "INFO taper while labeling new volume: the fake drive does not start" in talk.logged()
    talk.say(f"START-SCAN {WORKER} {HANDLE}", f"NEW-TAPE {WORKER} {HANDLE}")
    assert check_dump(talk, HANDLE, DATA, "/home") == "DONE"
    assert talk.changer.released == [("1", False)]
    check_permissions(talk)
    talk.quit()


def test_a_label_that_may_be_on_the_volume_is_not_given_to_another() -> None:
    """The device fails when the label is there: the claim stays, the next volume gets another."""
    talk = idle(Tape(faults={"labelled"}.__contains__), Tape(), granting=False)
    talk.say(file_write())
    assert talk.say(f"NEW-TAPE {WORKER} {HANDLE}") == [
        f"NO-NEW-TAPE {WORKER} {HANDLE}",
        f"REQUEST-NEW-TAPE {WORKER} {HANDLE}",
    ]
    kept = talk.tapelists.store.tapelist.lookup("PROTO01")
    assert kept is not None
    assert (kept.datestamp, kept.reuse) == ("1", False)
    assert talk.logged("INFO taper label") == [
        "INFO taper label PROTO01 stays taken: slot 1 may hold it, "
        f"what is read there is label PROTO01 of {RUN}"
    ]
    talk.say(f"START-SCAN {WORKER} {HANDLE}", f"NEW-TAPE {WORKER} {HANDLE}")
    assert check_dump(talk, HANDLE, DATA, "/home") == "DONE"
    assert [tape.medium.label for tape in talk.tapes.values()] == ["PROTO01", "PROTO02"]
    talk.quit()
    talk.check_sound()


def test_a_label_stays_taken_while_nobody_knows_what_the_volume_bears() -> None:
    """The drive is gone when it is asked again."""
    talk = idle(Tape(faults={"start"}.__contains__), Tape(), granting=False)
    talk.say(file_write())
    talk.moments.fail("read_label", None, DeviceError("the drive is gone"))
    talk.say(f"NEW-TAPE {WORKER} {HANDLE}")
    assert talk.tapelists.store.tapelist.lookup("PROTO01") is not None
    assert talk.logged("INFO taper label")[0].endswith("is unknown (the drive is gone)")
    talk.quit()
    talk.check_sound()


def test_quit_does_not_wait_for_what_the_volume_bears() -> None:
    """Asking may take long, and is not needed to end."""
    talk = idle(Tape(faults={"start"}.__contains__), Tape(), granting=False)
    talk.say(file_write())
    talk.tell(f"NEW-TAPE {WORKER} {HANDLE}")
    talk.until("read_label", times=2)
    talk.quit()
    assert talk.tapelists.store.tapelist.lookup("PROTO01") is not None
    talk.check_sound()


def test_a_label_that_labelstr_does_not_match_is_never_written() -> None:
    """Others took the labels that would have matched since the scan looked."""
    config = configuration(autolabel='"PROTO%" any', more='labelstr "^PROTO[12]$"')
    talk = idle(Tape(), granting=False, config=config)
    talk.say(file_write())
    store = talk.tapelists.store
    for label in ("PROTO1", "PROTO2"):
        store.tapelist = store.tapelist.adding(TapelistEntry(datestamp="0", label=label))
    before = store.tapelist
    talk.say(f"NEW-TAPE {WORKER} {HANDLE}")
    assert talk.words()[-2:] == ["NO-NEW-TAPE", "REQUEST-NEW-TAPE"]
    assert talk.logged("INFO taper while") == [
        "INFO taper while labeling new volume: the new label 'PROTO3', made by autolabel "
        "'PROTO%', does not match labelstr '^PROTO[12]$'"
    ]
    assert (talk.tapes["1"].medium.label, store.tapelist) == (None, before)
    talk.quit()
    talk.check_sound()


def disturbed(change: Callable[[Conversation], object]) -> Conversation:
    """A permission for a known volume of which something changed since the scan."""
    known = TapelistEntry(
        datestamp="20250101000000", label="PROTO07", pool="PROTO", storage="PROTO", config="PROTO"
    )
    older = [evolve(known, label=f"PROTO{n}", datestamp=f"202502{n}000000") for n in (20, 21)]
    talk = idle(
        Tape(label="PROTO07", timestamp="20250101000000", barcode="B7"),
        entries=[known, *older],
        granting=False,
    )
    talk.say(file_write())
    change(talk)
    talk.say(f"NEW-TAPE {WORKER} {HANDLE}")
    return talk


def test_a_known_volume_is_labelled_again() -> None:
    talk = disturbed(lambda talk: None)
    assert check_dump(talk, HANDLE, DATA, "/home") == "DONE"
    entry = talk.tapelists.store.tapelist.lookup("PROTO07")
    assert entry is not None
    assert (entry.datestamp, entry.barcode) == (RUN, "B7")
    talk.quit()


def test_a_label_claimed_by_a_taper_that_died_is_free_again() -> None:
    """The blank volume of that barcode gets it; claims for other volumes stay."""
    claims = [
        TapelistEntry(
            datestamp="1", label=label, reuse=False, barcode=code, pool="PROTO", config="PROTO"
        )
        for label, code in (("PROTO01", "B1"), ("PROTO02", "B2"), ("PROTO03", None))
    ]
    talk = idle(small(20, barcode="B2"), entries=claims)
    talk.say(file_write())
    assert check_dump(talk, HANDLE, DATA, "/home") == "DONE"
    listed = {entry.label: entry.datestamp for entry in talk.tapelists.store.tapelist.entries}
    assert listed == {"PROTO01": "1", "PROTO02": RUN, "PROTO03": "1"}
    talk.quit()


def _claim(label: str, **facts: object) -> TapelistEntry:
    """What a taper leaves that died before it wrote the label."""
    owner = {"pool": "PROTO", "storage": "PROTO", "config": "PROTO"}
    return TapelistEntry(datestamp="1", label=label, reuse=False, **owner | facts)  # type: ignore[arg-type]


@pytest.mark.parametrize("scan", ["traditional", "lexical", "oldest"])
def test_a_label_that_the_slot_makes_is_free_again(scan: str) -> None:
    """A taper claimed it and died; who holds the slot now may have it, and other claims stay."""
    config = configuration(autolabel='"PROTO$2s" any', more=f'taperscan "{scan}"')
    claims = [_claim("PROTO01"), _claim("PROTO02")]
    talk = Conversation(small(20), config=config, entries=claims, dumps={"HF": Dumped(DATA)})
    talk.changer.global_space = True
    assert talk.say(START) == [f"TAPER-OK {WORKER} ALLOW-TAKE-SCRIBE-FROM"]
    talk.say(file_write())
    assert check_dump(talk, HANDLE, DATA, "/home") == "DONE"
    listed = {entry.label: entry.datestamp for entry in talk.tapelists.store.tapelist.entries}
    assert listed == {"PROTO01": RUN, "PROTO02": "1"}
    talk.quit()
    talk.check_sound()


def test_a_label_stays_claimed_where_volumes_move() -> None:
    """The volume that was in the slot, and may bear the label, can be in another one now."""
    config = configuration(autolabel='"PROTO$2s" any')
    talk = Conversation(small(20), config=config, entries=[_claim("PROTO01")])
    assert talk.say(START) == [f"TAPE-ERROR {WORKER} \"Label 'PROTO01' already exists\""]
    talk.quit()


def _entry_changes(**facts: object) -> Callable[[Conversation], None]:
    def change(talk: Conversation) -> None:
        store = talk.tapelists.store
        entry = store.tapelist.lookup("PROTO07")
        assert entry is not None
        store.tapelist = store.tapelist.replacing(evolve(entry, **facts))

    return change


def _entry_goes(talk: Conversation) -> None:
    talk.tapelists.store.tapelist = talk.tapelists.store.tapelist.removing("PROTO07")


def _medium_changes(talk: Conversation) -> None:
    talk.tapes["1"].medium.label = "PROTO99"


def _medium_goes(talk: Conversation) -> None:
    talk.tapes["1"].medium.label = None


CHANGES = {
    "written by another run": _entry_changes(datestamp="20260531000000"),
    "no-reuse": _entry_changes(reuse=False),
    "of another pool": _entry_changes(pool="other"),
    "of another config": _entry_changes(config="other"),
    "another barcode": _entry_changes(barcode="B8"),
    "no longer listed": _entry_goes,
    "another volume": _medium_changes,
    "erased": _medium_goes,
}


@pytest.mark.parametrize("what", CHANGES)
def test_what_changed_since_the_scan_is_seen_before_the_label_is_written(what: str) -> None:
    """NO-NEW-TAPE; the volume is as it was, the tapelist too."""
    before: list[object] = []

    def change(talk: Conversation) -> None:
        CHANGES[what](talk)
        before.append((talk.tapelists.store.tapelist, talk.tapes["1"].medium.label))

    talk = disturbed(change)
    assert talk.words()[-2:] == ["NO-NEW-TAPE", "REQUEST-NEW-TAPE"]
    assert (talk.tapelists.store.tapelist, talk.tapes["1"].medium.label) == before[0]
    assert talk.tapes["1"].medium.timestamp == "20250101000000"
    assert talk.changer.reserved == []
    talk.say(f'NO-NEW-TAPE {WORKER} {HANDLE} "taper found no tape"')
    assert check_dump(talk, HANDLE, DATA, "/home") == "FAILED"
    talk.quit()
    talk.check_sound()


@pytest.mark.parametrize(
    "fault", [TapelistError("line 3: not well formed"), OSError(5, "Input/output error")]
)
@pytest.mark.parametrize("which", [0, 1])
def test_a_tapelist_that_cannot_be_changed_is_no_permission(fault: Exception, which: int) -> None:
    """The claim of a new label fails, or the entry after labelling: NO-NEW-TAPE with the reason."""
    talk = idle(Tape(), Tape(), granting=False)
    talk.say(file_write())
    talk.moments.fail("tapelist update", *[None] * which, fault)
    assert talk.say(f"NEW-TAPE {WORKER} {HANDLE}") == [
        f"NO-NEW-TAPE {WORKER} {HANDLE}",
        f"REQUEST-NEW-TAPE {WORKER} {HANDLE}",
    ]
    assert f"while labeling new volume: {fault}" in talk.logged("INFO taper while")[0]
    talk.say(f"NEW-TAPE {WORKER} {HANDLE}")
    assert check_dump(talk, HANDLE, DATA, "/home") == "DONE"
    talk.quit()

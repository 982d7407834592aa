"""The traditional scan: which volume it takes, and what it says [changers 1.4, 1.10]."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import evolve
from zope.interface.verify import verifyObject

from devices.errors import ChangerError, ChangerReason, Status
from devices.interfaces import AccessMode
from protocols.tapelist import TapelistEntry, TapelistError
from taper.core.scan import IScan
from tests.fakes.async_changer import FakeAsyncChanger, FakeVolume, bad, blank, foreign
from tests.fakes.scanning import RUN, make_config, set_stage, written

NONE_FOUND = "No acceptable volumes found"
ALL_LOADED = "all slots have been loaded"


def three_written() -> list[TapelistEntry]:
    """Scan-01 is the oldest; with tapecycle 2 only the newest is retained."""
    return [written("Scan-01", 1), written("Scan-02", 2), written("Scan-03", 3)]


def labelled(*numbers: int) -> dict[str, FakeVolume | None]:
    return {str(number): FakeVolume(label=f"Scan-{number:02d}") for number in numbers}


def test_the_oldest_reusable_volume_is_loaded_by_its_label_without_a_word() -> None:
    """Stage 1 finds the volume written longest ago, makes it current and logs nothing."""
    stage = set_stage("traditional", labelled(3, 2, 1), three_written())
    verifyObject(IScan, stage.scan)
    found = stage.find()
    assert (found.label, found.is_new, found.mode) == ("Scan-01", False, AccessMode.WRITE)
    assert (found.reservation.slot, stage.changer.current) == ("1", "1")
    assert (stage.changer.loaded, stage.notes) == (["Scan-01"], [])


def test_without_fast_search_the_slots_are_walked_from_the_current_one() -> None:
    """Where searching is slow, the first reusable volume from the current slot on is taken."""
    changer = FakeAsyncChanger(labelled(3, 2, 1), fast_search=False)
    stage = set_stage("traditional", changer, three_written())
    assert stage.find().label == "Scan-02"
    assert stage.notes == [
        "Slot 3 with label Scan-03 is not reusable",
        "Slot 2 with label Scan-02 is usable",
    ]
    assert stage.changer.loaded == ["current", "next"]


CONFIGS: dict[str, dict[str, Any]] = {
    "plain": {},
    "any": {"autolabel": '"Scan-%%" any'},
    "words": {"autolabel": '"Scan-%%" volume-error'},
    "unset": {"autolabel": '""'},
    "other": {"autolabel": '"Scan-%%" other-config'},
}
NEW = "Slot 1 without label can be labeled"
OURS = FakeVolume("Scan-09")
SITUATIONS = [
    ("plain", FakeVolume("Foo"), None, "with label Foo do not match labelstr"),
    ("other", FakeVolume("Foo"), None, NEW),
    ("any", OURS, None, "with label Scan-09 is not in the tapelist"),
    ("any", OURS, written("Scan-09", 1, config="Else"), "with label Scan-09 is use by config Else"),
    ("any", OURS, written("Scan-09", 1, pool="deep"), "with label Scan-09 is in pool deep"),
    (
        "any",
        FakeVolume("Foo"),
        written("Foo", 1, pool=None),
        "with label Foo do not match labelstr",
    ),
    ("any", OURS, written("Scan-09", 1, reuse=False), "with label Scan-09 is not reusable"),
    ("any", OURS, written("Scan-09", 1), "with label Scan-09 is not reusable"),
    (
        "any",
        FakeVolume("Foo"),
        evolve(written("Foo", 1), datestamp="0"),
        "Slot 1 with label Foo is usable",
    ),
    ("plain", blank(), None, NEW),
    ("plain", blank(header_type=None), None, NEW),
    ("words", blank(), None, "is empty, autolabel disabled"),
    ("unset", blank(), None, "is empty, autolabel not set"),
    ("any", foreign(), None, NEW),
    ("plain", foreign(), None, "is a non-amanda volume, autolabel disabled"),
    ("unset", foreign(), None, "is a non-amanda volume, autolabel not set"),
    ("words", bad(), None, NEW),
    ("plain", bad(error="a\nb\n"), None, "is a volume in error: a b, autolabel disabled"),
    ("unset", bad(), None, "is a volume in error: it squeaks, autolabel not set"),
    (
        "any",
        bad(Status.DEVICE_ERROR),
        None,
        "is a device in error: it squeaks, autolabel disabled",
    ),
    ("unset", bad(Status.DEVICE_BUSY), None, "is a device in error: it squeaks, autolabel not set"),
]


@pytest.mark.parametrize(("config", "volume", "entry", "text"), SITUATIONS)
def test_each_kind_of_volume_is_taken_or_left_with_its_text(
    config: str, volume: FakeVolume, entry: TapelistEntry | None, text: str
) -> None:
    """Every row of the table of judgements gives its text in the log."""
    changer = FakeAsyncChanger({"1": evolve(volume)}, fast_search=False)
    entries = [] if entry is None else [entry]
    stage = set_stage("traditional", changer, entries, config=make_config(**CONFIGS[config]))
    if text.startswith("Slot 1 "):
        found = stage.find()
        assert stage.notes == [text]
        assert found.is_new == (text == NEW)
        assert found.label == ("Scan-01" if found.is_new else volume.label)
    else:
        mendable = "in error: " in text
        trouble = text.partition("in error: ")[2].partition(",")[0]
        assert stage.refuse() == (f"{NONE_FOUND}: slot 1: {trouble}" if mendable else NONE_FOUND)
        assert stage.notes == [f"Slot 1 {text}", ALL_LOADED]


def test_a_rejected_search_goes_on_with_the_slots_after_it() -> None:
    """A wrong volume found by label does not end the scan, as it would in stock."""
    slots = labelled(1, 2, 3)
    slots["1"] = FakeVolume("Foo", listed_label="Scan-01")
    stage = set_stage("traditional", slots, three_written())
    assert stage.find().label == "Scan-02"
    assert stage.changer.loaded == ["Scan-01", "next"]
    assert stage.notes == ["Slot 2 with label Scan-02 is usable"]


def test_a_volume_of_this_run_is_never_found() -> None:
    """With nothing retained, what this run has written is still not given again."""
    entries = [written("Scan-01", 1), written("Scan-02", 2)]
    config = make_config(tapecycle=1)
    for timestamp, label in (("20260501010101", "Scan-02"), (RUN, "Scan-01")):
        stage = set_stage("traditional", labelled(1, 2), entries, config=config)
        assert stage.run(timestamp).result.label == label


def test_the_label_search_knows_the_storage() -> None:
    """MATCH-AUTOLABEL with the storage's name in the template accepts a volume found by label."""
    config = make_config(autolabel='"$r-%%" empty', labelstr="MATCH-AUTOLABEL")
    entries = [written("main-01", 1), written("main-02", 2)]
    stage = set_stage("traditional", {"1": FakeVolume("main-01")}, entries, config=config)
    assert stage.find().label == "main-01"
    assert stage.changer.loaded == ["main-01"]


def test_a_wanted_volume_in_use_is_passed_over() -> None:
    """A volume held by another process is named in the log and the next one tried."""
    slots = labelled(1, 2, 3)
    assert slots["1"] is not None
    slots["1"].in_use = True
    stage = set_stage("traditional", slots, three_written())
    assert stage.find().label == "Scan-02"
    in_use = "Slot 1 is already in use"
    assert stage.notes == [in_use, in_use, "Slot 2 with label Scan-02 is usable"]


@pytest.mark.parametrize("reason", [None, *ChangerReason])
def test_a_failing_search_by_label_ends_the_scan_unless_slots_may_help(
    reason: ChangerReason | None,
) -> None:
    """Only not found, in use and invalid let the slots be walked."""
    slots = labelled(1, 2, 3)
    assert slots["1"] is not None
    slots["1"].load_error = ChangerError("two\nlines", reason, "1")
    stage = set_stage("traditional", slots, three_written())
    stage.changer.current = "2"
    outcome = stage.run()
    assert stage.notes[0] == "two lines"
    if reason in (ChangerReason.NOTFOUND, ChangerReason.VOLINUSE, ChangerReason.INVALID):
        assert outcome.result.label == "Scan-02"
    else:
        assert outcome.refusal == "two lines"


@pytest.mark.parametrize("reason", [None, *ChangerReason])
def test_a_failing_slot_ends_the_walk_or_is_passed_over(reason: ChangerReason | None) -> None:
    """In use, invalid and empty slots are passed over; not found is the end; the rest fails."""
    broken = FakeVolume("Scan-01", load_error=ChangerError("broken", reason, "1"))
    changer = FakeAsyncChanger({"1": broken, "2": blank()}, fast_search=False)
    stage = set_stage("traditional", changer)
    outcome = stage.run()
    assert stage.notes[0] == "broken"
    if reason in (ChangerReason.VOLINUSE, ChangerReason.INVALID, ChangerReason.EMPTY):
        assert outcome.result.label == "Scan-01"
    elif reason is ChangerReason.NOTFOUND:
        assert outcome.refusal == NONE_FOUND
    else:
        assert outcome.refusal == "broken"
    assert len(stage.changer.reserved) == (outcome.result is not None)


def test_a_changer_without_slots_has_no_acceptable_volumes() -> None:
    """An empty directory gives the plain answer, not a complaint about a slot without a name."""
    stage = set_stage("traditional", {})
    assert stage.refuse() == NONE_FOUND
    assert stage.notes == ["Slot 0 not found"]


def test_a_current_slot_that_does_not_exist_is_stepped_over() -> None:
    """Another program may have left the changer at a slot that is gone."""
    stage = set_stage("traditional", {"1": blank()})
    stage.changer.current = "7"
    assert stage.refuse() == "Slot 7 not found"
    assert stage.notes == ["Slot 7 not found", "Slot 7 not found"]


def test_two_scans_at_once_take_turns_and_get_two_volumes() -> None:
    """The second of two scans waits for the first, and finds another slot."""
    stage = set_stage("traditional", {"1": blank(), "2": blank(), "3": blank()})
    stage.changer.gate.open = False
    first, second = stage.run(), stage.run()
    while stage.changer.gate.step():
        pass
    assert [one.result.reservation.slot for one in (first, second)] == ["1", "2"]
    assert stage.changer.loaded == ["current", "next"]


def test_a_failed_scan_lets_the_next_one_run() -> None:
    """A tapelist that cannot be read fails one scan, with its text, and no more."""
    stage = set_stage("traditional", {"1": blank()})
    stage.store.fault = TapelistError("Failed to read tapelist\nfile")
    assert stage.refuse() == "Failed to read tapelist file"
    stage.store.fault = None
    assert stage.find().label == "Scan-01"


def test_slots_behind_one_already_given_are_not_forgotten() -> None:
    """What lies beyond a slot of an earlier scan is tried, wherever the current slot was moved."""
    stage = set_stage("traditional", {str(n): blank() for n in range(1, 5)})
    assert stage.find().reservation.slot == "1"
    assert stage.find().reservation.slot == "2"
    stage.changer.current = "4"
    assert stage.find().reservation.slot == "3"
    assert stage.find().reservation.slot == "4"
    assert stage.refuse() == NONE_FOUND
    assert stage.notes[-1] == ALL_LOADED
    assert stage.notes.count(ALL_LOADED) == 1


def test_a_volume_that_failed_is_not_found_by_label_again() -> None:
    """A volume given back after a failure is passed over; one given back untouched is not."""
    stage = set_stage("traditional", labelled(1, 2, 3), three_written())
    first = stage.find()
    first.reservation.release()
    second = stage.find()
    assert (first.label, second.label) == ("Scan-01", "Scan-02")
    second.reservation.release()
    stage.scan.untouched(first)
    assert stage.find().label == "Scan-01"


@pytest.mark.parametrize("where", ["meta_error", "release_error"])
def test_an_error_while_judging_fails_the_scan_and_releases(where: str) -> None:
    """A changer that fails to tell a meta label or to release leaves nothing held."""
    autolabel = '"Scan-%%" empty' if where == "meta_error" else '"Scan-%%" volume-error'
    volume = blank()
    setattr(volume, where, ChangerError("lost\nthe lock"))
    stage = set_stage("traditional", {"1": volume}, config=make_config(autolabel=autolabel))
    assert stage.refuse() == "lost the lock"


def test_a_label_that_cannot_be_made_fails_the_scan() -> None:
    """A template without anything that changes fails, and the volume is given back."""
    stage = set_stage("traditional", {"1": blank()}, config=make_config(autolabel='"Same" empty'))
    assert stage.refuse() == "autolabel require at least one '%' or '!'"
    assert stage.notes == ["Slot 1 without label can be labeled"]


def test_a_volume_whose_new_label_would_not_match_labelstr_is_passed_over() -> None:
    """It is said, and a volume that can be had is found behind it."""
    config = make_config(autolabel='"Tape-%%" empty')
    slots = {"1": blank(), "2": FakeVolume("Scan-01")}
    entries = [written("Scan-01", 1), written("Scan-02", 2)]
    stage = set_stage("traditional", slots, entries, config=config)
    stage.changer.fast_search = False
    assert stage.find().label == "Scan-01"
    assert stage.notes == [
        "Slot 1 without label can be labeled",
        "Can't label slot 1: the new label 'Tape-01', made by autolabel 'Tape-%%', does not match "
        "labelstr '^Scan-[0-9][0-9]$'",
        "Slot 2 with label Scan-01 is usable",
    ]


def test_the_reason_of_a_scan_that_finds_nothing_is_what_could_be_mended() -> None:
    """The last volume in error, in this scan or before, not the last one that was looked at."""
    slots = {"1": bad(error="cannot connect to nas:10000"), "2": FakeVolume("Foo"), "3": blank()}
    stage = set_stage("traditional", slots)
    stage.find()
    for _ in range(2):
        assert stage.refuse() == f"{NONE_FOUND}: slot 1: cannot connect to nas:10000"

"""The scans that choose from an inventory: lexical and oldest [changers 1.5 to 1.7]."""

from __future__ import annotations

import pytest
from attrs import evolve

from devices.errors import ChangerError, ChangerReason, Status
from protocols.tapelist import TapelistEntry
from tests.fakes.async_changer import FakeAsyncChanger, FakeVolume, bad, blank
from tests.fakes.scanning import make_config, set_stage, written

NONE_FOUND = "No acceptable volumes found"


def volumes(*labels: str) -> dict[str, FakeVolume | None]:
    return {str(slot): FakeVolume(label) for slot, label in enumerate(labels, 1)}


def fresh(label: str) -> TapelistEntry:
    """Labelled by hand, never written."""
    return evolve(written(label, 1), datestamp="0")


def order_of(algorithm: str, slots: dict[str, FakeVolume | None], *entries: TapelistEntry) -> str:
    """The slots in the order they are tried, when none of them turns out well."""
    for volume in slots.values():
        if volume is not None:
            volume.in_use = True
    stage = set_stage(algorithm, slots, entries)
    stage.refuse()
    return " ".join(stage.changer.loaded)


def test_lexical_goes_on_after_the_last_label_written() -> None:
    """Labels are tried in their order, from the one after the newest on."""
    slots = volumes("Scan-01", "Scan-04", "Scan-03", "Scan-05", "Scan-02")
    slots["6"] = blank()
    entries = [
        written("Scan-03", 9),
        written("Scan-01", 1),
        written("Scan-04", 2),
        fresh("Scan-05"),
        written("Scan-02", 3),
    ]
    # the blank one would become Scan-06
    assert order_of("lexical", slots, *entries) == "2 4 6 1 5"


def test_lexical_looks_at_its_own_pool_only_for_the_last_label() -> None:
    """A newer volume of another pool does not move the place to go on from."""
    slots = volumes("Scan-01", "Scan-02", "Scan-04")
    entries = [
        written("Scan-02", 1),
        written("Scan-04", 2),
        written("Scan-01", 3),
        written("Scan-03", 4, pool="deep"),
    ]
    assert order_of("lexical", slots, *entries) == "2 3"


def test_lexical_tries_unknown_and_bad_slots_last() -> None:
    """What the changer cannot tell comes after what it can, and errors at the very end."""
    slots: dict[str, FakeVolume | None] = {
        "1": bad(),
        "2": FakeVolume("Scan-02", known=False),
        "3": None,
        "4": FakeVolume("Scan-01"),
        "5": blank(known=False),
    }
    entries = [written("Scan-01", 1), written("Scan-02", 2)]
    assert order_of("lexical", slots, *entries) == "4 2 5 1"


def test_oldest_takes_new_volumes_first_and_bad_ones_never() -> None:
    """Labelled blanks, blanks, then by age, then the unknown."""
    slots: dict[str, FakeVolume | None] = {
        "1": bad(),
        "2": FakeVolume("Scan-05", known=False),
        "3": FakeVolume("Scan-02"),
        "4": FakeVolume("Scan-03"),
        "5": blank(),
        "6": FakeVolume("Scan-04"),
        "7": FakeVolume("Scan-01"),
    }
    entries = [
        written("Scan-01", 9),
        written("Scan-02", 2),
        written("Scan-03", 1),
        fresh("Scan-04"),
    ]
    assert order_of("oldest", slots, *entries) == "6 5 4 3 2"


def test_active_volumes_are_left_out_without_a_word() -> None:
    """Nothing is loaded and nothing logged when the inventory shows active volumes only."""
    slots = volumes("Scan-01", "Foo")
    stage = set_stage("lexical", slots, [written("Scan-01", 1)])
    assert stage.refuse() == NONE_FOUND
    assert (stage.changer.loaded, stage.notes) == ([], [])


def test_the_current_slot_stays_where_it_is() -> None:
    """Loads of an inventory scan do not move the slot other programs go on from."""
    slots = {**volumes("Scan-01"), "2": blank()}
    stage = set_stage("oldest", slots, [written("Scan-01", 1)])
    assert stage.find().reservation.slot == "2"
    assert (stage.changer.current, stage.notes) == ("1", ["Slot 2 without label can be labeled"])


def test_a_pool_volume_of_another_name_is_relabelled() -> None:
    """A reusable volume whose label the labelstr no longer allows gets a new one."""
    entries = [written("Old-01", 1), written("Scan-01", 2)]
    stage = set_stage("lexical", volumes("Old-01"), entries)
    found = stage.find()
    assert (found.label, found.is_new) == ("Scan-02", True)
    assert stage.notes == ["Slot 1 with label Old-01 will be relabeled"]


@pytest.mark.parametrize("algorithm", ["lexical", "oldest"])
def test_a_foreign_label_is_relabelled_where_autolabel_allows_it(algorithm: str) -> None:
    """A readable label of nobody we know gets one of ours, as newer Amanda has it."""
    config = make_config(autolabel='"Scan-%%" empty other-config')
    stage = set_stage(algorithm, volumes("Foo"), config=config)
    found = stage.find()
    assert (found.label, found.is_new) == ("Scan-01", True)
    assert stage.notes == ["Slot 1 with label Foo will be relabeled"]


@pytest.mark.parametrize("algorithm", ["lexical", "oldest"])
@pytest.mark.parametrize("entry", [None, written("Foo", 1, config="Other")])
def test_a_foreign_label_is_left_alone_and_not_called_one_to_be_relabelled(
    algorithm: str, entry: TapelistEntry | None
) -> None:
    """Without ``other-config``, and never when the tapelist has it for another configuration."""
    words = "empty" if entry is None else "empty other-config"
    config = make_config(autolabel=f'"Scan-%%" {words}')
    slots: dict[str, FakeVolume | None] = {"1": FakeVolume("Foo", known=False)}
    stage = set_stage(algorithm, slots, [] if entry is None else [entry], config=config)
    assert stage.refuse() == NONE_FOUND
    why = "do not match labelstr" if entry is None else "is use by config Other"
    assert stage.notes == [f"Slot 1 with label Foo {why}"]


@pytest.mark.parametrize("algorithm", ["lexical", "oldest"])
def test_a_label_of_ours_that_the_tapelist_lacks_is_left_alone(algorithm: str) -> None:
    """``other-config`` is for the labels of others."""
    config = make_config(autolabel='"Scan-%%" empty other-config')
    slots: dict[str, FakeVolume | None] = {"1": FakeVolume("Scan-07", known=False)}
    stage = set_stage(algorithm, slots, config=config)
    assert stage.refuse() == NONE_FOUND
    assert stage.notes[-1] == "Slot 1 with label Scan-07 is not in the tapelist"


def test_a_label_that_exists_sends_the_scan_to_the_next_volume() -> None:
    """Where the label comes from the barcode, a barcode labelled before is passed over."""
    config = make_config(autolabel='"Scan-$b" empty', labelstr='"."')
    slots = {"1": blank(barcode="A"), "2": blank(barcode="B")}
    stage = set_stage("lexical", slots, [fresh("Scan-A")], config=config)
    assert stage.find().label == "Scan-B"
    assert stage.notes == [
        "Slot 1 without label can be labeled",
        "Can't label slot 1: Label 'Scan-A' already exists",
        "Slot 2 without label can be labeled",
    ]


@pytest.mark.parametrize("algorithm", ["lexical", "oldest"])
def test_a_new_label_that_would_not_match_labelstr_is_not_given(algorithm: str) -> None:
    """Some barcodes make labels of ours; the others are told of, and come last."""
    config = make_config(autolabel='"Scan-$b" empty')
    slots = {"1": blank(barcode="A7"), "2": blank(barcode="07")}
    stage = set_stage(algorithm, slots, config=config)
    assert stage.find().label == "Scan-07"
    why = (
        "Can't label slot 1: the new label 'Scan-A7', made by autolabel 'Scan-$b', "
        "does not match labelstr '^Scan-[0-9][0-9]$'"
    )
    assert stage.refuse() == why
    assert stage.notes.count(why) == 1


def test_a_label_that_cannot_be_made_fails_the_scan() -> None:
    """A template without anything that changes fails, and the volume is given back."""
    stage = set_stage("lexical", {"1": blank()}, config=make_config(autolabel='"Same" empty'))
    assert stage.refuse() == "autolabel require at least one '%' or '!'"


def test_the_last_error_is_what_the_scan_fails_with() -> None:
    """A volume that could not be read, or not be had, is the reason given at the end."""
    unreadable = bad(error="cannot\nread", known=False)
    assert set_stage("lexical", {"1": unreadable}).refuse() == "cannot read"
    held = blank(in_use=True)
    stage = set_stage("oldest", {"1": held})
    assert stage.refuse() == "Slot 1 is already in use"
    assert stage.notes == ["Slot 1 is already in use"]


def test_an_inventory_that_trusts_names_of_files_does_not_hold_the_scan_up() -> None:
    """A volume that is not what the inventory goes on calling it is tried once."""
    slots: dict[str, FakeVolume | None] = {
        "1": bad(listed_label="Scan-01"),
        "2": FakeVolume("Foo", listed_label="Scan-02"),
    }
    entries = [written("Scan-01", 1), written("Scan-02", 2), written("Scan-03", 3)]
    stage = set_stage("lexical", slots, entries)
    assert stage.refuse() == NONE_FOUND
    assert stage.changer.loaded == ["1", "2"]
    # stock leaves it at the first line of each [changers quirk 13]
    assert stage.notes == [
        "Slot 1 without label can be labeled",
        "Slot 1 is a volume in error: it squeaks, autolabel disabled",
        "Slot 2 with label Foo do not match labelstr",
    ]
    assert stage.refuse() == NONE_FOUND
    assert stage.changer.loaded == ["1", "2"]


def test_a_volume_that_changed_since_it_was_tried_is_tried_again() -> None:
    """Once the inventory tells of another volume in a slot, the slot is worth a load."""
    slots = {"1": FakeVolume("Scan-01", listed_label="Scan-02")}
    stage = set_stage("lexical", slots, [written("Scan-02", 1), written("Scan-03", 3)])
    assert stage.refuse() == NONE_FOUND
    stage.changer.slots["1"] = blank()
    assert stage.find().label == "Scan-01"


def test_a_later_scan_goes_on_with_the_list_of_the_earlier_one() -> None:
    """The second of two scans needs no new inventory while candidates are left."""
    stage = set_stage("lexical", {"1": blank(), "2": blank(), "3": blank()})
    assert [stage.find().reservation.slot for _ in range(3)] == ["1", "2", "3"]
    assert stage.changer.inventories == 1
    assert stage.refuse() == NONE_FOUND


def test_a_volume_given_back_untouched_is_found_again() -> None:
    """A volume that was found and then not wanted is the first to be offered next time."""
    stage = set_stage("lexical", {"1": blank(), "2": blank()})
    found = stage.find()
    found.reservation.release()
    stage.scan.untouched(found)
    assert stage.find().reservation.slot == "1"


@pytest.mark.parametrize("reason", [None, *ChangerReason])
def test_an_inventory_that_cannot_be_had_fails_the_scan(reason: ChangerReason | None) -> None:
    """Without an operator there is nothing to wait for."""
    stage = set_stage("lexical", {"1": blank()})
    stage.changer.inventory_error = ChangerError("mtx:\nno", reason)
    assert stage.refuse() == "mtx: no"


@pytest.mark.parametrize("where", ["meta_error", "release_error"])
def test_an_error_of_the_changer_leaves_nothing_held(where: str) -> None:
    """A changer that fails to tell a meta label or to release ends the scan with its text."""
    volume = blank() if where == "meta_error" else bad(Status.DEVICE_ERROR, known=False)
    setattr(volume, where, ChangerError("lost the lock"))
    assert set_stage("lexical", {"1": volume}).refuse() == "lost the lock"


def test_two_scans_at_once_take_turns() -> None:
    """The second of two scans waits for the first, and finds another slot."""
    changer = FakeAsyncChanger({"1": blank(), "2": blank()})
    stage = set_stage("oldest", changer)
    changer.gate.open = False
    first, second = stage.run(), stage.run()
    while changer.gate.step():
        pass
    assert [one.result.reservation.slot for one in (first, second)] == ["1", "2"]

"""``chg-disk``: slots that are not there yet, and how they are made."""

from __future__ import annotations

import errno
import os

import pytest

from devices.errors import ChangerError, ChangerReason
from devices.interfaces import AccessMode, LoadRequest, Relative
from protocols.header import HeaderType
from tests.devices.disk_world import (
    CURRENT,
    NEXT,
    disk,
    failure,
    label,
    make_root,
    put_state,
    state_of,
)
from tests.fakes.changers import open_blocking
from tests.fakes.config import make_config


@pytest.fixture
def root(tmp_path):
    return make_root(tmp_path)


def test_an_empty_root_ends_a_scan(tmp_path):
    """Without any slot the scan's end signal is given and no odd current slot stored
    [changers quirk 11]."""
    changer = open_blocking(f"chg-disk:{tmp_path}", make_config(), None)
    current = LoadRequest(relative=Relative.CURRENT, set_current=True)
    assert failure(changer, current) == ("Slot 0 not found", ChangerReason.INVALID, "0")
    end = ("all slots have been loaded", ChangerReason.NOTFOUND, None)
    assert failure(changer, LoadRequest(relative=Relative.NEXT, set_current=True)) == end
    changer.reset()
    assert "current" not in state_of(tmp_path)
    assert not (tmp_path / "data").is_symlink()
    assert changer.inventory() == []


@pytest.mark.parametrize("properties", [{"auto_create_slot": "yes"}, {}])
@pytest.mark.parametrize("before", ["nothing", "reset", "reset by stock", "looked at by stock"])
@pytest.mark.parametrize("request_", [CURRENT, NEXT, LoadRequest(slot="1")])
def test_the_first_slot_of_an_empty_root(tmp_path, properties, before, request_):
    """Where slots can be made the first one is; stock would make and use slot 0."""
    changer = disk(tmp_path, num_slot="10", **properties)
    if before == "reset":
        changer.reset()
    elif before != "nothing":
        put_state(tmp_path, {"current": "slot0"})
        (tmp_path / "data").symlink_to("slot0")
    entries = [(entry.slot, entry.header_type) for entry in changer.inventory()]
    assert entries == [("1", HeaderType.EMPTY)]
    reservation = changer.load(request_)
    assert (reservation.slot, reservation.reading.header_type) == ("1", HeaderType.EMPTY)
    reservation.device.start(AccessMode.WRITE, "D-01", "20260102030405")
    reservation.release()
    assert changer.info().slots == ("1",)
    assert [entry.label for entry in changer.inventory()][:1] == ["D-01"]
    text = failure(changer, LoadRequest(relative=Relative.NEXT, except_slots={"1", "2"}))[0]
    assert text == "all slots have been loaded"


def test_slots_that_nobody_wants_made(tmp_path):
    """num-slot alone makes no second slot, and none against auto-create-slot."""
    (tmp_path / "slot3").mkdir()
    text = failure(disk(tmp_path, num_slot="10"), LoadRequest(slot="1"))[0]
    assert text == "Slot 1 not found"
    (tmp_path / "slot3").rmdir()
    for properties in ({"num_slot": "10", "auto_create_slot": "no"}, {}):
        changer = disk(tmp_path, **properties)
        assert failure(changer, CURRENT)[0] == "Slot 0 not found"
        assert changer.inventory() == []
    (tmp_path / "slot0").mkdir()
    assert disk(tmp_path, num_slot="10").load(CURRENT).slot == "0"


def test_slot_names_with_zeros(root):
    """slot007 is slot 7."""
    (root / "slot007").mkdir()
    changer = disk(root)
    label(changer, "7", "D-07")
    assert changer.info().slots == ("1", "2", "3", "7", "10")
    assert (root / "slot007" / "00000.D-07").exists()
    assert changer.inventory()[3].label == "D-07"


# properties


def test_slots_are_made_when_something_is_written(root):
    """auto-create-slot makes a slot for a writer; it stays only if a volume came of it."""
    changer = disk(root, auto_create_slot="yes", num_slot="5")
    reservation = changer.load(LoadRequest(slot="4"))
    assert (root / "slot4").stat().st_mode & 0o777 == 0o700
    reservation.release()
    assert not (root / "slot4").exists()
    label(changer, "4", "D-04")
    assert (root / "slot4" / "00000.D-04").exists()
    for slot in ("0", "6"):
        assert failure(changer, LoadRequest(slot=slot))[0] == f"Slot {slot} not found"
    assert failure(changer, LoadRequest(slot="5", mode=AccessMode.READ))[0] == "Slot 5 not found"
    reservation = changer.load(LoadRequest(relative=Relative.NEXT, after="4"))
    assert reservation.slot == "5"
    reservation.release()
    assert not (root / "slot5").exists()


def test_a_slot_that_is_made_is_on_the_disk(root, monkeypatch):
    """Its name too: a power cut after DONE must not take the directory away with the dump."""
    synced = []
    monkeypatch.setattr(os, "fsync", lambda fd: synced.append(os.readlink(f"/proc/self/fd/{fd}")))
    changer = disk(root, auto_create_slot="yes", num_slot="12")
    changer.load(LoadRequest(slot="11")).release()
    assert synced == [str(root)]
    changer.load(LoadRequest(slot="1")).release()
    assert synced == [str(root)]


def test_a_slot_that_cannot_be_stored_is_not_made(root, monkeypatch):
    """The disk refuses its name: nothing is left that looks like a slot."""

    def broken(fd):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "fsync", broken)
    changer = disk(root, auto_create_slot="yes", num_slot="12")
    with pytest.raises(ChangerError, match="Slot 11 not found"):
        changer.load(LoadRequest(slot="11"))
    assert not (root / "slot11").exists()


def test_inventory_promises_new_slots(tmp_path):
    """With auto-create there are as many blank slots as a run may need, up to num-slot."""
    (tmp_path / "slot1").mkdir()
    (tmp_path / "slot1" / "00000.D-01").touch()
    (tmp_path / "slot2").mkdir()

    def slots(runtapes, **properties):
        return [e.slot for e in disk(tmp_path, runtapes, **properties).inventory()]

    assert slots(3) == ["1", "2"]
    assert slots(3, auto_create_slot="yes", num_slot="9") == ["1", "2", "3", "4"]
    assert slots(9, auto_create_slot="yes", num_slot="4") == ["1", "2", "3", "4"]
    assert slots(1, auto_create_slot="yes", num_slot="9") == ["1", "2"]
    assert slots(2, auto_create_slot="maybe", num_slot="9") == ["1", "2"]


@pytest.mark.parametrize(
    ("text", "slots"),
    [
        ("0", 1),
        ("", 1),
        ("many", 0),
        ("-3", 0),
        ("3x", 3),
        (" 3 ", 3),
        ("3.7", 3),
        ("9" * 5000, 10),
    ],
)
def test_a_number_that_is_none_counts_as_its_beginning(tmp_path, caplog, text, slots):
    """As Perl takes it; a warning names property, value and what was made of it."""
    changer = disk(tmp_path, 10, auto_create_slot="yes", num_slot=text, lock_timeout="60 s")
    assert len(changer.inventory()) == slots
    warnings = [record.getMessage() for record in caplog.records]
    assert any("'lock-timeout' should be a number" in line for line in warnings)
    told = [line for line in warnings if "'num-slot' should be a number from 0 to" in line]
    assert bool(told) == (text.strip() not in ("0", "3", ""))
    assert all(f"not '{text[:100]}', and counts as" in line for line in told)


def test_slots_that_are_there_are_used_whatever_num_slot_says(root):
    """It bounds what is made, not what is found."""
    assert disk(root, num_slot="many", auto_create_slot="yes").info().num_slots == 4

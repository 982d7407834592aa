"""chg-disk: slots as directories, current slot and reservations in a shared state file."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import pytest

from devices.changers.vtape_state import slot_number
from devices.errors import ChangerError, ChangerReason, Status
from devices.interfaces import LoadRequest, Relative, SlotState
from protocols.conf.sections import ChangerSection
from protocols.header import HeaderType
from protocols.perldata import parse_perl_data
from tests.contract.changer import ChangerContract
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
from tests.fakes.changers import open_blocking, open_waited
from tests.fakes.config import make_config


@pytest.fixture
def root(tmp_path):
    return make_root(tmp_path)


class TestDiskChanger(ChangerContract):
    @pytest.fixture
    def open_changer(self, root):
        return lambda: disk(root, opened=open_waited)


class TestDiskChangerMakingSlots(ChangerContract):
    @pytest.fixture
    def open_changer(self, root):
        return lambda: disk(root, opened=open_waited, auto_create_slot="yes", num_slot="12")


# reservations


def test_a_reservation_is_in_the_state_until_released(root):
    """Whoever reads the state sees slot and pid of the holder."""
    changer = disk(root)
    first, second = (changer.load(LoadRequest(slot=slot)) for slot in ("2", "10"))
    drives = state_of(root)["drives"]
    assert {name: (d["slot"], d["pid"]) for name, d in drives.items()} == {
        "drive0": ("slot2", os.getpid()),
        "drive1": ("slot10", os.getpid()),
    }
    first.release()
    third = changer.load(LoadRequest(slot="3"))
    assert state_of(root)["drives"]["drive0"]["slot"] == "slot3"
    for reservation in (second, third):
        reservation.release()
    assert state_of(root)["drives"] == {}


def test_in_use_texts(root):
    """By slot the error names the slot; by label it names the label, too, and no slot."""
    changer = disk(root)
    label(changer, "3", "D-03")
    reservation = changer.load(LoadRequest(slot="3"))
    by = f"in use by drive 'drive0' and process '{os.getpid()}'"
    in_use = ChangerReason.VOLINUSE
    other = disk(root)
    assert failure(other, LoadRequest(slot="3")) == (f"Slot 3 is already {by}", in_use, "3")
    assert failure(other, LoadRequest(label="D-03")) == (
        f"Slot 3, containing 'D-03', is already {by}",
        in_use,
        None,
    )
    reservation.release()


def test_dead_holders_are_dropped(root):
    """Entries of dead processes, of recycled pids and without a holder vanish; others stay."""
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    put_state(
        root,
        {
            "drives": {
                "drive0": {"slot": "slot1", "pid": gone.pid},
                "drive1": {"slot": "slot2", "pid": os.getpid()},  # an earlier process, our pid
                "drive2": {"slot": "slot3"},
                "drive3": {"pid": 1},
                "drive4": {"slot": "slot10", "pid": 1},
                "drive5": {"slot": "odd", "pid": 1},
                "drive6": None,
            }
        },
    )
    changer = disk(root)
    assert [entry.reserved for entry in changer.inventory()] == [False, False, False, True]
    assert set(state_of(root)["drives"]) == {"drive4", "drive5"}
    assert failure(changer, LoadRequest(slot="10"))[1] is ChangerReason.VOLINUSE


def test_unknown_keys_of_the_state_stay(root):
    """What others keep in the state survives our loads and releases."""
    put_state(root, {"theirs": {"a": [1, None]}, "drives": {"drive9": {"slot": "x", "pid": 1}}})
    disk(root).load(LoadRequest(slot="1", set_current=True)).release()
    state = state_of(root)
    assert state["theirs"] == {"a": [1, None]}
    assert state["drives"] == {"drive9": {"slot": "x", "pid": 1}}


@pytest.mark.parametrize("damage", [b"rubbish", b"$STATE = { 'drives' => undef };", b""])
def test_a_damaged_or_bare_state_does_not_stop_a_load(root, damage):
    """A damaged state is an empty one; an undef where a hash is normal is no hash."""
    (root / "state").write_bytes(damage)
    reservation = disk(root).load(LoadRequest(slot="1"))
    assert state_of(root)["drives"]["drive0"]["slot"] == "slot1"
    reservation.release()


def test_a_failed_load_holds_nothing(root):
    """When the device cannot be configured the slot is free again, and the text names why."""
    config = make_config(device_property={"nosuch": ("1",)})
    changer = open_blocking(f"chg-disk:{root}", config, None)
    text, reason, _ = failure(changer, LoadRequest(slot="1"))
    assert text == (
        "Error setting device property 'nosuch' to value '1' on device"
        f" 'file:{root}/slot1': No such device-property, expected one of block-size, comment,"
        " direct-io, directtcp-address, directtcp-peer-address, enforce-max-volume-usage, fsync,"
        " leom, max-volume-usage, monitor-free-space, slow-write, use-data"
    )
    assert reason is ChangerReason.DEVICE
    assert state_of(root)["drives"] == {}


def test_a_release_that_cannot_be_recorded_is_made_good_later(root):
    """A release whose state file stays locked is told, and entered at the next occasion."""
    holder = (
        "import fcntl, sys\nfile = open(sys.argv[1], 'ab+')\nfcntl.lockf(file, fcntl.LOCK_EX)\n"
        "print('locked', flush=True)\nsys.stdin.read()\n"
    )
    changer = disk(root, lock_timeout="0")
    reservation = changer.load(LoadRequest(slot="1"))
    with subprocess.Popen(
        [sys.executable, "-c", holder, str(root / "state")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as other:
        other.stdout.readline()
        with pytest.raises(ChangerError, match="Timeout trying to lock"):
            reservation.release()
        assert state_of(root)["drives"] != {}
    changer.close()
    assert state_of(root)["drives"] == {}


def test_waiting_for_the_state_can_be_stopped(root):
    """The stop event of the changer ends the wait of a load."""
    stop = threading.Event()
    changer = disk(root, stop=stop)
    stop.set()
    with disk(root)._state_file.locked():
        thread_error = []

        def load():
            try:
                changer.load(LoadRequest(slot="1"))
            except ChangerError as error:
                thread_error.append(error)

        thread = threading.Thread(target=load)
        thread.start()
        thread.join()
    assert "Stopped waiting" in thread_error[0].message


# slots and the current one


def test_current_is_kept_for_each_user_and_for_all(root):
    """set_current writes the user's key, the common key and the link."""
    changer = disk(root)
    changer.load(LoadRequest(slot="3", set_current=True)).release()
    state = state_of(root)
    assert state["current"] == "slot3"
    assert state["current_slot"] == {
        "config": {"DailySet": {"storage": {"S": {"changer": {"mydisk": "slot3"}}}}}
    }
    assert os.readlink(root / "data") == "slot3"
    state["current_slot"]["config"]["DailySet"]["storage"]["S"]["changer"]["mydisk"] = "slot10/"
    put_state(root, state)
    assert [entry.slot for entry in changer.inventory() if entry.current] == ["10"]


def test_links_of_killed_processes_go(root):
    """Those that were to become ``data``, and nothing else; not of one that lives."""
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    for pid in (dead.pid, os.getpid(), os.getppid()):
        (root / f"data.{pid}").symlink_to("slot2")
    (root / f"data.{dead.pid}0000000").write_bytes(b"no link")
    (root / "data.old").symlink_to("slot2")
    changer = disk(root)
    changer.load(NEXT).release()  # as a scan does, which looks for the current slot first
    changer.load(LoadRequest(slot="3", set_current=True)).release()
    assert os.readlink(root / "data") == "slot3"
    assert sorted(name for name in os.listdir(root) if name.startswith("data.")) == sorted(
        [f"data.{os.getppid()}", f"data.{dead.pid}0000000", "data.old"]
    )


def test_where_current_is_looked_for(root):
    """Own key, common key, link data, old link current, first slot, zero: the first that fits."""
    changer = disk(root)

    def current():
        reservation = changer.load(CURRENT)
        reservation.release()
        return reservation.slot

    assert current() == "1"
    (root / "current").symlink_to("slot2")
    assert current() == "2"
    assert os.readlink(root / "data") == "slot2"
    assert not (root / "current").is_symlink()
    put_state(root, {"current": "slot10", "current_slot": {"config": {"DailySet": {}}}})
    assert current() == "10"


def test_next_walks_and_wraps(root):
    """After 3 comes 10, after 10 the first; next of an unknown slot is the first."""
    changer = disk(root)

    def after(slot):
        request = LoadRequest(relative=Relative.NEXT, after=slot)
        reservation = changer.load(request)
        reservation.release()
        return reservation.slot

    assert [after(slot) for slot in ("1", "3", "10", "7")] == ["2", "10", "1", "1"]
    changer.load(LoadRequest(slot="2", set_current=True)).release()
    assert changer.load(NEXT).slot == "3"
    changer.close()


def test_a_step_to_the_next_slot_lists_nothing(root, monkeypatch):
    """A walk over a thousand slots would list a thousand names for each of them."""
    changer = disk(root)
    listed = []
    for name in ("scandir", "listdir"):
        plain = getattr(os, name)
        monkeypatch.setattr(
            os, name, lambda path, plain=plain: listed.append(os.fspath(path)) or plain(path)
        )

    def step(after):
        request = LoadRequest(relative=Relative.NEXT, after=after, set_current=True)
        changer.load(request).release()
        return listed.count(str(root))

    assert [step("1"), step("2")] == [0, 0]
    assert step("3") == 1  # there is no 4: what comes then?


def test_slots_that_are_not_there(root):
    """No such slot and no such label have their texts; nothing is made by asking."""
    changer = disk(root)
    for slot in ("4", "0", "x", "", "-1", "../slot1", "٣"):
        text = f"Slot {slot} not found"
        assert failure(changer, LoadRequest(slot=slot)) == (text, ChangerReason.INVALID, slot)
    for name in ("D-99", "", "x/../../slot1", "a\0b"):
        text = f"Label '{name}' not found"
        assert failure(changer, LoadRequest(label=name)) == (text, ChangerReason.NOTFOUND, None)
    assert changer.info().slots == ("1", "2", "3", "10")


@pytest.mark.parametrize(
    "told",
    ["slot1/../../away", "../slot1", "/slot1", "slot-1", "slot1\n", "slot\u0661", "slot", ""],
)
@pytest.mark.parametrize("where", ["state", "link"])
def test_slots_in_a_state_or_link_lead_nowhere_else(root, told, where):
    """What others wrote there is a slot of this root, or none at all."""
    assert slot_number(told) in (None, 1)
    away = root.parent / "away"
    away.mkdir()
    if where == "link" and told:
        (root / "data").symlink_to(told)
    put_state(root, {"current": told, "drives": {"drive0": {"slot": told, "pid": os.getpid()}}})
    changer = disk(root)
    held = changer.load(LoadRequest(relative=Relative.CURRENT))
    assert held.slot == "1"
    held.release()
    assert [*away.iterdir()] == []


def test_reset_goes_to_the_first_slot(root):
    changer = disk(root)
    changer.load(LoadRequest(slot="3", set_current=True)).release()
    changer.reset()
    assert changer.load(CURRENT).slot == "1"
    changer.close()


# labels, inventory


def test_a_label_is_found_by_file_name(root):
    """A volume is found by its label, whatever glob signs are in it."""
    changer = disk(root)
    for slot, name in (("2", "D[1]*"), ("10", "Größe{a}")):
        label(changer, slot, name)
        reservation = changer.load(LoadRequest(label=name))
        assert (reservation.slot, reservation.reading.label) == (slot, name)
        reservation.release()


def test_a_slot_that_cannot_be_looked_at_hides_no_other(root, caplog):
    """As with Amanda's changer: a link that leads to a disk that has failed, or round and round."""
    (root / "slot9").symlink_to("slot9")
    changer = disk(root)
    assert "9" not in [entry.slot for entry in changer.inventory()]
    held = changer.load(LoadRequest(slot="1"))
    held.release()
    assert f"passing over '{root}/slot9': Too many levels of symbolic links" in caplog.text


def test_a_file_name_that_lies_is_found_out(root):
    """A volume loaded by label but bearing another one is given back [changers quirk 32]."""
    changer = disk(root)
    label(changer, "2", "D-02")
    (root / "slot2" / "00000.D-02").rename(root / "slot2" / "00000.D-07")
    assert failure(changer, LoadRequest(label="D-07")) == (
        "Found unexpected tape 'D-02' while looking for 'D-07'",
        ChangerReason.NOTFOUND,
        "2",
    )
    reservation = changer.load(LoadRequest(slot="2"))
    assert reservation.reading.label == "D-02"
    assert changer.inventory()[1].label == "D-07"  # other programs trust the name, too
    reservation.release()


def test_inventory_tells_labels_and_holders(root):
    """Full slots with label or blank, which are held, which is current; no volume is opened."""
    changer = disk(root)
    label(changer, "2", "D-02")
    held = changer.load(LoadRequest(slot="3", set_current=True))
    inventory = {entry.slot: entry for entry in changer.inventory()}
    assert list(inventory) == ["1", "2", "3", "10"]
    assert {entry.state for entry in inventory.values()} == {SlotState.FULL}
    two, three = inventory["2"], inventory["3"]
    assert (two.label, two.device_status, two.header_type) == (
        "D-02",
        Status.SUCCESS,
        HeaderType.TAPESTART,
    )
    assert (three.label, three.device_status, three.header_type) == (
        None,
        Status.VOLUME_UNLABELED,
        HeaderType.EMPTY,
    )
    assert (three.reserved, three.current, two.reserved, two.current) == (True, True, False, False)
    held.release()


def test_a_slot_that_cannot_be_read_is_not_blank(root, monkeypatch):
    """A directory that cannot be listed shows an error, lest it be taken for a new volume."""
    real = os.listdir

    def refuse(path):
        if path.endswith("slot2"):
            raise PermissionError(13, "Permission denied", path)
        return real(path)

    monkeypatch.setattr(os, "listdir", refuse)
    entry = disk(root).inventory()[1]
    assert (entry.device_status, entry.header_type) == (Status.DEVICE_ERROR, None)
    assert entry.device_error == f"Error checking directory {root}/slot2: Permission denied"


def test_meta_label_belongs_to_the_root(root):
    """A meta label set through one slot is seen through all, and by the state."""
    changer = disk(root)
    reservation = changer.load(LoadRequest(slot="1"))
    assert (reservation.meta, reservation.get_meta_label()) == (None, None)
    reservation.set_meta_label("META-1")
    reservation.release()
    assert state_of(root)["meta"] == "META-1"
    other = disk(root).load(LoadRequest(slot="2"))
    assert (other.meta, other.get_meta_label()) == ("META-1", "META-1")
    other.release()


def test_the_state_may_lie_elsewhere(root, tmp_path):
    """changerfile names the state file, relative to the configuration."""
    section = ChangerSection("mydisk", tpchanger=f"chg-disk:{root}", changerfile="mystate")
    config = make_config(section, directory=str(tmp_path))
    open_blocking("mydisk", config, None).load(LoadRequest(slot="2", set_current=True)).release()
    state = parse_perl_data((tmp_path / "mystate").read_bytes())
    assert state["current_slot"]["config"]["DailySet"]["storage"]["DailySet"] == {
        "changer": {"mydisk": "slot2"}
    }
    assert not (root / "state").exists()

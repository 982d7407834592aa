"""chg-disk: slots as directories, current slot and reservations in a shared state file."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading

import pytest

from devices.changers import removable
from devices.changers.vtape_state import slot_number
from devices.errors import ChangerError, ChangerReason, Status
from devices.interfaces import AccessMode, LoadRequest, Relative, SlotState
from protocols.conf.sections import ChangerSection, Storage
from protocols.header import HeaderType
from protocols.perldata import format_perl_data, parse_perl_data
from tests.contract.changer import ChangerContract
from tests.fakes.changers import open_blocking, open_waited
from tests.fakes.config import make_config
from tests.fakes.scarce import ScarceThreads

CURRENT = LoadRequest(relative=Relative.CURRENT)
NEXT = LoadRequest(relative=Relative.NEXT)


@pytest.fixture
def root(tmp_path):
    """A root with slots 1, 2, 3 and 10."""
    root = tmp_path / "vtapes"
    root.mkdir()
    for slot in (1, 2, 3, 10):
        (root / f"slot{slot}").mkdir()
    return root


def disk(root, runtapes=1, stop=None, opened=open_blocking, **properties):
    """A chg-disk called ``mydisk`` used by storage ``S`` of ``DailySet``."""
    section = ChangerSection(
        "mydisk",
        tpchanger=f"chg-disk:{root}",
        property={name.replace("_", "-"): (value,) for name, value in properties.items()},
    )
    storage = Storage("S", tpchanger="mydisk", runtapes=runtapes)
    return opened(None, make_config(section), storage, stop=stop)


def state_of(root):
    return parse_perl_data((root / "state").read_bytes())


def put_state(root, state):
    (root / "state").write_bytes(format_perl_data(state))


def label(changer, slot, name):
    reservation = changer.load(LoadRequest(slot=slot))
    reservation.device.start(AccessMode.WRITE, name, "20260102030405")
    reservation.release()


def failure(changer, request):
    with pytest.raises(ChangerError) as caught:
        changer.load(request)
    error = caught.value
    return error.message, error.reason, error.slot


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
        " directtcp-address, directtcp-peer-address, enforce-max-volume-usage, fsync, leom,"
        " max-volume-usage, monitor-free-space, slow-write, use-data"
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


# removable disks


class Mounts:
    """Stands for mount and umount: the root is on another device while mounted."""

    def __init__(self, monkeypatch, root, works=True):
        self.mounted = False
        self.works = works
        self.commands = []
        monkeypatch.setattr(removable, "_run", self.run)
        monkeypatch.setattr(removable.RemovableRoot, "_mounted", lambda _: self.mounted)

    def run(self, command, stop):
        self.commands.append(os.path.basename(command[0]))
        self.mounted = self.works and command[0] == "/bin/mount"


def test_a_removable_root_must_be_another_device(root):
    """Without a disk in the drive the changer cannot be used, and no slot is made on the host."""
    with pytest.raises(ChangerError) as caught:
        disk(root, removable="yes", auto_create_slot="yes")
    assert caught.value.message == f"No removable disk mounted on '{root}'"
    assert caught.value.reason is ChangerReason.NOTFOUND


def test_a_disk_is_mounted_and_unmounted_at_the_end(root, tmp_path, monkeypatch):
    """mount for the first use; umount when the changer is closed and nothing is held."""
    mounts = Mounts(monkeypatch, root)
    changer = disk(
        root, removable="yes", mount="yes", umount="yes", umount_lockfile=str(tmp_path / "lock")
    )
    changer.load(LoadRequest(slot="1")).release()
    assert mounts.commands == ["mount"]
    changer.close()
    assert mounts.commands == ["mount", "umount"]


def test_an_idle_disk_is_unmounted_and_mounted_again(root, tmp_path, monkeypatch):
    """umount-idle 0: unmounted after each use, not while a slot is held, and mounted again."""
    mounts = Mounts(monkeypatch, root)
    lock = str(tmp_path / "lock")
    properties = {"removable": "yes", "mount": "yes", "umount": "yes", "umount_idle": "0"}
    changer = disk(root, **properties, umount_lockfile=lock)
    changer.info()
    assert mounts.commands == ["mount", "umount"]
    reservation = changer.load(LoadRequest(slot="1"))
    changer.inventory()
    other = disk(root, **properties, umount_lockfile=lock)
    other.close()
    assert mounts.commands == ["mount", "umount", "mount"]
    reservation.release()
    assert mounts.commands == ["mount", "umount", "mount", "umount"]


def test_the_idle_time_is_in_seconds(root, tmp_path, monkeypatch):
    """The wait before unmounting is what the manual says, and a new use calls it off."""
    mounts = Mounts(monkeypatch, root)
    timers = []

    class Timer(threading.Timer):
        def start(self):
            timers.append(self)

    monkeypatch.setattr(threading, "Timer", Timer)
    changer = disk(
        root,
        removable="yes",
        mount="yes",
        umount="yes",
        umount_idle="30",
        umount_lockfile=str(tmp_path / "lock"),
    )
    changer.info()
    assert timers[-1].interval == 30
    changer.info()
    assert len(timers) == 2
    assert timers[0].finished.is_set()
    assert mounts.commands == ["mount"]
    timers[1].interval = 0
    threading.Thread.start(timers[1])
    timers[1].join()
    assert mounts.commands == ["mount", "umount"]
    changer.info()
    assert mounts.commands == ["mount", "umount", "mount"]
    changer.close()
    assert mounts.commands == ["mount", "umount", "mount", "umount"]


def test_without_a_thread_for_the_wait_a_disk_is_unmounted_at_once(root, tmp_path, monkeypatch):
    """Nobody would do it later."""
    mounts = Mounts(monkeypatch, root)
    scarce = ScarceThreads(monkeypatch, lambda number: True)
    scarce.begin()
    lock = str(tmp_path / "lock")
    changer = disk(
        root, removable="yes", mount="yes", umount="yes", umount_idle="30", umount_lockfile=lock
    )
    for uses in (1, 2):
        changer.load(LoadRequest(slot="1")).release()
        assert mounts.commands == ["mount", "umount"] * uses


@pytest.mark.parametrize("command", ["mount", "umount"])
def test_a_mount_that_hangs_is_not_waited_for_at_the_end(monkeypatch, command):
    """It goes on without us once the stop event is set."""
    monkeypatch.setattr(removable, "COMMAND_GRACE", 0.0)
    stop = threading.Event()
    stop.set()
    script = "import signal; signal.pause()"
    begun = []
    real = subprocess.Popen

    def popen(words, **pipes):
        begun.append(real([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=-1))
        return begun[0]

    monkeypatch.setattr(subprocess, "Popen", popen)
    removable._run([f"/bin/{command}", "/disk"], stop)
    assert begun[0].poll() is None
    begun[0].kill()
    begun[0].wait()


def test_a_disk_another_process_uses_stays_mounted(root, tmp_path, monkeypatch):
    """The lock file, shared by all users, keeps the last but one from unmounting."""
    mounts = Mounts(monkeypatch, root)
    lock = tmp_path / "lock"
    holder = (
        "import fcntl, sys\nfile = open(sys.argv[1], 'ab+')\nfcntl.lockf(file, fcntl.LOCK_SH)\n"
        "print('locked', flush=True)\nsys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", holder, str(lock)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        other.stdout.readline()
        changer = disk(root, removable="yes", mount="yes", umount="yes", umount_lockfile=str(lock))
        changer.info()
        changer.close()
    assert mounts.commands == ["mount"]


def test_a_mount_that_does_not_help(root, tmp_path, monkeypatch):
    """When mounting brings nothing the text says that no disk is there, and no lock is kept."""
    Mounts(monkeypatch, root, works=False)
    lock = tmp_path / "lock"
    changer = disk(root, removable="yes", mount="yes", umount_lockfile=str(lock))
    with pytest.raises(ChangerError, match="No removable disk mounted on"):
        changer.load(LoadRequest(slot="1"))
    assert removable._SharedLock._held == {}

"""chg-multi: devices as slots, everything known of them in a shared state file."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.asynchronous import prepare_changer
from devices.changers.multi_state import MultiState
from devices.errors import ChangerError, ChangerReason, DeviceError, Status
from devices.file import FileDevice
from devices.interfaces import AccessMode, LoadRequest, Relative, SlotState, VolumeReading
from protocols.conf.sections import ChangerSection, DeviceSection, Storage
from protocols.header import HeaderType
from protocols.perldata import format_perl_data, parse_perl_data
from tests.contract.changer import ChangerContract
from tests.devices.refusals import assert_told_with_place, failure
from tests.fakes.changers import SteppedLanes, open_waited
from tests.fakes.config import make_config

CURRENT = LoadRequest(relative=Relative.CURRENT)
NEXT = LoadRequest(relative=Relative.NEXT)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Directories d1 to d3."""
    for number in (1, 2, 3):
        (tmp_path / f"d{number}").mkdir()
    return tmp_path


def multi(
    root: Path,
    devices: str | None = None,
    *sections: Any,
    stop: threading.Event | None = None,
    changerfile: str = "state",
    **properties: str,
) -> Any:
    """A chg-multi called ``mymulti`` used by storage ``S`` of ``DailySet``."""
    section = ChangerSection(
        "mymulti",
        tpchanger=f"chg-multi:{devices or f'file:{root}/d{{1..3}}'}",
        changerfile=changerfile,
        property={name.replace("_", "-"): (value,) for name, value in properties.items()},
        place="/etc/amanda/DailySet/amanda.conf:7",
    )
    storage = Storage("S", tpchanger="mymulti")
    config = make_config(section, *sections, directory=str(root))
    return open_waited(None, config, storage, stop=stop)


def state_of(root: Path) -> dict[str, Any]:
    return parse_perl_data((root / "state").read_bytes())


def put_state(root: Path, state: dict[str, Any]) -> None:
    (root / "state").write_bytes(format_perl_data(state))


def key(root: Path, number: int) -> str:
    return f"file:{root}/d{number}"


def label(changer: Any, slot: str, name: str) -> None:
    reservation = changer.load(LoadRequest(slot=slot))
    reservation.device.start(AccessMode.WRITE, name, "20260102030405")
    reservation.set_label(name)
    reservation.release()


class TestMultiChanger(ChangerContract):
    lacks = ("move",)

    @pytest.fixture
    def open_changer(self, root: Path) -> Any:
        return lambda: multi(root)


class TestMultiChangerOfAliases(ChangerContract):
    lacks = ("move",)

    @pytest.fixture
    def open_changer(self, root: Path) -> Any:
        sections = [DeviceSection(f"a{n}", tapedev=key(root, n)) for n in (1, 2)]
        return lambda: multi(root, "{a1,a2}", *sections, first_slot="10")


def test_a_slot_is_kept_by_its_device(root: Path) -> None:
    """State, reading and holder stand where stock looks for them, in its words."""
    changer = multi(root)
    label(changer, "1", "MU-01")
    held = changer.load(LoadRequest(slot="2", set_current=True))
    state = state_of(root)
    one, two = (state["slots"][key(root, number)] for number in (1, 2))
    assert one == {
        "state": 1,
        "label": "MU-01",
        "device_status": "0",
        "device_error": None,
        "f_type": "1",
    }
    assert two["pid"] == os.getpid()
    assert two["device_status"] == "8"
    assert two["device_error"] == "File 0 not found"
    assert (two["f_type"], two["label"], two["state"]) == ("-2", None, 1)
    assert state["current_slot_by_config"] == {"DailySet": key(root, 2)}
    user = {"storage": {"S": {"changer": {"mymulti": key(root, 2)}}}}
    assert state["current_slot_csc"] == {"DailySet": user}
    held.release()
    assert "pid" not in state_of(root)["slots"][key(root, 2)]


def test_an_alias_is_known_by_its_device(root: Path) -> None:
    """The state has the unaliased name, the device its alias."""
    changer = multi(root, "{drive}", DeviceSection("drive", tapedev=key(root, 1)))
    reservation = changer.load(CURRENT)
    assert reservation.device.name == "drive"
    assert list(state_of(root)["slots"]) == [key(root, 1)]
    reservation.release()


def test_slots_count_from_first_slot(root: Path) -> None:
    """Names go up from the property; others are not there."""
    changer = multi(root, first_slot="10")
    assert changer.info().slots == ("10", "11", "12")
    assert [entry.slot for entry in changer.inventory()] == ["10", "11", "12"]
    assert failure(changer, LoadRequest(slot="1")) == (
        "Slot 1 not defined",
        ChangerReason.NOTFOUND,
        "1",
    )


def test_next_goes_round(root: Path) -> None:
    """After the current one, or the one named, and from the last to the first."""
    changer = multi(root)
    seen = []
    for _ in range(3):
        reservation = changer.load(LoadRequest(relative=Relative.NEXT, set_current=True))
        seen.append(reservation.slot)
        reservation.release()
    assert seen == ["2", "3", "1"]
    for after, slot in (("1", "2"), ("3", "1"), ("77", "1")):
        reservation = changer.load(LoadRequest(relative=Relative.NEXT, after=after))
        assert reservation.slot == slot
        reservation.release()


@pytest.mark.parametrize(
    ("state", "slot"),
    [
        ({}, "1"),
        ({"current_slot": 3}, "3"),
        ({"current_slot": 3, "current_slot_by_config": {"DailySet": 2}}, "2"),
        (
            {
                "current_slot_by_config": {"DailySet": 2},
                "current_slot_csc": {"DailySet": {"storage": {"S": {"changer": {"mymulti": 3}}}}},
            },
            "3",
        ),
        ({"current_slot": 9}, "1"),
        ({"current_slot_by_config": "?", "current_slot_csc": []}, "1"),
    ],
)
def test_the_current_slot_may_stand_in_three_places(root: Path, state: Any, slot: str) -> None:
    """This user's, else the configuration's, else the old place, else the first slot."""

    def named(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: named(inner) for name, inner in value.items()}
        return key(root, value) if isinstance(value, int) else value

    put_state(root, named(state))
    assert [e.slot for e in multi(root).inventory() if e.current] == [slot]


def test_labels_are_found_in_the_state_only(root: Path) -> None:
    """What was never looked at is not found; what is found is checked, and the state corrected."""
    changer = multi(root)
    wanted = LoadRequest(label="MU-01")
    message = ("Label 'MU-01' not found", ChangerReason.NOTFOUND, None)
    assert failure(changer, wanted) == message
    label(changer, "2", "MU-01")
    reservation = changer.load(wanted)
    assert reservation.slot == "2"
    reservation.release()
    changer.update("3=MU-01")
    text = "Found unlabeled tape while looking for 'MU-01'"
    assert failure(changer, wanted) == (text, ChangerReason.NOTFOUND, "3")
    assert failure(changer, wanted) == message
    changer.update("2")
    changer.load(wanted).release()


def test_in_use_texts_name_the_process(root: Path) -> None:
    """By slot and by label: the slot, and which process has it."""
    changer = multi(root)
    label(changer, "2", "MU-02")
    held = changer.load(LoadRequest(slot="2"))
    text = f"Slot 2 is already in use by process '{os.getpid()}'"
    for request in (LoadRequest(slot="2"), LoadRequest(label="MU-02")):
        assert failure(multi(root), request) == (text, ChangerReason.VOLINUSE, "2")
    assert [e.slot for e in changer.inventory() if e.reserved] == ["2"]
    with pytest.raises(ChangerError, match="Slot 2 is already in use"):
        changer.eject("2")
    held.release()


def test_dead_holders_hold_nothing(root: Path) -> None:
    """Neither a process that is gone, nor one of our number that came before us."""
    dead = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True
    )
    ours = os.getpid()
    entries = [
        {"pid": int(dead.stdout)},
        {"pid": ours},
        {"pid": ours, "holder": {"pid": ours, "started": "boot/1"}},
    ]
    slots = {key(root, number): entry for number, entry in enumerate(entries, 1)}
    put_state(root, {"slots": slots})
    changer = multi(root)
    assert not any(entry.reserved for entry in changer.inventory())
    assert state_of(root)["slots"] == {key(root, number): {} for number in (1, 2, 3)}


def test_a_mark_of_an_earlier_holder_does_not_free_the_slot(root: Path) -> None:
    """Stock overwrites the pid and keeps our mark, which then counts for nothing."""
    stranger = os.getppid()
    entry = {"pid": stranger, "holder": {"pid": os.getpid(), "started": "boot/1"}}
    put_state(root, {"slots": {key(root, 1): entry}})
    text = f"Slot 1 is already in use by process '{stranger}'"
    assert failure(multi(root), LoadRequest(slot="1"))[0] == text


def test_reset_keeps_living_holders(root: Path) -> None:
    """The first slot is current and nothing is known, but who holds what still is."""
    changer = multi(root)
    label(changer, "1", "MU-01")
    held = changer.load(LoadRequest(slot="2", set_current=True))
    changer.reset()
    entries = changer.inventory()
    assert [entry.current for entry in entries] == [True, False, False]
    assert [entry.reserved for entry in entries] == [False, True, False]
    assert [entry.state for entry in entries] == [SlotState.UNKNOWN] * 3
    held.release()
    assert not any(entry.reserved for entry in changer.inventory())


def test_update(root: Path) -> None:
    """All, ranges, those in error; what is in use is let be; what cannot be named is refused."""
    changer = multi(root)
    for slot in ("1", "2"):
        label(changer, slot, f"MU-0{slot}")
    changer.update("1-3=")
    assert [entry.label for entry in changer.inventory()] == [None] * 3
    held = changer.load(LoadRequest(slot="1"))
    changer.update("1,2-3")
    assert [entry.label for entry in changer.inventory()] == ["MU-01", "MU-02", None]
    held.release()
    put_state(root, {"slots": {key(root, 2): {"device_status": "16", "label": "old"}}})
    changer.update("error")
    assert [entry.label for entry in changer.inventory()] == [None, "MU-02", None]
    changer.update()
    assert [entry.label for entry in changer.inventory()] == ["MU-01", "MU-02", None]
    for changed, text in (
        ("7", "slot '7': Does not exist"),
        ("x", "slot 'x': Invalid slot"),
        ("1-x", "slot '1-x': Invalid slots range"),
        ("1-2=MU-09", "slot '1-2': Invalid slot"),
    ):
        with pytest.raises(ChangerError) as caught:
            changer.update(changed)
        assert (caught.value.message, caught.value.reason) == (text, ChangerReason.INVALID)


def test_eject_by_slot(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The current one, or the one named; a release ejects when asked to."""
    ejected: list[str] = []
    monkeypatch.setattr(FileDevice, "eject", lambda device: ejected.append(device.name))
    changer = multi(root)
    changer.eject()
    changer.eject("3")
    changer.load(LoadRequest(slot="2")).release(eject=True)
    assert ejected == [key(root, number) for number in (1, 3, 2)]
    with pytest.raises(ChangerError, match="Invalid slot '9'"):
        changer.eject("9")


# faults


@pytest.mark.parametrize("operation", ["open", "read_label", "eject", "finish"])
def test_a_device_that_fails_leaves_the_slot_free(
    root: Path, monkeypatch: pytest.MonkeyPatch, operation: str
) -> None:
    """Whatever fails, the slot is nobody's afterwards."""
    changer = multi(root)

    def fail(*_: Any) -> None:
        raise DeviceError("broken")

    if operation == "open":
        changer = multi(root, "{nosuch:x}")
        message = "opening '1': Device type \"nosuch\" is not known"
        assert failure(changer, LoadRequest(slot="1"))[0].startswith(message)
    else:
        monkeypatch.setattr(FileDevice, operation, fail)
        asked = {
            "read_label": lambda: changer.load(LoadRequest(slot="1")),
            "eject": lambda: changer.eject("1"),
            "finish": lambda: _used(changer).release(),
        }[operation]
        with pytest.raises((ChangerError, DeviceError), match="broken"):
            asked()
        monkeypatch.undo()
    assert not any(entry.reserved for entry in changer.inventory())


def _used(changer: Any) -> Any:
    reservation = changer.load(LoadRequest(slot="1"))
    reservation.device.start(AccessMode.WRITE, "MU-01", "20260102030405")
    return reservation


def test_a_refused_property_leaves_the_slot_free(root: Path) -> None:
    """The load fails with what was refused, and nobody holds the slot."""
    config = make_config(directory=str(root), device_property={"leom": ("maybe",)})
    changer = open_waited(f"chg-multi:{{{key(root, 1)}}}", config, None)
    with pytest.raises(ChangerError, match="Error setting device property 'leom'"):
        changer.load(CURRENT)
    assert not changer.inventory()[0].reserved


def test_what_labelling_finds_is_kept(root: Path) -> None:
    """A label, an error and an erased label are in the inventory that others read."""
    changer = multi(root)
    reservation = changer.load(CURRENT)
    reservation.set_label("MU-01")
    (entry, *_) = multi(root).inventory()
    assert (entry.label, entry.device_status, entry.header_type) == (
        "MU-01",
        Status.SUCCESS,
        HeaderType.TAPESTART,
    )
    reservation.set_device_error(VolumeReading(Status.VOLUME_ERROR, error="torn"))
    (entry, *_) = multi(root).inventory()
    assert (entry.device_status, entry.device_error) == (Status.VOLUME_ERROR, "torn")
    reservation.set_label(None)
    (entry, *_) = multi(root).inventory()
    assert (entry.label, entry.device_status) == (None, Status.VOLUME_UNLABELED)
    reservation.release()


def test_an_unrecorded_release_is_recorded_later(root: Path) -> None:
    """The slot stays ours in the state while it cannot be written, no longer."""
    changer = multi(root, lock_timeout="0")
    reservation = changer.load(CURRENT)
    os.rename(root / "state", root / "aside")
    (root / "state").mkdir()
    with pytest.raises(ChangerError):
        reservation.release()
    (root / "state").rmdir()
    os.rename(root / "aside", root / "state")
    assert not any(entry.reserved for entry in changer.inventory())


@pytest.mark.parametrize(
    ("devices", "text"),
    [
        ("{file:/a,", "no devices specified by 'chg-multi:{file:/a,': '{file:/a,' has a '{'"),
        ("{,file:/a}", "no devices specified by 'chg-multi:{,file:/a}': a list of devices"),
    ],
)
def test_bad_names_are_told_with_their_place(root: Path, devices: str, text: str) -> None:
    """File, line and value are named, and what was expected."""
    place = "(changer 'mymulti', defined in '/etc/amanda/DailySet/amanda.conf', line 7)"
    assert_told_with_place(lambda: multi(root, devices), text, place)


def test_without_a_changerfile_there_is_no_changer(root: Path) -> None:
    """The global parameter stands in; where it is empty, too, that is an error."""
    name = f"chg-multi:{key(root, 1)}"
    config = make_config(directory=str(root), changerfile="other")
    open_waited(name, config, None).inventory()
    assert (root / "other").exists()
    with pytest.raises(ChangerError, match="no changerfile specified for changer 'chg-multi:"):
        open_waited(name, make_config(changerfile=""), None)


# any state at all

_KEYS = ("slots", "pid", "holder", "label", "state", "device_status", "f_type", "file:/a")
_CURRENT = ("current_slot", "current_slot_csc", "current_slot_by_config", "DailySet")
_values = st.recursive(
    st.none() | st.integers(-3, 20) | st.sampled_from(["1", "-2", "x", "", "file:/a"]),
    lambda inner: st.dictionaries(
        st.sampled_from(
            [
                "slots",
                "pid",
                "holder",
                "label",
                "state",
                "device_status",
                "f_type",
                "file:/a",
                "current_slot",
                "current_slot_csc",
                "current_slot_by_config",
                "DailySet",
            ]
        ),
        inner,
        max_size=4,
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(["slots", "current_slot", "other"]), _values), st.text())
def test_any_state_can_be_read(state: dict[str, Any], name: str) -> None:
    """Whatever stands in the file, it is told, and what is written is found again."""
    config = make_config()
    setup = prepare_changer("chg-multi:file:/a", config, None, SteppedLanes().context)
    mine = MultiState(state, setup)
    mine.told("1", "file:/a", current=True)
    mine.set_current("file:/a")
    assert mine.current()[:2] == ("file:/a", "file:/a")
    mine.note_label("file:/a", name or "L")
    assert mine.find(name or "L", ["file:/a"]) == "file:/a"
    mine.take("file:/a")
    assert mine.holder("file:/a") == os.getpid()
    mine.drop("file:/a")
    assert mine.holder("file:/a") is None


def test_the_devices_of_all_slots_are_imported_with_the_changer(tmp_path: Path) -> None:
    """While a dump stands still at a change of volumes, nobody waits for an import; a device that
    there is not, or that cannot be imported, is told when its slot is opened."""
    program = (
        "import sys; sys.modules['devices.s3'] = None\n"
        "from devices.registry import import_devices\n"
        "assert 'devices.file' not in sys.modules\n"
        "import_devices(['nosuch:x', 's3:bucket/x', ':', f'file:{sys.argv[1]}'])\n"
        "assert 'devices.file' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=True)

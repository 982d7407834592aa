"""Properties and state of a robot: what needs none."""

from __future__ import annotations

import re
from typing import Any

import pytest
from attrs import evolve

from devices.changers.robot import state_file_name
from devices.changers.robot_choice import (
    UpdateWork,
    choose_drive,
    choose_slot,
    slots_to_update,
)
from devices.changers.robot_settings import Poll, RobotSettings, read_settings
from devices.changers.robot_state import RobotState
from devices.changers.setup import ChangerSetup
from devices.errors import ChangerError, Status
from devices.interfaces import LoadRequest, VolumeReading
from protocols.conf import load
from protocols.conf.sections import ChangerSection
from protocols.header import HeaderType
from protocols.library import Place, RobotStatus
from tests.fakes.changers import SteppedLanes
from tests.fakes.config import make_config

DEVICES = ("0=ndmp:h@/d0", "1=ndmp:h@/d1")


def make_setup(**properties: tuple[str, ...]) -> ChangerSetup:
    given = {name.replace("_", "-"): values for name, values in properties.items()}
    section = ChangerSection("lib", property={"tape-device": DEVICES, **given})
    return ChangerSetup(
        name="lib",
        kind="ndmp",
        argument="h@robot",
        config=make_config(section),
        storage=None,
        section=section,
        context=SteppedLanes().context,
        open_device=pytest.fail,
        open_blocking=pytest.fail,
        open_child=pytest.fail,
    )


def make_state(data: dict[str, Any] | None = None, **properties: tuple[str, ...]) -> RobotState:
    setup = make_setup(**properties)
    return RobotState({} if data is None else data, setup, read_settings(setup))


def library(**drives: Place) -> RobotStatus:
    slots = {
        "1": Place(full=True, barcode="A1"),
        "2": Place(full=True, barcode="A2"),
        "3": Place(full=False),
        "4": Place(full=True),
        "5": Place(full=False, import_export=True),
    }
    empty = {"0": Place(full=False), "1": Place(full=False)}
    return RobotStatus(slots, {**empty, **{name[1:]: drive for name, drive in drives.items()}})


READING = VolumeReading(Status.SUCCESS, HeaderType.TAPESTART, "L-1", "20260102030405")


def test_a_label_is_remembered_by_its_barcode() -> None:
    """A volume that moves to another slot is still known."""
    state = make_state()
    state.merge(library())
    assert state.current() == "1"
    state.note_label("1", "L-1", READING)
    moved = library()
    slots = {**moved.slots, "1": Place(full=False), "3": Place(full=True, barcode="A1")}
    state.merge(RobotStatus(slots, moved.drives))
    told = {entry.slot: entry.label for entry in state.inventory()}
    assert told == {"1": None, "2": None, "3": "L-1", "4": None, "5": None}


def test_a_loaded_volume_still_belongs_to_its_slot() -> None:
    """The slot shows it as full and loaded; unloading brings everything home."""
    state = make_state()
    state.merge(library())
    state.note_loaded("1", "0")
    state.note_label("1", "L-1", READING)
    slots = {**library().slots, "1": Place(full=False)}
    drives = {"0": Place(full=True, barcode="A1", source="1"), "1": Place(full=False)}
    state.merge(RobotStatus(slots, drives))
    assert state.loaded_in("1") == "0"
    assert state.is_full("1")
    state.note_unloaded("0", "1")
    assert state.loaded_in("1") is None
    assert state.slots["1"]["label"] == "L-1"
    assert not state.is_drive_full("0")


def test_reservations_hold_and_dead_ones_vanish() -> None:
    """Ours holds; that of a process that is gone does not."""
    data: dict[str, Any] = {}
    state = make_state(data)
    state.merge(library(_0=Place(full=True, barcode="X", source="3")))
    state.take("0")
    assert state.is_held("0")
    assert state.is_ours("0")
    data["drives"]["0"]["res_info"] = {"pid": 2**22 + 1}
    state.merge(library(_0=Place(full=True, barcode="X", source="3")))
    assert not state.is_held("0")
    assert "res_info" not in data["drives"]["0"]


def test_a_volume_of_unknown_origin_gets_an_empty_slot() -> None:
    """So that it can be unloaded at all; no slot without a name appears."""
    data: dict[str, Any] = {"slots": {"": {"state": 1}}}
    state = make_state(data)
    state.merge(library(_0=Place(full=True, barcode="X")))
    assert state.in_drive("0") == "3"
    assert "" not in data["slots"]


def test_stock_s_forms_of_numbers_and_unknown_keys_survive() -> None:
    """Numbers in quotes, old forms of the current slot, keys of a later version."""
    data: dict[str, Any] = {
        "slots": {"1": {"state": "1", "barcode": "A1", "future": "x"}},
        "drives": {},
        "current_slot": "2",
        "other": {"kept": 1},
    }
    state = make_state(data)
    assert state.current() == "2"
    state.merge(library())
    assert data["slots"]["1"]["future"] == "x"
    assert data["other"] == {"kept": 1}
    state.set_current("4")
    assert data["current_slot"]["config"]["DailySet"]["storage"]["DailySet"]["changer"] == {
        "lib": 4
    }


def test_slots_outside_of_use_slots_are_refused() -> None:
    """By slot and by label, each with its text; next steps over them."""
    state = make_state(use_slots=("2-3", "4"))
    state.merge(library())
    settings = read_settings(make_setup(use_slots=("2-3", "4")))
    with pytest.raises(ChangerError, match=r"^slot 1 not in use-slots \(2-3,4\)$"):
        choose_slot(state, settings, LoadRequest(slot="1"))
    state.slots["1"]["label"] = "L-1"
    with pytest.raises(ChangerError, match="label 'L-1' is in slot 1, which is not in use-slots"):
        choose_slot(state, settings, LoadRequest(label="L-1"))
    assert state.current() == "2"


def test_the_drive_least_recently_used_is_chosen() -> None:
    """Never-used drives first, then the one longest unused; firstavail keeps the order."""
    state = make_state()
    state.merge(library())
    settings = read_settings(make_setup())
    assert [choose_drive(state, settings) for _ in range(4)] == ["0", "1", "0", "1"]
    first = read_settings(make_setup(drive_choice=("firstavail",)))
    assert [choose_drive(state, first) for _ in range(2)] == ["0", "0"]


@pytest.mark.parametrize(
    ("text", "poll"),
    [
        ("5", Poll(5, 0, 120)),
        ("1m poll 3s", Poll(60, 3, 120)),
        ("0 poll 10s until 5m", Poll(0, 10, 300)),
        ("1 M  POLL 2 s\tuntil 0", Poll(60, 2, 0)),
    ],
)
def test_load_poll(text: str, poll: Poll) -> None:
    """A delay, how often, and until when; blanks before units and any case, as in stock."""
    assert read_settings(make_setup(load_poll=(text,))).load_poll == poll


def test_settings_have_the_defaults_of_stock() -> None:
    """What is not set is as the reference has it."""
    settings = read_settings(make_setup())
    assert settings == RobotSettings(tape_devices=(("0", "ndmp:h@/d0"), ("1", "ndmp:h@/d1")))
    assert (settings.least_recently_used, settings.fast_search) == (True, True)
    assert (settings.status_interval, settings.load_poll) == (2, Poll(0, 2, 120))
    assert (settings.eject_delay, settings.unload_delay, settings.use_slots) == (0, 0, None)
    assert not settings.eject_before_unload
    assert not settings.ignore_barcodes
    assert not settings.trust_own_slot


def test_every_property_is_read() -> None:
    """Each changes what it names."""
    settings = read_settings(
        make_setup(
            tape_device=("1=tape:/dev/nst1", "drive 00=tape:/dev/nst0"),
            drive_serial=("0=HU 17", "01= B "),
            use_slots=("1-5,11", " 20 "),
            drive_choice=("FirstAvail",),
            eject_before_unload=("yes",),
            eject_delay=("5",),
            unload_delay=("2m",),
            fast_search=("off",),
            ignore_barcodes=("true",),
            load_poll=("10s poll 3s until 4m",),
            status_interval=("1 fortnight",),
            broken_drive_loaded_slot=("1",),
            lock_timeout=("30",),
        )
    )
    assert settings == RobotSettings(
        tape_devices=(("1", "tape:/dev/nst1"), ("0", "tape:/dev/nst0")),
        serials={"0": "HU 17", "1": "B"},
        use_slots=((1, 5), (11, 11), (20, 20)),
        use_slots_text="1-5,11, 20 ",
        least_recently_used=False,
        eject_before_unload=True,
        eject_delay=5,
        unload_delay=120,
        fast_search=False,
        ignore_barcodes=True,
        load_poll=Poll(10, 3, 240),
        status_interval=1,
        trust_own_slot=True,
        lock_timeout=30.0,
    )
    assert [slot for slot in ("", "5", "6", "11", "20", "21") if settings.allows(slot)] == [
        *("5", "11", "20")
    ]


def test_the_only_drive_may_be_the_tapedev() -> None:
    """A section or a configuration without the property names the device of drive 0."""
    setup = make_setup()
    section = ChangerSection("lib", tapedev="tape:/dev/nst0")
    assert read_settings(evolve(setup, section=section)).tape_devices == (("0", "tape:/dev/nst0"),)
    bare = evolve(setup, section=None, config=make_config(tapedev="tape:/dev/nst1"))
    assert read_settings(bare).tape_devices == (("0", "tape:/dev/nst1"),)
    itself = ChangerSection("lib", tapedev="chg-ndmp:h@robot")
    with pytest.raises(ChangerError, match=r"^must specify a tape-device property: "):
        read_settings(evolve(setup, section=itself))


def test_a_changerdev_is_refused() -> None:
    """In the section, or for a changer without one the global one."""
    for setup in (
        evolve(make_setup(), section=ChangerSection("lib", changerdev="/dev/sg0")),
        evolve(make_setup(), section=None, config=make_config(changerdev="/dev/sg0")),
    ):
        with pytest.raises(ChangerError, match=r"^'changerdev' is not allowed with chg-ndmp: "):
            read_settings(setup)


@pytest.mark.parametrize(
    ("properties", "text"),
    [
        ({"tape_device": ()}, "no 'tape-device' property specified"),
        ({"tape_device": ("x",)}, "invalid 'tape-device' property 'x'"),
        ({"tape_device": ("99999=x",)}, "invalid 'tape-device' property '99999=x'"),
        ({"tape_device": ("0=a", "0=b")}, "tape-device drive 0 defined more than once"),
        ({"drive_serial": ("HU17",)}, "invalid 'drive-serial' property 'HU17'"),
        ({"drive_serial": ("0=A", "00=B")}, "invalid 'drive-serial' property '00=B'"),
        ({"use_slots": ("a-b",)}, "invalid 'use-slots' value 'a-b'"),
        ({"load_poll": ("1 poll",)}, "invalid delay value '1 poll' for 'load-poll'"),
        ({"load_poll": ("1", "2")}, "only one value allowed for 'load-poll'"),
        ({"drive_choice": ("best",)}, "invalid 'drive-choice' value 'best'"),
        ({"eject_delay": ("soon",)}, "invalid time value 'soon' for 'eject-delay'"),
        ({"unload_delay": ("1", "2")}, "only one value allowed for 'unload-delay'"),
        ({"status_interval": ("-1",)}, "invalid time value '-1' for 'status-interval'"),
        ({"eject_before_unload": ("maybe",)}, "invalid 'eject-before-unload' value"),
        ({"ignore_barcodes": ("yes", "no")}, "invalid 'ignore-barcodes' value"),
        ({"fast_search": ("",)}, "invalid 'fast-search' value"),
        ({"broken_drive_loaded_slot": ("2x",)}, "invalid 'broken-drive-loaded-slot' value"),
    ],
)
def test_properties_that_say_something_impossible(
    properties: dict[str, tuple[str, ...]], text: str
) -> None:
    """Refused when the changer is opened: stock's words, then what was expected, and where."""
    with pytest.raises(ChangerError) as caught:
        read_settings(make_setup(**properties))
    assert re.fullmatch(re.escape(text) + r": .* expected in changer 'lib'", caught.value.message)
    assert caught.value.fatal


def test_a_bad_property_is_told_with_its_line() -> None:
    """The text names file, line, value and what was expected."""
    text = (
        'define changer lib {\n  tpchanger "chg-robot:/dev/sg3"\n  property "DRIVE_choice" "x"\n}\n'
    )
    files = {"/etc/amanda/D/amanda.conf": text.encode()}
    loaded = load("D", files.get, config_root="/etc/amanda")
    setup = evolve(make_setup(), section=loaded.config.changer("lib"))
    with pytest.raises(ChangerError) as caught:
        setup.refuse("drive-choice", "invalid 'drive-choice' value 'x'", "lru or firstavail")
    assert caught.value.message == (
        "invalid 'drive-choice' value 'x': lru or firstavail expected "
        "('/etc/amanda/D/amanda.conf', line 3)"
    )


def test_the_state_file_is_where_stock_looks() -> None:
    """Runs of anything but letters and digits become one dash."""
    setup = make_setup()
    assert state_file_name(evolve(setup, argument="h:10@/dev/sg0")) == "chg-ndmp-h-10-dev-sg0"
    robot = evolve(setup, kind="robot", argument="/dev/sg0")
    assert state_file_name(robot) == "chg-robot-dev-sg0"


def test_a_barcode_of_digits_is_known_however_it_is_written() -> None:
    """Perl may write it as a number: its volume is the same all the same."""
    data: dict[str, Any] = {
        "slots": {"1": {"state": 1, "barcode": 123456, "label": "L-1", "device_status": 0}},
        "bc2lb": {"123456": "L-1"},
    }
    state = make_state(data)
    state.merge(RobotStatus({"1": Place(full=True, barcode="123456")}, {}))
    assert (state.slots["1"]["label"], state.slots["1"]["device_status"]) == ("L-1", 0)


# updates


@pytest.mark.parametrize(
    ("changed", "work"),
    [
        (None, UpdateWork(("1", "2", "4"))),
        ("2-9", UpdateWork(("2", "4"))),
        ("4,1,3", UpdateWork(("1", "4"))),
        ("1-2=", UpdateWork(("1", "2"), forget=True)),
        ("2=L-9", UpdateWork(("2",), label="L-9")),
        ("error", UpdateWork(("4",))),
    ],
)
def test_what_an_update_means(changed: str | None, work: UpdateWork) -> None:
    """All, ranges, those in error; to forget, to record."""
    state = make_state()
    state.merge(library())
    state.note_error("4", VolumeReading(Status.VOLUME_ERROR, error="bad"))
    assert slots_to_update(state, read_settings(make_setup()), changed) == work


@pytest.mark.parametrize(
    ("changed", "text"),
    [
        ("9=L", "slot 9 does not exist"),
        ("5=L", "slot 5 is not used by this changer"),
        ("3=L", "slot 3 is empty"),
        ("1=L", "slot 1 is currently loaded"),
        ("x=L", "slot 'x': Invalid slot"),
        ("y", "slot 'y': Invalid slot"),
        ("1-z", "slot '1-z': Invalid slots range"),
    ],
)
def test_what_an_update_cannot_mean(changed: str, text: str) -> None:
    """Told in stock's words."""
    state = make_state(use_slots=("1-4",))
    state.merge(library())
    state.note_loaded("1", "0")
    with pytest.raises(ChangerError) as caught:
        slots_to_update(state, read_settings(make_setup(use_slots=("1-4",))), changed)
    assert caught.value.message == text


def test_a_recorded_label_is_in_one_slot_only() -> None:
    """It is forgotten of all others; that somebody says so is no reading."""
    state = make_state()
    state.merge(library())
    state.note_label("1", "L-1", READING)
    state.note_label("4", "L-1", READING)
    state.record_label("2", "L-1")
    told = state.inventory()
    assert [entry.label for entry in told] == [None, "L-1", None, None, None]
    assert [entry.device_status for entry in told] == [None] * 5
    assert state.raw["bc2lb"] == {"A2": "L-1"}


def test_a_drive_that_cannot_be_emptied_is_not_chosen() -> None:
    """Somebody's cartridge is in it, and no slot is empty: the other drive has to do."""
    full = {str(slot): Place(full=True) for slot in range(1, 4)}
    state = make_state()
    state.merge(RobotStatus(full, {"0": Place(full=True, barcode="X"), "1": Place(full=False)}))
    settings = read_settings(make_setup())
    assert [choose_drive(state, settings) for _ in range(2)] == ["1", "1"]

"""Names, properties and the state of a robot: what needs no server."""

from __future__ import annotations

from typing import Any

import pytest
from zope.interface.verify import verifyObject

from devices.changers.base import ChangerSetup
from devices.changers.ndmp import state_file_name
from devices.changers.robot_choice import choose_drive, choose_slot
from devices.changers.robot_settings import Poll, read_settings
from devices.changers.robot_state import Place, RobotState, RobotStatus
from devices.errors import ChangerError, DriveFailed, PropertyRefused, Status
from devices.interfaces import IDeviceFacts, LoadRequest, VolumeReading
from devices.ndmp_control import ServerName, parse_server_name
from devices.ndmp_facts import NdmpFacts
from devices.registry import open_blocking_device
from protocols.conf.sections import ChangerSection
from protocols.header import HeaderType
from tests.fakes.changers import SteppedLanes
from tests.fakes.config import make_config

DEVICES = ("0=ndmp:h@/d0", "1=ndmp:h@/d1")


@pytest.mark.parametrize(
    ("node", "host", "port", "device"),
    [
        ("h@/dev/nst0", "h", 0, "/dev/nst0"),
        ("h:10001@/dev/nst0", "h", 10001, "/dev/nst0"),
        ("h@a:b@c", "h", 0, "a:b@c"),
        ("h:0@x", "h", 0, "x"),
        ("[::1]:99@x", "::1", 99, "x"),
        ("[::1]@x", "::1", 0, "x"),
    ],
)
def test_a_name_has_host_port_and_device(node: str, host: str, port: int, device: str) -> None:
    """The first @ parts server and device; a colon counts only before it."""
    assert parse_server_name(f"ndmp:{node}", node) == (ServerName(host, port), device)


@pytest.mark.parametrize(
    ("node", "text"),
    [
        ("foo", "invalid ndmp device name 'ndmp:foo'"),
        ("h:x@d", "invalid ndmp port in device name 'ndmp:h:x@d'"),
        ("h:70000@d", "invalid ndmp port in device name 'ndmp:h:70000@d'"),
        ("h:-1@d", "invalid ndmp port in device name 'ndmp:h:-1@d'"),
    ],
)
def test_what_is_no_name(node: str, text: str) -> None:
    """Refused in stock's words."""
    with pytest.raises(DriveFailed) as caught:
        parse_server_name(f"ndmp:{node}", node)
    assert caught.value.text == text


def test_servers_are_the_same_by_host_and_port() -> None:
    """Case and a port left out make no difference."""
    assert ServerName("Host").is_same_server(ServerName("host", 10000))
    assert not ServerName("host").is_same_server(ServerName("host", 10001))


def test_the_properties_of_the_device() -> None:
    """Defaults, and what is refused."""
    facts = NdmpFacts("ndmp:h@d")
    assert verifyObject(IDeviceFacts, facts)
    told = {prop.name: prop.text() for prop in facts.properties}
    assert told["ndmp_username"] == told["ndmp_password"] == "ndmp"
    assert told["ndmp_auth"] == "md5"
    assert told["indirect"] == told["leom"] == "1"
    assert told["streaming"] == "1"
    assert told["concurrency"] == told["appendable"] == told["full_deletion"] == "0"
    assert told["max_block_size"] == "4294967295"
    assert not facts.allow_take_scribe_from
    with pytest.raises(PropertyRefused, match="Error setting LEOM property, it must be TRUE"):
        facts.properties.set("leom", "no")
    with pytest.raises(PropertyRefused, match="READ-BLOCK-SIZE property to '1000'"):
        facts.properties.set("read-block-size", "1000")
    with pytest.raises(PropertyRefused, match="BLOCK-SIZE property to '1024'"):
        facts.properties.set("block-size", "1k")
    facts.properties.set("read-block-size", "64k")
    assert facts.read_size == 65536


def test_a_blocking_caller_is_told() -> None:
    """Who wants a blocking device of an asynchronous type gets an error, not a surprise."""
    with pytest.raises(DriveFailed, match="is asynchronous"):
        open_blocking_device("ndmp:h@d")


# the robot


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
    ],
)
def test_load_poll(text: str, poll: Poll) -> None:
    """A delay, how often, and until when."""
    assert read_settings(make_setup(load_poll=(text,))).load_poll == poll


def test_the_wait_for_the_state_file_can_be_set() -> None:
    """Stock ignores lock-timeout here and waits 1000 s [changers quirk 18]."""
    assert read_settings(make_setup(lock_timeout=("30",))).lock_timeout == 30
    assert read_settings(make_setup()).lock_timeout == 1000


@pytest.mark.parametrize(
    ("properties", "text"),
    [
        ({"tape_device": ()}, "no 'tape-device' property specified"),
        ({"tape_device": ("x",)}, "invalid 'tape-device' property 'x'"),
        ({"tape_device": ("0=a", "0=b")}, "tape-device drive 0 defined more than once"),
        ({"use_slots": ("a-b",)}, "invalid value 'a-b' for 'use-slots'"),
        ({"load_poll": ("1 poll",)}, "invalid delay value '1 poll' for 'load-poll'"),
        ({"drive_choice": ("best",)}, "invalid 'drive-choice' value 'best'"),
        ({"eject_delay": ("soon",)}, "invalid value 'soon' for 'eject-delay'"),
    ],
)
def test_properties_that_say_something_impossible(
    properties: dict[str, tuple[str, ...]], text: str
) -> None:
    """Refused when the changer is opened."""
    with pytest.raises(ChangerError) as caught:
        read_settings(make_setup(**properties))
    assert caught.value.message == text
    assert caught.value.fatal


def test_the_state_file_is_where_stock_looks() -> None:
    """Runs of anything but letters and digits become one dash."""
    assert state_file_name("h:10@/dev/sg0") == "chg-ndmp-h-10-dev-sg0"

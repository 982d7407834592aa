"""chg-robot on a simulated mtx, a program of its own, with ``file:`` devices as drives."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import CancelledError

from devices import serials
from devices.errors import ChangerError, ChangerReason, Status
from devices.interfaces import AccessMode, LoadRequest, Relative
from devices.registry import DEVICES
from protocols.perldata import parse_perl_data
from tests.devices.ndmp_world import turning
from tests.devices.opening import Opened, Opener
from tests.fakes.library import Library
from tests.fakes.turning import Turning

__all__ = ["turning"]

STAMP = "20260102030405"


@pytest.fixture
def opener(turning: Turning, tmp_path: Path) -> Iterator[Opener]:
    opener = Opener(turning, tmp_path)
    yield opener
    opener.close()


@pytest.fixture
def library(tmp_path: Path) -> Library:
    """Two drives and four slots, three of them full."""
    return Library(tmp_path / "library", {1: "A1", 2: "A2", 3: "A3"}, slots=4)


@pytest.fixture
def changer(library: Library, opener: Opener) -> Opened:
    return opener.open("lib", library.section())


def state_of(library: Library) -> dict[str, Any]:
    return parse_perl_data(Path(library.seen_as, "state").read_bytes())


def label(changer: Opened, slot: str, text: str) -> None:
    held = changer.load(LoadRequest(slot=slot))
    held.device.start(AccessMode.WRITE, text, STAMP)
    held.set_label(text)
    held.release()


def refusal(operation: Callable[..., object], *arguments: Any, **more: Any) -> ChangerError:
    with pytest.raises(ChangerError) as caught:
        operation(*arguments, **more)
    return caught.value


def test_volumes_are_loaded_held_and_given_back(library: Library, changer: Opened) -> None:
    """Two drives hold two volumes; a third load waits for one of them to be released."""
    first, second = changer.load(LoadRequest(slot="1")), changer.load(LoadRequest(slot="2"))
    assert (first.barcode, second.barcode) == ("A1", "A2")
    error = refusal(changer.load, LoadRequest(slot="3"))
    assert (error.message, error.reason) == ("no drives available", ChangerReason.DRIVEINUSE)
    error = refusal(changer.load, LoadRequest(slot="1"))
    assert error.message == "the requested volume is in use (drive 0)"
    assert (error.reason, error.slot) == (ChangerReason.VOLINUSE, "1")
    first.release()
    third = changer.load(LoadRequest(slot="3"))
    second.release(eject=True)
    third.release()
    assert library.log() == ["load 1 0", "load 2 1", "unload 1 0", "load 3 0", "unload 2 1"]
    assert library.places() == {"A1": "slot 1", "A2": "slot 2", "A3": "drive 0"}
    told = {entry.slot: (entry.loaded_in, entry.barcode) for entry in changer.inventory()}
    assert told == {"1": (None, "A1"), "2": (None, "A2"), "3": ("0", "A3"), "4": (None, None)}


def test_labels_follow_their_cartridges(library: Library, changer: Opened, opener: Opener) -> None:
    """What was written is found by its barcode, wherever a person puts it, by another taper too."""
    label(changer, "1", "L-1")
    label(changer, "2", "L-2")
    changer.eject("0")
    changer.eject("1")
    library.swap(1, 4)
    other = opener.open("lib", library.section())
    assert {e.label: e.slot for e in other.inventory() if e.label} == {"L-1": "4", "L-2": "2"}
    held = other.load(LoadRequest(label="L-1"))
    assert (held.slot, held.reading.label) == ("4", "L-1")
    held.release()
    assert state_of(library)["bc2lb"] == {"A1": "L-1", "A2": "L-2"}


def test_a_cartridge_that_somebody_left_in_a_drive_is_put_away(
    library: Library, opener: Opener
) -> None:
    """The robot does not know where it came from: it goes to a slot that is empty."""
    library.put_into_drive(0, "X9")
    section = library.section(tape_device=library.tape_devices()[:1])
    changer = opener.open("lib", section)
    assert [e.slot for e in changer.inventory() if e.loaded_in == "0"] == ["4"]
    changer.load(LoadRequest(slot="2")).release()
    assert library.log() == ["unload 4 0", "load 2 0"]
    assert library.places() == {"A1": "slot 1", "A2": "drive 0", "A3": "slot 3", "X9": "slot 4"}
    assert changer.load(LoadRequest(slot="4")).barcode == "X9"


def test_what_was_loaded_by_somebody_else_is_used_where_it_is(
    library: Library, changer: Opened, opener: Opener
) -> None:
    """No move is made; in a drive that is not ours it cannot be had."""
    changer.load(LoadRequest(slot="3")).release()
    alone = opener.open("lib", library.section(tape_device=library.tape_devices()[1:]))
    error = refusal(alone.load, LoadRequest(slot="3"))
    assert error.message == (
        "the requested volume is in drive 0, which this changer instance cannot access"
    )
    assert (error.reason, error.slot) == (ChangerReason.INVALID, "3")
    changer.load(LoadRequest(slot="3")).release()
    assert library.log() == ["load 3 0"]


def test_a_jammed_robot_is_told_and_asked_again(library: Library, opener: Opener) -> None:
    """The text is what mtx said, in one line; once it moves again, so do we."""
    changer = opener.open("lib", library.section(status_interval=("1000",)))
    library.fault(jammed=True)
    error = refusal(changer.load, LoadRequest(slot="1"))
    assert error.reason is ChangerReason.UNKNOWN
    assert re.fullmatch(
        r"error from mtx: Loading media from Storage Element 1 into drive 0\.\.\.mtx: .*"
        r"Sense Key=Hardware Error .* Failed",
        error.message,
    )
    assert state_of(library)["last_status"] == 0
    library.fault()
    library.swap(1, 4)  # by whoever freed it
    assert refusal(changer.load, LoadRequest(slot="1")).message == "slot 1 is empty"
    changer.load(LoadRequest(slot="4")).release()
    assert library.log(moves=False).count("status") == 2


def test_nonsense_of_a_robot_costs_nothing_that_is_known(library: Library, changer: Opened) -> None:
    """It is an error, and the slots stay as they were."""
    label(changer, "1", "L-1")
    before = state_of(library)["slots"]
    library.fault(nonsense="Out of paper\n" * 9)
    error = refusal(changer.inventory)
    assert error.reason is ChangerReason.INVALID
    assert error.message.startswith("error from mtx: no slot and no drive in what it says of them:")
    assert state_of(library)["slots"] == before
    library.fault()
    assert changer.load(LoadRequest(label="L-1")).slot == "1"


def test_a_robot_that_does_not_answer_keeps_nothing_reserved(
    library: Library, changer: Opened
) -> None:
    """A release needs no robot, nor does a new label; one with eject tells of the failure."""
    first, second = changer.load(LoadRequest(slot="1")), changer.load(LoadRequest(slot="2"))
    library.fault(nonsense="")
    first.set_label("L-1")
    first.release()
    assert refusal(second.release, eject=True).reason is ChangerReason.INVALID
    state = state_of(library)
    assert state["slots"]["1"]["label"] == "L-1"
    assert not any(drive.get("res_info") for drive in state["drives"].values())


def test_a_hung_mtx_is_killed_with_the_load(library: Library, opener: Opener) -> None:
    """Who gives up frees robot and state file at once."""
    changer = opener.open("lib", library.section())
    library.fault(hung=["load"])
    loading = changer.thing.load(LoadRequest(slot="1"))
    failed: list[Any] = []
    loading.addErrback(failed.append)
    opener.turning.until(lambda: "load 1 0" in library.log())
    changer.close()
    assert isinstance(failed[0].value, CancelledError)
    library.fault()  # waits for the dead one to leave the robot
    other = opener.open("lib", library.section())
    other.load(LoadRequest(slot="1")).release()
    assert library.places()["A1"] == "drive 1"  # drive 0 was used last


def test_a_slow_robot_is_waited_for_and_keeps_others_out(
    library: Library, changer: Opened, opener: Opener
) -> None:
    """Another changer's inventory comes after the load, and shows it."""
    other = opener.open("lib", library.section())
    other.inventory()
    library.fault(slow={"load": 0.5})
    loading = changer.thing.load(LoadRequest(slot="1"))
    opener.turning.until(lambda: "load 1 0" in library.log())
    told = other.inventory()
    assert [entry.reserved for entry in told] == [True, False, False, False]
    changer.wait(changer.wait(loading).release())


def test_a_wrong_drive_shows_no_volume(library: Library, changer: Opened) -> None:
    """Where the cables are crossed the device of the drive stays empty, and its reading says so."""
    library.fault(wiring=[1, 0])
    held = changer.load(LoadRequest(slot="1"))
    assert held.reading.status is Status.DEVICE_ERROR
    held.release()


@pytest.mark.parametrize("ignored", [False, True])
def test_barcodes_may_be_ignored(library: Library, opener: Opener, ignored: bool) -> None:
    """mtx is told, and none is reported."""
    changer = opener.open("lib", library.section(ignore_barcodes=("yes" if ignored else "no",)))
    codes = [entry.barcode for entry in changer.inventory()]
    assert codes == ([None] * 4 if ignored else ["A1", "A2", "A3", None])
    assert library.log(moves=False) == ["nobarcode status" if ignored else "status"]


def test_the_tapelist_knows_a_label_on_another_cartridge(
    library: Library, changer: Opened, opener: Opener, tmp_path: Path
) -> None:
    """Such a volume is not handed out; it stays where it is, held by nobody."""
    label(changer, "1", "L-1")
    (tmp_path / "tapelist").write_text(f"{STAMP} L-1 reuse BARCODE:B7\n")
    strict = opener.open("lib", library.section(), directory=str(tmp_path))
    error = refusal(strict.load, LoadRequest(slot="1"))
    assert error.message == (
        "Slot 1, label 'L-1', mismatch barcode between changer 'A1' and tapelist file 'B7'"
    )
    assert (error.reason, error.slot) == (ChangerReason.DEVICE, "1")
    assert not any(entry.reserved for entry in strict.inventory())
    (tmp_path / "tapelist").write_text(f"{STAMP} L-1 reuse BARCODE:A1\n")
    strict.load(LoadRequest(slot="1")).release()
    (tmp_path / "tapelist").write_text("nonsense\n")
    assert "Could not read the tapelist" in refusal(strict.load, LoadRequest(slot="1")).message


def test_another_volume_than_expected_is_refused(library: Library, changer: Opened) -> None:
    """Whether it bears another label or none; the state knows better afterwards."""
    label(changer, "1", "L-1")
    for slot in ("2", "3"):
        changer.update(f"{slot}=L-{slot}")
    Path(library.cartridge("A3"), "data/00000.L-9").write_bytes(
        next(library.cartridge("A1").glob("data/00000.*")).read_bytes()
    )
    error = refusal(changer.load, LoadRequest(label="L-2"))
    assert error.message == "Found unlabeled tape while looking for 'L-2'"
    error = refusal(changer.load, LoadRequest(label="L-3"))
    assert error.message == "Found unexpected tape 'L-1' while looking for 'L-3'"
    assert (error.reason, error.slot) == (ChangerReason.NOTFOUND, "3")
    assert refusal(changer.load, LoadRequest(label="L-2")).message == (
        "label 'L-2' not recognized or not found"
    )


def test_a_scan_walks_the_full_slots_and_ends(library: Library, opener: Opener) -> None:
    """Those of use-slots, from the current one on; then all have been loaded."""
    changer = opener.open("lib", library.section(use_slots=("2-4",)))
    request = LoadRequest(relative=Relative.CURRENT)
    for slot in ("2", "3"):
        held = changer.load(request)
        assert held.slot == slot
        held.release()
        seen = frozenset({*request.except_slots, slot})
        request = LoadRequest(relative=Relative.NEXT, after=slot, except_slots=seen)
    assert refusal(changer.load, request).message == "all slots have been loaded"
    assert refusal(changer.load, LoadRequest(slot="1")).message == "slot 1 not in use-slots (2-4)"


def test_import_export_slots_are_slots(tmp_path: Path, opener: Opener) -> None:
    """They are listed as what they are, and can be loaded from."""
    library = Library(tmp_path / "library", {1: "A1", 4: "A4"}, slots=4, ports=2)
    changer = opener.open("lib", library.section())
    told = [(entry.slot, entry.import_export) for entry in changer.inventory()]
    assert told == [("1", False), ("2", False), ("3", True), ("4", True)]
    changer.load(LoadRequest(slot="4")).release(eject=True)
    changer.move("4", "2")
    assert library.places() == {"A1": "slot 1", "A4": "slot 2"}


def test_moves_and_ejects_that_cannot_be(library: Library, changer: Opened) -> None:
    """Each is refused in stock's words."""
    held = changer.load(LoadRequest(slot="1"))
    for operation, arguments, text in (
        (changer.eject, (), "no drive specified"),
        (changer.eject, ("7",), "invalid drive '7'"),
        (changer.eject, ("1",), "drive '1' is empty"),
        (changer.eject, ("0",), "tape in drive '0' is in use"),
        (changer.move, ("1", "4"), "slot 1 is currently loaded and reserved"),
        (changer.move, ("4", "2"), "slot 4 is empty"),
        (changer.move, ("2", "3"), "slot 3 is not empty"),
        (changer.move, ("9", "3"), "invalid slot 9"),
    ):
        assert refusal(operation, *arguments).message == text
    held.release()
    changer.move("1", "4")  # straight out of the drive
    assert library.log() == ["load 1 0", "unload 4 0"]


def test_an_update_looks_at_what_it_can(library: Library, changer: Opened) -> None:
    """A slot that cannot be loaded keeps no other from being looked at."""
    for slot in ("1", "2", "3"):
        label(changer, slot, f"L-{slot}")
    Path(library.seen_as, "state").write_text("")
    held = changer.load(LoadRequest(slot="2"))
    changer.update()
    held.release()
    assert [entry.label for entry in changer.inventory()] == ["L-1", "L-2", "L-3", None]
    changer.update("1-2=")
    assert [entry.label for entry in changer.inventory()] == [None, None, "L-3", None]


def test_the_maker_is_asked_for_once_and_need_not_answer(library: Library, opener: Opener) -> None:
    """No scan ends for it."""
    assert opener.open("lib", library.section()).info().vendor_string == "ACME Library 8"
    program = Path(library.program)
    program.write_text(program.read_text().replace('"inquiry"', '"nothing"'))
    changer = opener.open("lib", library.section(fast_search=("no",)))
    info = changer.info()
    assert (info.vendor_string, info.num_slots, info.fast_search) == ("", 4, False)


@pytest.mark.parametrize(
    ("argument", "properties", "text"),
    [
        (
            "/nonexistent/sg3",
            {},
            "'/nonexistent/sg3' not found: the robot's SCSI generic device, such as "
            "chg-robot:/dev/sg3, expected in changer 'lib'",
        ),
        (
            "",
            {"mtx": ("/nonexistent/mtx",)},
            "'/nonexistent/mtx' not found: the path of the program mtx expected in changer 'lib'",
        ),
        (
            "",
            {"mtx": ("a", "b")},
            "only one value allowed for 'mtx': the path of one program expected in changer 'lib'",
        ),
    ],
)
def test_a_robot_that_is_not_there(
    library: Library,
    opener: Opener,
    argument: str,
    properties: dict[str, tuple[str, ...]],
    text: str,
) -> None:
    """Told when the changer is opened."""
    if argument:
        library.device = argument
    error = refusal(opener.open, "lib", library.section(**properties))
    assert (error.message, error.fatal) == (text, True)


def test_drives_are_found_by_their_serial_numbers(
    opener: Opener, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel has numbered them otherwise than the robot: the property puts that right."""
    monkeypatch.setitem(DEVICES, "tape", "tests.fakes.tape:SimulatedTape")
    library = Library(tmp_path / "library", {1: "A1"}, slots=2, tapes={})
    monkeypatch.setattr(serials, "SYSFS", str(tmp_path / "sys"))
    for drive, serial in (("drive0", b"HU-1"), ("drive1", b"HU-0 \0")):
        page = tmp_path / "sys" / drive / "device/vpd_pg80"
        page.parent.mkdir(parents=True)
        page.write_bytes(b"\1\x80\0" + bytes([len(serial)]) + serial + b"rest")
    library.fault(wiring=[1, 0])
    right = opener.open("lib", library.section(drive_serial=("0=HU-0", "1=HU-1")))
    held = right.load(LoadRequest(slot="1"))
    assert held.device.name == f"tape:{library.seen_as}/drive1"
    assert held.reading.status & Status.VOLUME_UNLABELED
    held.release()
    wrong = opener.open("lib", library.section(drive_serial=("0=HU-7",)))
    error = refusal(wrong.load, LoadRequest(slot="1"))
    devices = [f"'tape:{library.seen_as}/drive{number}'" for number in (0, 1)]
    assert error.message == (
        "no tape device has the serial number 'HU-7' of drive 0, "
        f"but {devices[0]} HU-1, {devices[1]} HU-0"
    )
    assert serials.serial_of("/dev/no-such-drive") is None

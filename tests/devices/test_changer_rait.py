"""chg-rait: one device over the volumes of several changers."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from devices.errors import ChangerError, ChangerReason, Status
from devices.file import FileDevice
from devices.interfaces import AccessMode, LoadRequest, Relative, SlotState, VolumeReading
from protocols.conf.sections import ChangerSection, Storage, Tapetype
from protocols.header import HeaderType
from tests.contract.changer import ChangerContract
from tests.contract.device import PART, some_bytes, write_part
from tests.devices.refusals import assert_told_with_place, failure
from tests.fakes.changers import open_waited
from tests.fakes.config import make_config

CURRENT = LoadRequest(relative=Relative.CURRENT)
NEXT = LoadRequest(relative=Relative.NEXT)
STAMP = "20260102030405"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Roots a, b, c with slots 1 to 3."""
    for name in "abc":
        for slot in (1, 2, 3):
            (tmp_path / name / f"slot{slot}").mkdir(parents=True)
    return tmp_path


def rait(
    root: Path,
    children: str | None = None,
    *sections: Any,
    stop: threading.Event | None = None,
    **general: Any,
) -> Any:
    """A chg-rait called ``raid`` used by storage ``S`` of ``DailySet``."""
    names = children or f"chg-disk:{root}/{{a,b,c}}"
    section = ChangerSection(
        "raid", tpchanger=f"chg-rait:{names}", place="/etc/amanda/DailySet/amanda.conf:4"
    )
    config = make_config(section, *sections, directory=str(root), **general)
    return open_waited(None, config, Storage("S", tpchanger="raid", tapetype="T"), stop=stop)


def label(changer: Any, slot: str, name: str) -> None:
    reservation = changer.load(LoadRequest(slot=slot))
    reservation.device.start(AccessMode.WRITE, name, STAMP)
    reservation.set_label(name)
    reservation.release()


class TestRaitOfDisks(ChangerContract):
    @pytest.fixture
    def open_changer(self, root: Path) -> Callable[[], Any]:
        return lambda: rait(root)


class TestRaitOfOthers(ChangerContract):
    """A list of devices, an aggregate and vtapes."""

    lacks = ("move",)

    @pytest.fixture
    def open_changer(self, root: Path) -> Callable[[], Any]:
        for number in (1, 2):
            (root / f"d{number}").mkdir(exist_ok=True)
        sections = [
            ChangerSection("m", tpchanger=f"chg-multi:file:{root}/d{{1,2}}", changerfile="m-state"),
            ChangerSection("n", tpchanger=f"chg-multi:file:{root}/a/slot{{1,2}}"),
        ]
        return lambda: rait(root, "{m,n}", *sections)


def test_slots_and_facts(root: Path) -> None:
    """The children's slots side by side."""
    info = rait(root).info()
    assert info.slots == ("{1,1,1}", "{2,2,2}", "{3,3,3}")
    assert (info.vendor_string, info.fast_search) == ("{chg-disk,chg-disk,chg-disk}", True)


def test_a_load_is_one_of_each_child(root: Path) -> None:
    """A slot of each, one name for all, or what each of them calls next."""
    changer = rait(root)
    for slot, found in (("{1,2,3}", "{1,2,3}"), ("2", "{2,2,2}")):
        reservation = changer.load(LoadRequest(slot=slot))
        assert (reservation.slot, reservation.barcode) == (found, "{,,}")
        names = [f"file:{root}/{n}/slot{s}" for n, s in zip("abc", found[1:-1:2], strict=True)]
        assert reservation.device.name == f"rait:{{{','.join(names)}}}"
        reservation.release()
    held = [changer.load(CURRENT), changer.load(NEXT)]
    assert [one.slot for one in held] == ["{1,1,1}", "{2,2,2}"]
    for one in held:
        one.release()
    text = "slot string '{1,2}' does not specify 3 child slots"
    assert failure(changer, LoadRequest(slot="{1,2}")) == (text, ChangerReason.INVALID, "{1,2}")
    assert failure(changer, LoadRequest(slot="{1,2"))[1] is ChangerReason.INVALID


def test_labels(root: Path) -> None:
    """Written to all, found in all, and read with one of them gone."""
    changer = rait(root)
    label(changer, "2", "RA-01")
    for name in "abc":
        assert (root / name / "slot2/00000.RA-01").exists()
    reservation = changer.load(LoadRequest(label="RA-01"))
    assert (reservation.slot, reservation.reading.label) == ("{2,2,2}", "RA-01")
    reservation.release()
    names = [f"from chg-disk:{root}/{name}: Label 'RA-02' not found" for name in "abc"]
    wanted = ("; ".join(names), ChangerReason.NOTFOUND, None)
    assert failure(changer, LoadRequest(label="RA-02")) == wanted
    shutil.rmtree(root / "c")
    degraded = rait(root, f"{{chg-disk:{root}/a,chg-disk:{root}/b,ERROR}}")
    reservation = degraded.load(LoadRequest(slot="2"))
    assert (reservation.slot, reservation.barcode) == ("{2,2,ERROR}", "{,,ERROR}")
    assert reservation.reading.label == "RA-01"
    reservation.release()


def test_the_tapetype_of_the_storage_is_for_the_whole(root: Path) -> None:
    """Its block size and length are shared by the children, which have their own configuration."""
    changer = rait(root, None, Tapetype("T", blocksize=64, length=10240))
    reservation = changer.load(CURRENT)
    device = reservation.device
    assert device.block_size == 65536
    assert device.properties.number("max_volume_usage") == 10240 * 1024
    data = some_bytes(3 * 65536)
    blocking = device.thing.blocking
    blocking.start(AccessMode.WRITE, "RA-01", STAMP)
    write_part(blocking, data)
    reservation.release()
    sizes = [next((root / n / "slot1").glob("00001.*")).stat().st_size for n in "abc"]
    assert sizes == [32768 + 3 * 32768] * 3
    assert PART.host in next((root / "a/slot1").glob("00001.*")).name


def test_inventory_is_of_all(root: Path) -> None:
    """A label only if all have it; in use if one is; of unequal lengths there is none."""
    changer = rait(root)
    label(changer, "2", "RA-01")
    (root / "b/slot2/00000.RA-01").rename(root / "b/slot2/00000.RA-09")
    label(changer, "1", "RA-02")
    other = open_waited(f"chg-disk:{root}/c", make_config(directory=str(root)), None)
    held = other.load(LoadRequest(slot="3"))
    one, two, three = changer.inventory()
    assert (one.slot, one.label, one.device_status) == ("{1,1,1}", "RA-02", Status.SUCCESS)
    assert (one.header_type, one.state) == (HeaderType.TAPESTART, SlotState.FULL)
    assert (two.label, two.header_type) == (None, HeaderType.TAPESTART)
    assert (three.reserved, three.device_status) == (True, Status.VOLUME_UNLABELED)
    held.release()
    (root / "c/slot4").mkdir()
    with pytest.raises(ChangerError, match="could not generate consistent inventory") as caught:
        changer.inventory()
    assert caught.value.reason is ChangerReason.NOTIMPL
    assert len(changer.info().slots) == 3


def test_one_child_in_use_leaves_nothing_held(root: Path) -> None:
    """The error has the child's name and the whole slot; the others are given back."""
    changer = rait(root)
    other = open_waited(f"chg-disk:{root}/b", make_config(directory=str(root)), None)
    held = other.load(LoadRequest(slot="1"))
    text = (
        f"from chg-disk:{root}/b: Slot 1 is already in use by drive 'drive0' "
        f"and process '{os.getpid()}'"
    )
    assert failure(changer, CURRENT) == (text, ChangerReason.VOLINUSE, "{1,1,1}")
    assert [entry.reserved for entry in changer.inventory()] == [True, False, False]
    held.release()
    assert not any(entry.reserved for entry in changer.inventory())
    changer.load(CURRENT).release()


@pytest.mark.parametrize("operation", ["read_label", "finish"])
def test_a_child_whose_device_fails(
    root: Path, monkeypatch: pytest.MonkeyPatch, operation: str
) -> None:
    """Nothing stays held, whatever fails."""
    changer = rait(root)
    usual = getattr(FileDevice, operation)

    def fail(device: FileDevice) -> Any:
        if "/b/" in device.name:
            raise ChangerError("broken", ChangerReason.DEVICE)
        return usual(device)

    if operation == "read_label":
        monkeypatch.setattr(FileDevice, operation, fail)
        text = f"from chg-disk:{root}/b: broken"
        assert failure(changer, CURRENT)[:2] == (text, ChangerReason.DEVICE)
    else:
        reservation = changer.load(CURRENT)
        monkeypatch.setattr(FileDevice, operation, fail)
        with pytest.raises(ChangerError, match="broken"):
            reservation.release()
    monkeypatch.undo()
    assert not any(entry.reserved for entry in rait(root).inventory())


def test_news_are_for_all_children(root: Path) -> None:
    """Labels and errors reach the states of those that keep them."""
    for number in (1, 2):
        (root / f"d{number}").mkdir()
    sections = [
        ChangerSection(name, tpchanger=f"chg-multi:file:{root}/d{n}", changerfile=f"{name}-state")
        for n, name in enumerate("mn", 1)
    ]
    changer = rait(root, "{m,n}", *sections)
    reservation = changer.load(CURRENT)
    reservation.set_label("RA-05")
    (entry,) = changer.inventory()
    assert entry.label == "RA-05"
    reservation.set_device_error(VolumeReading(Status.VOLUME_ERROR, error="torn"))
    (entry,) = changer.inventory()
    assert (entry.device_status, entry.device_error) == (Status.VOLUME_ERROR, "torn")
    reservation.release()


def test_eject_names_the_drives_of_children(root: Path) -> None:
    """One for all, or one for each; any other number is refused."""
    for number in (1, 2):
        (root / f"d{number}").mkdir()
    sections = [
        ChangerSection(name, tpchanger=f"chg-multi:file:{root}/d{n}", changerfile=f"{name}-state")
        for n, name in enumerate("mn", 1)
    ]
    changer = rait(root, "{m,n}", *sections)
    changer.eject()
    changer.eject("1")
    with pytest.raises(ChangerError) as caught:
        changer.eject("{1,9}")
    assert caught.value.message == "n: Invalid slot '9'"
    with pytest.raises(ChangerError, match=r"^drive string '{1,1,1}' does not specify 2 child dr"):
        changer.eject("{1,1,1}")


@pytest.mark.parametrize(
    ("children", "text"),
    [
        ("{chg-disk:/a}", "chg-rait needs at least two child changers, not '{chg-disk:/a}'"),
        ("{chg-null:,ERROR,ERROR}", "'chg-rait:{chg-null:,ERROR,ERROR}' lacks 2 child changers"),
    ],
)
def test_bad_names_are_told_with_their_place(root: Path, children: str, text: str) -> None:
    """File, line and value are named, and what was expected."""
    place = "(changer 'raid', defined in '/etc/amanda/DailySet/amanda.conf', line 4)"
    assert_told_with_place(lambda: rait(root, children), text, place)


def test_a_child_that_cannot_be_opened(root: Path) -> None:
    """As with stock that is an error, with the child's name."""
    name = f"chg-disk:{root}/none"
    with pytest.raises(ChangerError) as caught:
        rait(root, f"{{{name},chg-disk:{root}/a}}")
    place = "(changer 'raid', defined in '/etc/amanda/DailySet/amanda.conf', line 4)"
    assert caught.value.message == f"{name}: directory '{root}/none' does not exist {place}"

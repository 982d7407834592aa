"""chg-single, chg-null, bare device names and how a name becomes a changer."""

from __future__ import annotations

import os
from typing import Any

import pytest

from devices.errors import ChangerError, ChangerReason, Status
from devices.file import FileDevice
from devices.interfaces import AccessMode, LoadRequest, SlotState
from protocols.conf.sections import ChangerSection, DeviceSection, Storage, Tapetype
from tests.contract.changer import ChangerContract
from tests.fakes.changers import open_waited as open_changer
from tests.fakes.config import make_config


class TestBareDevice(ChangerContract):
    """A device name is a changer of one slot."""

    @pytest.fixture
    def open_changer(self, tmp_path):
        return lambda: open_changer(f"file:{tmp_path}", make_config(), None)


class TestNullChanger(ChangerContract):
    """chg-null gives the null device to everybody."""

    exclusive = False

    @pytest.fixture
    def open_changer(self):
        return lambda: open_changer("chg-null:", make_config(), None)


@pytest.fixture
def vtape(tmp_path):
    return f"file:{tmp_path}"


def write_label(changer: Any, label: str) -> None:
    reservation = changer.load(LoadRequest(slot="1"))
    reservation.device.start(AccessMode.WRITE, label, "20260102030405")
    reservation.release()


def test_single_in_use_texts(vtape):
    """A held drive is refused: the same label as volume in use, others as drive in use."""
    changer = open_changer(f"chg-single:{vtape}", make_config(), None)
    write_label(changer, "S-01")
    reservation = changer.load(LoadRequest(label="S-01"))
    for label, reason in (("S-01", ChangerReason.VOLINUSE), ("S-02", ChangerReason.DRIVEINUSE)):
        with pytest.raises(ChangerError) as caught:
            changer.load(LoadRequest(label=label))
        assert caught.value.message == f"'{vtape}' is already reserved"
        assert caught.value.reason is reason
    reservation.release()


def test_two_changers_on_one_drive_in_one_process(vtape):
    """A second changer object, even by an alias, cannot take a drive the first one holds."""
    config = make_config(DeviceSection("Drive", tapedev=vtape))
    reservation = open_changer(vtape, config, None).load(LoadRequest(slot="1"))
    other = open_changer("drive", config, None)
    with pytest.raises(ChangerError, match="'drive' is already reserved"):
        other.load(LoadRequest(slot="1"))
    reservation.release()
    other.load(LoadRequest(slot="1")).release()


def test_single_inventory_is_the_last_reading(vtape):
    """The inventory knows what the last load saw, and update forgets it."""
    changer = open_changer(vtape, make_config(), None)
    (entry,) = changer.inventory()
    assert (entry.slot, entry.state, entry.label) == ("1", None, None)
    changer.load(LoadRequest(slot="1")).release()
    (entry,) = changer.inventory()
    assert (entry.state, entry.device_status) == (SlotState.FULL, Status.VOLUME_UNLABELED)
    write_label(changer, "S-01")
    changer.load(LoadRequest(slot="1")).release()
    assert changer.inventory()[0].label == "S-01"
    changer.update()
    assert changer.inventory()[0].state is None


@pytest.mark.parametrize(
    ("how", "ejected"),
    [({}, False), ({"eject": True}, True), ({"need_another": True}, True)],
)
def test_single_ejects_when_asked_or_another_is_needed(vtape, monkeypatch, how, ejected):
    """The volume comes out when the configuration says so or another one is needed."""
    changer = open_changer(vtape, make_config(), None)
    reservation = changer.load(LoadRequest(slot="1"))
    ejects = []
    monkeypatch.setattr(FileDevice, "eject", lambda device: ejects.append(device))
    reservation.release(**how)
    assert bool(ejects) is ejected


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("foo:x", "chg-single: error opening device 'foo:x': Device type \"foo\" is not known;"),
        (
            "chg-foo:x",
            "chg-single: error opening device 'chg-foo:x': Device type \"chg-foo\" is not known: "
            "there is no changer chg-foo; changers here are chg-aggregate, ",
        ),
        ("both", "Cannot specify both 'tapedev' and 'tpchanger'"),
        ("neither", "You must specify one of 'tapedev' or 'tpchanger'"),
        ("wrong", "Changer 'wrong' specifies invalid tpchanger 'file:/x'"),
        (
            "misspelt",
            "Changer 'misspelt' specifies invalid tpchanger 'chg-dsk:/x': there is no changer "
            'chg-dsk (did you mean "chg-disk"?); changers here are chg-aggregate, ',
        ),
        ("chg-disk:/nonexistent/root", "directory '/nonexistent/root' does not exist"),
    ],
)
def test_names_that_are_no_changer(name, text):
    """A bad name or section fails at once, with the text stock gives."""
    config = make_config(
        ChangerSection("both", tpchanger="chg-disk:/x", tapedev="chg-disk:/y"),
        ChangerSection("neither"),
        ChangerSection("wrong", tpchanger="file:/x"),
        ChangerSection("misspelt", tpchanger="chg-dsk:/x"),
    )
    with pytest.raises(ChangerError) as caught:
        open_changer(name, config, None)
    assert caught.value.message.startswith(text)
    assert caught.value.fatal


def test_the_storage_names_its_changer(tmp_path, vtape):
    """tpchanger wins over tapedev; with neither the error names the storage."""
    config = make_config(ChangerSection("Robot", tapedev=f"chg-disk:{tmp_path}"))
    storage = Storage("S", tpchanger="robot", tapedev=vtape)
    assert open_changer(None, config, storage).info().vendor_string == "chg-disk"
    storage = Storage("S", tapedev=vtape)
    assert open_changer(None, config, storage).name == vtape
    with pytest.raises(ChangerError) as caught:
        open_changer(None, config, Storage("S"))
    assert caught.value.message == (
        "You must specify the 'tapedev' or 'tpchanger' in the 'S' storage section"
    )


def test_without_a_storage_the_global_parameters_name_the_changer(vtape):
    """Old configurations name the changer at top level, by one of two parameters."""
    with pytest.raises(ChangerError, match="You must specify one of"):
        open_changer(None, make_config(), None)
    assert open_changer(None, make_config(tapedev=vtape), None).name == vtape
    with pytest.raises(ChangerError, match="Cannot specify both"):
        open_changer(None, make_config(tapedev=vtape, tpchanger="chg-null:"), None)


def test_types_of_changers_have_no_case(tmp_path):
    """CHG is not folded, its type is."""
    os.mkdir(tmp_path / "slot1")
    changer = open_changer(f"chg-DISK:{tmp_path}", make_config(), None)
    assert changer.info().slots == ("1",)


def test_null_has_a_slot_of_its_own_name():
    """chg-null answers every load, and never claims a label."""
    reservation = open_changer("chg-null:", make_config(), None).load(LoadRequest(label="L"))
    assert (reservation.slot, reservation.device.name) == ("null", "null:")
    assert reservation.reading.status == Status.VOLUME_UNLABELED | Status.VOLUME_ERROR


# device properties


def test_properties_come_from_four_sources_the_last_one_wins(vtape):
    """Tapetype, global, device section and changer section, each replacing the one before."""
    config = make_config(
        Tapetype("T", length=1000, blocksize=64),
        DeviceSection("drive", tapedev=vtape, device_property={"max-volume-usage": ("5m",)}),
        ChangerSection(
            "C", tpchanger="chg-single:drive", device_property={"comment": ("changer",)}
        ),
        tapetype="none",
        device_property={"comment": ("global", "again"), "leom": ("no",)},
    )
    changer = open_changer("C", config, Storage("S", tapetype="T"))
    device = changer.load(LoadRequest(slot="1")).device
    values = {p.name: p.value for p in device.properties}
    assert values["block_size"] == 65536
    assert values["max_volume_usage"] == 5 * 2**20
    assert (values["comment"], values["leom"]) == ("changer", False)
    changer.close()


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("nosuch-prop", "1", "No such device-property"),
        ("appendable", "1", "Not allowed to set property"),
        ("leom", "maybe", ""),
        ("block-size", "7x", ""),
    ],
)
def test_a_refused_property_fails_the_load(vtape, name, value, reason):
    """A property the device refuses is told with name, value, device and reason."""
    changer = open_changer(vtape, make_config(device_property={name: (value,)}), None)
    with pytest.raises(ChangerError) as caught:
        changer.load(LoadRequest(slot="1"))
    start = f"Error setting device property '{name}' to value '{value}' on device '{vtape}': "
    assert caught.value.message.startswith(start + reason)
    open_changer(vtape, make_config(), None).load(LoadRequest(slot="1")).release()


def test_what_only_the_tapetype_implies_may_be_refused():
    """A tape length does not trouble a device that knows no limit."""
    config = make_config(Tapetype("T", length=1000), tapetype="T")
    open_changer("null:", config, None).load(LoadRequest(slot="1")).release()

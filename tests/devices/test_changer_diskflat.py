"""chg-diskflat: slots are numbers in labels, volumes are files named after them."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from devices.changers import diskflat
from devices.errors import ChangerError, ChangerReason, Status
from devices.interfaces import AccessMode, LoadRequest, Relative, SlotState
from protocols.conf import AutoLabel
from protocols.conf.sections import ChangerSection, Storage
from protocols.header import HeaderType
from protocols.labels import slot_of_label
from protocols.perldata import parse_perl_data
from tests.contract.changer import ChangerContract
from tests.fakes.changers import open_blocking, open_waited
from tests.fakes.config import make_config

STAMP = "20260102030405"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "flat"
    root.mkdir()
    return root


def flat(
    root: Path,
    template: str | None = "FLAT-$3s",
    meta: str = "",
    runtapes: int = 1,
    opened: Callable[..., Any] = open_blocking,
    **wanted: str,
) -> Any:
    """A chg-diskflat called ``myflat`` used by storage ``S`` of ``DailySet``."""
    section = ChangerSection(
        "myflat",
        tpchanger=f"chg-diskflat:{root}",
        property={name.replace("_", "-"): (value,) for name, value in wanted.items()},
    )
    storage = Storage(
        "S",
        tpchanger="myflat",
        runtapes=runtapes,
        autolabel=AutoLabel(template=template, empty=True),
        meta_autolabel=meta,
    )
    config = make_config(section, directory=str(root.parent))
    return opened(None, config, storage)


def label(changer: Any, slot: str) -> None:
    reservation = changer.load(LoadRequest(slot=slot))
    name = os.path.basename(reservation.device.name)
    reservation.device.start(AccessMode.WRITE, name, STAMP)
    reservation.release()


def tapelist(root: Path, *lines: str) -> None:
    (root.parent / "tapelist").write_text("".join(f"{line}\n" for line in lines))


def failure(changer: Any, request: LoadRequest) -> tuple[str, ChangerReason | None, str | None]:
    with pytest.raises(ChangerError) as caught:
        changer.load(request)
    error = caught.value
    return error.message, error.reason, error.slot


class TestDiskflatChanger(ChangerContract):
    @pytest.fixture
    def open_changer(self, root: Path) -> Callable[[], Any]:
        changer = flat(root)
        for slot in ("1", "2", "3"):
            label(changer, slot)
        return lambda: flat(root, opened=open_waited)


class TestDiskflatChangerMakingSlots(ChangerContract):
    @pytest.fixture
    def open_changer(self, root: Path) -> Callable[[], Any]:
        return lambda: flat(root, opened=open_waited, auto_create_slot="yes", runtapes=2)


# slots and labels


def test_a_slot_is_the_file_of_its_label(root: Path) -> None:
    """Loading slot 7 opens the file that autolabel would name; nothing is made by looking."""
    reservation = flat(root).load(LoadRequest(slot="7"))
    assert reservation.device.name == f"diskflat:{root}/FLAT-007"
    assert reservation.reading.header_type is HeaderType.EMPTY
    reservation.release()
    assert os.listdir(root) == ["state"]


def test_only_names_of_slots_are_slots(root: Path) -> None:
    """Files that autolabel would not name so are not looked at."""
    for name in (
        "FLAT-002",
        "FLAT-3",
        "xFLAT-004",
        "FLAT-0005",
        "FLAT-006.bak",
        "FLAT-\u0660\u0667",
    ):
        (root / name).write_bytes(b"x")
    assert flat(root).info().slots == ("1", "2")


def test_auto_create_offers_what_a_run_needs(root: Path) -> None:
    """As many blank slots as runtapes, holes included, and none above num-slot."""
    changer = flat(root)
    label(changer, "2")
    label(changer, "4")

    def slots(runtapes: int, **wanted: str) -> str:
        return " ".join(e.slot for e in flat(root, runtapes=runtapes, **wanted).inventory())

    assert slots(5) == "1 2 3 4"
    assert slots(3, auto_create_slot="yes") == "1 2 3 4 5"
    assert slots(9, auto_create_slot="yes", num_slot="6") == "1 2 3 4 5 6"
    assert slots(1, auto_create_slot="yes") == "1 2 3 4"


@pytest.mark.parametrize("create", ["yes", "no", ""])
@pytest.mark.parametrize("place", [Relative.CURRENT, Relative.NEXT])
def test_an_empty_directory_has_its_first_slot(root: Path, create: str, place: Relative) -> None:
    """Whatever is said of making slots: a slot is a name only."""
    changer = flat(root, **({"auto_create_slot": create} if create else {}))
    changer.reset()
    assert [entry.slot for entry in changer.inventory()] == ["1"]
    reservation = changer.load(LoadRequest(relative=place))
    assert reservation.slot == "1"
    reservation.release()


def test_volumes_taken_away_are_not_blank(root: Path) -> None:
    """A label in the tapelist without its file: the slot is empty and cannot be loaded."""
    changer = flat(root)
    label(changer, "1")
    tapelist(
        root,
        f"{STAMP} FLAT-001 reuse POOL:DailySet STORAGE:S CONFIG:DailySet",
        f"{STAMP} FLAT-003 reuse POOL:DailySet STORAGE:S CONFIG:DailySet",
        f"{STAMP} FLAT-009 reuse POOL:DailySet STORAGE:OTHER CONFIG:DailySet",
    )
    (root / "FLAT-002").touch()
    found = [
        (e.slot, e.state, e.label, e.device_status, e.header_type) for e in changer.inventory()
    ]
    full, blank = SlotState.FULL, (None, Status.VOLUME_UNLABELED, HeaderType.EMPTY)
    assert found == [
        ("1", full, "FLAT-001", Status.SUCCESS, HeaderType.TAPESTART),
        ("2", full, *blank),
        ("3", SlotState.EMPTY, None, None, None),
    ]
    assert failure(changer, LoadRequest(slot="3")) == (
        f"label 'FLAT-003' already in tapelist and slot file '{root}/FLAT-003' do not exists",
        ChangerReason.INVALID,
        "3",
    )
    assert failure(changer, LoadRequest(label="FLAT-003"))[1] is ChangerReason.NOTFOUND


def test_an_unreadable_tapelist_is_an_error(root: Path) -> None:
    """It is never taken for an empty one, which would make every missing volume blank."""
    changer = flat(root)
    tapelist(root, "this is none")
    with pytest.raises(ChangerError, match="Could not read the tapelist"):
        changer.inventory()


def test_walking(root: Path) -> None:
    """Next is the next known slot, round and round; texts as with chg-disk."""
    changer = flat(root)
    for slot in ("1", "2", "5"):
        label(changer, slot)

    def after(slot: str) -> str:
        reservation = changer.load(LoadRequest(relative=Relative.NEXT, after=slot))
        reservation.release()
        return str(reservation.slot)

    assert [after(slot) for slot in ("1", "2", "5", "77")] == ["2", "3", "1", "1"]
    for slot in ("0", "101", "x"):
        end = (f"Slot {slot} not found", ChangerReason.INVALID, slot)
        assert failure(changer, LoadRequest(slot=slot)) == end
    reservation = changer.load(LoadRequest(label="FLAT-005", set_current=True))
    assert reservation.slot == "5"
    assert failure(flat(root), LoadRequest(label="FLAT-005")) == (
        "Slot 5, containing 'FLAT-005', is already in use by drive 'drive0'",
        ChangerReason.VOLINUSE,
        None,
    )
    reservation.release()
    state = parse_perl_data((root / "state").read_bytes())
    assert state["current"] == "slot5"
    assert state["current_slot"]["config"]["DailySet"]["storage"]["S"]["changer"] == {
        "myflat": "slot5"
    }
    assert not (root / "data").exists()


def test_the_meta_label_is_in_the_name(root: Path) -> None:
    """With $m the first label bears the meta label that labelling will make, all others it too."""
    changer = flat(root, "$m-$2s", meta="META-%%")
    reservation = changer.load(LoadRequest(slot="1"))
    assert reservation.device.name == f"diskflat:{root}/META-01-01"
    reservation.set_meta_label("META-07")
    reservation.release()
    reservation = changer.load(LoadRequest(slot="2"))
    assert reservation.device.name == f"diskflat:{root}/META-07-02"
    reservation.release()


# construction


@pytest.mark.parametrize(
    ("template", "text"),
    [
        (None, "template is not set, you must set autolabel"),
        ("FLAT-%%", "No '$s' in autolabel template"),
        ("FLAT-$s-%%", "has a counter beside its"),
    ],
)
def test_templates_that_name_no_slots(root: Path, template: str | None, text: str) -> None:
    """Without a label for each slot the changer says so at the start."""
    with pytest.raises(ChangerError) as caught:
        flat(root, template)
    assert text in caught.value.message
    assert caught.value.fatal


def test_other_settings_refused(root: Path) -> None:
    """A missing directory, and auto-create without slots, in stock's words."""
    with pytest.raises(ChangerError, match="property 'auto-create-slot' set but property"):
        flat(root, num_slot="0", auto_create_slot="yes")
    with pytest.raises(ChangerError, match=r"directory '.*/no' does not exist"):
        flat(root / "no")


@pytest.mark.parametrize(
    ("template", "name", "slot"),
    [
        ("V-$3s", "V-012", 12),
        ("V-$3s", "V-1234", 1234),
        ("V-$3s", "V-0012", None),
        ("V-$s", "V-07", None),
        ("$r.$s.$c", "S.7.DailySet", 7),
        ("$s-$s", "3-3", 3),
        ("$s-$s", "3-4", None),
        ("a+$s", "aa1", None),
        ("$$$s", "$5", 5),
    ],
)
def test_slot_of_label(template: str, name: str, slot: int | None) -> None:
    """Only the very label of a slot tells the slot."""
    names: Any = {"config": "DailySet", "org": "o", "storage": "S", "meta": None}
    assert slot_of_label(template, name, **names) == slot


def test_a_step_to_the_next_volume_lists_nothing(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A walk over a thousand would read as many names and lines of the tapelist for each."""
    changer = flat(root)
    for slot in ("1", "2", "3"):
        label(changer, slot)
    reads: list[object] = []
    for name in ("listdir", "scandir"):
        plain = getattr(os, name)
        monkeypatch.setattr(os, name, lambda path, plain=plain: reads.append(path) or plain(path))
    plain_read = diskflat.configured_tapelist
    monkeypatch.setattr(
        diskflat, "configured_tapelist", lambda config: reads.append(config) or plain_read(config)
    )
    for after in ("1", "2"):
        changer.load(LoadRequest(relative=Relative.NEXT, after=after)).release()
    assert reads == []
    changer.load(LoadRequest(relative=Relative.NEXT, after="3")).release()
    assert str(root) in reads

"""chg-aggregate: several changers, whatever their nature, as one."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.asynchronous import prepare_changer
from devices.changers.aggregate import state_path
from devices.changers.children import combined
from devices.errors import ChangerError, ChangerReason
from devices.file import FileDevice
from devices.interfaces import AccessMode, LoadRequest, Relative
from protocols.conf.sections import ChangerSection, Storage
from protocols.perldata import format_perl_data, parse_perl_data
from tests.contract.changer import ChangerContract
from tests.devices.refusals import assert_told_with_place, failure
from tests.fakes.changers import SteppedLanes, open_waited
from tests.fakes.config import make_config

CURRENT = LoadRequest(relative=Relative.CURRENT)
NEXT = LoadRequest(relative=Relative.NEXT)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two roots of vtapes: ``a`` with slots 1 and 2, ``b`` with slots 1 and 3."""
    for name in ("a/slot1", "a/slot2", "b/slot1", "b/slot3"):
        (tmp_path / name).mkdir(parents=True)
    return tmp_path


def aggregate(
    root: Path,
    children: str | None = None,
    *sections: Any,
    stop: threading.Event | None = None,
    **properties: str,
) -> Any:
    """A chg-aggregate called ``myagg`` used by storage ``S`` of ``DailySet``."""
    given = {"state-filename": f"{root}/state", **properties}
    section = ChangerSection(
        "myagg",
        tpchanger=f"chg-aggregate:{children or f'{{chg-disk:{root}/a,chg-disk:{root}/b}}'}",
        property={name.replace("_", "-"): (value,) for name, value in given.items()},
        place="/etc/amanda/DailySet/amanda.conf:9",
    )
    config = make_config(section, *sections, directory=str(root))
    return open_waited(None, config, Storage("S", tpchanger="myagg"), stop=stop)


def state_of(root: Path) -> dict[str, Any]:
    return parse_perl_data((root / "state").read_bytes())


def label(changer: Any, slot: str, name: str) -> None:
    reservation = changer.load(LoadRequest(slot=slot))
    reservation.device.start(AccessMode.WRITE, name, "20260102030405")
    reservation.set_label(name)
    reservation.release()


class TestAggregateOfDisks(ChangerContract):
    lacks = ("eject", "move")

    @pytest.fixture
    def open_changer(self, root: Path) -> Callable[[], Any]:
        return lambda: aggregate(root)


class TestAggregateOfOthers(ChangerContract):
    """A list of devices, an aggregate, and one child that is missing."""

    lacks = ("move",)

    @pytest.fixture
    def open_changer(self, root: Path) -> Callable[[], Any]:
        (root / "d1").mkdir()
        (root / "d2").mkdir()
        sections = [
            ChangerSection("m", tpchanger=f"chg-multi:file:{root}/d{{1,2}}", changerfile="m-state"),
            ChangerSection(
                "disks",
                tpchanger=f"chg-aggregate:chg-disk:{root}/{{a,b}}",
                property={"state-filename": (f"{root}/inner",)},
            ),
        ]
        return lambda: aggregate(root, "{ERROR,m,disks}", *sections)

    def test_slots_of_slots(self, changer: Any) -> None:
        """Names of slots are nested as the changers are."""
        assert changer.info().slots == ("1:1", "1:2", "2:0:1", "2:0:2", "2:1:1", "2:1:3")
        reservation = changer.load(LoadRequest(slot="2:1:3"))
        assert reservation.slot == "2:1:3"
        assert reservation.device.name.endswith("/b/slot3")
        reservation.release()


def test_slots_and_facts_of_all_children(root: Path) -> None:
    """The children's slots one after the other; fast if all are; by all their vendors."""
    info = aggregate(root).info()
    assert info.slots == ("0:1", "0:2", "1:1", "1:3")
    assert (info.vendor_string, info.fast_search) == ("{chg-disk,chg-disk}", True)


def test_every_load_sets_the_current_slot(root: Path) -> None:
    """Where stock looks for it, for this user and for everybody."""
    changer = aggregate(root)
    assert [e.slot for e in changer.inventory() if e.current] == ["0:1"]
    changer.load(LoadRequest(slot="1:3")).release()
    assert state_of(root) == {
        "current_slot": "1:3",
        "current_slot_csc": {"DailySet": {"storage": {"S": {"changer": {"myagg": "1:3"}}}}},
    }
    assert [e.slot for e in aggregate(root).inventory() if e.current] == ["1:3"]
    changer.reset()
    assert state_of(root)["current_slot"] == "0:1"


def test_the_childs_current_slot_moves_when_asked_for(root: Path) -> None:
    """set_current is for the child, too; every other load leaves its state alone."""
    changer = aggregate(root)
    changer.load(LoadRequest(slot="1:3", set_current=True)).release()
    assert os.readlink(root / "b/data") == "slot3"
    changer.load(LoadRequest(slot="1:1")).release()
    assert os.readlink(root / "b/data") == "slot3"


def test_next_goes_from_child_to_child_and_round(root: Path) -> None:
    """After the current slot, or the one named, without those that are excluded."""
    changer = aggregate(root)
    changer.load(CURRENT).release()
    seen = []
    for _ in range(4):
        reservation = changer.load(NEXT)
        seen.append(reservation.slot)
        reservation.release()
    assert seen == ["0:2", "1:1", "1:3", "0:1"]
    request = LoadRequest(
        relative=Relative.NEXT, after="0:2", except_slots=frozenset({"1:1", "0:1"})
    )
    reservation = changer.load(request)
    assert reservation.slot == "1:3"
    reservation.release()


def test_a_scan_goes_on_after_a_slot_in_use(root: Path) -> None:
    """The error names our slot, so that the next load can leave it out."""
    changer = aggregate(root)
    held = changer.load(LoadRequest(slot="0:2"))
    changer.load(LoadRequest(slot="0:1")).release()
    text = f"Slot 2 is already in use by drive 'drive0' and process '{os.getpid()}'"
    assert failure(changer, NEXT) == (text, ChangerReason.VOLINUSE, "0:2")
    request = LoadRequest(relative=Relative.NEXT, after="0:2", except_slots=frozenset({"0:2"}))
    reservation = changer.load(request)
    assert reservation.slot == "1:1"
    reservation.release()
    held.release()


def test_labels_of_all_children(root: Path) -> None:
    """A label is found in whichever child has it; one that nobody has is not found."""
    changer = aggregate(root)
    label(changer, "1:3", "AG-01")
    reservation = changer.load(LoadRequest(label="AG-01"))
    assert (reservation.slot, reservation.reading.label) == ("1:3", "AG-01")
    reservation.release()
    wanted = LoadRequest(label="AG-02")
    assert failure(changer, wanted) == ("label AG-02 not found", ChangerReason.NOTFOUND, None)
    (root / "b/slot3/00000.AG-01").rename(root / "b/slot3/00000.AG-09")
    text = "Found unexpected tape 'AG-01' while looking for 'AG-09'"
    assert failure(changer, LoadRequest(label="AG-09")) == (text, ChangerReason.NOTFOUND, "1:3")
    assert not any(entry.reserved for entry in changer.inventory())


@pytest.mark.parametrize("slot", ["7:1", "3", "x:1", "", "-1:1", "99999999:1"])
def test_a_child_that_is_not_there(root: Path, slot: str) -> None:
    """The text is stock's, and an index is never counted from the end."""
    text = f"no changer {slot.partition(':')[0]}"
    assert failure(aggregate(root), LoadRequest(slot=slot)) == (text, ChangerReason.INVALID, slot)


def test_a_slot_that_the_child_has_not(root: Path) -> None:
    """The child's words, our name of the slot."""
    assert failure(aggregate(root), LoadRequest(slot="1:7", mode=AccessMode.READ)) == (
        "Slot 7 not found",
        ChangerReason.INVALID,
        "1:7",
    )


@pytest.mark.parametrize(
    ("children", "text"),
    [
        ("{chg-disk:/a}", "chg-aggregate needs at least two child changers, not '{chg-disk:/a}'"),
        ("{,}", "chg-aggregate needs at least two child changers, not '{,}': '{,}' has a '{'"),
        ("{a{b},c}", "chg-aggregate needs at least two child changers, not '{a{b},c}': '{a{b},c}'"),
    ],
)
def test_bad_names_are_told_with_their_place(root: Path, children: str, text: str) -> None:
    """File, line and value are named, and what was expected."""
    place = "(changer 'myagg', defined in '/etc/amanda/DailySet/amanda.conf', line 9)"
    assert_told_with_place(lambda: aggregate(root, children), text, place)


def test_children_that_cannot_be_opened(root: Path) -> None:
    """One, or several, in stock's words, with the place; with the property the others go on."""
    none = f"chg-disk:{root}/none"
    missing = f"{none}: directory '{root}/none' does not exist"
    place = " (changer 'myagg', defined in '/etc/amanda/DailySet/amanda.conf', line 9)"
    with pytest.raises(ChangerError) as caught:
        aggregate(root, f"{{{none},chg-disk:{root}/a}}")
    assert (caught.value.message, caught.value.fatal) == (missing + place, True)
    for allowed in ("no", "yes"):
        with pytest.raises(ChangerError) as caught:
            aggregate(root, f"{{{none},{none}}}", allow_missing_changer=allowed)
        assert (caught.value.message, caught.value.fatal) == (f"{missing}; {missing}{place}", True)
    changer = aggregate(root, f"{{{none},chg-disk:{root}/a}}", allow_missing_changer="yes")
    assert changer.info().slots == ("1:1", "1:2")
    assert [e.slot for e in changer.inventory() if e.current] == ["1:1"]
    assert failure(changer, LoadRequest(slot="0:1"))[0] == "no changer 0"
    reservation = changer.load(CURRENT)
    assert reservation.slot == "1:1"
    reservation.release()


def test_a_changer_is_no_part_of_itself(root: Path) -> None:
    """Sections that name each other end with an error, not in a whirl."""
    other = ChangerSection("other", tpchanger="chg-aggregate:{myagg,myagg}")
    with pytest.raises(ChangerError, match="changer 'myagg' is a part of itself"):
        aggregate(root, f"{{other,chg-disk:{root}/a}}", other)


def test_where_the_state_is(root: Path) -> None:
    """By the section's name beside the configurations, or where the property says."""
    context = SteppedLanes().context
    children = f"chg-aggregate:{{chg-disk:{root}/a,chg-disk:{root}/b}}"
    sections = [
        ChangerSection("plain", tpchanger=children),
        ChangerSection("here", tpchanger=children, property={"state-filename": ("/x/y",)}),
        ChangerSection("there", tpchanger=children, property={"state-filename": ("y",)}),
    ]
    config = make_config(*sections)
    found = [
        state_path(prepare_changer(name, config, None, context))
        for name in ("plain", children, "here", "there")
    ]
    assert found == [
        "/etc/amanda/plain.state",
        "/etc/amanda/default.state",
        "/x/y",
        "/tmp/amanda/y",
    ]


def test_what_some_children_lack(root: Path) -> None:
    """An update is for those that know of it; all else is one error with the children's names."""
    names = (f"chg-disk:{root}/a", f"file:{root}/a/slot1")
    changer = aggregate(root, f"{{{','.join(names)}}}")
    assert changer.scan_require_update
    changer.load(LoadRequest(slot="1:1")).release()
    changer.update()
    assert changer.inventory()[-1].state is None
    for operation, refused in (
        (lambda: changer.update("0:1"), f"{names[0]}: 'chg-disk' does not support update"),
        (changer.reset, f"{names[1]}: 'chg-single' does not support reset"),
        (
            changer.eject,
            f"{names[0]}: 'chg-disk' does not support eject; "
            f"{names[1]}: 'chg-single' does not support eject",
        ),
        (lambda: changer.eject("1"), "Can't specify drive fo eject command"),
    ):
        with pytest.raises(ChangerError) as caught:
            operation()
        assert (caught.value.message, caught.value.reason) == (refused, ChangerReason.NOTIMPL)


def test_update_goes_to_the_children_it_names(root: Path) -> None:
    """Slots and ranges of one child, or whole children; nonsense is refused, never silent."""
    for name in ("d1", "d2", "e1"):
        (root / name).mkdir()
    sections = [
        ChangerSection("m", tpchanger=f"chg-multi:file:{root}/d{{1,2}}", changerfile="m-state"),
        ChangerSection("n", tpchanger=f"chg-multi:file:{root}/e1", changerfile="n-state"),
    ]
    changer = aggregate(root, "{m,n}", *sections)

    def known() -> list[str]:
        return [e.slot for e in changer.inventory() if e.device_status is not None]

    for changed, wanted in (
        ("0:1", ["0:1"]),
        ("0:1=", []),
        ("0:1-0:2", ["0:1", "0:2"]),
        ("0:1-0:2=", []),
        ("1", ["1:1"]),
        ("0-1", ["0:1", "0:2", "1:1"]),
        ("0:1,=", None),
        ("0:1-1:1", None),
        ("0:2-1", None),
        ("1-0", None),
        ("1=", None),
        ("5", None),
    ):
        if wanted is None:
            with pytest.raises(ChangerError) as caught:
                changer.update(changed)
            assert caught.value.reason is ChangerReason.INVALID
        else:
            changer.update(changed)
            assert known() == wanted
    changer.update("1:1=AG-05")
    state = parse_perl_data((root / "n-state").read_bytes())
    assert state["slots"][f"file:{root}/e1"]["label"] == "AG-05"


def test_meta_labels_are_the_childs(root: Path) -> None:
    """Each root of vtapes has its own."""
    changer = aggregate(root)
    reservation = changer.load(LoadRequest(slot="1:1"))
    reservation.set_meta_label("META-B")
    assert (reservation.get_meta_label(), reservation.meta) == ("META-B", "META-B")
    reservation.release()
    reservation = changer.load(LoadRequest(slot="0:1"))
    assert reservation.meta is None
    reservation.release()


# faults


def test_a_child_that_fails_in_each_operation(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its state is beyond reach: the error has its name, and nothing stays held."""
    changer = aggregate(root)
    os.rename(root / "b/slot1", root / "b/slot7")
    (root / "b/state").mkdir()
    locking = f"Error locking '{root}/b/state': Is a directory"
    for operation in (changer.info, changer.inventory, changer.reset):
        with pytest.raises(ChangerError) as caught:
            operation()
        assert caught.value.message == f"chg-disk:{root}/b: {locking}"
        assert caught.value.fatal
    assert failure(changer, LoadRequest(slot="1:3")) == (locking, None, None)
    assert failure(changer, NEXT)[0] == f"chg-disk:{root}/b: {locking}"
    (root / "b/state").rmdir()
    assert not any(entry.reserved for entry in changer.inventory())
    changer.load(LoadRequest(slot="1:3")).release()


def test_without_its_own_state_a_load_holds_nothing(root: Path) -> None:
    """The child's volume is given back when the current slot cannot be told."""
    changer = aggregate(root)
    (root / "state").mkdir()
    for request in (LoadRequest(slot="0:1"), CURRENT, NEXT):
        assert failure(changer, request)[0].startswith(f"Error locking '{root}/state'")
    (root / "state").rmdir()
    assert not any(entry.reserved for entry in changer.inventory())


def test_a_device_that_fails_is_the_childs_matter(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Errors of opening arrive as they are; afterwards nobody holds the slot."""

    def fail(_: Any) -> None:
        raise ChangerError("broken", ChangerReason.DEVICE)

    monkeypatch.setattr(FileDevice, "read_label", fail)
    changer = aggregate(root)
    assert failure(changer, CURRENT) == ("broken", ChangerReason.DEVICE, None)
    assert not any(entry.reserved for entry in changer.inventory())


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["a", "b", "c"]), st.none() | st.sampled_from(list(ChangerReason))
        ),
        min_size=1,
        max_size=4,
    )
)
def test_errors_of_several_are_one(parts: list[tuple[str, ChangerReason | None]]) -> None:
    """Fatal if one is; the reason is the common one, else unknown; all texts are in it."""
    faults = [(name, ChangerError(f"text {name}", reason)) for name, reason in parts]
    error = combined(faults)
    assert error.message == "; ".join(f"{name}: text {name}" for name, _ in parts)
    reasons = {reason for _, reason in parts}
    if None in reasons:
        assert error.fatal
    else:
        assert error.reason == (reasons.pop() if len(reasons) == 1 else ChangerReason.UNKNOWN)


def test_any_state_can_be_read(root: Path) -> None:
    """What stands in the place of the current slot and is none counts for nothing."""
    for state in (
        {"current_slot": {}, "current_slot_csc": []},
        {"current_slot": 7},
        {"current_slot_csc": {"DailySet": {"storage": "S"}}},
    ):
        (root / "state").write_bytes(format_perl_data(state))
        changer = aggregate(root)
        assert [e.slot for e in changer.inventory() if e.current] == ["0:1"]
        changer.load(CURRENT).release()
        assert state_of(root)["current_slot"] == "0:1"

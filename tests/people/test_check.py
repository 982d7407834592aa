"""``taperctl check`` and ``simulate``: what they foretell is what our taper does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pytest_twisted import ensureDeferred
from zope.interface.verify import verifyObject

from devices.interfaces import (
    IAsyncChanger,
    IAsyncDevice,
    IAsyncReservation,
    InventoryEntry,
    LoadRequest,
    SlotState,
)
from protocols.tapelist import Tapelist
from taper.core.interfaces import ITapelistStore
from taper.people.exits import Exit
from taper.people.paper import BLANK, ChangerFacts, PaperChanger, PaperSlot
from taper.people.tonight import PaperList
from tests.fakes.changers import result_of
from tests.people.nights import Dump, Nights

FIRST, SECOND, THIRD = "20260106000000", "20260107000000", "20260108210000"


async def three_nights(tmp_path: Path, slots: int = 4, **settings: Any) -> Nights:
    nights = Nights(tmp_path).make(slots)
    nights.configure(**settings)
    for stamp in (FIRST, SECOND, THIRD):
        await nights.hold(stamp, Dump("/srv", 100))
    return nights


def squeezed(lines: list[str]) -> list[str]:
    return [" ".join(line.split()) for line in lines]


@ensureDeferred
async def test_tonight(tmp_path: Path) -> None:
    """The volume it names is the one that is written; nothing is changed by asking."""
    nights = await three_nights(tmp_path)
    before = nights.snapshot()
    assert squeezed(await nights.lines("check")) == [
        "Storage C: tonight's first volume is slot 1, C01, which is written over.",
        "If more is needed, the next one is slot 2, C02, which is written over.",
        "slot volume tonight",
        "3 C03 no: it is retained by retention-tapes until 2 other volumes of storage C are "
        "written",
        "4 - later: it may be labelled, when it is its turn",
    ]
    assert nights.snapshot() == before
    await nights.hold("20260109210000", Dump("/srv", 100))
    assert "20260109210000 C01" in (tmp_path / "tapelist").read_text()


@ensureDeferred
async def test_as_json(tmp_path: Path) -> None:
    nights = await three_nights(tmp_path, runtapes=1, policy="retention-days 30")
    (told,) = (await nights.record("check"))["storages"]
    notes = told.pop("notes")
    assert notes == [
        "Slot 3 with label C03 is not reusable",
        "Slot 4 without label can be labeled",
    ]
    slots = told.pop("slots")
    assert told == {
        "storage": "C",
        "taken": [{"slot": "4", "label": "C04", "new_label": True, "refused": None}],
        "failed": None,
        "unknown_slots": [],
    }
    assert [(slot["slot"], slot["label"], slot["fate"]) for slot in slots] == [
        ("1", "C01", "refused"),
        ("2", "C02", "refused"),
        ("3", "C03", "refused"),
    ]
    assert slots[0]["kept_by"] == [
        {"rule": "retention-days", "storage": "C", "until": "20260205000000", "volumes": None}
    ]


@ensureDeferred
async def test_no_volume(tmp_path: Path) -> None:
    """A damaged one, a foreign one, and those that are kept: each with its reason."""
    nights = await three_nights(tmp_path, policy="retention-days 30")
    (tmp_path / "vtapes/slot4/00000.X01").write_bytes(b"")
    (tmp_path / "vtapes/slot2/00000.C02").write_bytes(b"rubbish" * 9000)
    lines = squeezed(await nights.lines("check", exit=Exit.FOUND))
    assert lines[0].startswith("Storage C: no volume is found tonight: No acceptable volumes found")
    assert [line.split()[:3] for line in lines[2:]] == [
        ["1", "C01", "no:"],
        ["2", "-", "no:"],
        ["3", "C03", "no:"],
        ["4", "-", "no:"],
    ]
    assert "volume in error" in lines[3]


@ensureDeferred
async def test_a_slot_that_is_in_use(tmp_path: Path) -> None:
    nights = await three_nights(tmp_path)
    state = tmp_path / "vtapes/state"
    holder = "'drives' => { 'drive0' => { 'slot' => 'slot1', 'pid' => '1' } }"
    state.write_text(state.read_text().replace("'drives' => {}", holder))
    lines = squeezed(await nights.lines("check"))
    assert lines[0] == "Storage C: tonight's first volume is slot 4, labelled C04."
    assert "1 C01 no: slot 1 is in use by another program" in lines


@ensureDeferred
async def test_a_changer_that_is_not_there(tmp_path: Path) -> None:
    nights = await three_nights(tmp_path)
    (tmp_path / "vtapes").rename(tmp_path / "elsewhere")
    (line,) = await nights.lines("check", exit=Exit.FOUND)
    assert f"directory '{tmp_path}/vtapes' does not exist" in line


@pytest.mark.parametrize("scan", ["traditional", "lexical", "oldest"])
@ensureDeferred
async def test_nights_to_come_are_as_foretold(tmp_path: Path, scan: str) -> None:
    """Then they come."""
    nights = await three_nights(tmp_path, storage=f'taperscan "{scan}"', runtapes=1)
    before = nights.snapshot()
    (told,) = (await nights.record("simulate", "5"))["storages"]
    assert nights.snapshot() == before
    foretold = [night["taken"][0]["label"] for night in told["nights"]]
    for day in range(5):
        stamp = f"202601{day + 10}210000"
        await nights.hold(stamp, Dump("/srv", 100))
        written = [
            line.split()[1]
            for line in (tmp_path / "tapelist").read_text().splitlines()
            if line.startswith(stamp)
        ]
        assert written == [foretold[day]]


@ensureDeferred
async def test_the_night_on_which_none_is_left(tmp_path: Path) -> None:
    nights = await three_nights(tmp_path, policy="retention-days 30", runtapes=1)
    lines = squeezed(await nights.lines("simulate", "9", exit=Exit.FOUND))
    assert [line.split()[0] for line in lines[:3]] == ["night", "1", "2"]
    assert "C04 in slot 4 (new)" in lines[1]
    assert lines[2].endswith("none")
    assert "on night 2, 2026-01-10" in lines[3]
    assert "no volume is left: No acceptable volumes found" in lines[3]
    lines = squeezed(await nights.lines("simulate", "2", "--volumes", "2", exit=Exit.FOUND))
    assert "only 1 of 2 volumes are left" in lines[-1]


@ensureDeferred
async def test_days_pass(tmp_path: Path) -> None:
    """Volumes that are kept for some days are free again by then."""
    nights = await three_nights(tmp_path, 8, policy="retention-days 5", runtapes=1, tapecycle=1)
    (told,) = (await nights.record("simulate", "20"))["storages"]
    labels = [night["taken"][0]["label"] for night in told["nights"]]
    assert len(labels) == 20
    for number, label in enumerate(labels):
        assert label not in labels[max(number - 5, 0) : number]
    assert len(set(labels)) < 9


@ensureDeferred
async def test_dumps_that_newer_ones_build_on(tmp_path: Path) -> None:
    """With retention-recover: full dumps are foreseen, so old volumes become free."""
    nights = await three_nights(tmp_path, policy="retention-recover 2", runtapes=1, tapecycle=1)
    (told,) = (await nights.record("simulate", "12"))["storages"]
    assert [night["failed"] for night in told["nights"]] == [None] * 12


def test_what_is_on_paper_has_the_faces_of_the_real_things() -> None:
    slot = PaperSlot(InventoryEntry(slot="1", state=SlotState.FULL), BLANK)
    paper = PaperChanger(ChangerFacts(name="paper"), [slot])
    verifyObject(IAsyncChanger, paper)
    held = result_of(paper.load(LoadRequest(slot="1")))
    verifyObject(IAsyncReservation, held)
    verifyObject(IAsyncDevice, held.device)
    verifyObject(ITapelistStore, PaperList(Tapelist()))


@ensureDeferred
async def test_volumes_that_the_changer_does_not_know(tmp_path: Path) -> None:
    """They are told of, and not loaded but if that is wanted."""
    nights = await three_nights(tmp_path, policy="retention-days 30")
    nights.configure(changer=f'tpchanger "chg-multi:file:{tmp_path}/vtapes/slot{{1,2,3,4}}"')
    lines = squeezed(await nights.lines("check", exit=Exit.FOUND))
    assert lines[0].startswith("Storage C: no volume is found tonight: ")
    assert "unknown content: 1, 2, 3, 4." in lines[1]
    lines = squeezed(await nights.lines("simulate", "2", exit=Exit.FOUND))
    assert lines[-1].startswith("Slots of unknown content were not counted: ")
    lines = squeezed(await nights.lines("check", "--load"))
    assert lines[0] == "Storage C: tonight's first volume is slot 4, labelled C04."


@ensureDeferred
async def test_what_makes_no_sense(tmp_path: Path) -> None:
    nights = await three_nights(tmp_path)
    for words in (("simulate", "0"), ("simulate", "3", "--volumes", "0")):
        assert await nights.run(*words) == (Exit.USAGE, "")
    assert nights.said == [
        "0 nights: 1 to 1000 expected",
        "--volumes 0: 1 or more expected",
    ]

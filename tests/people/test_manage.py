"""``taperctl label``, ``erase``, ``update`` and ``move``."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from pytest_twisted import ensureDeferred
from twisted.internet.defer import execute

from devices.base import HEADER_SIZE
from protocols.header import HeaderType, parse_header
from taper.people.exits import Exit
from taper.people.manage import workbench
from taper.people.restore.dialogue import Dialogue
from taper.people.screen import Screen, Style
from tests.fakes.library import Library
from tests.people.nights import Dump, Nights

FIRST, SECOND = "20260107000000", "20260108210000"
NEW = "BLOCKSIZE:32 POOL:C STORAGE:C CONFIG:C"


async def two_nights(tmp_path: Path, **settings: Any) -> Nights:
    """C01 and C02 are written, the slots 3 and 4 blank."""
    nights = Nights(tmp_path).make()
    nights.configure(**settings)
    await nights.hold(FIRST, Dump("/home", 100))
    await nights.hold(SECOND, Dump("/srv", 100))
    nights.configure(policy="retention-tapes 1")
    return nights


def listed(nights: Nights) -> list[str]:
    return (nights.root / "tapelist").read_text().splitlines()


def written(nights: Nights, slot: int) -> tuple[str, str] | None:
    """Label and timestamp of what is in a slot; None: it is blank."""
    files = sorted((nights.root / f"vtapes/slot{slot}").glob("0*"))
    if not files:
        return None
    (only,) = files
    header = parse_header(only.read_bytes()[:HEADER_SIZE])
    assert header.type is HeaderType.TAPESTART
    return header.label, header.datestamp


async def refused(nights: Nights, *words: str, exit: Exit = Exit.FAILED) -> str:
    """What a command says that does nothing."""
    before = nights.snapshot()
    status, said = await nights.run(*words)
    assert status == exit, said
    after = nights.snapshot()
    for name in ("vtapes/state", "tapelist.lock"):
        before.pop(name, None)
        after.pop(name, None)
    assert before == after
    return nights.said[-1] if exit is Exit.FAILED else said


# label


@ensureDeferred
async def test_a_blank_volume_gets_a_label(tmp_path: Path) -> None:
    """For the next night, which takes it."""
    nights = await two_nights(tmp_path)
    nights.configure(policy="retention-tapes 2")
    assert await nights.lines("label", "C77", "--slot", "4") == [
        "Slot 4 has a blank volume. It gets the label C77.",
        "Slot 4 has volume C77 now.",
    ]
    assert listed(nights)[-1] == f"0 C77 reuse {NEW}"
    assert written(nights, 4) == ("C77", "X")
    nights.configure(labels="")
    await nights.hold("20260109210000", Dump("/home", 100))
    assert f"20260109210000 C77 reuse {NEW}" in listed(nights)


@ensureDeferred
async def test_an_active_volume_must_be_named(tmp_path: Path) -> None:
    nights = await two_nights(tmp_path)
    words = ("label", "C02", "--slot", "2")
    assert "--force labels it all the same" in await refused(nights, *words)
    text = await refused(nights, *words, "--force")
    assert text == "nothing was done, as C02 is active; --name C02 gives it up"
    assert "is active" in await refused(nights, *words, "--force", "--name", "C01")
    told = await refused(nights, *words, "--force", "--dry-run", exit=Exit.WELL)
    assert "Volume C02 is active: it is retained by retention-tapes until 1 other volume" in told
    assert "localhost  /srv" in told
    record = await nights.record(*words, "--force", "--name", "C02")
    assert record["done"]
    assert [dump["disk"] for dump in record["lost"]] == ["/srv"]
    assert listed(nights) == [f"{FIRST} C01 reuse {NEW}", f"0 C02 reuse {NEW}"]
    assert written(nights, 2) == ("C02", "X")


@ensureDeferred
async def test_a_volume_that_nobody_needs_is_labelled_by_force_alone(tmp_path: Path) -> None:
    nights = await two_nights(tmp_path)
    lines = await nights.lines("label", "C09", "--slot", "1", "--force")
    assert "Volume C01 stays in the tapelist; amrmtape C C01 takes it out" in lines[-2]
    assert listed(nights)[1:] == [f"{FIRST} C01 reuse {NEW}", f"0 C09 reuse {NEW}"]
    assert written(nights, 1) == ("C09", "X")


@ensureDeferred
async def test_what_cannot_be(tmp_path: Path) -> None:
    nights = await two_nights(tmp_path)
    for words, why in (
        (("C02", "--slot", "3"), "the tapelist has a volume C02 already"),
        (("C02", "--slot", "3", "--force", "--name", "C02"), "the tapelist has a volume C02"),
        (("D01", "--slot", "3"), "the label 'D01' does not match labelstr '^C[0-9]+$'"),
        (("C/1", "--slot", "3"), "holds '/', which no label may"),
        (("C05", "--slot", "99"), "Slot 99 not found"),
        (("C05", "--slot", "3", "--storage", "D"), "there is no storage 'D'"),
    ):
        assert why in await refused(nights, "label", *words)


@ensureDeferred
async def test_a_volume_that_the_tapelist_has_lost(tmp_path: Path) -> None:
    """It may hold anything."""
    nights = await two_nights(tmp_path)
    (tmp_path / "tapelist").write_text("")
    words = ("label", "C02", "--slot", "2", "--force")
    assert "--name C02" in await refused(nights, *words)
    assert "in slot 2" in await refused(nights, "label", "C02", "--slot", "3")
    await nights.lines(*words, "--name", "C02")
    assert listed(nights) == [f"0 C02 reuse {NEW}"]


@ensureDeferred
async def test_foreign_and_damaged_volumes(tmp_path: Path) -> None:
    nights = await two_nights(tmp_path)
    (tmp_path / "vtapes/slot3/00000.C03").write_bytes(b"letters " * 8192)
    words = ("label", "C03", "--slot", "3")
    assert "what cannot be read: Invalid amanda header" in await refused(nights, *words)
    await nights.lines(*words, "--force")
    assert written(nights, 3) == ("C03", "X")


@ensureDeferred
async def test_a_label_that_somebody_has_begun_to_give(tmp_path: Path) -> None:
    """As a command that was killed leaves it; or a taper that is at it."""
    nights = await two_nights(tmp_path)
    with (tmp_path / "tapelist").open("a") as file:
        file.write("1 C05 no-reuse POOL:C STORAGE:C CONFIG:C\n")
    words = ("label", "C05", "--slot", "3")
    assert "--name C05" in await refused(nights, *words)
    await nights.lines(*words, "--name", "C05")
    assert listed(nights)[-1] == f"0 C05 reuse {NEW}"


class Here:
    """A lane without a thread."""

    def call(self, function: Any, *args: Any) -> Any:
        return execute(function, *args)


def typing(monkeypatch: pytest.MonkeyPatch, typed: str) -> io.StringIO:
    """A person sits at a terminal, and types. :return: what that person is asked"""

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    asked = Terminal()

    def dialogue(site: Any) -> Dialogue:
        screen = Screen(Style.PLAIN, io.StringIO(), lambda: 0.0)
        lane: Any = Here()
        return Dialogue(screen, lambda name: lane, Terminal(typed), asked)

    monkeypatch.setattr(workbench, "dialogue_of", dialogue)
    return asked


@ensureDeferred
async def test_the_name_is_typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nights = await two_nights(tmp_path)
    words = ("label", "C02", "--slot", "2", "--force")
    for typed in ("C01\n", "yes\n", ""):
        typing(monkeypatch, typed)
        assert "the name of C02 was not typed" in await refused(nights, *words)
    asked = typing(monkeypatch, " C02 \n")
    await nights.lines(*words)
    assert asked.getvalue() == "To lose what is on C02, type its name: "
    assert written(nights, 2) == ("C02", "X")


@pytest.mark.parametrize("command", ["label", "erase"])
@ensureDeferred
async def test_a_run_wrote_it_while_somebody_typed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    """The name was given for what was on it before."""
    nights = await two_nights(tmp_path)
    tapelist = tmp_path / "tapelist"
    changed = tapelist.read_text().replace(SECOND, "20260109000000")

    async def meanwhile(dialogue: Any, label: str) -> None:
        assert label == "C02"
        tapelist.write_text(changed)

    monkeypatch.setattr(workbench, "_have_named", meanwhile)
    more = ("--slot", "2", "--force") if command == "label" else ()
    status, _ = await nights.run(command, "C02", *more)
    assert status == Exit.FAILED
    assert "its tapelist entry changed since the scan looked at it" in nights.said[-1]
    assert tapelist.read_text() == changed
    assert len(list((tmp_path / "vtapes/slot2").glob("0*"))) == 2


# erase


@ensureDeferred
async def test_a_volume_is_erased_and_forgotten(tmp_path: Path) -> None:
    nights = await two_nights(tmp_path)
    assert "--name C02" in await refused(nights, "erase", "C02")
    told = await refused(nights, "erase", "C02", "--dry-run", exit=Exit.WELL)
    assert "It is erased; it loses its label, too." in told
    lines = await nights.lines("erase", "C02", "--name", "C02")
    assert lines[-2:] == [
        "Volume C02 is erased.",
        "Amanda's planner may build on what is lost, unless you say: "
        "amadmin C force localhost /srv",
    ]
    assert listed(nights) == [f"{FIRST} C01 reuse {NEW}"]
    assert written(nights, 2) is None
    status, _ = await nights.run("erase", "C02")
    assert status == Exit.ABSENT


@ensureDeferred
async def test_a_volume_is_erased_and_keeps_its_label(tmp_path: Path) -> None:
    nights = await two_nights(tmp_path)
    await nights.lines("erase", "C01", "--keep-label")
    assert listed(nights)[-1] == "0 C01 reuse BLOCKSIZE:32 POOL:C"
    assert written(nights, 1) == ("C01", "X")


@ensureDeferred
async def test_a_copy_elsewhere_is_no_loss(tmp_path: Path) -> None:
    """As of a dump that still waits on a holding disk."""
    nights = await two_nights(tmp_path)
    nights.hold_back(SECOND, Dump("/srv", 100))
    record = await nights.record("erase", "C02", "--dry-run")
    assert record["active"][0]["label"] == "C02"
    assert record["lost"] == []


# robots


def library(tmp_path: Path, nights: Nights) -> Library:
    made = Library(tmp_path / "library", {slot: f"A0000{slot}" for slot in (1, 2, 3)})
    devices = " ".join(f'"{device}"' for device in made.tape_devices())
    lines = (
        f'tpchanger "chg-robot:{made.device}"',
        f'changerfile "{tmp_path}/robot-state"',
        f'property "mtx" "{made.program}"',
        f'property "tape-device" {devices}',
        'property "load-poll" "0s"',
        'property "status-interval" "0"',
    )
    nights.configure(changer="\n".join(lines))
    return made


@ensureDeferred
async def test_a_robot(tmp_path: Path) -> None:
    """It labels, is told what is where, looks itself, and carries."""
    nights = Nights(tmp_path).make()
    library(tmp_path, nights)
    await nights.lines("label", "C01", "--slot", "2")
    assert listed(nights) == [f"0 C01 reuse BARCODE:A00002 {NEW}"]
    record = await nights.record("update", "2-3")
    slots = {slot["slot"]: slot for slot in record["slots"]}
    assert (slots["2"]["label"], slots["2"]["content"]) == ("C01", "labelled")
    assert (slots["3"]["content"], slots["3"]["before"]["content"]) == ("blank", "unknown")
    (dry,) = await nights.lines("move", "2", "7", "--dry-run")
    assert dry == "From slot 2 to slot 7: volume C01, barcode A00002."
    assert (await nights.lines("move", "2", "7"))[-1] == "It is in slot 7 now."
    lines = await nights.lines("move", "2", "8", "--dry-run", exit=Exit.FOUND)
    assert lines[1] == "It stays: slot 2 is empty"
    for words, why in (
        (("2", "8"), "slot 2 is empty"),
        (("7", "3"), "slot 3 is not empty"),
        (("7", "99"), "has no slot 99"),
    ):
        status, _ = await nights.run("move", *words)
        assert status == Exit.FAILED
        assert why in nights.said[-1]
    (line,) = [line for line in await nights.lines("volumes") if "C01" in line]
    assert "7" in line.split()


@ensureDeferred
async def test_changers_that_have_no_such_thing(tmp_path: Path) -> None:
    nights = await two_nights(tmp_path)
    assert "'chg-disk' does not support update" in await refused(nights, "update")
    assert "each volume has its slot for ever" in await refused(nights, "move", "1", "4")

"""``taperctl restore`` where there is no whole dump: what there is of one, and what is told."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from pytest_twisted import ensureDeferred

from taper.gnutar import find_tar
from taper.people.exits import Exit
from tests.people.archives import AGAIN, FULL, HOME, LATER, Archive, found
from tests.people.nights import PART, Nights

pytestmark = pytest.mark.skipif(find_tar() is None, reason="there is no tar")

WORDS = ("restore", "localhost", "/home", "--to")


async def two_volumes(tmp_path: Path) -> Nights:
    """A full dump of six parts, of which C01 has three, and C02 the others."""
    nights = Nights(tmp_path).make()
    nights.configure(device='device-property "MAX_VOLUME_USAGE" "420k"')
    await nights.hold(FULL, HOME)
    return nights


def forget(nights: Nights, label: str) -> None:
    tapelist = nights.root / "tapelist"
    lines = tapelist.read_text().splitlines(keepends=True)
    tapelist.write_text("".join(line for line in lines if f" {label} " not in line))


def rewrite_log(nights: Nights, how: str) -> None:
    log = nights.log(FULL)
    lines = log.read_text().splitlines(keepends=True)
    parts = [line for line in lines if line.startswith("PART ")]
    assert len(parts) == 6
    if how == "part unlogged":
        lines.remove(parts[2])
    else:
        lines = [line for line in lines if line not in parts[3:]]
    if how == "partial":
        (done,) = (line for line in lines if line.startswith("DONE taper"))
        partial = done.replace("DONE", "PARTIAL", 1).replace(f" {FULL} 6 ", f" {FULL} 3 ")
        lines[lines.index(done)] = f'{partial.rstrip()} "no space"\n'
    elif how == "log cut":
        lines = [line for line in lines if not line.startswith("DONE")]
    log.write_text("".join(lines))


def good_files(target: Path, outcome: dict[str, Any]) -> set[str]:
    """Names of those that are said to be good; they are."""
    there = found(target)
    names = there.keys() - set(outcome["damaged"])
    assert all(there[name] == HOME.files()[name] for name in names)
    return names


@pytest.mark.parametrize(
    ("how", "lacks"),
    [
        ("partial", "partial: no space"),
        ("log cut", "open: the trace log does not tell how it ended"),
        ("part unlogged", "the log does not tell of part 3"),
        ("volume away", "volume C02 forgotten (not in the tapelist)"),
        ("written again", "volume C02 written again"),
    ],
)
@ensureDeferred
async def test_a_dump_that_is_not_whole(tmp_path: Path, how: str, lacks: str) -> None:
    """It is named, with the remedy; which gives all files but those that were in what is lost."""
    nights = await two_volumes(tmp_path)
    if how == "volume away":
        forget(nights, "C02")
        shutil.rmtree(tmp_path / "vtapes/slot2")
        (tmp_path / "vtapes/slot2").mkdir()
    elif how == "written again":
        tapelist = tmp_path / "tapelist"
        tapelist.write_text(tapelist.read_text().replace(f"{FULL} C02", f"{LATER} C02"))
    else:
        rewrite_log(nights, how)
    target = tmp_path / "back"
    assert (await nights.run(*WORDS, str(target)))[0] == Exit.FAILED
    assert nights.said[-1] == (
        f"there is no complete dump of it. Not whole: level 0 of 2026-01-07 on C ({lacks}). Say "
        "--partial to restore what there is of it"
    )
    assert not target.exists()
    plan = await nights.run(*WORDS, str(target), "--partial", "--dry-run")
    assert f"Level 0 of 2026-01-07 is not whole: {lacks}." in plan[1]
    record = await nights.record(*WORDS, str(target), "--partial", exit=Exit.FOUND)
    (outcome,) = record["outcomes"]
    assert record["steps"][0]["lacks"] == lacks
    assert (record["whole"], outcome["whole"], outcome["checked"]) == (False, False, False)
    good = good_files(target, outcome)
    if how == "part unlogged":
        assert outcome["lost"] == [
            {"volume": "", "file": 0, "part": 3, "size": PART}
            | {"why": "part 3: the log does not tell of part 3"}
        ]
        assert {"dir/f5", "dir/f6", "dir/f7"} <= good
    elif how in ("volume away", "written again"):
        assert [loss["size"] for loss in outcome["lost"]] == [PART, PART, 10240]
        assert {loss["volume"] for loss in outcome["lost"]} == {"C02"}
    else:
        assert f"the dump is not whole: {lacks}" in outcome["faults"]
    assert {"dir/f0", "dir/f1", "dir/f2"} <= good
    said = await nights.lines(*WORDS, str(tmp_path / "two"), "--partial", exit=Exit.FOUND)
    assert said[-1] == "NOT ALL was restored; what is wrong stands above."
    if how == "part unlogged":
        assert "Level 0: lost 64.0 KiB: part 3: the log does not tell of part 3" in said


@ensureDeferred
async def test_volumes_that_were_forgotten_and_are_still_there(tmp_path: Path) -> None:
    """Even if it is all of them, the dump is restored, and good by its checksum."""
    nights = await two_volumes(tmp_path)
    forget(nights, "C01")
    forget(nights, "C02")
    assert (await nights.run(*WORDS, str(tmp_path / "no")))[0] == Exit.FAILED
    assert "volumes C01, C02 forgotten (not in the tapelist)). Say --partial" in nights.said[-1]
    record = await nights.record(*WORDS, str(tmp_path / "back"), "--partial")
    assert record["whole"]
    assert record["outcomes"][0]["checked"]
    assert found(tmp_path / "back") == HOME.files()


@ensureDeferred
async def test_a_whole_dump_that_builds_on_one_that_is_not(tmp_path: Path) -> None:
    """The plan says so, and does not call overwritten what is only forgotten."""
    nights = await two_volumes(tmp_path)
    await nights.hold(LATER, AGAIN)
    forget(nights, "C01")
    lacks = "volume C01 forgotten (not in the tapelist)"
    shutil.rmtree(tmp_path / "vtapes/slot1")
    (tmp_path / "vtapes/slot1").mkdir()
    record = await nights.record(*WORDS, str(tmp_path / "one"), exit=Exit.FOUND)
    assert (record["base_missing"], record["base_lacks"]) == (True, lacks)
    assert found(tmp_path / "one") == AGAIN.files()
    said = await nights.lines(*WORDS, str(tmp_path / "x"), "--dry-run")
    (text,) = (line for line in said if "No whole full dump is among these" in line)
    assert (
        f"builds on level 0 of 2026-01-07, which cannot be restored as a whole: {lacks}. Only"
        in text
    )
    assert text.endswith("With --partial, what there is of that one is restored first.")
    record = await nights.record(*WORDS, str(tmp_path / "two"), "--partial", exit=Exit.FOUND)
    assert [step["lacks"] for step in record["steps"]] == [lacks, None]
    assert [outcome["whole"] for outcome in record["outcomes"]] == [False, True]
    assert (record["base_missing"], record["whole"]) == (False, False)
    there = found(tmp_path / "two")
    assert there["dir/f6"] == b"new"
    assert AGAIN.files().items() <= there.items()


@ensureDeferred
async def test_a_dump_that_was_never_finished_on_a_holding_disk(tmp_path: Path) -> None:
    nights = Nights(tmp_path).make()
    nights.hold_back(FULL, Archive("/home", 2), partial=True)
    assert (await nights.run(*WORDS, str(tmp_path / "no")))[0] == Exit.FAILED
    assert "level 0 of 2026-01-07 on HOLDING (the dump was not finished)" in nights.said[-1]
    record = await nights.record(*WORDS, str(tmp_path / "back"), "--partial", exit=Exit.FOUND)
    assert record["outcomes"][0]["faults"] == ["the dump is not whole: the dump was not finished"]
    assert found(tmp_path / "back").keys() == {"dir/f0", "dir/f1"}

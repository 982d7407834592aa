"""``taperctl restore`` of what is damaged or missing: what can be read comes back."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from pytest_twisted import ensureDeferred

from taper.gnutar import find_tar
from taper.people.exits import Exit
from tests.people.archives import (
    AGAIN,
    FULL,
    HOME,
    LATER,
    Archive,
    behead,
    found,
    part,
    two_nights,
)
from tests.people.nights import PART, Nights

pytestmark = pytest.mark.skipif(find_tar() is None, reason="there is no tar")


@ensureDeferred
async def test_a_slot_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may have what is missing, so it is told of."""
    nights = await two_nights(tmp_path)
    (tmp_path / "vtapes/slot1").chmod(0)
    usual = os.listdir

    def listdir(path: Any) -> list[str]:
        if str(path).endswith("slot1"):  # root can read all
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return usual(path)

    monkeypatch.setattr(os, "listdir", listdir)
    words = ("restore", "localhost", "/home", "--to", str(tmp_path / "back"))
    said = await nights.lines(*words, exit=Exit.ABSENT)
    assert any(line.startswith("Slot 1 of ") and "Permission denied" in line for line in said)
    assert "Not in the changer: C01. Nothing was restored." in said


@ensureDeferred
async def test_a_volume_that_is_missing(tmp_path: Path) -> None:
    """Nothing is begun; or the others are read, and it is told what that has cost."""
    nights = await two_nights(tmp_path)
    shutil.move(tmp_path / "vtapes/slot1", tmp_path / "away")
    (tmp_path / "vtapes/slot1").mkdir()
    words = ("restore", "localhost", "/home", "--to", str(tmp_path / "back"))
    said = await nights.lines(*words, exit=Exit.ABSENT)
    assert "Not in the changer: C01. Nothing was restored." in said
    assert not (tmp_path / "back").exists()
    record = await nights.record(*words, "--partial", exit=Exit.FOUND)
    assert found(tmp_path / "back") == AGAIN.files()
    assert [outcome["whole"] for outcome in record["outcomes"]] == [False, True]
    assert "'C01' is not at hand" in record["outcomes"][0]["faults"][0]


@pytest.mark.parametrize("damage", ["gone", "cut", "headless and cut", "another's"])
@ensureDeferred
async def test_a_part_that_cannot_be_read(tmp_path: Path, damage: str) -> None:
    """Every other file is there, and whole; the others are named."""
    nights = await two_nights(tmp_path)
    path = part(nights, 1, 3)
    if damage == "gone":
        path.unlink()
    elif damage == "cut":
        os.truncate(path, 32768 + 32768)
    elif damage == "headless and cut":
        path.write_bytes(b"x" * 32768 + path.read_bytes()[32768:-1])
    else:
        path.write_bytes(part(nights, 2, 1).read_bytes())
    target = tmp_path / "back"
    record = await nights.record(
        "restore", "localhost", "/home", "--level", "0", "--to", str(target), exit=Exit.FOUND
    )
    (outcome,) = record["outcomes"]
    ((loss),) = outcome["lost"]
    assert (loss["volume"], loss["file"], loss["part"]) == ("C01", 3, 3)
    assert loss["size"] == (PART // 2 if damage == "cut" else PART)
    whole = {name: data for name, data in found(target).items() if name not in outcome["damaged"]}
    assert outcome["damaged"] or outcome["holes"]
    for name, data in whole.items():
        assert data == HOME.files()[name]
    lost = HOME.files().keys() - whole.keys() - set(outcome["damaged"])
    assert len(lost) <= 1
    assert bool(outcome["holes"]) is bool(lost)


@pytest.mark.parametrize("numbers", [[3], [1], [1, 2, 6]])
@ensureDeferred
async def test_headers_that_are_damaged(tmp_path: Path, numbers: list[int]) -> None:
    """What is behind them is taken, and the checksum tells that it is right."""
    nights = await two_nights(tmp_path)
    for number in numbers:
        behead(part(nights, 1, number), b"\0" if number % 2 else b"x")
    words = ("restore", "localhost", "/home", "--to")
    record = await nights.record(*words, str(tmp_path / "back"), exit=Exit.FOUND)
    assert found(tmp_path / "back") == HOME.files() | AGAIN.files()
    first, second = record["outcomes"]
    assert first["headless"] == [{"volume": "C01", "file": n, "part": n} for n in numbers]
    assert (first["whole"], first["checked"], first["lost"]) == (True, True, [])
    assert second["headless"] == []
    assert record["whole"]
    said = await nights.lines(*words, str(tmp_path / "again"), exit=Exit.FOUND)
    number = numbers[0]
    assert (
        f"Level 0: part {number} on 'C01' file {number}: its header is damaged; its data were "
        "taken by what the log tells of it"
    ) in said
    assert said[-1].startswith("All of it is restored, by the checksums, but volumes are damaged")


@ensureDeferred
async def test_a_damaged_header_before_other_bytes(tmp_path: Path) -> None:
    """What is of the right length is taken, and the checksum tells that it is wrong."""
    nights = await two_nights(tmp_path)
    path = part(nights, 1, 3)
    path.write_bytes(bytes(32768) + part(nights, 1, 4).read_bytes()[32768:])
    words = ("restore", "localhost", "/home", "--level", "0", "--to")
    record = await nights.record(*words, str(tmp_path / "back"), exit=Exit.FOUND)
    (outcome,) = record["outcomes"]
    assert [one["part"] for one in outcome["headless"]] == [3]
    assert (outcome["whole"], outcome["checked"], record["whole"]) == (False, False, False)
    assert any("the server crc of the dump (" in fault for fault in outcome["faults"])
    part(nights, 1, 5).unlink()
    said = await nights.lines(*words, str(tmp_path / "again"), exit=Exit.FOUND)
    assert "Level 0: no checksum confirms that they are the right ones" in said


@pytest.mark.parametrize("other", ["a part", "a dump", "a label"])
@ensureDeferred
async def test_a_header_of_something_else(tmp_path: Path, other: str) -> None:
    """What is behind it is never taken, though it is as long as what is wanted."""
    nights = await two_nights(tmp_path)
    path = part(nights, 1, 3)
    data = path.read_bytes()
    head = part(nights, 1, 4).read_bytes()[:32768]
    if other == "a dump":
        head = data[:32768].replace(b" localhost ", b" localhosu ", 1)
    elif other == "a label":
        head = part(nights, 2, 0).read_bytes()[:32768]
    assert head != data[:32768]
    path.write_bytes(head + data[32768:])
    words = ("restore", "localhost", "/home", "--level", "0", "--to", str(tmp_path / "back"))
    record = await nights.record(*words, exit=Exit.FOUND)
    (outcome,) = record["outcomes"]
    assert [loss["part"] for loss in outcome["lost"]] == [3]
    assert outcome["headless"] == []


@ensureDeferred
async def test_a_bit_that_is_flipped(tmp_path: Path) -> None:
    """Nobody can say where, but that it is not as it was."""
    nights = await two_nights(tmp_path)
    path = part(nights, 1, 2)
    data = bytearray(path.read_bytes())
    data[50_000] ^= 1
    path.write_bytes(data)
    said = await nights.lines(
        "restore", "localhost", "/home", "2026-01-07", "--to", str(tmp_path / "b"), exit=Exit.FOUND
    )
    assert "the server crc of the dump (" in "\n".join(said)
    assert said[-1].startswith("NOT ALL was restored")


@ensureDeferred
async def test_another_copy(tmp_path: Path) -> None:
    """Where one is damaged, the other is pointed to."""
    nights = await two_nights(tmp_path)
    os.truncate(nights.hold_back(FULL, HOME), 200_000)
    words = ("restore", "localhost", "/home", "2026-01-07", "--to")
    said = await nights.lines(*words, str(tmp_path / "one"), exit=Exit.FOUND)
    assert "Level 0: there is another copy; take it with --storage C" in said
    await nights.lines(*words, str(tmp_path / "two"), "--storage", "C")
    assert found(tmp_path / "two") == HOME.files()
    status, _ = await nights.run(*words, str(tmp_path / "three"), "--storage", "D")
    assert (status, nights.said[-1]) == (
        Exit.FAILED,
        "there is no complete dump of it; without --storage, there is one on C, HOLDING",
    )


@pytest.mark.parametrize("how", ["log cut", "part unlogged", "forgotten", "held", "goes on"])
@ensureDeferred
async def test_a_newer_dump_that_is_not_there(tmp_path: Path, how: str) -> None:
    """What is older does not pass for the newest; unless that is what is asked for, or the newer
    one is being written."""
    nights = await two_nights(tmp_path)
    log, tapelist = nights.log(LATER), tmp_path / "tapelist"
    lines = log.read_text().splitlines(keepends=True)
    if how in ("log cut", "goes on"):
        pid = os.getpid() if how == "goes on" else 1 << 30
        told = [line for line in lines if not line.startswith("DONE")]
        log.write_text(f"INFO amdump amdump pid {pid}\n{''.join(told)}")
    elif how == "part unlogged":
        log.write_text("".join(line for line in lines if not line.startswith("PART")))
    elif how == "forgotten":
        entries = tapelist.read_text().splitlines(keepends=True)
        tapelist.write_text("".join(line for line in entries if " C02 " not in line))
    else:
        log.unlink()
        nights.hold_back(LATER, AGAIN, partial=True)
    words = ("restore", "localhost", "/home", "--to")
    end = Exit.WELL if how == "goes on" else Exit.FOUND
    record = await nights.record(*words, str(tmp_path / "one"), exit=end)
    assert [one["datestamp"] for one in record["newer"]] == [LATER] * (end is Exit.FOUND)
    assert record["whole"] is (end is Exit.WELL)
    assert found(tmp_path / "one") == HOME.files()
    if end is Exit.FOUND:
        said = "\n".join(await nights.lines(*words, str(tmp_path / "two"), exit=end))
        assert "Level 1 of 2026-01-08 is newer, and cannot be restored: " in said
        assert 'the date behind its name says that this is wanted: "2026-01-07"' in said
    await nights.lines(*(*words[:-1], "2026-01-07", "--to", str(tmp_path / "three")))


@ensureDeferred
async def test_a_dump_of_the_future(tmp_path: Path) -> None:
    """It is the newest by its date, which hides all that were made since."""
    nights = Nights(tmp_path).make()
    nights.hold_back("20380101000000", Archive("/home", 2))
    nights.hold_back(FULL, HOME)
    words = ("restore", "localhost", "/home", "--to", str(tmp_path / "back"), "--dry-run")
    said = "\n".join(await nights.lines(*words))
    assert "2038-01-01 is still to come: the clock was wrong." in said
    words = (*words[:3], "2026-01-07", *words[3:])
    assert "to come" not in "\n".join(await nights.lines(*words))

"""``taperctl verify --drives``: several volumes side by side."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
from pytest_twisted import ensureDeferred

from devices.file import FileDevice
from taper.core.errors import SourceFault
from taper.people.exits import Exit
from taper.recovery.volumes import AskingClerk
from tests.people.nights import PART, Dump, Nights
from tests.people.robots import into_library
from tests.people.test_read_watch import Held, watched_at_work
from tests.people.test_verify import file_of, flip, squeezed

STAMPS = ("20260106000000", "20260107000000", "20260108000000")


async def three_nights(tmp_path: Path) -> Nights:
    """C01 to C03, each with one dump of three parts."""
    nights = Nights(tmp_path).make()
    for number, stamp in enumerate(STAMPS):
        await nights.hold(stamp, Dump(f"/home{number}", 2 * PART + 5))
    return nights


class Together:
    """Drives that give nothing before so many volumes are read at the same time."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
        self._seen: set[str | None] = set()
        self._changed = threading.Condition()
        usual = FileDevice.read_blocks

        def read_blocks(device: FileDevice, buffer: memoryview) -> int:
            with self._changed:
                self._seen.add(device.label)
                self._changed.notify_all()
                together = self._changed.wait_for(lambda: len(self._seen) >= number, 60)
                assert together, "one after the other"
            return usual(device, buffer)

        monkeypatch.setattr(FileDevice, "read_blocks", read_blocks)


@ensureDeferred
async def test_volumes_are_read_side_by_side(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is said of them is the same as one after the other, damage included."""
    nights = await three_nights(tmp_path)
    flip(file_of(nights, 2, slot=2), 32768 + 7)
    alone = squeezed(await nights.lines("verify", "--all", exit=Exit.FOUND))
    before = await nights.record("verify", "--all", exit=Exit.FOUND)
    Together(monkeypatch, 3)
    words = ("verify", "--all", "--drives", "3")
    assert squeezed(await nights.lines(*words, exit=Exit.FOUND)) == alone
    assert await nights.record(*words, exit=Exit.FOUND) == before
    assert alone[1:4] == ["C01 3 128.0 KiB good", "C02 3 128.0 KiB damaged", "C03 3 128.0 KiB good"]


@ensureDeferred
async def test_a_library_has_fewer_drives_than_may_be_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The drives that there are are used at the same time, and all volumes are read."""
    nights = await three_nights(tmp_path)
    library = await into_library(nights, tmp_path, drives=2)
    Together(monkeypatch, 2)
    said = squeezed(await nights.lines("verify", "--all", "--drives", "3"))
    assert [line.split()[0] for line in said[1:4]] == ["C01", "C02", "C03"]
    assert all(line.endswith("good") for line in said[1:4])
    assert nights.said == []
    assert len({line.split()[1] for line in library.log() if line.startswith("load ")}) == 3


@ensureDeferred
async def test_a_drive_that_is_not_ours_is_left_alone(tmp_path: Path) -> None:
    """The one that another program has is not taken; the volume in it is not at hand."""
    nights = await three_nights(tmp_path)
    library = await into_library(nights, tmp_path, drives=2)
    held = await hold(nights, "C03")
    place = library.places()["A00003"]
    words = ("verify", "C01", "C02", "C03", "--drives", "2")
    record = await nights.record(*words, exit=Exit.ABSENT)
    absent = [volume["absent"] is not None for volume in record["volumes"]]
    assert absent == [False, False, True]
    assert library.places()["A00003"] == place
    await held()


@pytest.mark.parametrize("missing", [False, True])
@ensureDeferred
async def test_a_volume_that_another_drive_of_ours_looks_at_is_not_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: bool
) -> None:
    """Where nobody knows what is in the slots, each drive may have what another one looks for; so
    what is not at hand is looked for once more when they are at rest."""
    nights = await three_nights(tmp_path)
    usual, tried = AskingClerk.fetch, 0

    async def fetch(clerk: AskingClerk, label: str, *rest: Any) -> Any:
        nonlocal tried
        tried += label == "C02"
        if label == "C02" and (missing or tried == 1):
            raise SourceFault("Source volume 'C02' in slot 2 is reserved", code=3004)
        return await usual(clerk, label, *rest)

    monkeypatch.setattr(AskingClerk, "fetch", fetch)
    end = Exit.ABSENT if missing else Exit.WELL
    record = await nights.record("verify", "--all", "--drives", "2", exit=end)
    absent = [volume["label"] for volume in record["volumes"] if volume["absent"] is not None]
    assert absent == (["C02"] if missing else [])
    assert tried == 2


async def hold(nights: Nights, label: str) -> Any:
    """Another program has a volume in a drive. :return: gives it back"""
    from twisted.internet import reactor

    from protocols.twisted_transports.haste import Haste
    from taper.recovery.volumes import Shelves

    shelves = Shelves(reactor, nights.config(), nights.paths, Haste(reactor))
    clerk = AskingClerk(shelves, "C", None)
    await clerk.fetch(label, "other")
    return clerk.quit


@ensureDeferred
async def test_one_drive_that_fails_stops_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nights = await three_nights(tmp_path)
    usual = FileDevice.seek_file

    def seek_file(device: FileDevice, number: int) -> Any:
        if device.label == "C02":
            raise OSError(5, "Input/output error")
        return usual(device, number)

    monkeypatch.setattr(FileDevice, "seek_file", seek_file)
    record = await nights.record("verify", "--all", "--drives", "2", exit=Exit.ABSENT)
    assert [volume["absent"] for volume in record["volumes"]] == [
        None,
        "[Errno 5] Input/output error [TAPER-8000]",
        None,
    ]


@pytest.mark.parametrize("words", [("--drives", "0"), ("--drives", "65")])
@ensureDeferred
async def test_numbers_that_make_no_sense(tmp_path: Path, words: tuple[str, str]) -> None:
    nights = Nights(tmp_path).make()
    assert (await nights.run("verify", "--all", *words))[0] == Exit.USAGE
    assert nights.said[-1] == f"--drives {words[1]}: 1 to 64 expected"
    words = ("--rebuild-catalogue", str(tmp_path / "made"))
    assert (await nights.run("verify", *words, "--drives", "2"))[0] == Exit.USAGE
    assert "does not go with --rebuild-catalogue" in nights.said[-1]


@ensureDeferred
async def test_a_verification_is_watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of its drives."""
    nights = await three_nights(tmp_path)
    held = Held("C02", monkeypatch)
    snapshot = await watched_at_work(nights, monkeypatch, held, "verify", "C02", "--drives", "2")
    reading = snapshot["reading"]
    assert (snapshot["kind"], reading["step"], reading["steps"]) == ("verify", 1, 1)
    assert reading["total"] == 2 * PART + 5
    drive = reading["drives"]["drive1"]
    assert (drive["label"], drive["slot"], drive["total"]) == ("C02", "2", reading["total"])
    assert drive["place"]["dump"]["disk"] == "/home1"
    assert (drive["place"]["part"], drive["place"]["parts"], drive["place"]["file"]) == (1, 3, 1)


@ensureDeferred
async def test_making_a_catalogue_is_watched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nights = await three_nights(tmp_path)
    held, made = Held("C03", monkeypatch), str(tmp_path / "made")
    words = ("verify", "--rebuild-catalogue", made)
    snapshot = await watched_at_work(nights, monkeypatch, held, *words)
    reading = snapshot["reading"]
    assert (snapshot["kind"], reading["to"], reading["host"]) == ("rebuild", made, None)
    assert (reading["step"], reading["steps"]) == (3, 4)
    drive = reading["drives"]["drive1"]
    assert (drive["slot"], drive["place"]["file"], drive["place"]["dump"]) == ("3", 1, None)

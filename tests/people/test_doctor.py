"""``taperctl doctor``: each check finds what it is for, and nothing else."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from pytest_twisted import ensureDeferred

from taper.installation import installation
from taper.people.doctor import by_machine
from taper.people.exits import Exit
from tests.people.nights import Dump, Nights

FULL, LAST = "20260107000000", "20260108000000"
MIB = 1 << 20
SHARED_DISKS = by_machine.shared_disks


@pytest.fixture(autouse=True)
def ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The taper that Amanda starts."""
    place = tmp_path / "libexec"
    place.mkdir()
    (place / "taper").write_text("#!/bin/sh\nexec python3 -m taper.cli\n")
    usual = installation().evolve(amlibexecdir=str(place))
    monkeypatch.setattr(by_machine, "installation", lambda: usual)
    return place / "taper"


@pytest.fixture(autouse=True)
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """All is on one file system here."""
    monkeypatch.setattr(by_machine, "shared_disks", lambda *_: iter(()))


GENERAL = 'dumpcycle 2\nrunspercycle 2\ndefine dumptype plain {\n  program "GNUTAR"\n}'


async def healthy(tmp_path: Path) -> Nights:
    nights = Nights(tmp_path).make(slots=8)
    nights.configure(tapecycle=6, runtapes=1)
    (tmp_path / "etc/C/disklist").write_text("localhost /home plain\n")
    (tmp_path / "index").mkdir()
    nights.configure(more=f'{GENERAL}\nindexdir "{tmp_path}/index"')
    await nights.hold(FULL, Dump("/home", 100_000))
    await nights.hold(LAST, Dump("/home", 1000, level=1))
    return nights


async def found(nights: Nights) -> dict[str, Any]:
    """What is found, by the names of the checks."""
    status, _ = await nights.run("doctor")
    record = await nights.record("doctor", exit=Exit(status))
    assert (status == Exit.WELL) is (record["found"] == [])
    return {advice["check"]: advice for advice in record["found"]}


@ensureDeferred
async def test_nothing_is_wrong(tmp_path: Path) -> None:
    nights = await healthy(tmp_path)
    before = nights.snapshot()
    assert await found(nights) == {}
    assert await nights.lines("doctor") == ["Nothing wrong was found."]
    assert nights.snapshot() == before


@ensureDeferred
async def test_a_configuration_that_does_not_fit(tmp_path: Path) -> None:
    nights = await healthy(tmp_path)
    nights.configure(tapecycle=2, runtapes=2)
    assert set(await found(nights)) == {"tapecycle"}
    shutil.rmtree(tmp_path / "log")  # none tells of dumps that are divided all the same
    (tmp_path / "log").mkdir()
    nights.hold_back("20260108110000", Dump("/home", 5))
    nights.hold_back("20260108120000", Dump("/large", 11 * MIB))
    advice = await found(nights)
    assert set(advice) == {"part-size", "tapecycle"}
    assert "its volumes hold 10.0 MiB, and a dump has 11.0 MiB" in advice["part-size"]["what"]
    assert advice["tapecycle"]["what"] == "Storage C keeps 1 volume, and a run may write 2."
    nights.configure(tapecycle=12, runtapes=6)
    assert (await found(nights))["tapecycle"]["weight"] == "risk"


@ensureDeferred
async def test_too_few_slots(tmp_path: Path) -> None:
    nights = await healthy(tmp_path)
    nights.configure(tapecycle=20)
    assert (await found(nights))["slots"]["what"].endswith(
        "has 8 slots; 19 volumes are kept, and a run may write 1 more."
    )


@ensureDeferred
async def test_disks_that_cannot_be_restored(tmp_path: Path) -> None:
    nights = await healthy(tmp_path)
    (tmp_path / "etc/C/disklist").write_text(
        "localhost /home plain\nlocalhost /never plain\nlocalhost /no {\n plain\n ignore\n}\n"
        "localhost /what nosuchtype\n"
    )
    tapelist = tmp_path / "tapelist"
    tapelist.write_text("".join(tapelist.read_text().splitlines(keepends=True)[:1]))
    advice = await found(nights)
    assert set(advice) == {"no-dump", "no-full-dump", "disklist"}
    assert "localhost /never" in advice["no-dump"]["what"]
    assert "localhost /home" in advice["no-full-dump"]["what"]
    assert "nosuchtype" in advice["disklist"]["what"]


@ensureDeferred
async def test_a_dump_whose_base_is_gone(tmp_path: Path) -> None:
    """An older full dump is there still; but the newest one does not build on it."""
    nights = Nights(tmp_path).make(slots=8)
    (tmp_path / "index").mkdir()
    nights.configure(tapecycle=6, runtapes=1, more=f'{GENERAL}\nindexdir "{tmp_path}/index"')
    (tmp_path / "etc/C/disklist").write_text("localhost /home plain\nlocalhost /srv plain\n")
    await nights.hold("20260105000000", Dump("/home", 1000), Dump("/srv", 1000))
    await nights.hold("20260106000000", Dump("/home", 1000))
    await nights.hold(FULL, Dump("/home", 100, level=1))
    await nights.hold(LAST, Dump("/home", 10, level=2), Dump("/srv", 10, level=1))
    assert await found(nights) == {}
    tapelist = tmp_path / "tapelist"
    kept = tapelist.read_text().splitlines(keepends=True)
    for gone, below in (
        ("20260106", "level 0 of 2026-01-06"),
        ("20260107", "level 1 of 2026-01-07"),
    ):
        tapelist.write_text("".join(line for line in kept if not line.startswith(gone)))
        advice = await found(nights)
        assert set(advice) == {"base-gone"}
        assert advice["base-gone"]["what"] == (
            f"The newest dump of localhost /home, level 2 of 2026-01-08, builds on {below}, which "
            "can not be restored any more."
        )
        assert advice["base-gone"]["code"] == "TAPER-7035"
        assert "amadmin CONFIG force localhost /home." in advice["base-gone"]["remedy"]


@ensureDeferred
async def test_old_dumps_and_a_wrong_clock(tmp_path: Path) -> None:
    nights = Nights(tmp_path).make(slots=8)
    (tmp_path / "index").mkdir()
    nights.configure(tapecycle=6, runtapes=1, more=f'{GENERAL}\nindexdir "{tmp_path}/index"')
    (tmp_path / "etc/C/disklist").write_text("localhost /home plain\nlocalhost /old plain\n")
    await nights.hold("20260102000000", Dump("/home", 1000), Dump("/old", 1000))
    await nights.hold("20270102000000", Dump("/home", 1000))
    nights.hold_back("20260101000000", Dump("/home", 100))
    advice = await found(nights)
    assert set(advice) == {"old-dump", "clock", "held"}
    assert "localhost /old is of 2026-01-02" in advice["old-dump"]["what"]
    assert "2027-01-02" in advice["clock"]["what"]


@ensureDeferred
async def test_a_dump_of_the_last_run_that_is_not_whole(tmp_path: Path) -> None:
    nights = await healthy(tmp_path)
    log = nights.log(LAST)
    log.write_text(log.read_text().replace("DONE taper", "XDONE taper"))
    advice = await found(nights)
    assert set(advice) == {"last-run"}
    assert "localhost /home level 1" in advice["last-run"]["what"]


@ensureDeferred
async def test_what_is_not_there(tmp_path: Path) -> None:
    """A directory, the changer's vtapes, the taper."""
    nights = await healthy(tmp_path)
    shutil.rmtree(tmp_path / "holding")
    (tmp_path / "vtapes").rename(tmp_path / "gone")
    advice = await found(nights)
    assert {"places", "changer"} <= set(advice)
    assert "Changer vtapes does not tell what it has: directory '" in advice["changer"]["what"]


@ensureDeferred
async def test_a_run_that_died(tmp_path: Path) -> None:
    """Not one that is in progress."""
    nights = await healthy(tmp_path)
    log = tmp_path / "log" / "log"
    log.write_text(f"INFO amdump amdump pid {os.getpid()}\nINFO driver driver pid 999999999\n")
    assert await found(nights) == {}
    done = f"INFO amdump pid-done {os.getpid()}\n"  # its number may be anybody's by now
    log.write_text(
        f"INFO driver driver pid {os.getpid()}\n{done}INFO amdump amdump pid 999999999\n"
    )
    advice = await found(nights)
    assert (set(advice), advice["stale-run"]["remedy"]) == ({"stale-run"}, "amcleanup C")
    assert "pids 999999999" in advice["stale-run"]["what"]


@ensureDeferred
async def test_a_run_that_has_ended(tmp_path: Path) -> None:
    """Its log stays where the next one's will be, however long it is."""
    nights = await healthy(tmp_path)
    path = tmp_path / "log" / "log.20260109000000.0"
    much = "DISK planner localhost /home\n" * 50_000
    path.write_text(
        f"INFO amdump amdump pid 999999999\n{much}FINISH driver\nINFO amdump pid-done 999999999\n"
    )
    (tmp_path / "log" / "log").symlink_to(path.name)
    assert await found(nights) == {}


@ensureDeferred
async def test_another_taper(tmp_path: Path, ours: Path) -> None:
    nights = await healthy(tmp_path)
    ours.write_text("#!/usr/bin/perl\n")
    assert set(await found(nights)) == {"taper"}
    ours.unlink()
    assert set(await found(nights)) == {"taper"}


@ensureDeferred
async def test_no_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nights = await healthy(tmp_path)
    full = os.statvfs_result((4096, 4096, 100, 0, 0, 0, 0, 0, 0, 255))
    monkeypatch.setattr(os, "statvfs", lambda path: full)
    advice = await found(nights)
    assert set(advice) == {"room"}
    assert "0 B left; the last night had 1.0 KiB" in advice["room"]["what"]


def test_one_file_system(tmp_path: Path) -> None:
    nights = Nights(tmp_path).make()
    config = nights.config()
    storages = [storage for storage in config.storages() if storage.name == "C"]
    (advice,) = SHARED_DISKS(config, storages)
    assert advice.check == "shared-disk"
    shutil.rmtree(tmp_path / "holding")
    assert list(SHARED_DISKS(config, storages)) == []

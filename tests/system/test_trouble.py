"""Nights that go wrong: a taper that is killed, a disk under the vtapes that is full."""

from __future__ import annotations

import os
import re
import signal
import time

import pytest

from tests.system.amanda import CONFIG, SOURCE, VTAPES, Amanda, Options
from tests.system.conftest import MakeAmanda

pytestmark = pytest.mark.system


DISKS = ("home", "big")


def interrupted_night(make_amanda: MakeAmanda, program: str) -> Amanda:
    """A run in which this program is killed while the taper writes a dump."""
    amanda = make_amanda(
        Options(
            disks=[("home", "plain"), ("big", "squeezed")],
            slots=3,
            tapecycle=3,
            tapetype="part-size 2 mbytes",
            autoflush="yes",
        )
    )
    amanda.fill("home", 2)
    amanda.fill("big", 60)
    running = amanda.start("amdump", CONFIG)
    while not (amanda.driver_log() and amanda.trace_log("PART taper")):
        assert running.poll() is None, "the run ended before any part was written"
        time.sleep(0.02)
    (line,) = amanda.trace_log(f"INFO {program} {program} pid")
    os.kill(int(line.split()[4]), signal.SIGKILL)
    assert running.wait(timeout=600) != 0
    return amanda


def good_night_after(amanda: Amanda) -> None:
    """amcleanup tidies up; the next run tapes everything, and everything can be restored."""
    cleaned = amanda.run("amcleanup", "-v", CONFIG)
    assert cleaned.returncode == 0, cleaned.stdout
    amanda.satisfied("amtape", "inventory")
    amanda.ask("amdump")
    assert amanda.held() == []
    done = {line.split()[5].rpartition("/")[2] for line in amanda.trace_log("DONE taper")}
    assert done == set(DISKS)
    amanda.report()
    for disk in DISKS:
        amanda.check_restored(disk, amanda.fetch(disk, amanda.stamp()))
    amanda.check_ours()


def test_a_killed_taper_is_reported_and_the_next_night_is_fine(make_amanda: MakeAmanda) -> None:
    """The dump it wrote fails, what is held is kept, and nothing hinders the next run."""
    amanda = interrupted_night(make_amanda, "taper")
    assert "Taper protocol error" in amanda.report(bad=True)
    assert amanda.trace_log("WARNING driver Taper protocol error")
    assert any("signal 9" in line for line in amanda.trace_log("WARNING driver"))
    good_night_after(amanda)


def test_a_taper_whose_driver_is_killed_ends_in_good_order(make_amanda: MakeAmanda) -> None:
    """It logs what is on the volume, leaves nothing behind, and nothing hinders the next run."""
    amanda = interrupted_night(make_amanda, "driver")
    deadline = time.monotonic() + 30
    while not amanda.trace_log("INFO taper pid-done"):
        assert time.monotonic() < deadline, "the taper goes on without a driver"
        time.sleep(0.05)
    parts = len(amanda.trace_log("PART taper"))
    (left,) = amanda.trace_log("PARTIAL taper")
    assert "taper is quitting" in left
    assert amanda.trace_log("INFO taper tape SYS-01 kb ")
    assert parts <= len(amanda.volumes()["SYS-01"]) <= parts + 1
    assert not list(amanda.path("/tmp/amanda").glob("taper_status_file*"))
    good_night_after(amanda)


def test_a_full_file_system_is_the_end_of_a_volume(make_amanda: MakeAmanda) -> None:
    """A dump goes on where there is room, ends with a reason where there is none, and the
    dumps that fit are whole."""
    disks = [("fits", "plain"), ("spans", "plain"), ("never", "plain")]
    amanda = make_amanda(
        Options(
            disks=disks,
            slots=2,
            runtapes=2,
            tapecycle=3,
            tapetype="part-size 2 mbytes",
            extra="taperalgo smallest",
        )
    )
    for slot in (1, 2):
        amanda.mount_small(f"{VTAPES}/slot{slot}", 10 * 1024)
    for disk, mib in zip(("fits", "spans", "never"), (3, 9, 12), strict=True):
        amanda.fill(disk, mib)
    amanda.run("amdump", CONFIG, "--no-taper")
    assert len(amanda.held()) >= 3
    amanda.run("amflush", "-b", "-f", CONFIG)
    done = {line.split()[5].rpartition("/")[2] for line in amanda.trace_log("DONE taper")}
    assert done == {"fits", "spans"}
    (left,) = amanda.trace_log("PARTIAL taper")
    assert "/never " in left
    assert "runtapes=2 does not allow additional tapes" in left
    assert amanda.held()
    assert list(amanda.volumes()) == ["SYS-01", "SYS-02"]
    report = amanda.report(bad=True)
    assert re.search(rf"{SOURCE}/never .*lev 0 .*runtapes=2 does not", report), report
    for disk in ("fits", "spans"):
        amanda.check_restored(disk, amanda.fetch(disk))
    amanda.check_ours()


def test_a_large_dump_takes_no_more_memory(make_amanda: MakeAmanda) -> None:
    """300 MiB through the holding disk, within the same 80 MiB as everything."""
    amanda = make_amanda(
        Options(disks=[("large", "plain")], length_mb=1000, chunk_mb=100, tapetype="")
    )
    amanda.fill("large", 300)
    amanda.ask("amdump")
    assert len(amanda.trace_log("DONE taper")) == 1
    amanda.check_ours()
    amanda.check_restored("large", amanda.fetch("large"))

"""Nights on one-file volumes: chg-diskflat with max-dle-by-volume, ours and stock in turn."""

from __future__ import annotations

import pytest

from tests.system.amanda import LOGS, SOURCE, Amanda, Options
from tests.system.conftest import MakeAmanda

pytestmark = pytest.mark.system

FLAT = "/var/lib/amanda/flat"
STORAGE = f"""
define changer flatchanger {{
  tpchanger "chg-diskflat:{FLAT}"
  property "num-slot" "12"
  property "auto-create-slot" "yes"
}}
define storage flat {{
  tpchanger "flatchanger"
  tapetype "T"
  tapepool "$c-$r"
  labelstr MATCH-AUTOLABEL
  autolabel "FLAT-$3s" EMPTY VOLUME-ERROR
  runtapes 4
  max-dle-by-volume 1
  {{scan}}
  policy {{
    retention-tapes 4
  }}
}}
storage "flat"
"""
DISKS = [("home", "plain"), ("srv", "plain"), ("www", "plain")]


def options(scan: str) -> Options:
    chosen = f'taperscan "{scan}"'
    return Options(
        disks=DISKS, slots=0, runtapes=4, tapecycle=5, storages=STORAGE.replace("{scan}", chosen)
    )


def prepared(make_amanda: MakeAmanda, scan: str, *, ours: bool) -> Amanda:
    amanda = make_amanda(options(scan), ours=ours)
    amanda.mkdir(FLAT)
    for disk, _ in DISKS:
        amanda.fill(disk, 1)
    return amanda


def labels_written(amanda: Amanda) -> list[str]:
    return [
        line.split()[line.split().index("label") + 1] for line in amanda.trace_log("START taper")
    ]


@pytest.mark.parametrize("scan", ["traditional", "lexical", "oldest"])
def test_one_dump_a_volume(make_amanda: MakeAmanda, scan: str) -> None:
    """Three disks, three volumes named by their slots; amtape, amreport and restore agree."""
    amanda = prepared(make_amanda, scan, ours=True)
    amanda.ask("amdump")
    assert labels_written(amanda) == ["FLAT-001", "FLAT-002", "FLAT-003"]
    assert sorted(path.name for path in amanda.path(FLAT).iterdir()) == [
        "FLAT-001",
        "FLAT-002",
        "FLAT-003",
        "state",
    ]
    assert amanda.held() == []
    report = amanda.report()
    assert "FLAT-001, FLAT-002, FLAT-003" in " ".join(report.split())
    shown = amanda.satisfied("amtape", "-ostorage=flat", "inventory")
    for number in (1, 2, 3):
        assert f"slot {number}: label FLAT-00{number}" in shown
    for disk, _ in DISKS:
        amanda.check_restored(disk, amanda.fetch(disk, amanda.stamp()))
    amanda.check_ours()


def test_ours_and_stock_take_turns(make_amanda: MakeAmanda) -> None:
    """Each goes on where the other stopped: same choice of volumes, none still needed is lost."""
    nights: dict[bool, list[list[str]]] = {}
    for ours_first in (True, False):
        amanda = prepared(make_amanda, "traditional", ours=ours_first)
        nights[ours_first] = []
        for night in range(4):
            amanda.use(ours=(night % 2 == 0) == ours_first)
            amanda.fill("srv", 1, seed=night)
            amanda.ask("amdump")
            nights[ours_first].append(labels_written(amanda))
            assert amanda.held() == []
        for disk, _ in DISKS:
            amanda.check_restored(disk, amanda.fetch(disk, amanda.stamp()))
        lines = amanda.read(f"{LOGS}/../tapelist").splitlines()
        assert len(lines) == len({line.split()[1] for line in lines})
    assert nights[True] == nights[False]
    assert [len(set(labels)) for labels in nights[True]] == [3, 3, 3, 3]


def test_a_big_dump_takes_several_volumes(make_amanda: MakeAmanda) -> None:
    """A dump cut into parts has one on each volume, and can be restored."""
    asked = options("traditional")
    asked.tapetype = "part-size 1 mbytes"
    asked.disks = [("home", "plain")]
    amanda = make_amanda(asked)
    amanda.mkdir(FLAT)
    amanda.fill("home", 2)
    amanda.ask("amdump")
    assert labels_written(amanda) == ["FLAT-001", "FLAT-002", "FLAT-003"]
    assert len(amanda.trace_log("PART taper")) == 3
    amanda.check_restored("home", amanda.fetch("home"))
    assert f"{SOURCE}/home" in amanda.trace_log("DONE taper")[0]
    amanda.check_ours()

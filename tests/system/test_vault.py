"""Vaulting with the stock driver: ``vault`` storages in the night, and amvault by hand."""

from __future__ import annotations

from typing import Any

import pytest

from tests.system.amanda import ETC, SOURCE, Amanda, Options
from tests.system.conftest import MakeAmanda

pytestmark = pytest.mark.system

FAR = "/var/lib/amanda/far"
STORAGES = """
define tapetype FAR {
  length 100 mbytes
  part-size 3 mbytes
}
define storage near {
  tpchanger "chg-disk:/var/lib/amanda/vtapes"
  tapetype "T"
  tapepool "near"
  labelstr MATCH-AUTOLABEL
  autolabel "NEAR-%%%" EMPTY
  runtapes 4
  policy {
    retention-tapes 6
  }
  vault "far" 0
}
define storage far {
  tpchanger "chg-disk:PLACE"
  tapetype "FAR"
  tapepool "$c-$r"
  labelstr MATCH-AUTOLABEL
  autolabel "FAR-%%%" EMPTY
  taperscan "lexical"
  runtapes 2
  policy {
    retention-tapes 6
  }
}
storage "near"
"""
DISKS = [("home", "plain"), ("srv", "plain")]


def options(*, vaulting: bool, place: str = FAR, more: str = "", **knobs: Any) -> Options:
    """Two disks, a near storage and a far one.

    :param vaulting: the far one is filled in the same night
    """
    text = STORAGES.replace("PLACE", place) + more
    return Options(
        disks=DISKS,
        storages=text + ('vault-storage "far"\n' if vaulting else ""),
        **{"tapetype": "part-size 1 mbytes", "slots": 2, **knobs},
    )


def installed(
    make_amanda: MakeAmanda, *, vaulting: bool, place: str = FAR, more: str = "", **knobs: Any
) -> Amanda:
    """Amanda with these storages, and something on the disks."""
    amanda = make_amanda(options(vaulting=vaulting, place=place, more=more, **knobs))
    amanda.mkdir(f"{place}/slot1")
    for disk, _ in DISKS:
        amanda.fill(disk, 4)
    return amanda


def check_vaulted(amanda: Amanda) -> None:
    """Everything is on both storages, with the same bytes, and comes back from the far one."""
    sums = {
        storage: {
            line.split()[5]: line.rpartition(" [sec ")[0].split()[-1]
            for line in amanda.trace_log("DONE taper")
            if line.split()[2] == f'"ST:{storage}"'
        }
        for storage in ("near", "far")
    }
    assert sums["far"] == sums["near"]
    assert sorted(sums["far"]) == [f"{SOURCE}/{disk}" for disk, _ in DISKS]
    shown = amanda.satisfied("amtape", "-ostorage=far", "show")
    assert "label FAR-001" in shown
    check_restored_from_far(amanda)


def check_restored_from_far(amanda: Amanda) -> None:
    """The copies hold every file."""
    for disk, _ in DISKS:
        amanda.check_restored(disk, amanda.fetch(disk, "-ostorage=far"))


def test_a_night_with_vaulting(make_amanda: MakeAmanda) -> None:
    """Dumps go to the near storage, then from there to the far one; the report is content."""
    amanda = installed(make_amanda, vaulting=True)
    amanda.ask("amdump")
    assert sorted(amanda.tapelist()) == ["FAR-001", "NEAR-001"]
    check_vaulted(amanda)
    amanda.report()
    told = amanda.driver_log()
    assert "VAULT-WRITE" in told
    assert "OPENED-SOURCE-VOLUME" in told
    amanda.check_ours(at_least=2)


def test_dumps_that_span_source_volumes(make_amanda: MakeAmanda) -> None:
    """The near volumes are small: the source is changed in mid-dump."""
    amanda = installed(make_amanda, vaulting=True, slots=4, length_mb=3, runtapes=4)
    amanda.ask("amdump")
    assert len([label for label in amanda.tapelist() if label.startswith("NEAR")]) > 2
    check_vaulted(amanda)
    assert "CLOSED-SOURCE-VOLUME" in amanda.driver_log()
    amanda.check_ours(at_least=2)


def test_both_storages_on_one_changer(make_amanda: MakeAmanda) -> None:
    """Source and destination are slots of the same library."""
    amanda = installed(make_amanda, vaulting=True, place="/var/lib/amanda/vtapes", slots=4)
    amanda.ask("amdump")
    assert sorted(amanda.tapelist()) == ["FAR-001", "NEAR-001"]
    check_vaulted(amanda)
    amanda.check_ours(at_least=2)


def test_amvault_reads_our_copies(make_amanda: MakeAmanda) -> None:
    """amvault, which writes by itself, copies the far volume on to a third storage."""
    third = """
define storage third {
  tpchanger "chg-disk:/var/lib/amanda/third"
  tapetype "FAR"
  tapepool "third"
  labelstr MATCH-AUTOLABEL
  autolabel "THIRD-%%%" EMPTY
  taperscan "lexical"
}
"""
    amanda = installed(make_amanda, vaulting=True, more=third)
    amanda.mkdir("/var/lib/amanda/third/slot1")
    amanda.ask("amdump")
    stamp = amanda.stamp()
    amanda.ask(
        "amvault", "--src-storage", "far", "--dest-storage", "third", "--src-timestamp", stamp
    )
    copies = sorted(path.name for path in amanda.path("/var/lib/amanda/third/slot1").iterdir())
    assert copies[0] == "00000.THIRD-001"
    for disk, _ in DISKS:
        amanda.check_restored(disk, amanda.fetch(disk, "-ostorage=third"))


def test_dumps_of_the_stock_taper_are_vaulted_later(make_amanda: MakeAmanda) -> None:
    """One night writes near with stock's taper; what it was to copy we copy in the next."""
    amanda = installed(make_amanda, vaulting=False, slots=4)
    amanda.use(ours=False)
    amanda.ask("amdump")
    assert "COPY" in amanda.read(f"{ETC}/command_file")
    amanda.configure(options(vaulting=True, slots=4))
    amanda.use(ours=True)
    amanda.ask("amdump")
    far = [line for line in amanda.trace_log("DONE taper") if '"ST:far"' in line]
    assert len(far) == 2 * len(DISKS)
    check_restored_from_far(amanda)
    assert "COPY" not in amanda.read(f"{ETC}/command_file").replace(" DONE", "")
    amanda.check_ours(at_least=2)

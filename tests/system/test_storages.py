"""Volumes of several storages: written side by side, or copied from one to the other."""

from __future__ import annotations

import pytest

from tests.system.amanda import ETC, SOURCE, Options
from tests.system.conftest import MakeAmanda

pytestmark = pytest.mark.system

TAPELIST = f"{ETC}/tapelist"
FAR = "/var/lib/amanda/far"
STORAGES = f"""
define changer other {{
  tpchanger "chg-disk:{FAR}"
}}
define storage near {{
  tpchanger "chg-disk:/var/lib/amanda/vtapes"
  tapetype "T"
  labelstr MATCH-AUTOLABEL
  autolabel "NEAR-%%" EMPTY
  policy {{
    retention-tapes 2
  }}
}}
define storage far {{
  tpchanger "other"
  tapetype "T"
  tapepool "$c-$r"
  labelstr MATCH-AUTOLABEL
  autolabel "FAR-%%" EMPTY
  taperscan "lexical"
}}
"""


def test_one_night_on_two_storages(make_amanda: MakeAmanda) -> None:
    """Two tapers at once, one for each storage; every dump is on both."""
    disks = [("home", "plain"), ("srv", "plain")]
    amanda = make_amanda(
        Options(
            disks=disks,
            slots=2,
            tapetype="part-size 1 mbytes",
            storages=STORAGES + 'storage "near" "far"',
        )
    )
    amanda.mkdir(f"{FAR}/slot1")
    for disk, _ in disks:
        amanda.fill(disk, 2)
    amanda.ask("amdump")
    done = {(line.split()[2], line.split()[5]) for line in amanda.trace_log("DONE taper")}
    assert done == {
        (f'"ST:{storage}"', f"{SOURCE}/{disk}") for storage in ("near", "far") for disk, _ in disks
    }
    assert amanda.held() == []
    assert sorted(amanda.tapelist()) == ["FAR-01", "NEAR-01"]
    on_far = [path.name for path in amanda.path(f"{FAR}/slot1").iterdir()]
    assert len(on_far) == 1 + len(amanda.volumes()["NEAR-01"]) == 7
    report = amanda.report()
    for storage, label in (("near", "NEAR-01"), ("far", "FAR-01")):
        assert f"These dumps to storage '{storage}' were to tape {label}." in report
        shown = amanda.satisfied("amtape", f"-ostorage={storage}", "show")
        assert f"date {amanda.stamp()} label {label}" in shown
    for disk, _ in disks:
        amanda.check_restored(disk, amanda.fetch(disk))
    amanda.check_ours(at_least=2)


def test_amvault_copies_our_volume(make_amanda: MakeAmanda) -> None:
    """Amanda's own vaulting reads what our taper wrote."""
    amanda = make_amanda(
        Options(slots=2, tapetype="part-size 1 mbytes", storages=STORAGES + 'storage "near"')
    )
    amanda.mkdir(f"{FAR}/slot1")
    amanda.fill("home", 2)
    amanda.ask("amdump")
    stamp = amanda.stamp()
    amanda.use(ours=False)
    amanda.ask("amvault", "--dest-storage", "far", "--src-timestamp", stamp)
    copies = sorted(path.name for path in amanda.path(f"{FAR}/slot1").iterdir())
    assert copies[0] == "00000.FAR-01"
    assert len(copies) == 1 + len(amanda.volumes()["NEAR-01"]) == 4


def test_nights_with_storage_options(make_amanda: MakeAmanda) -> None:
    """erase-volume on one storage, set-no-reuse on the other; amreport is content."""
    storages = STORAGES
    for name, option in (("near", "erase-volume"), ("far", "set-no-reuse")):
        begin = f"define storage {name} {{"
        storages = storages.replace(begin, f"{begin}\n  {option} yes")
    amanda = make_amanda(Options(slots=4, storages=storages + 'storage "near" "far"'))
    for slot in range(1, 5):
        amanda.mkdir(f"{FAR}/slot{slot}")
    for night in range(4):
        amanda.fill("home", 1, seed=night)
        amanda.ask("amdump")
        assert amanda.held() == []
        amanda.report()
        amanda.check_restored("home", amanda.fetch("home", amanda.stamp()))
    entries = {line.split()[1]: line.split() for line in amanda.read(TAPELIST).splitlines()}
    assert sorted(entries) == [f"FAR-0{n}" for n in (1, 2, 3, 4)] + [
        f"NEAR-0{n}" for n in (1, 2, 3, 4)
    ]
    assert {entries[f"FAR-0{n}"][2] for n in (1, 2, 3, 4)} == {"no-reuse"}
    # retention-tapes 2: the fourth night began with erasing the first volume
    erased = [line for line in amanda.trace_log("INFO taper Erased")]
    assert erased == ["INFO taper Erased volume NEAR-01 in slot 1, which is reusable"]
    assert [entries[f"NEAR-0{n}"][0] for n in (1, 4)] == ["0", amanda.stamp()]
    (label,) = amanda.path("/var/lib/amanda/vtapes/slot1").iterdir()
    assert "DATE X TAPE NEAR-01" in label.read_text()[:100]
    amanda.check_ours(at_least=8)

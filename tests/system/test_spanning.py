"""Dumps that do not fit on one volume: on several, or on the next days'."""

from __future__ import annotations

import re

import pytest

from tests.system.amanda import CONFIG, SOURCE, Options
from tests.system.conftest import MakeAmanda

pytestmark = pytest.mark.system


def small_volumes(leom: bool, **more: object) -> Options:
    """Vtapes of 12 MB and parts of 4 MB; all the same for our taper and Amanda's readers."""
    properties = {"MAX_VOLUME_USAGE": str(12 << 20), "LEOM": str(leom).lower()}
    extra = "\n".join(f'device-property "{key}" "{value}"' for key, value in properties.items())
    split = "part-size 4 mbytes\n  part-cache-type memory\n  part-cache-max-size 4 mbytes"
    return Options(length_mb=12, tapetype=split, extra=extra, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize("leom", [True, False], ids=["warned", "unwarned"])
def test_a_dump_spans_four_volumes(make_amanda: MakeAmanda, leom: bool) -> None:
    """Held or straight to tape, with early warning or parts that hit the end and are rewritten."""
    kinds = ["plain", "squeezed"] if leom else ["squeezed", "plain"]
    disks = [("first", kinds[0]), ("second", kinds[1])]
    sizes = (24, 12) if leom else (10, 24)
    amanda = make_amanda(small_volumes(leom, disks=disks, slots=6, runtapes=6, tapecycle=7))
    for (disk, _), mib in zip(disks, sizes, strict=True):
        amanda.fill(disk, mib)
    amanda.ask("amdump")
    assert len(amanda.trace_log("DONE taper")) == 2
    labels = [f"SYS-0{number}" for number in range(1, 5)]
    assert list(amanda.volumes()) == labels
    failed = amanda.trace_log("PARTPARTIAL taper")
    assert bool(failed) is not leom
    assert amanda.held() == []
    report = amanda.report()
    assert re.search("were to tapes " + ", ".join(labels[:3]), report)
    assert "All images (2) successfully validated" in amanda.satisfied("amcheckdump")
    shown = amanda.satisfied("amtape", "show")
    assert [label for label in labels if label not in shown] == []
    for disk, _ in disks:
        amanda.check_restored(disk, amanda.fetch(disk))
    amanda.check_ours()


def test_a_dump_without_a_volume_is_flushed_another_day(make_amanda: MakeAmanda) -> None:
    """With runtapes used up the dump stays on the holding disk, whole, until amflush."""
    disks = [("first", "plain"), ("second", "plain")]
    amanda = make_amanda(small_volumes(True, disks=disks, slots=4, tapecycle=4))
    amanda.fill("first", 8)
    amanda.fill("second", 9)
    done = amanda.run("amdump", CONFIG)
    assert done.returncode != 0, "not all is on tape"
    assert len(amanda.trace_log("DONE taper")) == 1
    (left,) = amanda.trace_log("PARTIAL taper")
    assert "runtapes=1 does not allow additional tapes" in left
    assert amanda.held()
    late = left.split()[5].rpartition("/")[2]
    report = amanda.report(bad=True)
    assert "of dumps left in the holding disk" in report
    amanda.satisfied("amadmin", "find")

    amanda.ask("amflush", "-b", "-f")
    assert len(amanda.trace_log("DONE taper")) == 1
    assert amanda.held() == []
    assert amanda.tapelist() == ["SYS-02", "SYS-01"]
    assert "The dumps were flushed to tape SYS-02" in amanda.report()
    for disk, _ in disks:
        amanda.check_restored(disk, amanda.fetch(disk))
    found = amanda.ask("amadmin", "find", "localhost", f"{SOURCE}/{late}$")
    assert {line.split()[7] for line in found.splitlines() if line[:2] == "20"} == {
        "SYS-01",
        "SYS-02",
    }
    amanda.check_ours(at_least=2)

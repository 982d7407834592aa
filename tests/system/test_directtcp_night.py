"""Real nights with data path DIRECTTCP: every program is Amanda's, but for taper and application.

Planner, driver, dumper, amandad and sendbackup over auth bsdtcp; the data flow from our application
into the taper's device (directtcp-and-ndmp 7).
"""

from __future__ import annotations

import gzip

import pytest

from tests.system.amanda import CONFIG, ETC, SOURCE, Amanda, Options
from tests.system.bsdtcp import Client
from tests.system.conftest import MakeAmanda

pytestmark = pytest.mark.system


def night(make_amanda: MakeAmanda, client: Client, disks: dict[str, int], **more: object) -> Amanda:
    """An installation that is about to dump these disks by DirectTCP; values are MiB."""
    extra = str(more.pop("extra", "")) + client.dumptypes()
    names = [(name, "direct") for name in disks]
    options = Options(disks=names, extra=extra, **more)  # type: ignore[arg-type]
    amanda = make_amanda(options)
    client.enter(amanda, amanda.launcher)
    for name, mib in disks.items():
        amanda.fill(name, mib)
    return amanda


def test_straight_to_one_volume(make_amanda: MakeAmanda) -> None:
    """DONE, with the index, readable by Amanda's programs, and every file there."""
    with Client() as client:
        amanda = night(make_amanda, client, {"home": 5, "srv": 3})
        amanda.ask("amdump")
    log = amanda.driver_log()
    assert log.count(" DIRECTTCP\n") == 2
    assert len(amanda.trace_log("DONE taper")) == 2
    assert len(amanda.trace_log("SUCCESS dumper")) == 2
    assert len(amanda.trace_log("INFO taper no header came for this dump")) == 2
    assert amanda.held() == []
    (index,) = amanda.path(f"{ETC}/index/localhost").glob("*_home/*.gz")
    assert "/part0/file0.0" in gzip.decompress(index.read_bytes()).decode().splitlines()
    assert "All images (2) successfully validated" in amanda.satisfied("amcheckdump")
    for disk in ("home", "srv"):
        amanda.check_restored(disk, amanda.fetch(disk))
    amanda.report()


def test_over_several_volumes(make_amanda: MakeAmanda) -> None:
    """One connection, three volumes; no byte lost or doubled."""
    split = "part-size 4 mbytes"
    extra = f'device-property "MAX_VOLUME_USAGE" "{12 << 20}"\ndevice-property "LEOM" "true"\n'
    with Client() as client:
        amanda = night(
            make_amanda,
            client,
            {"home": 29},
            slots=5,
            runtapes=5,
            tapecycle=6,
            length_mb=12,
            tapetype=split,
            extra=extra,
        )
        amanda.ask("amdump")
    assert len(amanda.trace_log("DONE taper")) == 1
    assert list(amanda.volumes()) == ["SYS-01", "SYS-02", "SYS-03"]
    amanda.check_restored("home", amanda.fetch("home"))


def test_a_disk_that_cannot_be_read(make_amanda: MakeAmanda) -> None:
    """Its dump fails with our words; no byte of it counts, and the other disk's dump is good."""
    blind = """
    define dumptype blind {
      direct
      estimate server
    }"""
    with Client() as client:
        amanda = night(make_amanda, client, {"home": 3})
        disks = [("home", "direct"), ("gone", "blind")]
        amanda.configure(Options(disks=disks, extra=client.dumptypes() + blind))
        done = amanda.run("amdump", CONFIG)
    assert done.returncode != 0
    failures = amanda.trace_log("FAIL dumper")
    assert failures
    assert all("tar exited with status 2" in line for line in failures)
    assert all(f"{SOURCE}/gone" in line for line in failures)
    (good,) = amanda.trace_log("DONE taper")
    assert f"{SOURCE}/home" in good
    assert not [line for line in amanda.trace_log("PART taper") if f"{SOURCE}/gone" in line]
    amanda.check_restored("home", amanda.fetch("home"))

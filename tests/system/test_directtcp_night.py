"""Real nights with data path DIRECTTCP: every program is Amanda's, but for taper and application.

Planner, driver, dumper, amandad and sendbackup over auth bsdtcp; the data flow from our application
into the taper's device [ndmp 7].
"""

from __future__ import annotations

import gzip

import pytest
from attrs import evolve

from protocols.crc import UNKNOWN
from protocols.header import Header, parse_header
from tests.system.amanda import CONFIG, ETC, SOURCE, VTAPES, Amanda, Options
from tests.system.bsdtcp import Client
from tests.system.conftest import MakeAmanda

pytestmark = pytest.mark.system


RICH = """
define application-tool app_rich {
  app_amdirecttar
  property priority "EXIT_HANDLING" "1=GOOD"
}
define script-tool diary {
  plugin "amlog-script"
  execute-on post-dle-backup, pre-dle-backup
  property "logfile" "/tmp/amanda/dear diary & more"
}
define script-tool other_diary {
  diary
  execute-on post-dle-backup
  order 10
}
define dumptype rich_through {
  through
  application "app_rich"
  script "diary" "other_diary"
  exclude file "./no <such>" "*.none"
  exclude list optional "no.list"
  record no
  estimate server
}
define dumptype rich {
  rich_through
  data-path directtcp
  holdingdisk never
}
"""
"""A disk's entry in which there is much to tell, for both data paths."""


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


def headers(amanda: Amanda) -> dict[str, Header]:
    """Of the dumps on the volumes, by the last part of the disk's name."""
    found = [parse_header(file.read_bytes()[:32768]) for file in amanda.path(VTAPES).glob("*/*.0")]
    return {header.disk.rpartition("/")[2]: header for header in found}


def as_for_amanda(made: Header) -> Header:
    """A header of the disk ``rich`` as it would be of the disk ``srv``, data path AMANDA."""
    disk = made.disk.replace("/rich", "/srv")
    dle = made.dle.replace("/rich</disk>", "/srv</disk>")
    return evolve(made, disk=disk, dle=dle.replace(">DIRECTTCP<", ">AMANDA<"))


def without_sums(header: Header) -> Header:
    """What of a header can be known before the dump is over."""
    return evolve(header, orig_size=0, native_crc=UNKNOWN, client_crc=UNKNOWN, server_crc=UNKNOWN)


def test_straight_to_one_volume(make_amanda: MakeAmanda) -> None:
    """DONE, with the index, readable by Amanda's programs, and every file there.

    The headers that are made are those which the dumper writes for the same entry; it writes them
    if the data path is AMANDA.
    """
    with Client() as client:
        amanda = night(make_amanda, client, {"home": 5, "srv": 3})
        device = f'"{SOURCE}/srv"'
        disks = [("home", "direct"), ("rich", f"{device} rich"), ("srv", f"{device} rich_through")]
        amanda.configure(Options(disks=disks, extra=client.dumptypes() + RICH))
        amanda.ask("amdump")
    log = amanda.driver_log()
    assert log.count(" DIRECTTCP\n") == 2
    assert len(amanda.trace_log("DONE taper")) == 3
    assert len(amanda.trace_log("SUCCESS dumper")) == 3
    assert len(amanda.trace_log("INFO taper no header came for this dump")) == 2
    assert amanda.held() == []
    (index,) = amanda.path(f"{ETC}/index/localhost").glob("*_home/*.gz")
    assert "/part0/file0.0" in gzip.decompress(index.read_bytes()).decode().splitlines()
    assert "All images (3) successfully validated" in amanda.satisfied("amcheckdump")
    found = headers(amanda)
    assert without_sums(as_for_amanda(found["rich"])) == without_sums(found["srv"])
    amanda.check_restored("home", amanda.fetch("home"))
    place = amanda.mkdir("/tmp/amanda/extracted")
    where = ("--target", place, CONFIG, "localhost", f"^{SOURCE}/rich$")
    extracted = amanda.run("amfetchdump", "-a", "--extract", *where)
    assert extracted.returncode == 0, extracted.stdout
    amanda.check_restored("srv", place)
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

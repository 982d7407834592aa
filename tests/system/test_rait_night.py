"""Nights onto a chg-rait of three: written by ours and fetched by Amanda, and the reverse."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from devices.file import FileDevice
from devices.interfaces import AccessMode
from devices.rait import RaitDevice
from protocols.header import HeaderType
from tests.system.amanda import SOURCE, Amanda, Options
from tests.system.conftest import MakeAmanda

pytestmark = pytest.mark.system

ROOTS = [f"/var/lib/amanda/r{number}" for number in range(3)]

RAIT = """
define changer raid {{
  tpchanger "chg-rait:{{{children}}}"
}}
tpchanger "raid"
"""


def options(children: list[str], tapecycle: int = 4) -> Options:
    return Options(
        slots=4,
        runtapes=3,
        tapecycle=tapecycle,
        length_mb=4,
        tapetype="part-size 1 mbytes",
        extra=RAIT.format(children=",".join(children)),
    )


def whole() -> list[str]:
    return [f"chg-disk:{root}" for root in ROOTS]


def installation(make_amanda: MakeAmanda, *, ours: bool) -> Amanda:
    """Four slots in each of three roots; volumes of 4 MB, 2 MB on each child."""
    amanda = make_amanda(options(whole()), ours=ours)
    for root in ROOTS:
        for slot in range(1, 5):
            amanda.mkdir(f"{root}/slot{slot}")
    amanda.fill("home", 6)
    return amanda


def check_night(amanda: Amanda) -> None:
    """One dump over two volumes, each on all three children."""
    amanda.report()
    assert len(amanda.trace_log("DONE taper")) == 1
    assert amanda.tapelist() == ["SYS-02", "SYS-01"]
    for root in ROOTS:
        found = sorted(path.name for path in amanda.path(root).glob("slot*/00000.*"))
        assert found == ["00000.SYS-01", "00000.SYS-02"]


def fetch(amanda: Amanda, name: str) -> str:
    """As :meth:`Amanda.fetch`, by way of a file: tar does not read the zeros that fill the last
    block, and would leave amfetchdump with a broken pipe."""
    place = amanda.mkdir(f"/tmp/amanda/{name}")
    script = f"amfetchdump -a -p SYS localhost '{SOURCE}/home$' >../archive && tar -xpf ../archive"
    done = amanda.run("bash", "-c", script, cwd=place)
    assert done.returncode == 0, done.stdout
    return place


def read_by_ours(amanda: Amanda, without: int | None) -> bytes:
    """The parts of both volumes that are good, by our device."""
    data = b""
    buffer = memoryview(bytearray(1 << 20))
    parts = [line.split()[4:6] for line in amanda.trace_log("PART taper")]
    for label in ("SYS-01", "SYS-02"):
        paths = [_slot_of(amanda.path(root), label) for root in ROOTS]
        children = [
            None if number == without else FileDevice(str(path), str(path))
            for number, path in enumerate(paths)
        ]
        device = RaitDevice("rait", children)
        device.properties.set("block-size", 65536)
        assert device.read_label().label == label
        device.start(AccessMode.READ)
        for number in [int(number) for volume, number in parts if volume == label]:
            header = device.seek_file(number)
            assert header is not None
            assert header.type is HeaderType.SPLIT_DUMPFILE
            while got := device.read_blocks(buffer):
                data += buffer[:got]
        device.finish()
    return data


def _slot_of(root: Path, label: str) -> Path:
    (found,) = root.glob(f"slot*/00000.{label}")
    return found.parent


def test_ours_writes_and_amanda_fetches(make_amanda: MakeAmanda) -> None:
    """The volumes of all three children, by chg-rait and amfetchdump."""
    amanda = installation(make_amanda, ours=True)
    amanda.ask("amdump")
    check_night(amanda)
    amanda.check_restored("home", fetch(amanda, "whole"))
    amanda.check_ours()


def test_amanda_writes_and_ours_reads_and_goes_on(make_amanda: MakeAmanda) -> None:
    """Whole, and with any child lost; then ours writes over the oldest, and both read the next."""
    amanda = installation(make_amanda, ours=False)
    amanda.ask("amdump")
    check_night(amanda)
    for without in (None, 0, 1, 2):
        place = amanda.mkdir(f"/tmp/amanda/by-ours{without}")
        subprocess.run(
            ["tar", "-xpf", "-", "-C", str(amanda.path(place))],
            input=read_by_ours(amanda, without),
            check=True,
        )
        amanda.check_restored("home", place)
    amanda.use(ours=True)
    amanda.configure(options(whole(), tapecycle=2))
    amanda.fill("home", 2, seed=1)
    amanda.ask("amdump")
    amanda.report()
    assert len(amanda.trace_log("DONE taper")) == 1
    amanda.check_restored("home", fetch(amanda, "next"))
    amanda.check_ours()

"""Our application under Amanda's own client, data path AMANDA: two nights, restored in the end.

The programs are all Amanda's, but for the application and the taper.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterator

import pytest

from tests.system.amanda import ETC, SOURCE, Amanda, Options
from tests.system.bsdtcp import Client
from tests.system.conftest import MakeAmanda

pytestmark = pytest.mark.system


@pytest.fixture(scope="module")
def nights(make_lasting_amanda: MakeAmanda) -> Iterator[Amanda]:
    """A full night and an incremental one."""
    with Client() as client:
        options = Options(disks=[("home", "through")], tapecycle=3, extra=client.dumptypes())
        amanda = make_lasting_amanda(options)
        client.enter(amanda, amanda.launcher)
        amanda.fill("home", 5)
        amanda.ask("amdump")
        amanda.write(f"{SOURCE}/home/late", "written later\n")
        amanda.ask("amadmin", "force-level-1", "localhost")
        amanda.ask("amdump")
        yield amanda


def test_amcheck_finds_nothing(nights: Amanda) -> None:
    """The client's check calls ours."""
    told = nights.ask("amcheck", "-c")
    assert "Client check: 1 host checked" in told
    assert "0 problems found" in told


def test_two_levels_were_dumped(nights: Amanda) -> None:
    """Not strange, with the checksums that sendbackup makes; the second is small."""
    found = [line.split() for line in nights.satisfied("amadmin", "find").splitlines()]
    levels = sorted(line[4] for line in found if line and line[0][:2] == "20")
    assert levels == ["0", "1"]
    (line,) = nights.trace_log("SUCCESS dumper")
    assert f"localhost {SOURCE}/home {nights.stamp()} 1 " in line
    (done,) = nights.trace_log("DONE taper")
    native, client, server = done.split()[9:12]
    assert native == client == server
    assert int(native.split(":")[1]) < 1 << 20


def test_the_index(nights: Amanda) -> None:
    """Names in Amanda's own form."""
    names = set()
    for path in nights.path(f"{ETC}/index").glob("localhost/*/*.gz"):
        names |= set(gzip.decompress(path.read_bytes()).decode().splitlines())
    assert {"/", "/late", "/part0/", "/part0/file0.0", "/link", "/empty"} <= names
    assert "/with blank and \\303\\274/Gr\\303\\266\\303\\237e.txt" in names


def test_amcheckdump_validates(nights: Amanda) -> None:
    """It calls ours to read the images."""
    assert "All image (1) successfully validated" in nights.satisfied("amcheckdump")


def test_every_file_comes_back(nights: Amanda) -> None:
    """The full dump, then the incremental one over it."""
    stamps = sorted(
        line.split()[0] + line.split()[1]
        for line in nights.satisfied("amadmin", "find").splitlines()
        if line[:2] == "20"
    )
    assert len(stamps) == 2
    first, second = ("".join(letter for letter in stamp if letter.isdigit()) for stamp in stamps)
    place = nights.fetch("home", first)
    later = nights.fetch("home", second)
    done = nights.run("cp", "-a", f"{later}/.", place)
    assert done.returncode == 0, done.stdout
    nights.check_restored("home", place)

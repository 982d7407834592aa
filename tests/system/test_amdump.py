"""One night: dumps through the holding disk and straight to tape, and what Amanda says of it.

The same night is run with our taper and with Amanda's own.
"""

from __future__ import annotations

import json
import re
import time
from typing import Any

import pytest

from tests.system.amanda import (
    ALARM,
    CONFIG,
    SOURCE,
    VTAPES,
    Amanda,
    Options,
    report_lines,
    survey,
)
from tests.system.conftest import MakeAmanda

pytestmark = pytest.mark.system

DISKS = {"home": 5, "srv": 7, "big": 40}
OPTIONS = Options(
    disks=[("home", "plain"), ("srv", "plain"), ("big", "squeezed")],
    slots=3,
    tapecycle=3,
    tapetype="part-size 10 mbytes",
)
LOOKS: list[str] = []
"""What amstatus said while our run was going on."""


@pytest.fixture(scope="module")
def nights(make_lasting_amanda: MakeAmanda) -> tuple[Amanda, Amanda]:
    """The same night with ours and with stock."""
    ours, stock = (make_lasting_amanda(OPTIONS, ours=which) for which in (True, False))
    for amanda in (ours, stock):
        for disk, mib in DISKS.items():
            amanda.fill(disk, mib)
    running = ours.start("amdump", CONFIG)
    while running.poll() is None:
        looked = ours.run("amstatus", CONFIG)
        if looked.returncode == 0:  # else amdump has no log yet, or gives it another name just now
            LOOKS.append(looked.stdout)
        time.sleep(0.1)
    assert running.returncode == 0
    stock.ask("amdump")
    return ours, stock


@pytest.fixture
def ours(nights: tuple[Amanda, Amanda]) -> Amanda:
    return nights[0]


def test_all_is_on_the_volume(ours: Amanda) -> None:
    """Each dump is DONE, on the volume, and no more on the holding disk."""
    done = {line.split()[5].rpartition("/")[2] for line in ours.trace_log("DONE taper")}
    assert done == set(DISKS)
    assert ours.held() == []
    assert {label: len(files) for label, files in ours.volumes().items()} == {"SYS-01": 7}
    assert ours.tapelist() == ["SYS-01"]
    log = ours.driver_log()
    assert "PORT-WRITE" in log
    assert log.count("FILE-WRITE") == 2
    assert " exited with " not in log


def test_the_taper_took_little(ours: Amanda) -> None:
    """No turn of its reactor over 50 ms, no more than 80 MiB of memory."""
    ours.check_ours()


def test_nothing_is_left_behind(ours: Amanda) -> None:
    """No status file, no process of ours."""
    left = [path.name for path in ours.path("/tmp/amanda").iterdir()]
    assert not [name for name in left if name.startswith("taper_status_file")]
    pids = [line.split()[0] for line in ours.read(f"{ALARM}.seen").splitlines()]
    assert not [pid for pid in pids if ours.path(f"/proc/{pid}").exists()]


def test_amstatus_follows_the_run(ours: Amanda) -> None:
    """While it goes on and after it."""
    going_on = "\n".join(LOOKS)
    assert re.search(rf"{SOURCE}/big .* dumping to tape \(\d+k done", going_on)
    after = ours.satisfied("amstatus")
    for disk, outcome in (("home", "dump done, written"), ("big", "dump to tape done")):
        assert re.search(rf"{SOURCE}/{disk} .*{outcome}", after)
    assert re.search(r"tape 1 +: +3 .* SYS-01 \(7 parts\)", after)


def words_of(report: str) -> list[list[str]]:
    """Words of the lines of a report, without times and rates."""
    without = re.sub(r"\d+:\d\d|\d+\.\d+(?=\s|$)", "*", report)
    return [line.split() for line in report_lines(without)]


def alike(one: str, other: str) -> bool:
    """The same word, or sizes that differ by what gzip makes of two times of day."""
    if one == other:
        return True
    numbers = [word.rstrip("K") for word in (one, other)]
    return all(word.isdigit() for word in numbers) and abs(int(numbers[0]) - int(numbers[1])) <= 2


def test_amreport_says_the_same_of_both(nights: tuple[Amanda, Amanda]) -> None:
    """Sizes, counts, volumes and notes are those of a night with Amanda's own taper."""
    ours, stock = (words_of(amanda.report()) for amanda in nights)
    for one, other in zip(ours, stock, strict=True):
        assert len(one) == len(other), (one, other)
        assert all(map(alike, one, other)), (one, other)
    assert any(line[:4] == ["taper:", "tape", "SYS-01", "kb"] for line in ours)


def test_amcheckdump_accepts_the_volume(ours: Amanda) -> None:
    """Every image validates."""
    assert "All images (3) successfully validated" in ours.satisfied("amcheckdump")


def test_the_catalogue_knows_every_part(nights: tuple[Amanda, Amanda]) -> None:
    """amadmin find tells the same of both nights, but for the place on the volume."""

    def found(amanda: Amanda) -> list[list[str]]:
        lines = [line.split() for line in amanda.satisfied("amadmin", "find").splitlines()]
        return sorted([*line[2:8], *line[9:]] for line in lines if line and line[0][:2] == "20")

    ours, stock = (found(amanda) for amanda in nights)
    assert ours == stock
    assert len(ours) == 7
    assert all(line[-1] == "OK" for line in ours)


def test_amtape_shows_the_volume(ours: Amanda) -> None:
    """Its header is there for show, the changer's state for inventory."""
    assert f"slot   1: date {ours.stamp()} label SYS-01" in ours.satisfied("amtape", "show")
    assert "slot 1: label SYS-01 (current)" in ours.satisfied("amtape", "inventory")
    told = ours.ask("amcheck", "-t")
    assert "slot 1: volume 'SYS-01' is still active and cannot be overwritten" in told
    assert "Will write label 'SYS-02'" in told


def told(amanda: Amanda, *words: str) -> Any:
    """What a command of taperctl says, as JSON; all must be well."""
    packages = str(amanda.launcher.parent / "packages")
    program = f"import sys; sys.path.insert(0, {packages!r}); from taper.ctl import main; main()"
    command, *more = words
    done = amanda.run("/usr/bin/python3", "-I", "-c", program, command, CONFIG, *more, "--json")
    assert done.returncode == 0, done.stdout
    return json.loads(done.stdout)


@pytest.mark.parametrize("whose", [0, 1], ids=["ours", "stock"])
def test_taperctl_says_what_amandas_programs_say(nights: tuple[Amanda, Amanda], whose: int) -> None:
    """Of both nights: volumes as amtape, parts as amadmin, verdicts as amcheckdump, and the volume
    of tonight as amcheck."""
    amanda = nights[whose]
    before = survey(amanda.path(VTAPES))
    volumes = told(amanda, "volumes")["volumes"]
    inventory = re.findall(r"slot (\d+): (?:label (\S+)|blank)", amanda.ask("amtape", "inventory"))
    assert [(one["places"][0]["slot"], one["label"] or "") for one in volumes] == inventory
    found = [line.split() for line in amanda.satisfied("amadmin", "find").splitlines()]
    parts = sorted(
        (line[3], line[7], int(line[8])) for line in found if line and line[0][:2] == "20"
    )
    dumps = told(amanda, "dumps")["dumps"]
    assert parts == sorted(
        (dump["disk"], part["volume"], part["file"]) for dump in dumps for part in dump["parts"]
    )
    assert all(dump["restorable"] for dump in dumps)
    verdicts = told(amanda, "verify", "--all")
    assert [dump["verdict"] for dump in verdicts["dumps"]] == ["good"] * len(DISKS)
    assert told(amanda, "show", "SYS-01")["findings"] == []
    (tonight,) = told(amanda, "check")["storages"]
    assert f"Will write label '{tonight['taken'][0]['label']}'" in amanda.ask("amcheck", "-t")
    assert tonight["slots"][0]["fate"] == "refused"
    assert survey(amanda.path(VTAPES)).keys() >= before.keys()


@pytest.mark.parametrize("disk", DISKS)
def test_amfetchdump_gives_every_file_back(ours: Amanda, disk: str) -> None:
    """All files, compared one by one."""
    ours.check_restored(disk, ours.fetch(disk))


def test_amrestore_reads_the_volume(ours: Amanda) -> None:
    """Without any catalogue, part by part from the vtape."""
    place = ours.mkdir("/tmp/amanda/parts")
    disk = ["localhost", f"^{SOURCE}/srv$"]
    done = ours.run("amrestore", "-r", f"file:{VTAPES}/slot1", *disk, cwd=place)
    assert done.returncode == 0, done.stdout
    (part,) = ours.path(place).iterdir()
    part.write_bytes(part.read_bytes()[32768:])  # -r keeps the header
    unpacked = ours.mkdir("/tmp/amanda/unpacked")
    done = ours.run("tar", "-xpf", f"{place}/{part.name}", cwd=unpacked)
    assert done.returncode == 0, done.stdout
    ours.check_restored("srv", unpacked)

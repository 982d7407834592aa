"""Amanda's own amrecover, amandad and amindexd restore by our stand-in for amidxtaped, data path
AMANDA [recovery 6]: a dump in small parts over three volumes, and an incremental one on a fourth.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.system.amanda import SOURCE, VTAPES, Amanda, Options
from tests.system.conftest import MakeAmanda
from tests.system.recovering import (
    AMIDXTAPED,
    Amrecover,
    check_good,
    our_logs,
    recover,
    stand_in,
    story,
    until,
)

pytestmark = pytest.mark.system

VOLUME = 5
"""MiB."""
AWAY = "/var/lib/amanda/away"


@pytest.fixture(scope="module")
def nights(make_lasting_amanda: MakeAmanda) -> Amanda:
    """A full night and an incremental one, written by our taper."""
    extra = f'device-property "MAX_VOLUME_USAGE" "{VOLUME << 20}"\ndevice-property "LEOM" "true"\n'
    amanda = make_lasting_amanda(
        Options(
            disks=[("home", "plain"), ("srv", "squeezed"), ("kept", "plain")],
            slots=8,
            runtapes=6,
            tapecycle=9,
            length_mb=VOLUME,
            tapetype="part-size 1 mbytes",
            extra=extra,
        )
    )
    amanda.fill("home", 12)
    amanda.fill("kept", 1)
    stand_in(amanda, amanda.launcher)
    amanda.ask("amdump", "localhost", f"{SOURCE}/home")
    amanda.write(f"{SOURCE}/home/late", "written later\n")
    amanda.ask("amadmin", "force-level-1", "localhost", f"{SOURCE}/home")
    amanda.ask("amdump", "localhost", f"{SOURCE}/home")
    assert len(amanda.volumes()) == 4
    return amanda


def part_of(amanda: Amanda, volume: int, number: int) -> Path:
    """The file of one part on the vtapes."""
    (path,) = amanda.path(f"{VTAPES}/slot{volume}").glob(f"{number:05}.*")
    return path


@contextmanager
def changed(path: Path, data: bytes) -> Iterator[None]:
    """A part has other bytes for a while."""
    before = path.read_bytes()
    path.write_bytes(data)
    try:
        yield
    finally:
        path.write_bytes(before)


def test_all_of_a_full_dump_and_an_incremental_one(nights: Amanda) -> None:
    """Two recoveries in one: every file, from four volumes."""
    place, recovered = recover(nights, "home", "*")
    check_good(nights, "home", place, recovered)
    assert len(our_logs(nights)) == 2


def test_one_file_of_each(nights: Amanda) -> None:
    """One that only the full dump has, in the middle of three volumes, and one of the other."""
    place, recovered = recover(nights, "home", "late", "part0/file6.0")
    assert "failed" not in recovered.text
    for name in ("late", "part0/file6.0"):
        found = nights.path(f"{place}/{name}").read_bytes()
        assert found == nights.path(f"{SOURCE}/home/{name}").read_bytes()
    assert len([path for path in nights.path(place).rglob("*") if path.is_file()]) == 2


def test_a_damaged_part(nights: Amanda) -> None:
    """No byte is missing; the checksum that the trace log knows tells it."""
    path = part_of(nights, 2, 3)
    data = bytearray(path.read_bytes())
    data[100_000] ^= 1
    with changed(path, bytes(data)):
        _, recovered = recover(nights, "home", "part0/file0.0")
    assert "recovery failed: the server crc of the dump (" in recovered.text


def test_a_part_that_is_cut_between_two_blocks(nights: Amanda) -> None:
    """Amanda's own says nothing of it; ours names it."""
    path = part_of(nights, 2, 3)
    data = path.read_bytes()
    with changed(path, data[: 32768 + 512 * 1024]):
        _, recovered = recover(nights, "home", "part0/file0.0")
    text = "is truncated: 524288 bytes, 1048576 expected"
    assert f"recovery failed: part 8 on 'SYS-02' file 3 {text}" in recovered.text


def test_a_part_that_is_gone(nights: Amanda) -> None:
    path = part_of(nights, 3, 1)
    hidden = path.with_name("hidden")
    path.rename(hidden)
    try:
        _, recovered = recover(nights, "home", "part0/file0.0")
    finally:
        hidden.rename(path)
    assert "recovery failed: 'SYS-03' file 1: there is no such file" in recovered.text


@contextmanager
def without(amanda: Amanda, volume: int) -> Iterator[None]:
    """A volume is not in its slot for a while; it may be brought meanwhile."""
    slot = amanda.path(f"{VTAPES}/slot{volume}")
    slot.rename(amanda.path(AWAY))
    amanda.mkdir(f"{VTAPES}/slot{volume}")
    try:
        yield
    finally:
        bring(amanda, volume)


def bring(amanda: Amanda, volume: int) -> None:
    """Put it back, if it is away."""
    if amanda.path(AWAY).exists():
        amanda.path(f"{VTAPES}/slot{volume}").rmdir()
        amanda.path(AWAY).rename(amanda.path(f"{VTAPES}/slot{volume}"))


def asked(amanda: Amanda, before: int, label: str) -> bool:
    """A recovery later than the first so many has told that this volume is wanted."""
    return any(f"volume '{label}' is not at hand" in log for log in our_logs(amanda)[before:])


def test_a_volume_that_is_brought(nights: Amanda) -> None:
    """The person at amrecover is asked, brings it, and says yes."""
    before = len(our_logs(nights))
    with without(nights, 2):
        amrecover = Amrecover(nights)
        amrecover.type(story("home", "*", answers=2))
        until(lambda: asked(nights, before, "SYS-02"), "SYS-02 is asked for")
        bring(nights, 2)
        amrecover.type("y\ny\ny\nquit\n")
        recovered = amrecover.end()
    assert "volume 'SYS-02' is not at hand" in recovered.text
    assert "Load tape SYS-02 now" in recovered.text
    check_good(nights, "home", amrecover.place, recovered)


def test_a_volume_that_nobody_brings(nights: Amanda) -> None:
    """It ends at once, and is no success."""
    before = len(our_logs(nights))
    with without(nights, 2):
        amrecover = Amrecover(nights)
        amrecover.type(story("home", "part0", answers=2))
        until(lambda: asked(nights, before, "SYS-02"), "SYS-02 is asked for")
        amrecover.type("n\nquit\n")
        recovered = amrecover.end()
    assert "Extractor child exited with status 2" in recovered.text
    assert "nobody brings volume 'SYS-02'" in our_logs(nights)[-1]


def test_from_the_holding_disk(nights: Amanda) -> None:
    """A dump that is on no volume yet, in several chunks."""
    nights.ask("amdump", "--no-taper", "localhost", f"{SOURCE}/kept")
    assert nights.held()
    place, recovered = recover(nights, "kept", "*")
    check_good(nights, "kept", place, recovered)


def test_a_damaged_record_of_the_installation(nights: Amanda) -> None:
    """Amanda's amrecover shows why there is no recovery."""
    prefix = nights.mkdir("/tmp/amanda/prefix")
    record = f"{prefix}/etc/twisted-taper/amanda.json"
    nights.mkdir(str(Path(record).parent))
    nights.write(record, "{")
    ours = nights.path(AMIDXTAPED)
    text = ours.read_text()
    there = f"import sys; sys.prefix = {prefix!r}; from taper.recovery.cli "
    ours.write_text(text.replace("from taper.recovery.cli ", there))
    try:
        _, recovered = recover(nights, "home", "late")
    finally:
        ours.write_text(text)
    assert f"{record}, which says where Amanda keeps things: " in recovered.text
    assert '"taperctl install", as root, writes it anew' in recovered.text

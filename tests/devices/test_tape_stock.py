"""Amanda's own device code on the simulated drive, beside ours: the same statuses, calls, tapes."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from devices.errors import DeviceError
from devices.interfaces import AccessMode
from tests.contract.device import read_rest, write_part
from tests.devices.tape_world import BLOCK, LABEL, STAMP, TapeWorld
from tests.devices.test_file_stock import (
    HEADERS,
    PERL_LIBRARY,
    payloads,
    stock_header,
    why_no_perl,
)
from tests.devices.test_file_stock import SCRIPT as TRANSFERS
from tests.fakes.tape import Fault, files_on, make_cartridge, write_facts
from tests.fakes.tape.cartridge import CartridgeFacts
from tests.fakes.tape.stock_door import door_of, made_library, why_no_door

# one operation of a device, and what it says then; the argument and the answer are JSON
LOOK = r"""
use strict; use warnings;
use JSON;
use Amanda::Config qw( :init );
use Amanda::Device qw( :constants );
config_init($CONFIG_INIT_EXPLICIT_NAME, "none");
my $in = decode_json($ARGV[0]);
my $dev = Amanda::Device->new("tape:$in->{dir}");
$dev->property_set($_, $in->{properties}{$_}) for sort keys %{$in->{properties} || {}};
my $worked;
if ($in->{do} eq 'read_label') {
    $dev->read_label();
} elsif ($in->{do} eq 'eject') {
    $worked = $dev->eject() ? 1 : 0;
} else {
    $worked = $dev->start($ACCESS_WRITE, "TAPE-01", "20240102030405") ? 1 : 0;
}
my %out = (status => "" . $dev->status, text => $dev->error_or_status(), worked => $worked);
$dev->finish();
print encode_json(\%out);
"""


@pytest.fixture(scope="module")
def library() -> Iterator[Path]:
    reason = why_no_perl() or why_no_door()
    if reason is not None:
        pytest.skip(reason)
    with made_library() as library:
        yield library


@pytest.fixture
def world(tmp_path: Path) -> Iterator[TapeWorld]:
    world = TapeWorld(tmp_path)
    with door_of(world.drive):
        yield world


def stock(library: Path, world: TapeWorld, what: str, script: str, **more: Any) -> dict[str, Any]:
    """Let stock's device do something on the drive."""
    wish = json.dumps({"do": what, "scheme": "tape", "dir": world.node, **more})
    done = subprocess.run(
        ["perl", "-I", PERL_LIBRARY, "-e", script, wish],
        capture_output=True,
        text=True,
        timeout=120,
        env={"PATH": "/usr/bin:/bin", "LD_PRELOAD": str(library), "LC_ALL": "C.UTF-8"},
    )
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def write_stock(library: Path, world: TapeWorld, paths: list[Path], **more: Any) -> dict[str, Any]:
    """Let stock write a volume, or append to it."""
    parts = [
        {"header": stock_header(header), "file": str(path)}
        for header, path in zip(HEADERS, paths, strict=False)
    ]
    more = {"label": LABEL, "stamp": STAMP, "parts": parts, **more}
    return stock(library, world, "write", TRANSFERS, **more)


def write_ours(world: TapeWorld, paths: list[Path], mode: AccessMode, **properties: Any) -> None:
    """The same by ours."""
    device = world.device(**properties)
    device.start(mode, LABEL if mode is AccessMode.WRITE else None, STAMP)
    for header, path in zip(HEADERS, paths, strict=False):
        write_part(device, memoryview(path.read_bytes()), header)
    device.finish()


# -- statuses ---------------------------------------------------------------------------------

SITUATIONS: dict[str, tuple[dict[str, Any] | None, dict[str, Any], dict[str, Any]]] = {
    "empty": (None, {}, {}),
    "blank": ({}, {}, {}),
    "never written": ({"fresh": True}, {}, {}),
    "cleaning": ({"cleaning": True}, {}, {}),
    "loading": ({"load_polls": 100}, {}, {}),
    "offline": ({}, {"online": False}, {}),
    "offline, broken": ({}, {"online": False}, {"broken_gmt_online": 1}),
    "fixed blocks": ({}, {"block_size": 65536}, {}),
    "no state": ({}, {"faults": (Fault(call="GET", times=-1),)}, {}),
    "busy": ({}, {"faults": (Fault(call="open", code="EBUSY", times=-1),)}, {}),
    "no such drive": ({}, {"faults": (Fault(call="open", code="ENXIO", times=-1),)}, {}),
    "no tape drive": ({}, {"faults": (Fault(call="NOP", code="ENOTTY", times=-1),)}, {}),
    "bad label": ({}, {"faults": (Fault(call="read", times=-1),)}, {}),
    "blocking open": (None, {}, {"nonblocking_open": 0}),
}
BETTER = {
    # a changer waits for a volume that is missing, not for a broken drive
    "blocking open": ("1", 4),
    # the same for both with stock: not labelled, so that autolabel may write over either
    "never written": ("25", 24),
    "bad label": ("25", 17),
}
"""Where ours is another than stock's: both."""


@pytest.mark.parametrize("situation", SITUATIONS)
def test_the_same_status(library: Path, world: TapeWorld, situation: str) -> None:
    """Reading a label tells the same, with stock's words first where they are true."""
    cartridge, drive, properties = SITUATIONS[situation]
    if cartridge is not None:
        world.insert(**cartridge)
    world.drive.change(**drive)
    theirs = stock(library, world, "read_label", LOOK, properties=properties)
    world.drive.change()
    device = world.device(**properties)
    reading = device.read_label()
    device.finish()
    told = theirs["status"], int(reading.status)
    assert told == BETTER.get(situation, (str(int(reading.status)), int(reading.status))), theirs


@pytest.mark.parametrize("protected", [True, False])
def test_the_same_status_of_a_start(library: Path, world: TapeWorld, protected: bool) -> None:
    """Whether the tab is set or the device file may only be read."""
    cartridge = world.insert()
    if protected:
        write_facts(cartridge, CartridgeFacts(write_protected=True))
    else:
        world.drive.change(faults=(Fault(call="open", code="EACCES"),))
    theirs = stock(library, world, "start", LOOK)
    assert theirs["worked"] == 0
    world.drive.change()
    device = world.device()
    with pytest.raises(DeviceError) as caught:
        device.start(AccessMode.WRITE, LABEL, STAMP)
    device.finish()
    assert str(int(caught.value.status)) == theirs["status"], theirs
    assert caught.value.text.split(":")[0] == theirs["text"].split(":")[0].removesuffix("\n")


# -- calls ------------------------------------------------------------------------------------

SAME = ("open", "NOP", "write", "WEOF", "FSF", "BSF", "OFFL", "close", "read")
"""What is compared; how often a tape at its beginning is rewound, and its state asked, is not."""


def without(calls: list[tuple[str, int]]) -> list[tuple[str, int]]:
    """The calls that are compared."""
    return [call for call in calls if call[0] in SAME]


def test_the_same_calls(library: Path, world: TapeWorld, tmp_path: Path) -> None:
    """To look, to label, to write files, to eject."""
    world.insert()
    paths = payloads(tmp_path / "in")
    told = []
    for ours in (False, True):
        world.drive.calls()
        if ours:
            device = world.device()
            device.read_label()
            device.finish()
            write_ours(world, paths, AccessMode.WRITE)
            world.device().eject()
        else:
            stock(library, world, "read_label", LOOK)
            write_stock(library, world, paths)
            assert stock(library, world, "eject", LOOK)["worked"] == 1
        told.append(without(world.drive.calls()))
        world.swap(tmp_path / "cartridge")
    theirs, mine = told
    assert mine == theirs
    assert mine.count(("write", BLOCK)) == 1 + 4 + 44


# -- tapes ------------------------------------------------------------------------------------


def test_the_same_tape(library: Path, world: TapeWorld, tmp_path: Path) -> None:
    """Every record, and every filemark."""
    paths = payloads(tmp_path / "in")
    theirs = world.insert("theirs")
    write_stock(library, world, paths)
    ours = world.insert_instead("ours")
    write_ours(world, paths, AccessMode.WRITE)
    assert ours.read_bytes() == theirs.read_bytes()


@pytest.mark.parametrize("block", [BLOCK, 8 * BLOCK])
def test_stock_reads_ours(library: Path, world: TapeWorld, tmp_path: Path, block: int) -> None:
    """Label, headers and data, the last block padded; also where the blocks are larger."""
    world.insert()
    paths = payloads(tmp_path / "in")
    for path in paths:
        with path.open("ab") as file:
            file.write(b"rest")
    write_ours(world, paths, AccessMode.WRITE, block_size=block, final_filemarks=1)
    out = tmp_path / "out"
    out.mkdir()
    properties = {"block_size": str(block)}
    answer = stock(library, world, "read", TRANSFERS, out=str(out), properties=properties)
    assert (answer["status"], answer["label"], answer["stamp"]) == ("0", LABEL, STAMP)
    assert answer["files"] == {
        str(number): f"{header.disk} {header.partnum} {header.level}"
        for number, header in enumerate(HEADERS, 1)
    }
    for number, path in enumerate(paths, 1):
        found = (out / str(number)).read_bytes()
        assert found.startswith(path.read_bytes())
        assert len(found) % block == 0
        assert not found[path.stat().st_size :].strip(b"\0")


@pytest.mark.parametrize("properties", [{}, {"final_filemarks": "1"}, {"block_size": "65536"}])
def test_ours_reads_stock(
    library: Path, world: TapeWorld, tmp_path: Path, properties: dict[str, str]
) -> None:
    """Whatever stock's properties were; larger blocks are found by themselves."""
    world.insert()
    paths = payloads(tmp_path / "in")
    write_stock(library, world, paths, properties=properties)
    device = world.device()
    assert device.read_label().label == LABEL
    device.start(AccessMode.READ)
    for number, (path, wanted) in enumerate(zip(paths, HEADERS, strict=True), 1):
        header = device.seek_file(number)
        assert header is not None
        assert (header.disk, header.partnum, header.dle) == (
            wanted.disk,
            wanted.partnum,
            wanted.dle,
        )
        assert read_rest(device).startswith(path.read_bytes())
    device.finish()


def test_each_appends_to_the_other(library: Path, world: TapeWorld, tmp_path: Path) -> None:
    """Ours to stock's volume and stock to ours, and both relabel it; the tapes are the same."""
    paths = payloads(tmp_path / "in")
    first, second = world.insert("first"), make_cartridge(tmp_path / "second")
    write_ours(world, paths[:2], AccessMode.WRITE)
    write_stock(library, world, paths[:2], append=True)
    world.swap(second)
    write_stock(library, world, paths[:2])
    write_ours(world, paths[:2], AccessMode.APPEND)
    assert files_on(first) == files_on(second)
    assert len(files_on(first)) == 5
    write_ours(world, paths[:1], AccessMode.WRITE)
    world.swap(first)
    write_stock(library, world, paths[:1])
    assert first.read_bytes() == second.read_bytes()


def test_the_same_warning(library: Path, world: TapeWorld, tmp_path: Path) -> None:
    """A tape that ends warns both at the same block, and holds the same then."""
    payload = tmp_path / "payload"
    payload.write_bytes(bytes(range(256)) * 128 * 40)
    facts = {"capacity": 30 * BLOCK, "early": 20 * BLOCK - 1}
    theirs = world.insert("theirs", **facts)
    answer = write_stock(library, world, [payload], properties={"leom": "1"})
    assert answer["eom"] == 1
    ours = world.insert_instead("ours", **facts)
    device = world.started(leom=True)
    device.start_file(HEADERS[0])
    device.write_blocks(memoryview(payload.read_bytes()))
    device.finish_file()
    device.finish()
    assert [len(file) for file in files_on(ours)] == [len(file) for file in files_on(theirs)]
    assert files_on(ours) == files_on(theirs)

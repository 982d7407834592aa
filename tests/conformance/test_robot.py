"""Conversations about a library whose robot is moved by mtx, here a simulated one.

The drives are ``file:`` devices, so that they can be those of any taper.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from protocols.perldata import parse_perl_data
from tests.conformance.harness import ETC, STAMP, Options, World
from tests.conformance.harness_files import Dump, dump_header
from tests.conformance.harness_talk import HANDLE, WORKER, split_by
from tests.conformance.harness_text import crc, payload
from tests.fakes.library import Library

HOME = "/var/lib/amanda/library"
W1, H1 = "worker0-1", "01-00002"
B = Dump("/b")
KIB = 1024
CHANGER = """
define changer lib {{
  tpchanger "chg-robot:{home}/robot"
  changerfile "{home}/state"
  property "mtx" "{home}/mtx"
  property "tape-device" {devices}
  property "load-poll" "0s"
  property "status-interval" "0"
  {more}
}}
tpchanger "lib"
"""

MakeLibrary = Callable[..., Library]


@pytest.fixture
def make_library(world: World) -> MakeLibrary:
    """Makes the library of the world's storage: eight cartridges, and two drives."""

    def make(more: str = "", cartridges: int = 8, usage_kib: int = 4096) -> Library:
        def own(path: Path) -> None:
            os.chown(path, world.user.pw_uid, world.user.pw_gid)

        names = {slot: f"A0000{slot}" for slot in range(1, cartridges + 1)}
        library = Library(world.path(HOME), names, own=own, seen_as=HOME)
        devices = " ".join(f'"{device}"' for device in library.tape_devices())
        changer = CHANGER.format(home=HOME, devices=devices, more=more)
        world.configure(Options(changer=changer, slots=0, usage_kib=usage_kib))
        return library

    return make


def held(world: World) -> set[str]:
    """The drives that somebody holds."""
    drives = parse_perl_data(world.path(f"{HOME}/state").read_bytes())["drives"]
    return {drive for drive, entry in drives.items() if entry.get("res_info")}


def test_two_workers_write_on_two_drives(world: World, make_library: MakeLibrary) -> None:
    """While one waits for data with its volume in a drive, the other writes in the other drive."""
    library = make_library()
    talk = world.start()
    talk.start_taper()
    slow, quick = payload(100_000), payload(65_536)
    dumper = talk.port_write()
    dumper.header(dump_header(Dump()))
    with dumper.connect() as connection:
        connection.sendall(slow[:50_000])
        talk.grant("PROTO01")
        talk.ready()
        talk.start_taper(W1)
        talk.file_write(world.holding(quick, B), handle=H1, worker=W1, dump=B)
        talk.grant("PROTO02", H1, W1)
        talk.ready(H1, W1)
        talk.part("PROTO02", 1, 65_536, handle=H1, worker=W1)
        talk.done(crc(quick), handle=H1, worker=W1)
        assert library.places() == {
            **{f"A0000{slot}": f"slot {slot}" for slot in range(3, 9)},
            "A00001": "drive 0",
            "A00002": "drive 1",
        }
        assert held(world) == {"0", "1"}
        connection.sendall(slow[50_000:])
    talk.part("PROTO01", 1, 100_000, None)
    talk.dumper_done()
    talk.done(crc(slow))
    talk.quit()
    assert held(world) == set()
    assert library.log() == ["load 1 0", "load 2 1"]


def test_a_dump_on_three_cartridges(world: World, make_library: MakeLibrary) -> None:
    """The next is taken into the drive that was not used for longest."""
    library = make_library(usage_kib=640)
    talk = world.start()
    talk.start_taper()
    data = payload(1200 * KIB)
    talk.file_write(world.holding(data), split_by(512 * KIB))
    labels: list[str] = []
    while len(labels) < 3:
        talk.expect(f"REQUEST-NEW-TAPE {WORKER} {HANDLE}")
        talk.send(f"START-SCAN {WORKER} {HANDLE}", f"NEW-TAPE {WORKER} {HANDLE}")
        labels.append(talk.expect(f"NEW-TAPE {WORKER} {HANDLE} <*>").split()[-1])
        if len(labels) == 1:
            talk.ready()
        talk.expect(f"PARTDONE {WORKER} {HANDLE} {labels[-1]} 1 <*>")
    talk.expect(f"DONE {WORKER} {HANDLE} <*>")
    talk.quit()
    assert labels == ["PROTO01", "PROTO02", "PROTO03"]
    assert [line.split()[2] for line in library.log() if line.startswith("load")] == ["0", "1", "0"]
    found = {
        path.name.removeprefix("00000.")
        for slot in range(1, 9)
        for path in library.cartridge(f"A0000{slot}").glob("data/00000.*")
    }
    assert found == set(labels)


def test_a_jammed_robot_is_told_to_the_driver(world: World, make_library: MakeLibrary) -> None:
    """With what mtx says of it, in one line, and the taper is there for the next try."""
    library = make_library()
    library.fault(jammed=True)
    talk = world.start()
    talk.send(f"START-TAPER taper0 {WORKER} PROTO {STAMP}")
    told = talk.expect(f"TAPE-ERROR {WORKER} <*>")
    assert "error from mtx: Loading media from Storage Element 1 into drive 0" in told
    if not world.program.stock:
        assert re.search(r"Sense Key=Hardware Error mtx: .* Failed", told)
        world.check_logged("ERROR taper no-tape error [error from mtx: <*> Failed]")
    library.fault()
    talk.start_taper(W1)
    data = payload(65_536)
    talk.file_write(world.holding(data, B), handle=H1, worker=W1, dump=B)
    talk.grant("PROTO01", H1, W1)
    talk.ready(H1, W1)
    talk.part("PROTO01", 1, 65_536, handle=H1, worker=W1)
    talk.done(crc(data), handle=H1, worker=W1)
    talk.quit()


def test_an_empty_library_has_no_volume(world: World, make_library: MakeLibrary) -> None:
    """The scan ends with what every scan says then."""
    make_library(cartridges=0)
    talk = world.start()
    talk.send(f"START-TAPER taper0 {WORKER} PROTO {STAMP}")
    talk.expect(f"TAPE-ERROR {WORKER} <*>")
    talk.quit()


@pytest.mark.known_stock_failure("stock hears nothing while its robot hangs")
@pytest.mark.parametrize("command", ["status", "load"])
def test_quit_ends_a_hanging_robot(world: World, make_library: MakeLibrary, command: str) -> None:
    """mtx is killed, and the state file is free for others."""
    library = make_library()
    library.fault(hung=[command])
    talk = world.start()
    talk.send(f"START-TAPER taper0 {WORKER} PROTO {STAMP}")
    world.wait_for(
        f"mtx to {command}",
        lambda: any(line.startswith(command) for line in library.log(moves=False)),
    )
    talk.send("QUIT")
    talk.expect(f'TAPE-ERROR {WORKER} "taper is quitting"')
    talk.expect_end()
    library.fault()  # which an mtx that lives would not let us
    assert library.log() == (["load 1 0"] if command == "load" else [])


def test_a_bad_property_is_told_with_its_place(world: World, make_library: MakeLibrary) -> None:
    """Value, what was expected, file and line."""
    make_library(more='property "drive-choice" "best"')
    talk = world.start()
    text = "invalid 'drive-choice' value 'best'"
    if world.program.stock:
        talk.expect(f'TAPE-ERROR SETUP "{text}"')
        return
    lines = world.path(f"{ETC}/amanda.conf").read_text().splitlines()
    line = 1 + next(number for number, each in enumerate(lines) if "drive-choice" in each)
    where = f"'{ETC}/amanda.conf', line {line}"
    talk.expect(f'TAPE-ERROR SETUP "{text}: lru or firstavail expected ({where})"')

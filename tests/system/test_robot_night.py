"""Whole nights on a library of two drives and eight cartridges, Amanda's amtape beside us.

Driver, dumper and amfetchdump are Amanda's; mtx and drives are simulated.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from protocols.perldata import parse_perl_data
from tests.fakes.library import Library
from tests.fakes.tape import SimulatedDrive
from tests.fakes.tape.stock_door import door_of, made_library, why_no_door
from tests.system.amanda import CONFIG, Amanda, Options
from tests.system.conftest import MakeAmanda

pytestmark = pytest.mark.system

HOME = "/var/lib/amanda/library"
CARTRIDGES = {slot: f"A0000{slot}L4" for slot in range(1, 9)}
MIB = 1 << 20
EXTRA = """
taper-parallel-write {workers}
device-property "LEOM" "true"
define changer library {{
  tpchanger "chg-robot:{home}/robot"
  changerfile "{home}/state"
  property "mtx" "{home}/mtx"
  property "tape-device" {devices}
  property "eject-before-unload" "yes"
  property "load-poll" "0s poll 1s until 1m"
  property "status-interval" "0"
}}
tpchanger "library"
define dumptype straight {{
  auth "local"
  program "GNUTAR"
  compress none
  index yes
  holdingdisk never
}}
"""
SIZES = {"a": 6, "b": 1, "c": 2, "d": 1, "e": 3, "f": 3}
STRAIGHT = "ef"
"""Disks whose dumps go to a volume at once."""


class Room:
    """An installation whose storage is a library."""

    def __init__(self, amanda: Amanda, *, tapes: bool) -> None:
        self.amanda = amanda

        def own(path: Path) -> None:
            os.chown(path, amanda.user.pw_uid, amanda.user.pw_gid, follow_symlinks=False)

        facts = {"capacity": 6 * MIB, "early": 5 * MIB, "load_polls": 2} if tapes else None
        self.library = Library(amanda.path(HOME), CARTRIDGES, own=own, seen_as=HOME, tapes=facts)

    def configure(self, workers: int) -> None:
        devices = " ".join(f'"{device}"' for device in self.library.tape_devices())
        self.amanda.configure(
            Options(
                disks=[(disk, "straight" if disk in STRAIGHT else "plain") for disk in SIZES],
                slots=0,
                runtapes=8,
                tapecycle=3,
                length_mb=6,
                tapetype="part-size 2 mbytes",
                autoflush="yes",
                extra=EXTRA.format(workers=workers, home=HOME, devices=devices),
            )
        )

    def state(self) -> dict[str, Any]:
        return parse_perl_data(self.amanda.path(f"{HOME}/state").read_bytes())


class Beside(threading.Thread):
    """Somebody who looks at the library with amtape, again and again, while a night is on."""

    def __init__(self, amanda: Amanda) -> None:
        super().__init__(daemon=True)
        self._amanda = amanda
        self._over = threading.Event()
        self.seen: list[str] = []
        self.failures: list[str] = []

    def run(self) -> None:
        while not self._over.wait(0.2):
            done = self._amanda.run("amtape", CONFIG, "inventory")
            if done.returncode != 0:
                self.failures.append(done.stdout)
            self.seen.append(done.stdout)

    def __enter__(self) -> Beside:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self.join()


@pytest.fixture
def room(make_amanda: MakeAmanda) -> Iterator[Room]:
    """With tape drives where Amanda's own programs can use simulated ones, else with ``file:``."""
    tapes = why_no_door() is None
    with ExitStack() as stack:
        amanda = make_amanda(Options(slots=0))
        room = Room(amanda, tapes=tapes)
        if tapes:
            amanda.environment["LD_PRELOAD"] = str(stack.enter_context(made_library()))
            for drive in room.library.drives:
                stack.enter_context(door_of(SimulatedDrive(drive)))
                amanda.own(f"{HOME}/{drive.name}/door")
        yield room


def test_nights_with_two_drives(room: Room) -> None:
    """Both drives are used, and every dump comes back through Amanda's changer.

    Then Amanda's own taper goes on with the same state, and ours after it.
    """
    amanda = room.amanda
    for disk, mib in SIZES.items():
        amanda.fill(disk, mib)
    room.configure(workers=2)
    amanda.run("amdump", CONFIG, "--no-taper")
    with Beside(amanda) as beside:
        amanda.ask("amdump")
    assert not beside.failures
    check_night(room, dumps=2 * len(SIZES) - len(STRAIGHT))
    assert {move.split()[2] for move in room.library.log() if move.startswith("load")} == {"0", "1"}
    for disk in SIZES:
        amanda.check_restored(disk, amanda.fetch(disk, amanda.stamp()))

    room.configure(workers=1)
    amanda.use(ours=False)
    amanda.ask("amdump")
    check_night(room, dumps=len(SIZES))

    amanda.use(ours=True)
    amanda.ask("amdump")
    check_night(room, dumps=len(SIZES))
    amanda.check_restored("a", amanda.fetch("a", amanda.stamp()))
    amanda.check_ours(2)


def check_night(room: Room, dumps: int) -> None:
    """Every dump is done, nobody holds a drive, and the state knows each label where it is."""
    amanda = room.amanda
    assert len(amanda.trace_log("DONE taper")) == dumps
    assert not amanda.held()
    state = room.state()
    assert not any(drive.get("res_info") for drive in state["drives"].values())
    known = {slot["label"] for slot in state["slots"].values() if slot.get("label")}
    assert known == set(amanda.tapelist())

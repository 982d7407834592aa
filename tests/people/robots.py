"""Volumes of nights in a library: a simulated robot, whose drives are ``file:`` devices."""

from __future__ import annotations

from pathlib import Path

from tests.fakes.library import Library
from tests.people.nights import Nights


async def into_library(nights: Nights, tmp_path: Path, drives: int, volumes: int = 3) -> Library:
    """Put what is on the first vtapes on cartridges of a library, which has looked at them."""
    names = {slot: f"A0000{slot}" for slot in range(1, volumes + 1)}
    made = Library(tmp_path / "library", names, drives=drives)
    for slot, name in names.items():
        target = made.cartridge(name) / "data"
        for path in (tmp_path / f"vtapes/slot{slot}").iterdir():
            path.rename(target / path.name)
    tapes = " ".join(f'"{device}"' for device in made.tape_devices())
    nights.configure(
        changer="\n  ".join(
            (
                f'tpchanger "chg-robot:{made.device}"',
                f'changerfile "{tmp_path}/robot-state"',
                f'property "mtx" "{made.program}"',
                f'property "tape-device" {tapes}',
                'property "status-interval" "0"',
                'property "load-poll" "0s"',
            )
        )
    )
    await nights.lines("update")
    return made

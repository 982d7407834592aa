"""A library for the simulated ``mtx`` of :mod:`tests.fakes.mtx`, and what people do to it."""

from __future__ import annotations

import fcntl
import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from protocols.conf.sections import ChangerSection
from tests.fakes import mtx
from tests.fakes.tape import load, make_cartridge, make_drive


class Library:
    """Drives, slots and cartridges in a directory.

    :ivar device: the robot's device.
    :ivar program: the path of mtx.
    :ivar drives: where the drives are, as seen from here.
    :param directory: where to make it, as seen from here
    :param cartridges: name by slot; a name is the barcode, too
    :param ports: how many of the last slots are import/export
    :param own: is called with each path that was made
    :param seen_as: the same directory, as seen by the programs
    :param tapes: the drives are simulated tape drives, and this is what is to be known of each
        cartridge (:class:`tests.fakes.tape.CartridgeFacts`); else they are for ``file:``
    """

    def __init__(
        self,
        directory: Path,
        cartridges: Mapping[int, str],
        *,
        drives: int = 2,
        slots: int = 8,
        ports: int = 0,
        own: Callable[[Path], object] = lambda path: None,
        seen_as: str | None = None,
        tapes: Mapping[str, Any] | None = None,
    ) -> None:
        self._directory = directory
        self._own = own
        self._tapes = tapes
        self.seen_as = seen_as or str(directory)
        self.device = f"{self.seen_as}/robot"
        self.program = f"{self.seen_as}/mtx"
        for path in (directory, directory / "cartridges"):
            path.mkdir(exist_ok=True)
            own(path)
        shutil.copy(mtx.__file__, directory / "mtx")
        (directory / "mtx").chmod(0o755)
        state: dict[str, Any] = {
            "slots": [
                {"cartridge": cartridges.get(slot), "ie": slot > slots - ports}
                for slot in range(1, slots + 1)
            ],
            "drives": [{"cartridge": None, "source": None} for _ in range(drives)],
            "barcodes": {name: name for name in cartridges.values()},
            "tapes": tapes is not None,
            "faults": {},
        }
        (directory / "robot").write_text(json.dumps(state))
        (directory / "log").touch()
        for path in (directory / "robot", directory / "log"):
            own(path)
        for name in cartridges.values():
            self._make(name)
        self.drives = [self._drive(directory / f"drive{number}") for number in range(drives)]

    def _drive(self, path: Path) -> Path:
        if self._tapes is not None:
            make_drive(path)
            for each in (path, *path.iterdir()):
                self._own(each)
        return path

    def _make(self, name: str) -> None:
        path = self.cartridge(name)
        if self._tapes is not None:
            make_cartridge(path, **self._tapes)
            self._own(path.with_name(f"{name}.json"))
        else:
            path.mkdir()
            (path / "data").mkdir()
            self._own(path / "data")
        self._own(path)

    def cartridge(self, name: str) -> Path:
        """What is on a cartridge, as seen from here."""
        return self._directory / "cartridges" / name

    @contextmanager
    def hands(self) -> Iterator[dict[str, Any]]:
        """The state, for a person who puts cartridges about while the robot stands still."""
        with open(self._directory / "robot", "r+") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            state = json.load(file)
            yield state
            file.seek(0)
            json.dump(state, file)
            file.truncate()

    def fault(self, **faults: Any) -> None:
        """Let these be the robot's faults, and no others; see :mod:`tests.fakes.mtx`."""
        with self.hands() as state:
            state["faults"] = {name.replace("_", " "): fault for name, fault in faults.items()}

    def put_into_drive(self, drive: int, name: str) -> None:
        """Put a new cartridge into a drive; the robot does not know where from."""
        with self.hands() as state:
            state["drives"][drive] = {"cartridge": name, "source": None}
            state["barcodes"][name] = name
        self._make(name)
        if self._tapes is None:
            self.drives[drive].symlink_to(f"cartridges/{name}")
        else:
            load(self.drives[drive], self.cartridge(name))

    def swap(self, one: int, other: int) -> None:
        """Swap what is in two slots."""
        with self.hands() as state:
            slots = state["slots"]
            slots[one - 1]["cartridge"], slots[other - 1]["cartridge"] = (
                slots[other - 1]["cartridge"],
                slots[one - 1]["cartridge"],
            )

    def places(self) -> dict[str, str]:
        """Where each cartridge is: ``slot N`` or ``drive N``."""
        state = json.loads((self._directory / "robot").read_text())
        found = [(f"slot {number}", slot) for number, slot in enumerate(state["slots"], 1)]
        found += [(f"drive {number}", drive) for number, drive in enumerate(state["drives"])]
        return {place["cartridge"]: name for name, place in found if place["cartridge"]}

    def log(self, *, moves: bool = True) -> list[str]:
        """What was asked of the robot so far.

        :param moves: only what moved something
        """
        lines = (self._directory / "log").read_text().splitlines()
        return [line for line in lines if not moves or line.split()[0] in MOVES]

    def tape_devices(self) -> tuple[str, ...]:
        """The property of a changer for these drives."""
        scheme = "file" if self._tapes is None else "tape"
        return tuple(
            f"{number}={scheme}:{self.seen_as}/{drive.name}"
            for number, drive in enumerate(self.drives)
        )

    def section(self, name: str = "lib", **properties: tuple[str, ...]) -> ChangerSection:
        """The changer section of the library; ``_`` stands for ``-``."""
        usual = {
            "mtx": (self.program,),
            "tape-device": self.tape_devices(),
            "status-interval": ("0",),
            "load-poll": ("0s",),
        }
        given = {key.replace("_", "-"): values for key, values in properties.items()}
        return ChangerSection(
            name,
            tpchanger=f"chg-robot:{self.device}",
            changerfile=f"{self.seen_as}/state",
            property={**usual, **given},
        )


MOVES = ("load", "unload", "transfer")

"""chg-robot keeps to the contract of changers, on a simulated mtx."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from devices.registry import DEVICES
from tests.contract.changer import ChangerContract
from tests.devices.ndmp_world import turning
from tests.devices.opening import Opener
from tests.fakes.library import Library
from tests.fakes.turning import Turning

__all__ = ["turning"]


@pytest.fixture
def opener(turning: Turning, tmp_path: Path) -> Iterator[Opener]:
    opener = Opener(turning, tmp_path)
    yield opener
    opener.close()


@pytest.fixture
def library(tmp_path: Path) -> Library:
    """Two drives and four slots, three of them full."""
    return Library(tmp_path / "library", {1: "A1", 2: "A2", 3: "A3"}, slots=4)


class TestRobot(ChangerContract):
    """A library of this host."""

    lacks = ()

    @pytest.fixture
    def open_changer(self, library: Library, opener: Opener) -> Callable[[], Any]:
        return lambda: opener.open("lib", library.section())


class TestTapeRobot(ChangerContract):
    """The same on simulated tape drives, which must be ejected and take a while to load."""

    lacks = ()

    @pytest.fixture
    def open_changer(
        self, tmp_path: Path, opener: Opener, monkeypatch: pytest.MonkeyPatch
    ) -> Callable[[], Any]:
        monkeypatch.setitem(DEVICES, "tape", "tests.fakes.tape:SimulatedTape")
        cartridges = {1: "A1", 2: "A2", 3: "A3"}
        library = Library(tmp_path / "library", cartridges, slots=4, tapes={})
        return lambda: opener.open("lib", library.section(eject_before_unload=("yes",)))

"""Modules that are executed when they are used, and are then what they would always have been."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from taper.run import late

ROOT = Path(__file__).parents[2]

Importer = Callable[[], ModuleType]

PACKAGE = {
    "__init__.py": "from latter.low import part\nfrom latter import high\nwhole = [part]\n",
    "low.py": "from . import lowest\npart = object()\n",
    "lowest.py": "",
    "high.py": "",
}


@pytest.fixture
def latter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Importer:
    """Imports a package of which ``part`` can be had alone."""
    (tmp_path / "latter").mkdir()
    for name, text in PACKAGE.items():
        (tmp_path / "latter" / name).write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    monkeypatch.setitem(late.LATE, "latter", {"part": "latter.low"})
    for name in ("latter", "latter.low", "latter.lowest", "latter.high"):
        # nobody has it, before or afterwards
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
        monkeypatch.delitem(sys.modules, name)
    late.execute_when_used()
    return lambda: importlib.import_module("latter")


def executed(package: ModuleType) -> bool:
    """Without using it."""
    return "whole" in package.__dict__


SLOW = """import {gate}
def early():
    return late
{gate}.reached.set()
assert {gate}.go.wait(60)
late = "all is there"
"""


def test_nobody_sees_half_of_a_module_that_another_thread_executes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A function that stands there already may use what does not stand there yet."""
    gate = ModuleType("gate_of_slow")
    vars(gate).update(reached=threading.Event(), go=threading.Event())
    (tmp_path / "slowly.py").write_text(SLOW.format(gate=gate.__name__))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    monkeypatch.setitem(sys.modules, gate.__name__, gate)
    monkeypatch.setitem(late.LATE, "slowly", {})
    monkeypatch.setitem(sys.modules, "slowly", ModuleType("slowly"))
    monkeypatch.delitem(sys.modules, "slowly")
    late.execute_when_used()
    module = importlib.import_module("slowly")
    found = []
    executing = threading.Thread(target=lambda: module.late)
    executing.start()
    assert gate.reached.wait(60)
    looking = threading.Thread(target=lambda: found.append(module.early()))
    looking.start()
    gate.go.set()
    executing.join(60)
    looking.join(60)
    assert found == ["all is there"]
    assert type(module) is ModuleType


def test_an_import_alone_executes_nothing(latter: Importer) -> None:
    package = latter()
    assert latter() is package
    assert package.__spec__ is not None
    assert package.__name__ == package.__spec__.name == "latter"
    assert not executed(package)


def test_a_part_comes_from_its_module_and_the_rest_executes_the_package(latter: Importer) -> None:
    package = latter()
    part = package.part
    assert not executed(package)
    assert package.whole == [part]
    assert package.part is part
    assert {"low", "high"} <= set(vars(package))
    assert type(package) is ModuleType


def test_a_name_that_is_not_there_is_missing_as_ever(latter: Importer) -> None:
    package = latter()
    with pytest.raises(AttributeError, match="'latter' has no attribute 'nothing'"):
        _ = package.nothing
    assert executed(package)


def test_after_a_failure_the_next_use_tries_again(latter: Importer, tmp_path: Path) -> None:
    package = latter()
    good = tmp_path / "latter" / "high.py"
    good.rename(tmp_path / "away")
    with pytest.raises(ImportError):
        _ = package.whole
    (tmp_path / "away").rename(good)
    importlib.invalidate_caches()
    assert package.whole == [package.part]


SERVED = """
from taper.run.late import LATE, execute_when_used
execute_when_used()
import sys
import taper.run.process
taper.run.process.import_reactor()
import taper.run.stdio
from twisted.internet import defer

waiting = [name for name in LATE if "__file__" not in sys.modules[name].__dict__
           or type(sys.modules[name]).__name__ != "_LateModule"]
print("executed:", *waiting)

import asyncio, automat, ctypes, http.cookiejar
print(asyncio.run(asyncio.sleep(0, "slept")), asyncio.Future is defer.Future)
print(automat.MethodicalMachine.__name__, http.cookiejar.CookieJar.__name__, ctypes.__name__)
"""


def test_a_start_executes_none_of_them_and_all_are_whole_for_who_asks() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SERVED],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        cwd=ROOT,
        timeout=600,
    )
    assert done.stderr == ""
    assert done.stdout.splitlines() == [
        "executed:",
        "slept True",
        "MethodicalMachine CookieJar ctypes",
    ]

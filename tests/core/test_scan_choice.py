"""Choosing a scan by name, and what a start imports for it [changers 1.1]."""

from __future__ import annotations

import subprocess
import sys

import pytest
from twisted.internet.defer import Deferred

from taper.core.scan import ScanFailed
from taper.core.scan.lexical import LexicalScan
from taper.core.scan.oldest import OldestScan
from taper.core.scan.traditional import TraditionalScan
from tests.fakes.async_changer import FakeAsyncChanger, blank
from tests.fakes.scanning import RUN, Outcome, make_config, set_stage

DEFINED = """
define taperscan mine {
  plugin "oldest"
}
"""


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("", TraditionalScan),
        ("traditional", TraditionalScan),
        ("lexical", LexicalScan),
        ("oldest", OldestScan),
        ("mine", OldestScan),
    ],
)
def test_a_scan_is_named_by_algorithm_or_section(name: str, kind: type) -> None:
    """Nothing means traditional, a section its plugin, another name itself."""
    stage = set_stage(name, {"1": blank()}, config=make_config(scans=DEFINED))
    assert type(stage.scan) is kind


def test_a_changer_without_inventory_is_scanned_slot_by_slot() -> None:
    """lexical and oldest need an inventory; without one the scan is traditional."""
    changer = FakeAsyncChanger({"1": blank()}, has_inventory=False)
    assert type(set_stage("lexical", changer).scan) is TraditionalScan


def test_an_unknown_algorithm_is_named() -> None:
    """A misspelt scan fails with its name, and the process lives."""
    with pytest.raises(ScanFailed, match=r"^No such taperscan algorithm 'newest'$"):
        set_stage("newest", {})


def test_an_operator_needs_a_clock() -> None:
    """Waiting without a clock would be waiting for ever."""
    with pytest.raises(ValueError, match="clock"):
        set_stage("lexical", {}, interactivity=object())


def test_a_start_imports_only_the_scan_it_uses() -> None:
    """The other algorithms, and the reactor, stay on disk."""
    program = (
        "import sys, taper.core.scan, taper.core.scan.traditional as t\n"
        "bad = {'taper.core.scan.inventory', 'taper.core.scan.lexical', 'taper.core.scan.oldest',"
        " 'taper.core.scan.waiting', 'twisted.internet.reactor'}\n"
        "print(sorted(bad & set(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"


@pytest.mark.parametrize("name", ["traditional", "lexical"])
@pytest.mark.parametrize("cancelled", [False, True])
def test_a_scan_is_over_when_its_lines_are_written(name: str, cancelled: bool) -> None:
    """Who reads the log at TAPER-OK finds the slot's line; a scan that is cancelled keeps none."""
    writing: list[Deferred[None]] = []

    def note(text: str) -> Deferred[None]:
        writing.append(Deferred())
        return writing[-1]

    stage = set_stage(name, {"1": blank()}, note=note)
    scanning = stage.scan.scan(RUN)
    outcome = Outcome.of(scanning)
    assert not outcome.fired
    if cancelled:
        scanning.cancel()
    for line in writing:
        line.callback(None)
    assert outcome.fired
    assert outcome.cancelled == cancelled
    assert len(stage.changer.reserved) == (not cancelled)

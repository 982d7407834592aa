"""Every scenario of the chapters, against every server [ndmp-server 7]."""

from __future__ import annotations

import pytest

from tests.ndmp_conformance.chapters import SCENARIOS
from tests.ndmp_conformance.known import DEADLY, NDMJOB
from tests.ndmp_conformance.scenario import Scenario, play
from tests.ndmp_conformance.scene import Target

PATIENCE = 30.0
KNOWN_PATIENCE = 0.25
"""Seconds for a server that is known to fail, perhaps by silence."""
SUITE = {"IC": 12, "IG": 14, "IS": 17, "IT": 24, "IM": 41, "ID": 27, "IP": 15}
"""The numbered scenarios of [ndmp-server 7.1]."""


def test_scenario(
    request: pytest.FixtureRequest, server: Target, scenario: Scenario, version: int
) -> None:
    """It goes to its end, and all that was said was expected."""
    doomed = request.node.get_closest_marker("xfail") is not None
    play(scenario, server, version, KNOWN_PATIENCE if doomed else PATIENCE)


def test_nothing_is_left_out() -> None:
    """All numbered scenarios are played, each once; what is known to fail is one of them."""
    names = [scenario.name for scenario in SCENARIOS]
    assert len(names) == len(set(names))
    numbered = {f"{chapter}{n + 1}" for chapter, count in SUITE.items() for n in range(count)}
    assert len(numbered) == 150
    assert numbered - set(names) == set()
    assert {name.partition("/")[0] for name in [*NDMJOB, *DEADLY]} - set(names) == set()

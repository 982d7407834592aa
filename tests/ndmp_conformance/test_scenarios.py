"""Every scenario of the chapters, against every server [ndmp-server 7]."""

from __future__ import annotations

import pytest

from tests.ndmp_conformance.scenario import Scenario, play
from tests.ndmp_conformance.scene import Target

PATIENCE = 30.0
KNOWN_PATIENCE = 0.25
"""Seconds for a server that is known to fail, perhaps by silence."""


def test_scenario(
    request: pytest.FixtureRequest, server: Target, scenario: Scenario, version: int
) -> None:
    """It goes to its end, and all that was said was expected."""
    doomed = request.node.get_closest_marker("xfail") is not None
    play(scenario, server, version, KNOWN_PATIENCE if doomed else PATIENCE)

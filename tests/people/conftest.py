"""Options of this folder."""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    add = parser.getgroup("people").addoption
    add("--damages", type=int, metavar="N", help="how often volumes are damaged and verified")
    add("--damage-seed", type=int, metavar="N", help="of the first damage; the next has the next")


@pytest.fixture
def damages(pytestconfig: pytest.Config) -> int:
    """How often volumes are damaged and verified."""
    return pytestconfig.getoption("--damages", None) or 10_000


@pytest.fixture
def damage_seed(pytestconfig: pytest.Config) -> int:
    """What the dice of the first damage begin with."""
    seed: int | None = pytestconfig.getoption("--damage-seed", None)
    return 20260107 if seed is None else seed

"""Options of this folder."""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.getgroup("people").addoption(
        "--damages", type=int, metavar="N", help="how often volumes are damaged and verified"
    )


@pytest.fixture
def damages(pytestconfig: pytest.Config) -> int:
    """How often volumes are damaged and verified."""
    return pytestconfig.getoption("--damages", None) or 10_000

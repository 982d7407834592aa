"""Options of this folder."""

from __future__ import annotations

import os

import pytest

from tests.people.browser import CHROMIUM

# CI has no time to install a browser of 300 MB, and skips nothing: so this is not one of its tests
collect_ignore = ["test_web_browser.py"] if os.environ.get("CI") and CHROMIUM is None else []


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.getgroup("people").addoption(
        "--damages", type=int, metavar="N", help="how often volumes are damaged and verified"
    )


@pytest.fixture
def damages(pytestconfig: pytest.Config) -> int:
    """How often volumes are damaged and verified."""
    return pytestconfig.getoption("--damages", None) or 10_000

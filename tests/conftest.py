"""What all tests share."""

from __future__ import annotations

import gc
import os
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile(
    "unhurried", settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("unhurried")  # a slow machine is no fault

if TYPE_CHECKING:
    from tests.fakes.weed import Weed


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """In CI everything is installed, so a skipped test is a test that was lost."""
    skipped = terminalreporter.stats.get("skipped", [])
    if skipped and os.environ.get("CI"):
        terminalreporter.write_line(
            f"CI must skip nothing, and {len(skipped)} were skipped", red=True
        )


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("CI") and reporter and reporter.stats.get("skipped") and not exitstatus:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.fixture(scope="module", autouse=True)
def _what_is_old_stays() -> None:
    """What earlier modules have left is looked at once more and then never again.

    Some tests have all garbage collected before they count descriptors; with what thousands of
    tests have left that takes seconds, each time.
    """
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def weed() -> Weed:
    """One object store for all tests of a run; each makes buckets of its own in it."""
    from tests.fakes.weed import shared_weed, why_no_weed

    reason = why_no_weed()
    if reason is not None:
        pytest.skip(reason)
    return shared_weed()

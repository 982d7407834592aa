"""Private Amanda installations for the tests, and what happened in them when a test fails."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import pytest

from tests.installation import installed, unreadable_python
from tests.namespace import missing
from tests.system.amanda import Amanda, Options

MakeAmanda = Callable[..., Amanda]
ALIVE: list[Amanda] = []


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options of this folder."""
    parser.getgroup("system").addoption(
        "--recoveries", type=int, metavar="N", help="how often the same tapes are recovered"
    )


@pytest.fixture
def recoveries(pytestconfig: pytest.Config) -> int:
    """How often the same tapes are recovered."""
    return pytestconfig.getoption("--recoveries", None) or 1


@pytest.fixture(scope="session")
def installed_taper() -> Iterator[Path]:
    """The launcher of a taper of ours that the dump user can run."""
    reason = unreadable_python()
    if reason is not None:
        pytest.skip(reason)
    with installed() as launcher:
        yield launcher


@contextmanager
def installations(launcher: Path) -> Iterator[MakeAmanda]:
    """What makes installations, all gone in the end. No taper of ours may have blocked in them."""
    reason = missing("/usr/sbin/amdump", "/usr/sbin/amfetchdump")
    if reason is not None:
        pytest.skip(reason)
    with ExitStack() as stack:

        def make(options: Options | None = None, *, ours: bool = True) -> Amanda:
            amanda = Amanda(launcher, options or Options(), ours=ours)
            stack.enter_context(closing(amanda))
            stack.callback(amanda.check_turns)
            ALIVE.append(amanda)
            stack.callback(ALIVE.remove, amanda)
            return amanda

        yield make


@pytest.fixture
def make_amanda(installed_taper: Path) -> Iterator[MakeAmanda]:
    """Makes an installation with these options, gone after the test."""
    with installations(installed_taper) as make:
        yield make


@pytest.fixture(scope="module")
def make_lasting_amanda(installed_taper: Path) -> Iterator[MakeAmanda]:
    """Makes an installation with these options, gone after the module."""
    with installations(installed_taper) as make:
        yield make


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show what happened in the installations when a test fails."""
    report = yield
    if report.failed:
        for amanda in ALIVE:
            report.sections.append(("what happened", amanda.story()))
    return report

"""``pytest tests/ndmp_conformance --ndmp-server HOST:PORT@DEVICE``: which servers, with what."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.fakes.ndmjob import missing_ndmjob
from tests.ndmp_conformance.chapters import SCENARIOS
from tests.ndmp_conformance.known import DEADLY, NDMJOB
from tests.ndmp_conformance.scenario import Scenario
from tests.ndmp_conformance.scene import Target
from tests.ndmp_conformance.targets import (
    OUR_DEVICES,
    OUR_OFFERS,
    OURS,
    STOCK,
    STOCK_DEVICES,
    any_other,
    ndmjob,
    ours,
)

DEVICES = ("small", "protected", "empty", "changer", "first")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the suite's options."""
    group = parser.getgroup("NDMP conformance")
    group.addoption(
        "--ndmp-server",
        action="append",
        metavar="HOST:PORT@DEVICE",
        help="NDMP server to test, and its drive, whose tape is overwritten; or 'ours', 'ndmjob' "
        "(repeatable; those two are the default)",
    )
    group.addoption("--ndmp-account", metavar="NAME:PASSWORD", default="ndmp:ndmp")
    for name, text in (
        ("small", "a drive with a tape that can be written to its end"),
        ("protected", "a drive with a write protected tape"),
        ("empty", "a drive without a tape"),
        ("changer", "a robot with two empty drives and a full slot at least"),
        ("first", "the first drive of that robot"),
    ):
        group.addoption(f"--ndmp-{name}", metavar="DEVICE", help=text)
    group.addoption(
        "--ndmp-offers",
        metavar="WORDS",
        default="",
        help="what the server can besides: cdb (TAPE_EXECUTE_CDB), ipv6 (the connection address "
        "extension), reloads (a tape that was unloaded), no-data-service",
    )


def chosen(config: pytest.Config) -> list[str]:
    """Names or places of the servers."""
    given = config.getoption("--ndmp-server", default=None)
    return list(given) if given else [OURS, STOCK]


def abilities(config: pytest.Config, server: str) -> frozenset[str]:
    """What a server has, before it runs."""
    if server == OURS:
        return frozenset(OUR_DEVICES) | OUR_OFFERS
    if server == STOCK:
        return frozenset(STOCK_DEVICES)
    named = {name for name in DEVICES if config.getoption(f"--ndmp-{name}")}
    return frozenset(named | {"drive"} | set(config.getoption("--ndmp-offers").split()))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Each scenario, for each server that has what it needs, in each version."""
    if "scenario" not in metafunc.fixturenames:
        return
    cases = []
    given = metafunc.config.getoption("--ndmp-server", default=None)  # else ndmjob's newest is it
    for server in chosen(metafunc.config):
        has = abilities(metafunc.config, server)
        for scenario in SCENARIOS:
            if scenario.needs <= has:
                versions = scenario.versions if server != STOCK or given else (4,)
                wanted = set(versions) & set(scenario.versions)
                cases += [_case(server, scenario, version) for version in sorted(wanted)]
    metafunc.parametrize(("server", "scenario", "version"), cases, indirect=["server"])


def _case(server: str, scenario: Scenario, version: int) -> object:
    marks = []
    if server == STOCK:
        if missing_ndmjob() is not None:
            marks.append(pytest.mark.skip(reason=str(missing_ndmjob())))
        reason = why_known(scenario, version)
        if reason is not None:
            run = scenario.name not in DEADLY
            marks.append(pytest.mark.xfail(reason=reason, strict=True, run=run))
    name = f"{server}-{scenario.name}-v{version}"
    return pytest.param(server, scenario, version, id=name, marks=marks)


def why_known(scenario: Scenario, version: int) -> str | None:
    """Why ndmjob fails a scenario; None: it should not."""
    names = (scenario.name, f"{scenario.name}/{version}", f"{scenario.name}/old")
    return next((NDMJOB[name] for name in names[: 2 + (version < 4)] if name in NDMJOB), None)


@pytest.fixture(scope="session")
def running() -> Iterator[dict[str, Target]]:
    """The servers that were started, by name; ended in the end."""
    with ExitStack() as stack:
        yield _Running(stack)


class _Running(dict[str, Target]):
    def __init__(self, stack: ExitStack) -> None:
        super().__init__()
        self._stack = stack

    def __missing__(self, name: str) -> Target:
        self[name] = self._stack.enter_context(ours() if name == OURS else ndmjob())
        return self[name]


@pytest.fixture
def server(request: pytest.FixtureRequest, running: dict[str, Target]) -> Target:
    """The server under test."""
    name, config = request.param, request.config
    if name in (OURS, STOCK):
        return running[name]
    devices = {one: config.getoption(f"--ndmp-{one}") for one in DEVICES}
    user, _, password = config.getoption("--ndmp-account").partition(":")
    offers = frozenset(config.getoption("--ndmp-offers").split())
    return any_other(name, {k: v for k, v in devices.items() if v}, (user, password), offers)

"""`pytest tests/conformance --taper PATH`: which tapers, what stock may fail, the report."""

import atexit
import functools
import os
import shutil
import subprocess
import sys
from collections import defaultdict
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from tests.conformance.harness import Options, Program, World
from tests.conformance.kinds import KINDS
from tests.installation import installed, unreadable_python

STOCK = "/usr/lib/amanda/taper"
DUMP_USER = "backup"
CHAPTERS = frozenset(
    {
        "test_file_write",
        "test_logs",
        "test_port_write",
        "test_quit",
        "test_shm_write",
        "test_splitting",
        "test_storages",
        "test_two_workers",
        "test_vault",
        "test_volumes",
    }
)
"""Those that need no more than a changer of volumes, of any kind."""
RESULTS: dict[tuple[str, str], str] = {}


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the suite's options."""
    group = parser.getgroup("conformance")
    group.addoption("--taper", action="append", metavar="PATH", help="taper to test (repeatable)")
    group.addoption(
        "--volumes",
        action="append",
        choices=[*KINDS, "all"],
        help="kind of volumes to hold the conversations on that any kind is good for (repeatable)",
    )
    group.addoption(
        "--faults", choices=["few", "all"], default="few", help="how many faults of each device"
    )
    group.addoption("--cuts", default="4", help="how many dumps are cut, or 'all': 1000 large ones")
    group.addoption("--cut-size", type=int, metavar="MIB", help="how large the dumps are")
    group.addoption("--conformance-report", metavar="FILE", help="write a table case x taper")
    group.addoption("--generated", type=int, metavar="N", help="how many generated conversations")
    group.addoption("--generated-from", type=int, metavar="SEED", help="the first seed of them")
    group.addoption(
        "--generated-smaller", action="store_true", help="make those that fail smaller (takes long)"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Name the markers that say what the stock taper does wrong."""
    config.addinivalue_line("markers", "own_only: the case needs what only our taper can be given")
    config.addinivalue_line(
        "markers", "only_on(*kinds, why): the kinds of volumes that the case is good for"
    )
    config.addinivalue_line(
        "markers", "every_kind: the case is held on volumes of every kind, unless some are chosen"
    )
    config.addinivalue_line(
        "markers", "known_stock_failure(reason): the stock taper fails this case, and why"
    )
    config.addinivalue_line(
        "markers", "stock_may_fail(reason): the stock taper fails this case at times, and why"
    )


@functools.cache
def readable(path: str) -> bool:
    """Tell whether the dump user can run a program; only root can find out."""
    if os.geteuid() != 0 or not shutil.which("runuser"):
        return True
    check = subprocess.run(
        ["runuser", "-u", DUMP_USER, "--", path, "--version"], capture_output=True
    )
    return check.returncode == 0


@functools.cache
def unrunnable() -> str | None:
    """Why the dump user can run our own taper in no way."""
    return None if readable(own_path()) else unreadable_python()


@functools.cache
def public_copy() -> str:
    """Install the working tree where the dump user can read it, for as long as we run."""
    copy = installed()
    atexit.register(copy.__exit__, None, None, None)
    return str(copy.__enter__())


def program_at(path: str) -> Program:
    """Describe the taper at a path; Amanda's own is a Perl script."""
    with open(path, "rb") as stream:
        stock = b"perl" in stream.readline()
    path = os.path.abspath(path)
    own = path == own_path()
    name = "stock" if stock else "ours" if own else path
    if own and unrunnable() is None and not readable(path):
        path = public_copy()
    return Program(path, name, stock)


def own_path() -> str:
    """Find the console script that belongs to this Python."""
    return str(Path(sys.executable).absolute().parent / "taper")


def programs(config: pytest.Config) -> list[Program]:
    """Choose the tapers to test: those given, else ours."""
    paths = config.getoption("--taper", default=None) or [own_path()]
    missing = [path for path in paths if not os.path.exists(path)]
    if missing:
        raise pytest.UsageError(f"no taper at {', '.join(missing)}")
    return [program_at(path) for path in paths]


def pair(config: pytest.Config) -> tuple[Program, Program] | None:
    """Choose the two tapers to compare: the two given, else ours and Amanda's if installed."""
    given = programs(config)
    if len(given) == 2:
        return given[0], given[1]
    for other in (STOCK, own_path()):
        if len(given) == 1 and os.path.exists(other):
            program = program_at(other)
            if program.path != given[0].path:
                return given[0], program
    return None


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run each case once for each taper."""
    if "taper" in metafunc.fixturenames:
        chosen = programs(metafunc.config)
        metafunc.parametrize("taper", chosen, ids=[program.name for program in chosen])
    if "world" in metafunc.fixturenames:
        kinds = chosen_kinds(metafunc)
        if kinds != ["file"]:
            metafunc.parametrize("volumes", kinds)


def chosen_kinds(metafunc: pytest.Metafunc) -> list[str]:
    """The kinds of volumes to hold a case on."""
    if str(metafunc.module.__name__).rpartition(".")[2] not in CHAPTERS:
        return ["file"]
    given = metafunc.config.getoption("--volumes", default=None)
    if given:
        return list(KINDS) if "all" in given else list(given)
    marked = metafunc.definition.get_closest_marker("every_kind") is not None
    return list(KINDS) if marked else ["file"]


def needs_own(config: pytest.Config, program: object) -> bool:
    """Tell whether a case runs our own taper; one that names none may compare all."""
    chosen = [program] if isinstance(program, Program) else [*programs(config)]
    return any(program.name == "ours" for program in chosen)


def unwanted(item: pytest.Item) -> bool:
    """Tell whether a case is to be left out: other kinds of volumes were asked for, or it is one
    that is for our taper only."""
    if not isinstance(item, pytest.Function) or "conformance" not in item.nodeid:
        return False
    params = item.callspec.params if hasattr(item, "callspec") else {}
    kind, program = params.get("volumes", "file"), params.get("taper")
    stock = isinstance(program, Program) and program.stock
    if stock and item.get_closest_marker("own_only") is not None:
        return True
    if kind != "file":
        only = item.get_closest_marker("only_on")
        return stock or (only is not None and kind not in only.args)
    given = item.config.getoption("--volumes", default=None)
    return bool(given) and not {"file", "all"} & set(given)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark what stock is known to fail; skip where no private namespace can be had."""
    config.hook.pytest_deselected(items=[item for item in items if unwanted(item)])
    items[:] = [item for item in items if not unwanted(item)]
    for item in items:
        if not isinstance(item, pytest.Function) or "conformance" not in item.nodeid:
            continue
        if os.geteuid() != 0:
            item.add_marker(pytest.mark.skip(reason="needs root for a private mount namespace"))
        params = item.callspec.params if hasattr(item, "callspec") else {}
        program = params.get("taper")
        reason = unrunnable() if needs_own(item.config, program) else None
        if reason is not None:
            item.add_marker(pytest.mark.skip(reason=reason))
        mark = item.get_closest_marker("known_stock_failure")
        if mark is not None and isinstance(program, Program) and program.stock:
            item.add_marker(pytest.mark.xfail(reason=mark.args[0], strict=True))
        mark = item.get_closest_marker("stock_may_fail")
        if mark is not None and isinstance(program, Program) and program.stock:
            item.add_marker(pytest.mark.xfail(reason=mark.args[0], strict=False))


@pytest.fixture
def volumes() -> str:
    """The kind of volumes, unless cases are held on others."""
    return "file"


@pytest.fixture
def rendezvous(taper: Program) -> None:
    """For cases of the rendezvous. Ours must have it and Amanda's has none; any other is asked."""
    from tests.conformance.harness_rendezvous import no_rendezvous

    if taper.name not in ("ours", "stock"):
        reason = no_rendezvous(taper)
        if reason is not None:
            pytest.skip(reason)


@pytest.fixture
def world(taper: Program, volumes: str, request: pytest.FixtureRequest) -> Iterator[World]:
    """Give a case its own world, with the plain configuration; show all of it on failure."""
    doomed = request.node.get_closest_marker("known_stock_failure") is not None
    if KINDS[volumes].simulated:
        # the launcher that knows of simulated drives
        taper = Program(public_copy(), taper.name, taper.stock)
    place = World(taper, volumes, hopeless=taper.stock and doomed)
    place.configure(Options())
    try:
        yield place
    finally:
        report = getattr(request.node, "conformance_call", None)
        if report is not None and not report.passed:
            report.sections.append(("what happened", history(place)))
        place.close()


def history(place: World) -> str:
    """Tell everything a failed case has said, logged and complained."""
    lines = []
    for talk in place.talks:
        lines += ["conversation:", *talk.transcript, "stderr:", *talk.stderr()]
        lines.append(f"exit status: {talk.process.poll()}")
    lines += ["trace log:", *place.log(), "tapelist:", *place.tapelist()]
    return "\n".join(line.encode("utf-8", "backslashreplace").decode() for line in lines)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Keep the result for the fixture above and for the report."""
    report = yield
    if call.when == "call":
        item.conformance_call = report  # type: ignore[attr-defined]
    remember(item, report)
    return report


def remember(item: pytest.Item, report: pytest.TestReport) -> None:
    """Note the outcome of a case for the report."""
    params = item.callspec.params if hasattr(item, "callspec") else {}
    program = params.get("taper")
    if not isinstance(program, Program):
        return
    case = item.nodeid.split("/")[-1].replace(f"[{program.name}]", "")
    case = case.replace(f"{program.name}-", "").replace(f"-{program.name}", "")
    key = (case, program.name)
    if hasattr(report, "wasxfail"):
        RESULTS[key] = f"known failure: {report.wasxfail}"
    elif report.failed:
        RESULTS[key] = "FAILED"
    elif report.skipped:
        RESULTS[key] = "skipped"
    elif report.when == "call":
        RESULTS[key] = "pass"


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Write the report if one is wanted."""
    path = session.config.getoption("--conformance-report", default=None)
    if not path:
        return
    names = list(dict.fromkeys(name for _, name in RESULTS))
    cases = list(dict.fromkeys(case for case, _ in RESULTS))
    width = max((len(case) for case in cases), default=4)
    lines = [f"{'case':{width}}  " + " | ".join(names)]
    lines += [
        f"{case:{width}}  " + " | ".join(RESULTS.get((case, name), "-") for name in names)
        for case in cases
    ]
    for name in names:
        results = [result for (_, who), result in RESULTS.items() if who == name]
        counts = {
            word: sum(r.startswith(word) for r in results)
            for word in ("pass", "known failure", "FAILED", "skipped")
        }
        lines.append(f"{name}: " + ", ".join(f"{n} {word}" for word, n in counts.items()))
    Path(path).write_text("\n".join(lines) + "\n")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Tell how many generated conversations went alike, and how many parted by which rule."""
    seeds: dict[str, list[int]] = defaultdict(list)
    for report in terminalreporter.getreports("passed"):
        for key, value in getattr(report, "user_properties", ()):
            if key == "generated" and report.when == "call":
                rule, seed = value.split(" ")
                seeds[rule].append(int(seed))
    if seeds:
        terminalreporter.write_sep("=", "generated conversations")
    for rule, found in sorted(seeds.items(), key=lambda item: -len(item[1])):
        shown = " ".join(str(seed) for seed in found[:8])
        terminalreporter.write_line(f"{len(found):5} {rule}: {shown}")

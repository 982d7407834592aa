"""A start imports only what it needs: the driver waits for it, night after night."""

from __future__ import annotations

import ast
import re
import socket
import subprocess
import sys
from itertools import takewhile
from pathlib import Path
from sysconfig import get_path
from threading import Timer

from protocols.daemon import BEGUN, OFFER
from taper.run import late
from tests.run.sessions import PATIENCE, START, Place, make_place
from tests.run.test_relay import pretended
from tests.run.test_stdio import environment

ROOT = Path(__file__).parents[2]
PACKAGES = ("devices", "protocols", "taper", "twisted/plugins")

REACTOR = "to import it is to make it, so that is for whoever runs it"
COMMAND = "one command, or one step of a command line, of several"
SELDOM = "few runs come to where it is wanted, and all would wait for it"

LATE = {
    "devices.changers.setup": (SELDOM, "devices.configure"),
    "devices.changers.vtape_changer": (SELDOM, "devices.changers.removable"),
    "devices.directtcp": (SELDOM, "devices.addresses"),
    "devices.ndmp_session": ("in a thread", "protocols.twisted_transports.ndmp"),
    "devices.registry": (SELDOM, "devices.configure", "devices.unknown"),
    "devices.s3_link": (SELDOM, "devices.s3_store"),
    "devices.s3_retention": (SELDOM, "devices.s3_locked"),
    "protocols.conf.storages": (SELDOM, "protocols.labels"),
    "protocols.directtcp": (SELDOM, "ipaddress"),
    "protocols.labels": (SELDOM, "protocols.ere"),
    "taper.application.backup": (
        SELDOM,
        "taper.application.pump",
        "taper.application.rendezvous",
        "taper.plane.crc",
    ),
    "taper.application.cli": (
        COMMAND,
        "taper.application",
        "taper.application.backup",
        "taper.application.estimate",
        "taper.application.messages",
        "taper.application.selfcheck",
        "taper.version",
    ),
    "taper.application.rendezvous": (SELDOM, "taper.application.tls"),
    "taper.application.restore": (COMMAND, "taper.application.listening"),
    "taper.application.selfcheck": (SELDOM, "taper.application.rendezvous"),
    "taper.cli": (
        COMMAND,
        "site",
        "taper.daemon_client",
        "taper.run.late",
        "taper.run.process",
        "taper.tapeserver.service",
    ),
    "taper.core.worker": (SELDOM, "taper.core.clerk"),
    "taper.ctl": (
        COMMAND,
        "taper.application.link",
        "taper.demo.play",
        "taper.install",
        "taper.installation",
        "taper.people.explain",
        "taper.people.plugin",
        "taper.people.running",
        "taper.usage.asked",
        "taper.usage.manual",
        "taper.usage.shells",
        "taper.version",
    ),
    "taper.daemon_client": (
        SELDOM,
        "_socket",
        "_stat",
        "protocols.daemon",
        "select",
        "taper",
        "taper.daemon_relay",
        "taper.run.title",
        "time",
    ),
    "taper.demo.running": (REACTOR, "twisted.internet"),
    "taper.flow.flows": (SELDOM, "taper.flow.sent", "taper.flow.taken"),
    "taper.flow.port": (
        SELDOM,
        "taper.flow.made_header",
        "taper.flow.rendezvous.origin",
        "taper.flow.rendezvous.terms",
        "taper.flow.resolving",
    ),
    "taper.flow.rendezvous.origin": (SELDOM, "taper.flow.rendezvous.tls"),
    "taper.people.reading": (SELDOM, "taper.people.last_night"),
    "taper.people.restore.finding": (SELDOM, "difflib"),
    "taper.people.restore.header_search": (SELDOM, "protocols.looks"),
    "taper.people.running": (COMMAND, "taper.people.plugin", "twisted.internet"),
    "taper.plane.cache": (SELDOM, "tempfile"),
    "taper.plane.shm": (SELDOM, "posix_ipc", "taper.plane.monotonic_wait"),
    "taper.plane.spool": (SELDOM, "tempfile"),
    "taper.plane.transfer": (SELDOM, "taper.plane.left"),
    "taper.recovery.cli": (
        COMMAND,
        "taper.installation",
        "taper.recovery.serving",
        "taper.version",
    ),
    "taper.recovery.serving": (
        REACTOR,
        "taper.recovery.session",
        "taper.run.stdio",
        "taper.run.until_over",
        "twisted.internet",
    ),
    "taper.run.assembly": (
        SELDOM,
        "taper.run",
        "taper.run.interactivity",
        "taper.run.vault_catalog",
    ),
    "taper.run.history": (SELDOM, "protocols.catalog", "protocols.commandfile"),
    "taper.run.interactivity": (SELDOM, "taper.run.volume_mail"),
    "taper.run.log_catalog": (SELDOM, "protocols.catalog", "protocols.logindex"),
    "taper.run.log_index": (SELDOM, "protocols.logindex"),
    "taper.run.plugin": (REACTOR, "twisted.internet"),
    "taper.run.process": (
        COMMAND,
        "taper.run.debug_log",
        "taper.run.reactor",
        "taper.run.setup",
        "taper.run.stdio",
        "taper.run.title",
        "taper.version",
        "twisted.internet",
    ),
    "taper.run.service": (REACTOR, "twisted.internet"),
    "taper.run.watched": (
        "in a thread, after the start",
        "taper.run.status_door",
        "taper.run.status_sockets",
    ),
    "taper.run.stdio": (REACTOR, "twisted.internet"),
    "taper.run.title": (SELDOM, "setproctitle"),
    "taper.tapeserver.service": (REACTOR, "twisted.internet"),
    "taper.tls": (SELDOM, "OpenSSL", "twisted.internet"),
    "taper.usage.programs": (COMMAND, "taper.tapeserver.service"),
    "twisted.plugins.taper_plugin": (SELDOM, "taper.run.mtls"),
}
"""The modules that import inside functions: why, and what."""

KNOWN = Path(__file__).with_suffix(".txt")
"""The modules of a start, one a line, as Python 3.11 and the packages of today have them."""
ROOM = 10
"""So many more may come with another Python, or another Twisted."""

IMPORTED = re.compile(r"import time: +[0-9]+ \| +[0-9]+ \| +(.+)")


def modules_of_a_start(place: Place, packages: Path = ROOT) -> set[str]:
    """What a taper on stdio imports, from its first moment to TAPER-OK.

    :param packages: a directory to look in before all others
    """
    command = [sys.executable, "-X", "importtime", "-m", "taper.cli", "C", "--storage", "C"]
    with subprocess.Popen(
        [*command, "--log-filename", str(place.log)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,  # so that both come in their order
        text=True,
        env={**environment(place), "PYTHONPATH": f"{packages}:{ROOT}"},
        cwd=place.root,
    ) as process:
        patience = Timer(PATIENCE, process.kill)
        patience.start()
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(f"{START}\n")
        process.stdin.flush()
        before = "".join(takewhile(lambda line: "TAPER-OK" not in line, process.stdout))
        process.communicate("QUIT\n")
        patience.cancel()
    names = named(before)
    assert process.returncode == 0, before
    assert "taper.core.worker" in names, before
    # what is told of these is that they were asked for
    return {name for name in names - set(late.LATE) if name.split(".")[0] not in late.ABSENT}


def test_a_start_imports_no_more_than_it_did(tmp_path: Path) -> None:
    """Who makes it import more for a good reason puts that into the file; who made it import less
    takes it out."""
    found, known = modules_of_a_start(make_place(tmp_path)), set(KNOWN.read_text().split())
    new = "".join(f"\n{name}" for name in sorted(found - known))
    assert len(found) <= len(known) + ROOM, f"{len(found)} instead of {len(known)}; new:{new}"


UNWANTED = {
    *("argparse", "asyncio.base_events", "crc32c", "email", "http.client", "importlib.metadata"),
    *("protocols.ndmp", "shutil", "ssl"),
}


def test_a_start_leaves_out_what_only_a_dump_or_nobody_needs(tmp_path: Path) -> None:
    """Not the checksum's package, no web client, and not TLS even where it is installed."""
    place = make_place(tmp_path)
    packages = tmp_path / "packages"
    packages.mkdir()
    for name in late.ABSENT:
        (packages / f"{name}.py").write_text("raise RuntimeError('imported at start')")
    assert UNWANTED & modules_of_a_start(place, packages) == set()


SERVED = {
    *("_socket", "_stat", "gc", "protocols", "protocols.daemon", "select", "taper", "taper.cli"),
    *("taper.daemon_client", "taper.daemon_relay", "taper.places"),
}
"""What a taper that a daemon serves imports beside Python itself, until the driver is answered."""
SHOWN = {"taper.run", "taper.run.title"}
"""And then, to let ``ps`` show it."""


def told(*words: str) -> tuple[str, str]:
    """What a Python without ``site`` says.

    :return: on stdout; and on stderr, with each module when it is there
    """
    command = [sys.executable, "-I", "-S", "-X", "importtime", *words]
    done = subprocess.run(command, capture_output=True, text=True, input="QUIT\n")
    return done.stdout, done.stderr


def named(text: str) -> set[str]:
    return {match[1].strip() for match in IMPORTED.finditer(text)}


def test_a_start_that_is_served_imports_next_to_nothing(tmp_path: Path) -> None:
    """No more than this, which bounds its time on any machine."""

    def answer(link: socket.socket) -> None:
        for line in (OFFER, BEGUN, b"TAPER-OK\n"):
            link.sendall(line)
            link.recv(1 << 16)

    places = [str(ROOT), get_path("purelib")]
    code = f"import sys; sys.path += {places}; from taper.cli import begin; begin()"
    words = ("C", "--log-filename", "log", "--daemon", f"unix:{tmp_path}/door")
    with pretended(tmp_path / "door", answer):
        heard, said = told("-c", code, *words)
    assert heard == "TAPER-OK\n", said
    before, last, after = said.partition("taper.daemon_relay\n")
    _, bare = told("-c", "pass")
    assert named(before + last) - named(bare) <= SERVED
    assert named(after) <= SHOWN


def imported_late(path: Path) -> set[str]:
    """The modules that a file imports inside functions."""
    functions = [
        node
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    names: set[str] = set()
    for node in (node for function in functions for node in ast.walk(function)):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            names.add(str(node.module))
    return names


def test_imports_inside_functions_are_those_of_the_table() -> None:
    """Each is there for a reason; all others stand at the head of their module."""
    found = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts): names
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
        if (names := imported_late(path))
    }
    assert found == {module: set(names) for module, (_, *names) in LATE.items()}

"""A start imports only what it needs: the driver waits for it, night after night."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("devices", "protocols", "taper", "twisted/plugins")

REACTOR = "to import it is to make it, so that is for whoever runs it"
COMMAND = "one command, or one step of a command line, of several"
SELDOM = "few runs come to where it is wanted, and all would wait for it"

LATE = {
    "devices.changers.base": (SELDOM, "devices.configure"),
    "devices.changers.ndmp": (SELDOM, "protocols.twisted_transports.ndmp"),
    "devices.changers.vtape_changer": (SELDOM, "devices.changers.removable"),
    "devices.directtcp": (SELDOM, "devices.addresses"),
    "devices.ndmp": (SELDOM, "protocols.twisted_transports.ndmp"),
    "devices.registry": (SELDOM, "devices.unknown"),
    "protocols.conf.storages": (SELDOM, "protocols.labels"),
    "protocols.directtcp": (SELDOM, "ipaddress"),
    "protocols.labels": (SELDOM, "protocols.ere"),
    "taper.application.backup": (SELDOM, "taper.application.pump", "taper.plane.crc"),
    "taper.application.cli": (
        COMMAND,
        "taper.application",
        "taper.application.backup",
        "taper.application.estimate",
        "taper.application.messages",
        "taper.application.selfcheck",
        "taper.version",
    ),
    "taper.application.restore": (COMMAND, "taper.application.listening"),
    "taper.cli": (COMMAND, "taper.run.process"),
    "taper.core.worker": (SELDOM, "taper.core.clerk"),
    "taper.ctl": (COMMAND, "taper.application.link", "taper.demo.play", "taper.install"),
    "taper.demo.running": (REACTOR, "twisted.internet"),
    "taper.flow.flows": (SELDOM, "taper.flow.sent", "taper.flow.taken"),
    "taper.flow.port": (SELDOM, "taper.flow.made_header", "taper.flow.resolving"),
    "taper.plane.shm": (SELDOM, "posix_ipc", "taper.plane.monotonic_wait"),
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
    "taper.run.mtls": (SELDOM, "OpenSSL", "twisted.internet"),
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
    "taper.run.stdio": (REACTOR, "twisted.internet"),
    "twisted.plugins.taper_plugin": (SELDOM, "taper.run.mtls"),
}
"""The modules that import inside functions: why, and what."""

START = """
import sys
sys.path[:0] = {paths!r}
import taper.cli, taper.run.process
taper.run.process.import_reactor()
import taper.run.stdio, devices.changers.disk, devices.file
print(*sorted(set(sys.modules) & set({unwanted!r})))
"""
UNWANTED = ["OpenSSL", "argparse", "crc32c", "importlib.metadata", "protocols.ndmp"]


def test_a_start_leaves_out_what_only_a_dump_or_nobody_needs(tmp_path: Path) -> None:
    """Not the checksum's package, and not TLS even where it is installed."""
    (tmp_path / "OpenSSL.py").write_text("raise RuntimeError('imported at start')")
    code = START.format(paths=[str(tmp_path), str(ROOT)], unwanted=UNWANTED)
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, timeout=60
    )
    assert (done.stdout, done.stderr) == ("\n", "")


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

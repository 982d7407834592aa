"""The server as a process of its own; it ends when its standard input ends."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import evolve
from twisted.internet import reactor as installed_reactor
from twisted.internet.stdio import StandardIO

from protocols.directtcp import parse_list
from protocols.ndmp.codes import VERSIONS
from tests.fakes.medium import Limits, Medium
from tests.fakes.ndmp_server.control import Control
from tests.fakes.ndmp_server.drives import Drive, Robot
from tests.fakes.ndmp_server.faults import parse_fault
from tests.fakes.ndmp_server.profile import PROFILES, Profile
from tests.fakes.ndmp_server.server import NdmpServer

if TYPE_CHECKING:
    from twisted.internet.interfaces import IReactorTCP


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="ndmp_server",
        description="NDMP tape server for tests. Prints 'READY PORT', then takes commands on "
        "standard input, one a line: 'fault SPEC', 'clear', 'halt REASON', 'kill-data', "
        "'end-data', 'forget', 'unlock DEVICE', 'drop'; each is answered 'OK' or 'ERROR why'.",
    )
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    kinds = parser.add_mutually_exclusive_group()
    for name in PROFILES:
        kinds.add_argument(f"--{name}", dest="profile", action="store_const", const=name)
    parser.set_defaults(profile="lenient")
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="change the profile"
    )
    parser.add_argument("--versions", default="", help="e.g. 2,3")
    parser.add_argument(
        "--tape",
        action="append",
        default=[],
        metavar="[DEVICE=]FILE[:LIMIT]",
        help="a drive with this tape, FILE 'memory': in no file; LIMIT: bytes as ndmjob's "
        "tape-limit, or EARLYr[-ENDr][f]: records until early warning and until the end, "
        "f: filemarks are warned too",
    )
    parser.add_argument("--empty-drive", action="append", default=[], metavar="DEVICE")
    parser.add_argument("--changer", help="device name; has all drives and slots")
    parser.add_argument("--slot", action="append", default=[], metavar="FILE[:LIMIT]")
    for when in ("before", "after"):
        parser.add_argument(
            f"--say-{when}",
            default="",
            metavar="IP:PORT[;IP:PORT]",
            help=f"addresses that MOVER_LISTEN says {when} its own",
        )
    parser.add_argument("--fault", action="append", default=[], help="PHASE:MESSAGE:NTH:ACTION")
    parser.add_argument("--log", type=Path, help="file for a line per request and fault")
    return parser


def _medium(text: str) -> Medium:
    name, colon, limit = text.rpartition(":")
    if not colon:
        name, limit = text, ""
    limits = Limits.parse(limit) if limit else Limits()
    return Medium(limits) if name == "memory" else Medium.in_file(name, limits)


def _drives(options: argparse.Namespace, reactor: object) -> dict[str, Drive]:
    drives = {}
    for text in options.tape:
        device, equals, tape = text.partition("=")
        if not equals:
            device, tape = text.rpartition(":")[0] or text, text
        drives[device] = Drive(reactor, _medium(tape))
    return drives | {device: Drive(reactor) for device in options.empty_drive}


def _robots(options: argparse.Namespace, drives: dict[str, Drive]) -> dict[str, Robot]:
    if options.changer is None:
        return {}
    slots: list[Medium | None] = []
    for number, text in enumerate(options.slot):
        medium = _medium(text)
        medium.barcode = f"TAPE{number + 1:02}"
        slots.append(medium)
    return {options.changer: Robot(list(drives.values()), slots)}


def _profile(options: argparse.Namespace) -> Profile:
    profile = PROFILES[options.profile]
    if options.versions:
        versions = tuple(int(version) for version in options.versions.split(","))
        if not set(versions) <= set(VERSIONS):
            raise ValueError(f"versions {options.versions}, expected some of {VERSIONS}")
        profile = evolve(profile, versions=versions)
    for setting in options.set:
        name, _, value = setting.partition("=")
        kind: Any = type(getattr(profile, name))
        given = value.lower() in ("1", "true", "yes") if kind is bool else kind(int(value))
        changes: dict[str, Any] = {name: given}
        profile = evolve(profile, **changes)
    return profile


def main(arguments: list[str]) -> None:
    """Run the server; ``READY PORT`` on standard output says that it listens."""
    options = _parser().parse_args(arguments)
    reactor: IReactorTCP = installed_reactor
    drives = _drives(options, reactor)
    server = NdmpServer(
        reactor,
        drives,
        _profile(options),
        robots=_robots(options, drives),
        now=lambda: int(time.time()),
        transcript=options.log.open("w") if options.log else None,
    )
    server.say_before = parse_list(options.say_before) if options.say_before else ()
    server.say_after = parse_list(options.say_after) if options.say_after else ()
    for text in options.fault:
        server.faults.plant(**parse_fault(text))
    server.start(options.port, options.host)
    print(f"READY {server.port}", flush=True)
    StandardIO(Control(server))
    reactor.run()  # type: ignore[attr-defined]


main(sys.argv[1:])

"""From settings to a server."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from typing import Any

from devices.errors import ChangerError
from devices.lane import Lane
from devices.programs import find_program
from protocols.ndmp.messages import Message
from protocols.ndmp_server.interfaces import Robot
from protocols.ndmp_server.session import Session
from taper.tapeserver.device_tape import DriveVolume
from taper.tapeserver.drive import TapeDrive
from taper.tapeserver.keepers import FixedVolume, TreeVolume
from taper.tapeserver.robot import Library, MtxLibrary, make_library
from taper.tapeserver.server import TapeServer, log
from taper.tapeserver.settings import BadSettings, DriveSettings, LibrarySettings, Settings
from taper.tapeserver.simulated import Limits, SimulatedTape, SimulatedTapeError
from taper.tapeserver.slots import SlotTree, TreeRobot
from taper.tapeserver.vtape_tape import VtapeTape

_QUIET = ("TAPE_READ", "TAPE_WRITE", "MOVER_GET_STATE", "TAPE_GET_STATE")
"""Too many of them to be told, unless they fail."""


class LoggedSession(Session):
    """A session that tells the server's log what its client does."""

    def note(self, what: Any, result: str) -> None:
        name = what.label if isinstance(what, Message) else str(what)
        if name in _QUIET and result in ("", "NO_ERR"):
            return
        text = f"{name} {getattr(what, 'device', '')}".rstrip()
        log.info("session {number}: {text}: {result}", number=self.number, text=text, result=result)


class ProductServer(TapeServer):
    """The server that is run as a program."""

    session_class = LoggedSession


def make_server(reactor: Any, settings: Settings) -> TapeServer:
    """A server that does not listen yet. Looks at its volumes, so it blocks.

    :raise BadSettings: there is no such tree, or a file is no tape
    """
    drives: dict[str, TapeDrive] = {}
    robots: dict[str, Robot] = {}
    lanes: list[Lane] = []
    for one in settings.drives:
        drives[one.name] = _drive(reactor, one)
    for library in settings.libraries:
        make = _real_library if library.robot else _library
        robots[library.name] = make(reactor, library, drives, lanes)
    return ProductServer(reactor, settings.terms, drives, robots, settings.profile, lanes=lanes)


def _drive(reactor: Any, settings: DriveSettings) -> TapeDrive:
    lane = Lane(reactor, f"drive {settings.name}")
    protected = settings.write_protected
    if settings.kind == "vtape":
        load = functools.partial(_vtape_tape(settings), settings.path)
        drive = TapeDrive(lane, keeper=FixedVolume(settings.path, load), write_protected=protected)
        drive.record_size = settings.block
        return drive
    if settings.kind == "tape":
        return TapeDrive(lane, keeper=DriveVolume(settings.path), write_protected=protected)
    limits = Limits.of_size(settings.limit) if settings.limit else Limits()
    in_file = functools.partial(SimulatedTape.in_file, settings.path, limits, durable=True)
    try:
        in_file().close()
    except (OSError, SimulatedTapeError) as fault:
        raise BadSettings(f"[drive {settings.name}] file = {settings.path}: {fault}") from fault
    return TapeDrive(lane, keeper=FixedVolume(settings.path, in_file), write_protected=protected)


def _vtape_tape(settings: DriveSettings | LibrarySettings) -> Callable[[str], VtapeTape]:
    """What makes tapes of directories."""
    return functools.partial(
        VtapeTape, block=settings.block, limit=settings.limit, direct=settings.direct
    )


def _real_library(
    reactor: Any, settings: LibrarySettings, drives: dict[str, TapeDrive], lanes: list[Lane]
) -> MtxLibrary:
    program = find_program(settings.mtx)
    for key, path, found in (
        ("robot", settings.robot, os.path.exists(settings.robot)),
        ("mtx", settings.mtx, program is not None),
    ):
        if not found:
            raise BadSettings(f"[library {settings.name}] {key} = {path}: not found")
    robot, own, more = make_library(
        reactor,
        Library(settings.robot, program or "", settings.state, settings.tapes),
        settings.drives,
        DriveVolume,
        write_protected=settings.write_protected,
    )
    drives |= own
    lanes += more
    return robot


def _library(
    reactor: Any, settings: LibrarySettings, drives: dict[str, TapeDrive], lanes: list[Lane]
) -> TreeRobot:
    tree = SlotTree(settings.root, settings.state)
    own: dict[str, TapeDrive] = {}
    for name in settings.drives:
        drive = TapeDrive(
            Lane(reactor, f"drive {name}"),
            keeper=TreeVolume(tree),
            write_protected=settings.write_protected,
        )
        drive.record_size = settings.block
        own[name] = drives[name] = drive
    robot = TreeRobot(Lane(reactor, f"library {settings.name}"), tree, own, _vtape_tape(settings))
    lanes.append(robot.lane)
    try:
        robot.begin()
    except ChangerError as fault:
        raise BadSettings(f"[library {settings.name}] disk = {settings.root}: {fault}") from fault
    return robot

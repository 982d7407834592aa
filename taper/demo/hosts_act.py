"""The act with three hosts: a DirectTCP dump goes from client to tape host, past the server."""

from __future__ import annotations

import os
import shutil

from devices.errors import DeviceError
from protocols.crc import Crc
from taper.demo.hosts import SERVER, TAPE, Hosts, NoHosts
from taper.demo.restore import checksum, read_shelf
from taper.demo.screen import MIB, DemoFailed, Screen, count, mib, printable
from taper.demo.stage import KIB, Stage, remove_tree, stage_for
from taper.demo.three_hosts import Dumped, ThreeHosts

SIZE = 64 * MIB
"""Bytes of the client's files."""
_FILES = 4
_ROOM = 3 * SIZE
_SECONDS = 60.0


def play_three_hosts(screen: Screen, root: str) -> None:
    """Play it below ``root``, and leave nothing there.

    Where there cannot be such hosts, which only root can make, or no room, just that is said.

    :raise DemoFailed: the dump is not good, or did not go past the server
    """
    if shutil.disk_usage(root).free < _ROOM:
        _leave_out(screen, f"{mib(_ROOM)} are needed in {printable(root)}")
        return
    place = os.path.join(root, "hosts")
    try:
        with Hosts(ipv6=False) as hosts:
            _play(screen, hosts, place)
    except NoHosts as fault:
        _leave_out(screen, str(fault))
    finally:
        if os.path.exists(place):
            remove_tree(place)


def _leave_out(screen: Screen, reason: str) -> None:
    screen.line()
    screen.line(f"Left out: DirectTCP between three hosts ({reason})")


def _play(screen: Screen, hosts: Hosts, place: str) -> None:
    screen.heading("DirectTCP between three hosts, each a network namespace of this machine")
    stage = stage_for(place, SIZE)
    stage.build()
    source = stage.path("source")
    os.mkdir(source, 0o700)
    for number in range(_FILES):
        with open(os.path.join(source, f"file{number}"), "wb") as file:
            for _ in range(SIZE // _FILES // MIB):
                file.write(os.urandom(MIB))
    screen.line("  server: driver; client: amdirecttar; tape host: taper and its volumes")
    with ThreeHosts(hosts, stage, source, TAPE) as running:
        dumped = running.wait(_SECONDS)
    sent = _check(dumped, stage)
    carried = dumped.carried[SERVER].both
    onto = f"{mib(sent.size)} onto {count(len(read_shelf(stage).volumes), 'volume')}"
    screen.line(f"  client to tape host: {onto}, read back equal")
    share = 100 * carried / sent.size
    screen.line(f"  server interfaces carried {carried / KIB:,.0f} KiB = {share:.2f} %")


def _check(dumped: Dumped, stage: Stage) -> Crc:
    """Every byte is on the volumes, and went to the tape host. :return: of what was sent"""
    outcome = dumped.outcome
    if outcome.said != "DONE":
        reasons = "; ".join(filter(None, (outcome.error, outcome.client_error)))
        raise DemoFailed(f"DirectTCP: the taper said {outcome.said}: {reasons}")
    sent = Crc.parse(outcome.client_crc)
    shelf = read_shelf(stage)
    parts = [part for volume in shelf.volumes for part in volume.parts]
    header = parts[0].header if parts else None
    try:
        stored = checksum(shelf.parts_of(header)) if header is not None else None
    except DeviceError as fault:
        raise DemoFailed(f"DirectTCP: cannot be read: {fault.text}") from fault
    if str(stored) != outcome.client_crc or outcome.taper_crc != outcome.client_crc:
        raise DemoFailed(
            f"DirectTCP: the client sent {outcome.client_crc}, the taper counted "
            f"{outcome.taper_crc}, {stored} is on the volumes"
        )
    if dumped.carried[TAPE].received < sent.size:
        raise DemoFailed("DirectTCP: the dump did not come over the tape host's cable")
    return sent

"""The servers that scenarios are played against: ours, Amanda's ndmjob, and any other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from tests.fakes.ndmjob import NdmJob
from tests.ndmp_conformance.scene import Target
from tests.tapeserver.process import TapeServerProcess

OURS, STOCK = "ours", "ndmjob"
OUR_DEVICES = {
    "drive": "tape",
    "small": "small",
    "protected": "protected",
    "empty": "d1",
    "changer": "robot",
    "first": "d0",
}
OUR_OFFERS = frozenset({"cdb", "ipv6", "no-data-service", "reloads"})
STOCK_DEVICES = ("drive", "small", "changer", "first")
"""The last one: the first drive of the changer."""
LIMIT = 32 << 20
"""Bytes of each tape of ndmjob."""


@contextmanager
def ours() -> Iterator[Target]:
    """Our server, as it is run: one process."""
    server = TapeServerProcess("", "ipv6 = yes")
    root = server.directory
    for slot in (1, 2, 4):
        (root / f"tree/slot{slot}").mkdir(parents=True)
    drives = (
        f"[drive tape]\nfile = {root}/tape\n"
        f"[drive small]\nfile = {root}/small\nlimit = 1m\n"
        f"[drive protected]\nfile = {root}/protected\nwrite-protected = yes\n"
        f"[library robot]\ndisk = {root}/tree\ndrives = d0 d1\n"
    )
    server.add(drives)
    with server:
        yield Target(OURS, ("127.0.0.1", server.port), OUR_DEVICES, OUR_OFFERS)


@contextmanager
def ndmjob() -> Iterator[Target]:
    """Amanda's server; each scenario has its own blank tape, as a session that fails keeps its
    drive locked for ever."""
    with NdmJob(tape_limit=LIMIT) as job:
        devices = {name: job.device("tape") for name in ("drive", "small")}
        devices |= {"changer": str(job.directory), "first": job.device("drive0")}
        yield Target(
            STOCK,
            ("127.0.0.1", job.port),
            devices,
            before=lambda: job.blank("tape"),
        )


def any_other(
    where: str, devices: Mapping[str, str], account: tuple[str, str], offers: frozenset[str]
) -> Target:
    """A server by its address and drive, ``HOST:PORT@DEVICE``."""
    place, at, drive = where.partition("@")
    host, colon, port = place.rpartition(":")
    if not (at and colon and drive and port.isdigit()):
        raise ValueError(f"{where}, expected HOST:PORT@DEVICE")
    address = (host.strip("[]"), int(port))
    return Target(place, address, {"drive": drive, **devices}, offers, account)

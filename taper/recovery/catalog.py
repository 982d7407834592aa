"""Where the dump lies that amrecover asks for, and whether the peer may have it; all of it blocks
[recovery 6.3, 6.6]."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable
from typing import TYPE_CHECKING

from devices.regular import open_regular
from devices.tapelist_file import read_tapelist
from protocols.disklist import find_disk
from protocols.header import parse_header
from protocols.hostmatch import match_host
from protocols.recovery.request import exactly
from protocols.stored import DumpName, StoredDump, dump_at, full_stamp, stored_dumps
from protocols.tapelist import TapelistError
from taper.flow.made_header import NoDumptype, dumptype_of
from taper.recovery.errors import RecoveryFailed
from taper.run.log_catalog import dump_lines, logs_of

if TYPE_CHECKING:
    from protocols.conf import Config
    from protocols.header import Header
    from protocols.recovery.request import Request

_HEADER_SIZE = 32768

NOT_FOUND = "Specified file list does not match dumpspec"
NO_DUMPS = "No matching dumps found"


def find_listed(config: Config, request: Request) -> StoredDump:
    """The dump that is on the volumes that the request names, as the trace logs tell it.

    :raise RecoveryFailed: there is none, or another one
    """
    places = request.places
    if not places:
        raise RecoveryFailed("the request names no volume", code=7007)
    first = places[0]
    files = first.files if any(first.files) else (request.fsf,) if request.fsf else ()
    try:
        tapelist = read_tapelist(config.path(config.general.tapelist))
        entry = tapelist.lookup(first.label)
        if entry is None:
            raise RecoveryFailed(f"volume '{first.label}' is not in the tapelist", code=7002)
        for path, stamp in logs_of(config.path(config.general.logdir), [entry.datestamp]):
            lines = dump_lines(path)
            for name in _names(lines, first.label, files, request, config.name):
                for dump in stored_dumps(lines, stamp, name, default_storage=config.name):
                    if _is_listed(dump, request):
                        return dump
    except (OSError, TapelistError) as fault:
        raise RecoveryFailed(f"where the dump lies cannot be found out: {fault}") from fault
    raise RecoveryFailed(NOT_FOUND, code=7002)


def _names(
    lines: list[str], label: str, files: tuple[int, ...], request: Request, storage: str
) -> Iterable[DumpName]:
    """Dumps that may be meant."""
    for fileno in files[:1]:
        found = dump_at(lines, label, fileno, default_storage=storage)
        if found is not None and is_meant(found.host, found.disk, found.datestamp, request):
            yield found


def is_meant(host: str, disk: str, datestamp: str, request: Request) -> bool:
    """Whether a dump is the one of which the request tells host, disk and date, where it does."""
    if request.host and exactly(request.host).lower() != host.lower():
        return False
    if request.disk and exactly(request.disk) != disk:
        return False
    return not request.datestamp or full_stamp(exactly(request.datestamp)) == full_stamp(datestamp)


def _is_listed(dump: StoredDump, request: Request) -> bool:
    """All files that are named belong to the dump."""
    there = {(part.label, part.fileno) for part in dump.parts}
    named = {(place.label, file) for place in request.places for file in place.files if file}
    storages = {place.storage for place in request.places if place.storage}
    return named <= there and storages <= {dump.name.storage}


def read_holding(config: Config, path: str, request: Request) -> Header:
    """The header of a holding file.

    :raise RecoveryFailed: it is none, is in no holding disk of the configuration, or is not what
        is meant
    """
    real = os.path.realpath(path)
    disks = [config.holdingdisk(name) for name in config.general.holdingdisk]
    directories = [os.path.realpath(disk.directory) for disk in disks if disk is not None]
    if not any(real.startswith(f"{directory}/") for directory in directories):
        raise RecoveryFailed(f"'{path}' is in no holding disk of {config.name}", code=7007)
    try:
        with open(real, "rb", opener=open_regular) as file:
            header = parse_header(file.read(_HEADER_SIZE))
    except OSError as fault:
        raise RecoveryFailed(f"could not open '{path}': {fault.strerror}") from fault
    if not header.is_dump:
        raise RecoveryFailed(f"could not open '{path}': missing or not a holding file", code=7007)
    if not is_meant(header.host, header.disk, header.datestamp, request):
        raise RecoveryFailed("Specified holding file does not match dumpspec", code=7007)
    return header


def check_limit(config: Config, host: str, disk: str, peer: str) -> str | None:
    """Why the peer may not recover this disk, for the debug log; None: it may.

    :param peer: whom amandad has authenticated; empty: nobody
    """
    limits = _limits_of(config, host, disk)
    if not limits:
        return None
    if not peer:
        return "there is a recovery-limit, and amandad names no authenticated peer"
    for limit in limits:
        if limit == "SAME-HOST":
            good = peer.lower() == host.lower()
        elif limit == "SERVER":
            good = peer.lower() == socket.gethostname().lower()
        else:
            good = match_host(limit, peer)
        if good:
            return None
    return f"peer '{peer}' does not fit the recovery-limit: {' '.join(limits)}"


def _limits_of(config: Config, host: str, disk: str) -> tuple[str, ...]:
    name = config.path(config.general.diskfile)

    def read(path: str) -> bytes:
        with open(config.path(path), "rb", opener=open_regular) as file:
            return file.read()

    try:
        entry = find_disk(name, read, host, disk)
        limits = dumptype_of(entry, config).recovery_limit if entry is not None else ()
    except (OSError, NoDumptype) as fault:
        raise RecoveryFailed(f"whether this may be recovered is not known: {fault}") from fault
    return limits or config.general.recovery_limit

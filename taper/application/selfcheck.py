"""``selfcheck``: what would keep a dump from being made, said before the night."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator

from protocols.application import Properties, Request, RequestError, one_line
from protocols.gnutar import RuleError, Rules
from taper import __version__
from taper.application.errors import ApplicationError, reason
from taper.application.tar import lent_rights, refused_by_runtar, tar_path
from taper.gnutar import environment

_SECONDS = 60


def selfcheck(request: Request) -> None:
    """Print a line for each thing that is good or bad."""
    for fine, text in _checks(request):
        print(f"{'OK' if fine else 'ERROR'} {one_line(text)}", flush=True)


def _checks(request: Request) -> Iterator[tuple[bool, str]]:
    if request.disk is not None:
        yield True, f"disk {request.disk}"
    yield True, f"amdirecttar version {__version__}"
    yield from _check_tar(request)
    yield _check_list_directory(request.properties.gnutar_listdir)
    if request.disk is not None or request.properties.directory is not None:
        yield _check_directory(request)
    if request.properties.rendezvous:
        yield from _check_rendezvous(request.properties)
    for name in request.unknown:
        yield False, f"there is no property {name.upper()}"
    try:
        Rules(request.properties.normal, request.properties.ignore, request.properties.strange)
    except RuleError as error:
        yield False, f"property {error}"


def _check_tar(request: Request) -> Iterator[tuple[bool, str]]:
    try:
        path = tar_path(request.properties)
        yield True, f"{path} version {_version(path)}"
    except ApplicationError as error:
        yield False, str(error)
    runtar = lent_rights(request.properties)
    if runtar is not None:
        yield True, f"{runtar} gives tar the rights of root"
        for name in refused_by_runtar(request.properties):
            yield False, f"{runtar} does not allow property {name}"
    elif os.geteuid():
        path = request.properties.runtar_path
        yield True, f"no {path}: tar reads what user {os.geteuid()} may read"


def _version(path: str) -> str:
    try:
        done = subprocess.run(
            [path, "--version"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env=environment(),
            timeout=_SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        why = reason(error) if isinstance(error, OSError) else "it does not end"
        raise ApplicationError(f"cannot run {path}: {why}", code=4021) from None
    words = done.stdout.decode("utf-8", "replace").split("\n")[0].split()
    if done.returncode or words[:3] != ["tar", "(GNU", "tar)"]:
        raise ApplicationError(f"{path} is not GNU tar", code=4021)
    return words[-1]


def _check_list_directory(path: str) -> tuple[bool, str]:
    if not os.path.isdir(path):
        return False, f"{path}, where snapshots are kept, is not a directory"
    if not os.access(path, os.R_OK | os.W_OK | os.X_OK):
        return False, f"{path}, where snapshots are kept, cannot be written by us"
    return True, f"{path} can be written"


def _check_rendezvous(properties: Properties) -> Iterator[tuple[bool, str]]:
    from taper.application.rendezvous import key_of, spool_of, trust_of  # few dumps have one

    try:
        key_of(properties)
        yield True, f"{properties.rendezvous_key_file} has a key"
    except (ApplicationError, RequestError) as error:
        yield False, str(error)
    try:
        if trust_of(properties) is not None:
            yield True, f"{properties.rendezvous_tls_ca} has certificates"
    except ApplicationError as error:
        yield False, str(error)
    try:
        spool = spool_of(properties)
    except ApplicationError as error:
        yield False, str(error)
    else:
        if spool is not None:
            spool.close()
            yield True, f"{properties.rendezvous_spool} can be written"


def _check_directory(request: Request) -> tuple[bool, str]:
    try:
        path = request.directory
        entries = os.scandir(path)
    except RequestError as error:
        return False, str(error)
    except PermissionError:
        if lent_rights(request.properties) is not None:
            return True, f"{path} is closed to us, but not to root"
        return False, f"{path} cannot be read by us"
    except OSError as error:
        return False, f"cannot read {path}: {reason(error)}"
    entries.close()
    return True, f"{path} can be read"

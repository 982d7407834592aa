"""GNU tar as a child process: its command lines, with root's rights where Amanda can lend them.

The dump user may read everything by way of Amanda's setuid ``runtar``, which starts the tar that it
was built for, and knows only some of its options (tried on the Debian build).
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from attrs import frozen

from protocols.application import Properties, Request
from taper.application.errors import ApplicationError
from taper.gnutar import USUAL, find_tar

_REFUSED_BY_RUNTAR = ("no_unquote", "acls", "selinux", "xattrs", "command_options")
STDIO = "-"


def tar_path(properties: Properties) -> str:
    """The tar to run.

    :raise ApplicationError: there is none
    """
    if properties.gnutar_path is not None:
        return properties.gnutar_path
    found = find_tar()
    if found is None:
        raise ApplicationError(
            f"no GNU tar at {', '.join(USUAL)}; property GNUTAR-PATH names it", code=4021
        )
    return found


def lent_rights(properties: Properties) -> str | None:
    """The program by which tar gets root's rights; None: it is run with ours."""
    path = properties.runtar_path
    return path if os.geteuid() != 0 and os.access(path, os.X_OK) else None


def refused_by_runtar(properties: Properties) -> tuple[str, ...]:
    """Names of the properties that are set and cannot be had by way of runtar."""
    names = [name for name in _REFUSED_BY_RUNTAR if getattr(properties, name)]
    if not properties.check_device:
        names.append("check_device")
    given = properties.gnutar_path
    if given is not None and os.path.realpath(given) not in map(os.path.realpath, USUAL):
        names.append("gnutar_path")  # it takes the name, and runs the tar that it was built for
    return tuple(name.upper().replace("_", "-") for name in names)


@frozen(kw_only=True)
class Files:
    """Lists for tar: paths of files; None: everything, or nothing excluded."""

    include: str | None = None
    exclude: str | None = None


def create(
    request: Request, snapshot: str, files: Files, *, archive: str = STDIO, verbose: bool = False
) -> list[str]:
    """The command that writes an archive of the disk.

    :raise RequestError: no directory is named
    :raise ApplicationError: a property cannot be had, or there is no tar
    """
    properties = request.properties
    start = [tar_path(properties)]
    runtar = lent_rights(properties)
    if runtar is not None:
        refused = refused_by_runtar(properties)
        if refused:
            raise ApplicationError(
                f"{runtar} does not allow property {', '.join(refused)}", code=1001
            )
        start = [runtar, request.config, *start]
    return [
        *start,
        "--create",
        *(["--verbose"] if verbose else []),
        *("--file", archive),
        *(["--no-unquote"] if properties.no_unquote else []),
        *("--directory", request.directory),
        *(["--one-file-system"] if properties.one_file_system else []),
        *(["--atime-preserve=system"] if properties.atime_preserve else []),
        *([] if properties.check_device else ["--no-check-device"]),
        *_attributes(properties),
        *("--listed-incremental", snapshot),
        *(["--sparse"] if properties.sparse else []),
        *_blocking(properties),
        *("--ignore-failed-read", "--totals"),
        *properties.command_options,
        *([] if files.exclude is None else ["--exclude-from", files.exclude]),
        *(["."] if files.include is None else ["--files-from", files.include]),
    ]


def _attributes(properties: Properties) -> list[str]:
    wanted = {name: getattr(properties, name) for name in ("acls", "selinux", "xattrs")}
    return [f"--{name}" for name, on in wanted.items() if on]


def _blocking(properties: Properties) -> list[str]:
    number = properties.tar_blocksize
    return [] if number is None else ["--blocking-factor", str(number)]


def judge_exit(request: Request, status: int) -> None:
    """Take tar's exit status for good, or not; 1 stands for files that changed meanwhile.

    :raise ApplicationError: it is not good
    """
    if request.properties.exit_handling.get(status, status in (0, 1)):
        return
    if status < 0:
        raise ApplicationError(f"tar was killed by signal {-status}", code=4022)
    raise ApplicationError(f"tar exited with status {status}", code=4022)


def extract(request: Request, selecting: Sequence[str]) -> list[str]:
    """The command that restores from an archive on standard input, with our own rights.

    :param selecting: options that name what is wanted
    """
    properties = request.properties
    target = request.target or properties.directory
    return [
        tar_path(properties),
        "--numeric-owner",
        *(["--ignore-zeros"] if properties.ignore_zeros else []),
        *([] if properties.check_device else ["--no-check-device"]),
        *_attributes(properties),
        *_blocking(properties),
        *("-xpGvf", STDIO),
        *([] if target is None else ["--directory", target]),
        *properties.command_options,
        *selecting,
    ]


def list_members(request: Request) -> list[str]:
    """The command that names the members of an archive on standard input."""
    properties = request.properties
    ignoring = ["--ignore-zeros"] if properties.ignore_zeros else []
    return [tar_path(properties), *ignoring, *_blocking(properties), "-tf", STDIO]

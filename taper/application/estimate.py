"""``estimate``: how large a dump would be, told by tar without reading a file's content."""

from __future__ import annotations

import subprocess
from contextlib import ExitStack

from protocols.application import Request, RequestError, one_line
from protocols.gnutar import Kind, RuleError, total_bytes
from taper.application.errors import ApplicationError, reason
from taper.application.selecting import Lists
from taper.application.snapshots import Snapshot
from taper.application.tar import Files, create, judge_exit
from taper.gnutar import environment

_NOWHERE = "/dev/null"
"""GNU tar knows it, and does not read what it would write there."""
_LONGEST_LINE = 1 << 20


def estimate(request: Request) -> None:
    """Print level, size in KiB and unit for every level asked for; -1 for what cannot be told."""
    if not request.levels:
        raise RequestError("no level was named, --level is needed")
    for level in request.levels:
        try:
            size = _estimate(request, level)
        except (ApplicationError, RequestError, RuleError) as error:
            print(f"ERROR {one_line(str(error))}")
            print(f"{level} -1 -1", flush=True)
        else:
            print(f"{level} {-(-size // 1024)} 1", flush=True)


def _estimate(request: Request, level: int) -> int:
    disk = request.disk or request.directory
    with ExitStack() as stack:
        directory = request.properties.gnutar_listdir
        snapshot = stack.enter_context(Snapshot(directory, request.host, disk, level, "estimate"))
        files = Files()
        if request.include.given or request.exclude.given:
            files = stack.enter_context(Lists(_ignore)).for_dump(request)
        command = create(request, snapshot.path, files, archive=_NOWHERE)
        return _size(request, command)


def _ignore(_kind: Kind, _text: str) -> None:
    """The dump itself will say what is strange about a pattern."""


def _size(request: Request, command: list[str]) -> int:
    try:
        tar = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=environment(),
        )
    except OSError as error:
        raise ApplicationError(f"cannot run {command[0]}: {reason(error)}", code=4021) from None
    total = None
    last = ""
    with tar:
        assert tar.stderr is not None
        while line := tar.stderr.readline(_LONGEST_LINE):
            found = total_bytes(line)
            if found is None:
                last = line.decode("utf-8", "backslashreplace").strip()
            else:
                total = found
    try:
        judge_exit(request, tar.returncode)
    except ApplicationError as error:
        raise ApplicationError(f"{error}: {last}") from None
    if total is None:
        raise ApplicationError(f"tar did not tell a size: {last or 'it said nothing'}", code=4022)
    return total

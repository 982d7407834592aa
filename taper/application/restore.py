"""``restore``, ``validate`` and ``index``: an archive read from standard input or a connection."""

from __future__ import annotations

import functools
import subprocess
import sys
from contextlib import ExitStack
from typing import IO

from protocols.application import Request
from protocols.gnutar import index_line
from taper.application.connection import connect, place
from taper.application.errors import ApplicationError, reason
from taper.application.pump import Tail, feed
from taper.application.selecting import Lists
from taper.application.tar import extract, judge_exit, list_members
from taper.gnutar import environment

_STDIN = 0
_LONGEST_LINE = 1 << 20


def restore(request: Request) -> None:
    """Unpack what is named, or everything, into the target or the current directory.

    :raise ApplicationError: the archive is not complete, or tar failed
    """
    with ExitStack() as stack:
        options: list[str] = []
        if request.names or request.include.given or request.exclude.given:
            lists = stack.enter_context(Lists(lambda _kind, text: print(text, file=sys.stderr)))
            options = lists.for_restore(request)
        _read(request, extract(request, options), None)


def validate(request: Request) -> None:
    """Read the archive from end to end.

    :raise ApplicationError: it is not complete, or tar failed
    """
    _read(request, list_members(request), subprocess.DEVNULL)


def index(request: Request) -> None:
    """Print the names of the archive's members.

    :raise ApplicationError: it is not complete, or tar failed
    """
    # neither restore nor validate needs it
    from taper.application.listening import listen_to

    def copy(stream: IO[bytes]) -> None:
        while line := stream.readline(_LONGEST_LINE):
            sys.stdout.buffer.write(index_line(line) or line)

    with ExitStack() as stack:
        source, where = _source(request, stack)
        tar = _start(list_members(request), subprocess.PIPE)
        assert tar.stdout is not None
        thread = listen_to(tar, functools.partial(copy, tar.stdout))
        try:
            _feed(request, tar, source, where)
        finally:
            thread.join()
            sys.stdout.flush()


def _read(request: Request, command: list[str], stdout: int | None) -> None:
    with ExitStack() as stack:
        source, where = _source(request, stack)
        _feed(request, _start(command, stdout), source, where)


def _source(request: Request, stack: ExitStack) -> tuple[int, str]:
    """Descriptor and name of what the archive comes from."""
    if not request.direct:
        return _STDIN, "standard input"
    timeouts = request.properties.connect_timeout, request.properties.answer_timeout
    connection, address = connect(request.addresses, *timeouts)
    return stack.enter_context(connection).fileno(), f"the data connection to {place(address)}"


def _start(command: list[str], stdout: int | None) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=stdout, env=environment(), bufsize=0
        )
    except OSError as error:
        raise ApplicationError(f"cannot run {command[0]}: {reason(error)}", code=4021) from None


def _feed(request: Request, tar: subprocess.Popen[bytes], source: int, where: str) -> None:
    """Give tar the stream; it, and the stream's end, must be good."""
    assert tar.stdin is not None
    tail = Tail()
    broken = None
    try:
        feed(source, tar.stdin.fileno(), tail)
    except OSError as error:
        broken = f"{where} broke after {tail.size} bytes: {reason(error)}"
    finally:
        tar.stdin.close()
        tar.wait()
    if broken is not None:
        raise ApplicationError(broken)
    judge_exit(request, tar.returncode)
    if not tail.complete:
        text = f"{where} ended after {tail.size} bytes, which is not the end of an archive"
        raise ApplicationError(text)

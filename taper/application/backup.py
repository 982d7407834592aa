"""``backup``: one level of one disk, into the data connection or to standard output."""

from __future__ import annotations

import contextlib
import functools
import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from typing import IO

from attrs import frozen

from protocols.application import Request
from protocols.crc import Crc
from protocols.directtcp import is_indirect
from protocols.gnutar import Kind, Rules
from taper.application.connection import Sender, connect
from taper.application.errors import ApplicationError, reason
from taper.application.listening import listen_to
from taper.application.messages import INDEX, Messages, TarListener
from taper.application.selecting import Lists
from taper.application.snapshots import Snapshot
from taper.application.tar import Files, create, judge_exit
from taper.gnutar import environment

_STDOUT = 1
_PATIENCE = 30
"""Seconds that tar gets to end by itself when nobody takes its archive any more."""


def backup(request: Request, messages: Messages) -> None:
    """Dump the disk; report its size.

    :raise ApplicationError: the dump is not good; the snapshot is as it was before
    :raise RequestError: what is needed is not named, or a property is wrong
    """
    properties = request.properties
    rules = Rules(properties.normal, properties.ignore, properties.strange)
    for name in request.unknown:
        messages.note(Kind.NORMAL, f"amdirecttar: there is no property {name.upper()}")
    with ExitStack() as stack:
        disk = request.disk or request.directory
        snapshot = stack.enter_context(
            Snapshot(properties.gnutar_listdir, request.host, disk, request.level, "new")
        )
        if request.level and snapshot.base is None:
            messages.note(Kind.NORMAL, "amdirecttar: no lower level is known, this dump is full")
        files = Files()
        if request.include.given or request.exclude.given:
            files = stack.enter_context(Lists(messages.note)).for_dump(request)
        command = create(request, snapshot.path, files, verbose=request.index)
        with _index(request) as index:
            listener = TarListener(rules, messages, index)
            size = _dump(request, command, listener, messages)
        if request.record:
            snapshot.keep()
    messages.size(-(-size // 1024))


@contextlib.contextmanager
def _index(request: Request) -> Iterator[IO[bytes] | None]:
    """Where the names go, complete when the context ends."""
    if not request.index:
        yield None
        return
    try:
        index = open(INDEX, "wb", buffering=1 << 16)  # noqa: SIM115
    except OSError as error:
        raise ApplicationError(f"cannot open the index: {reason(error)}") from None
    yield index
    try:
        index.close()
    except OSError as error:
        raise ApplicationError(f"cannot write the index: {reason(error)}") from None


def _dump(request: Request, command: list[str], listener: TarListener, messages: Messages) -> int:
    """Run tar; the size of what arrived, which is all of the archive."""
    if not request.direct:
        with _running(command, _STDOUT, listener) as run:
            pass
        judge_exit(request, run.tar.returncode)
        return _checked(listener, None)
    if request.properties.rendezvous:
        if not is_indirect(request.addresses):
            return _dump_by_rendezvous(request, command, listener, messages)
        text = "amdirecttar: the taper offers no rendezvous, the dump is sent as if none was wanted"
        messages.note(Kind.NORMAL, text)
    timeouts = request.properties.connect_timeout, request.properties.answer_timeout
    with Sender(*connect(request.addresses, *timeouts)) as sender:
        with _running(command, subprocess.PIPE, listener) as run:
            sent, crc = _send(run.tar, sender, request)
        judge_exit(request, run.tar.returncode)
        size = _checked(listener, sent)
        sender.finish(request.properties.close_timeout)
    if crc is not None:
        messages.crc(crc)
    return size


def _dump_by_rendezvous(
    request: Request, command: list[str], listener: TarListener, messages: Messages
) -> int:
    """As :func:`_dump`: the size of what is stored, which is all of the archive."""
    from taper.application.rendezvous import meeting  # few dumps have one

    def judge(sent: int) -> None:
        judge_exit(request, run.tar.returncode)
        _checked(listener, sent)

    with meeting(request) as met:
        met.meet()
        with _running(command, subprocess.PIPE, listener) as run:
            assert run.tar.stdout is not None
            crc = met.send(run.tar.stdout.fileno(), run.wait, judge)
    if request.properties.crc:
        messages.crc(crc)
    return crc.size


def _send(tar: subprocess.Popen[bytes], sender: Sender, request: Request) -> tuple[int, Crc | None]:
    """Bytes that went to the connection, and their checksum if it is wanted."""
    from taper.application.pump import send  # not needed for data path AMANDA

    assert tar.stdout is not None
    if not request.properties.crc:
        return send(tar.stdout.fileno(), sender, None), None
    from taper.plane.crc import RunningCrc  # a library of its own, seldom wanted

    crc = RunningCrc()
    sent = send(tar.stdout.fileno(), sender, lambda data: crc.update(memoryview(data)))
    return sent, crc.value()


@frozen
class _Run:
    """Tar, and the thread that listens to it."""

    tar: subprocess.Popen[bytes]
    listening: threading.Thread

    def wait(self) -> None:
        """Until it has ended, and all that it said was passed on."""
        self.tar.wait()
        self.listening.join()


@contextlib.contextmanager
def _running(command: list[str], stdout: int, listener: TarListener) -> Iterator[_Run]:
    """Tar while it runs; afterwards it has ended, and all that it said was passed on.

    If the archive is not wanted any more, tar's pipe is closed, and it does not get for ever:
    what reads as root cannot be killed by the dump user.
    """
    try:
        tar = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=subprocess.PIPE,
            env=environment(),
        )
    except OSError as error:
        raise ApplicationError(f"cannot run {command[0]}: {reason(error)}", code=4021) from None
    assert tar.stderr is not None
    thread = listen_to(tar, functools.partial(listener.listen, tar.stderr))
    good = False
    try:
        yield _Run(tar, thread)
        good = True
    finally:
        if tar.stdout is not None:
            tar.stdout.close()
        patience = None if good else _PATIENCE
        with contextlib.suppress(subprocess.TimeoutExpired):
            tar.wait(patience)
        thread.join(patience)


def _checked(listener: TarListener, sent: int | None) -> int:
    """The size of the archive, if all agree on it."""
    if listener.failure is not None:
        raise listener.failure
    if listener.total is None:
        raise ApplicationError("tar did not say how many bytes it wrote", code=4022)
    if sent is not None and sent != listener.total:
        text = f"tar wrote {listener.total} bytes, but {sent} went to the data connection"
        raise ApplicationError(text)
    return listener.total

"""The taper that Amanda starts, where a daemon serves her driver (:mod:`protocols.daemon`).

It is there in no time: nothing of Twisted is imported. What the driver says it passes on, and back
what the daemon says; neither can tell it from a process that does the work itself. Where no daemon
serves, this process goes on and is such a one: until the daemon has begun, nothing of the driver's
was read.
"""

from __future__ import annotations

import os
import stat
import sys

from taper.places import DAEMON, place_of, record_stamp

TYPE_CHECKING = False  # as typing has it, which need not be imported
if TYPE_CHECKING:
    from socket import socket

OPTION = "--daemon"
KIND = "unix:"
LONGEST_RECORD = 4096
STDIN, STDOUT, STDERR = 0, 1, 2

ANSWER_PATIENCE = 10.0
"""Seconds for the daemon to answer; a socket unit has to start it first."""

CROWD_PAUSE = 0.05


class NotServed(Exception):
    """No daemon serves us, and nothing was begun; the text says why."""


def serve_by_daemon() -> int | None:
    """Let the daemon serve the driver, if there is one for us.

    :return: the exit status; None: this process has to serve the driver itself
    """
    where = _take_option(sys.argv)
    arguments = sys.argv[1:]
    path = ""
    try:
        for descriptor in (STDIN, STDOUT, STDERR):
            os.fstat(descriptor)
    except OSError:
        return None  # this process says what is wrong
    try:
        if where is None:
            where = read_place(place_of(DAEMON))
        if where is None or not any(word.startswith("--log") for word in arguments):
            return None  # nothing is to be served, only told
        if not where.startswith(KIND) or where == KIND:
            raise NotServed(f"{OPTION} {where}: expected unix:PATH")
        path = where.removeprefix(KIND)
        # what cannot be imported once there is no way back would cost the run its taper
        from taper.daemon_relay import Relay

        link, told = _ask(path, arguments)
    except NotServed as reason:
        _tell(f"no daemon serves us, so we go on without: {reason}")
        return None
    status = Relay(link, told, lambda: _show(arguments)).run()
    if status is None:
        _tell(f"the daemon behind {path} has died")
        return 1
    return status


def _show(arguments: list[str]) -> None:
    """Let ``ps`` show a taper. What does that takes as long to import as all the rest; where it
    cannot be, for want of files or memory, the conversation goes on all the same."""
    try:
        from taper.run.title import show

        show(arguments)
    except (ImportError, OSError, MemoryError) as fault:
        _tell(f"ps will show no taper: {fault}")


def _tell(text: str) -> None:
    try:
        os.write(STDERR, f"taper: {text}\n".encode("utf-8", "surrogateescape"))
    except OSError:
        return  # nobody is there to be told


def _take_option(arguments: list[str]) -> str | None:
    """The value of ``--daemon``, which nobody else knows."""
    for number, word in enumerate(arguments):
        if word == "--":
            return None
        if word == OPTION:
            value = arguments[number + 1] if number + 1 < len(arguments) else ""
            del arguments[number : number + 2]
            return value
        if word.startswith(f"{OPTION}="):
            del arguments[number]
            return word.removeprefix(f"{OPTION}=")
    return None


def read_place(path: str) -> str | None:
    """Where the daemon is, as ``taperctl install --daemon`` has recorded it; None: nowhere.

    :raise NotServed: others than root and we could have written that
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as fault:
        raise NotServed(f"{path}: {fault.strerror}") from fault
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or found.st_uid not in (0, os.geteuid()):
            raise NotServed(f"{path} is not root's")
        if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise NotServed(f"{path} may be changed by others than its owner")
        text = os.fsdecode(os.read(descriptor, LONGEST_RECORD)).removesuffix("\n")
    finally:
        os.close(descriptor)
    if not text.isprintable() or not text.startswith(KIND):
        raise NotServed(f"{path} has {text[:80]!r}, expected unix:PATH")
    return text


def _ask(path: str, arguments: list[str]) -> tuple[socket, int]:
    """Ask the daemon, and let it go.

    :return: the connection, which carries the driver's words from now on, and the end of the pipe
        on which the exit status is told
    """
    import socket

    greeting = _greeting(arguments)
    try:
        link = socket.socket(socket.AF_UNIX)
    except OSError as fault:
        raise NotServed(f"no socket can be made: {fault.strerror}") from fault
    try:
        told, telling = os.pipe()
    except OSError as fault:
        link.close()
        raise NotServed(f"no pipe can be made: {fault.strerror}") from fault
    try:
        link.settimeout(ANSWER_PATIENCE)
        _connect(link, path)
        _check_peer(link)
        sent = socket.send_fds(link, [greeting], [STDERR, telling])
        if sent < len(greeting):
            link.sendall(greeting[sent:])
        _hear(link)
        _go(link)
    except BaseException as fault:
        link.close()
        os.close(told)
        if isinstance(fault, TimeoutError):
            raise NotServed(f"{path}: no answer in {ANSWER_PATIENCE:.0f} s") from fault
        if isinstance(fault, OSError):
            raise NotServed(f"{path}: {fault.strerror or fault}") from fault
        raise
    finally:
        os.close(telling)
    return link, told


def _connect(link: socket, path: str) -> None:
    """Connect, and let others who crowd at the door go first.

    :raise OSError: nobody listens, or the crowd does not end
    """
    import time

    end = time.monotonic() + ANSWER_PATIENCE
    while True:
        try:
            link.connect(path)
        except BlockingIOError:  # as many wait to be received as may
            if time.monotonic() > end:
                raise
            time.sleep(CROWD_PAUSE)
        else:
            return


def _greeting(arguments: list[str]) -> bytes:
    from protocols.daemon import render
    from taper import __version__

    try:
        directory = os.getcwd()
    except OSError:
        directory = ""  # it is gone, and may not be needed
    found = render(
        program=__version__,
        record=record_stamp(),
        directory=_by_its_bytes(directory),
        words=[_by_its_bytes(word) for word in arguments],
        environment={name: _by_its_bytes(value) for name, value in os.environ.items()},
    )
    if found is None:
        raise NotServed("the command line is too long for it")
    return found


def _by_its_bytes(text: str) -> str:
    """As a process has it whose locale is UTF-8; what was read in another one names, letter by
    letter, another file there."""
    return os.fsencode(text).decode("utf-8", "surrogateescape")


def _check_peer(link: socket) -> None:
    """Talk to nobody but root and ourselves: who has opened the socket the kernel tells."""
    import struct
    from socket import SO_PEERCRED, SOL_SOCKET

    form = struct.Struct("3i")
    _, uid, _ = form.unpack(link.getsockopt(SOL_SOCKET, SO_PEERCRED, form.size))
    if uid not in (0, os.geteuid()):
        raise NotServed(f"the socket is user {uid}'s")


def _hear(link: socket) -> None:
    """Hear that we are served.

    :raise NotServed: we are not
    """
    from protocols.daemon import LONGEST_ANSWER, OFFER, WAIT

    heard = b""
    waits = False
    while True:
        line, newline, rest = heard.partition(b"\n")
        if newline and line + newline == OFFER:
            return
        if newline and line.startswith(WAIT.encode()):
            link.settimeout(None)  # until it is our turn
            waits = True
            heard = rest
            continue
        if newline:
            raise NotServed(line.decode("utf-8", "replace").partition(" ")[2])
        if waits:
            _wait_with_driver(link)
        more = link.recv(LONGEST_ANSWER)
        heard += more
        if not more or len(heard) > 2 * LONGEST_ANSWER:
            raise NotServed("it hung up")


def _wait_with_driver(link: socket) -> None:
    """Wait until more is heard.

    :raise NotServed: the driver has gone meanwhile: hours later the log of its run is put away, and
        a taper that began would make a new one
    """
    import select

    poll = select.poll()
    poll.register(link, select.POLLIN)
    poll.register(STDIN, 0)  # only that it hangs up
    if any(descriptor == STDIN for descriptor, _ in poll.poll()):
        raise NotServed("the driver has hung up")


def _go(link: socket) -> None:
    """From now on the driver is served by the daemon, whatever becomes of that.

    :raise NotServed: it has gone, and has heard nothing of the driver
    """
    from protocols.daemon import BEGUN, GO

    link.sendall(GO)
    # it may begin at any moment now, so what keeps it has to be waited for
    link.settimeout(None)
    heard = b""
    while len(heard) < len(BEGUN):
        more = link.recv(len(BEGUN) - len(heard))
        if not more:
            raise NotServed("it hung up")
        heard += more
    if heard != BEGUN:
        raise NotServed(f"it said {heard!r}, expected {BEGUN!r}")
    link.setblocking(False)

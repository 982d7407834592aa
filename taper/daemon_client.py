"""The taper that Amanda starts, where a daemon serves her driver (:mod:`protocols.daemon`).

It is there in no time: beside Python itself next to nothing is imported, so what is used here are
the modules in C below ``os``, ``socket`` and ``signal``. What the driver says it passes on, and
back what the daemon says; neither can tell it from a process that does the work itself. Where no
daemon serves, this process goes on and is such a one: until the daemon has begun, nothing of the
driver's was read.
"""

import posix
import sys

from taper.places import DAEMON, place_of, record_stamp

TYPE_CHECKING = False  # as typing has it, which need not be imported
if TYPE_CHECKING:
    from _socket import socket

    from taper.daemon_relay import Relay

OPTION = "--daemon"
KIND = "unix:"
LONGEST_RECORD = 4096
STDIN, STDOUT, STDERR = 0, 1, 2

ANSWER_PATIENCE = 10.0
"""Seconds for the daemon to answer; a socket unit has to start it first."""

CROWD_PAUSE = 0.05
SIZE_OF_INT = 4


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
            posix.fstat(descriptor)
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
        relay = _ask(path, arguments)
    except NotServed as reason:
        _tell(f"no daemon serves us, so we go on without: {reason}")
        return None
    status = relay.run()
    if status is None:
        _tell(f"the daemon behind {path} has died")
        return 1
    return status


def _show(arguments: list[str]) -> None:
    """Let ``ps`` show a taper. Where that cannot be, for want of files or memory or as another
    release is being put in place, the conversation goes on all the same."""
    try:
        from taper.run.title import show

        show(arguments)
    except Exception as fault:
        _tell(f"ps will show no taper: {fault}")


def _tell(text: str) -> None:
    try:
        posix.write(STDERR, f"taper: {text}\n".encode("utf-8", "surrogateescape"))
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
    from _stat import S_ISREG, S_IWGRP, S_IWOTH

    how = posix.O_RDONLY | posix.O_NONBLOCK | posix.O_CLOEXEC | posix.O_NOFOLLOW
    try:
        descriptor = posix.open(path, how)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as fault:
        raise NotServed(f"{path}: {fault.strerror}") from fault
    try:
        found = posix.fstat(descriptor)
        if not S_ISREG(found.st_mode) or found.st_uid not in (0, posix.geteuid()):
            raise NotServed(f"{path} is not root's")
        if found.st_mode & (S_IWGRP | S_IWOTH):
            raise NotServed(f"{path} may be changed by others than its owner")
        said = posix.read(descriptor, LONGEST_RECORD).removesuffix(b"\n")
    finally:
        posix.close(descriptor)
    text = said.decode(sys.getfilesystemencoding(), sys.getfilesystemencodeerrors())
    if not text.isprintable() or not text.startswith(KIND):
        raise NotServed(f"{path} has {text[:80]!r}, expected unix:PATH")
    return text


def _ask(path: str, arguments: list[str]) -> "Relay":
    """Ask the daemon, and let it go.

    :return: what passes the driver's words on from now on
    """
    from _socket import AF_UNIX, socket

    greeting = _greeting(arguments)
    try:
        link = socket(AF_UNIX)
    except OSError as fault:
        raise NotServed(f"no socket can be made: {fault.strerror}") from fault
    try:
        told, telling = posix.pipe()
    except OSError as fault:
        link.close()
        raise NotServed(f"no pipe can be made: {fault.strerror}") from fault
    relay = None
    try:
        link.settimeout(ANSWER_PATIENCE)
        _connect(link, path)
        _check_peer(link)
        _greet(link, greeting, STDERR, telling)
        # while the daemon thinks about it; once there is no way back, what cannot be had would cost
        # the run its taper
        from taper.daemon_relay import Relay

        relay = Relay(link, told, lambda: _show(arguments))
        _hear(link)
        _go(link)
    except BaseException as fault:
        link.close()
        posix.close(told)
        if relay is not None:
            relay.forget()
        if isinstance(fault, TimeoutError):
            raise NotServed(f"{path}: no answer in {ANSWER_PATIENCE:.0f} s") from fault
        if isinstance(fault, OSError):
            raise NotServed(f"{path}: {fault.strerror or fault}") from fault
        if isinstance(fault, (ImportError, SyntaxError)):
            raise NotServed(str(fault)) from fault  # nothing is imported once GO is said
        raise
    finally:
        posix.close(telling)
    return relay


def _connect(link: "socket", path: str) -> None:
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


def _greet(link: "socket", greeting: bytes, *descriptors: int) -> None:
    """Say the greeting, with what belongs to it."""
    from _socket import SCM_RIGHTS, SOL_SOCKET

    sent_along = b"".join(each.to_bytes(SIZE_OF_INT, sys.byteorder) for each in descriptors)
    sent = link.sendmsg([greeting], [(SOL_SOCKET, SCM_RIGHTS, sent_along)])
    if sent < len(greeting):
        link.sendall(greeting[sent:])


def _greeting(arguments: list[str]) -> bytes:
    from protocols.daemon import render
    from taper import __version__

    try:
        directory = posix.getcwdb()
    except OSError:
        directory = b""  # it is gone, and may not be needed
    encoding, errors = sys.getfilesystemencoding(), sys.getfilesystemencodeerrors()
    found = render(
        program=__version__,
        record=record_stamp(),
        directory=directory,
        words=[word.encode(encoding, errors) for word in arguments],
        environment=posix.environ,
    )
    if found is None:
        raise NotServed("the command line is too long for it")
    return found


def _check_peer(link: "socket") -> None:
    """Talk to nobody but root and ourselves: who has opened the socket the kernel tells."""
    from _socket import SO_PEERCRED, SOL_SOCKET

    found = link.getsockopt(SOL_SOCKET, SO_PEERCRED, 3 * SIZE_OF_INT)  # process, user, group
    uid = int.from_bytes(found[SIZE_OF_INT : 2 * SIZE_OF_INT], sys.byteorder)
    if uid not in (0, posix.geteuid()):
        raise NotServed(f"the socket is user {uid}'s")


def _hear(link: "socket") -> None:
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


def _wait_with_driver(link: "socket") -> None:
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


def _go(link: "socket") -> None:
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

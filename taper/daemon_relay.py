"""Passes the driver's words to the daemon, and the daemon's to the driver, byte by byte."""

import _signal
import posix
import select
import time
from _socket import SHUT_WR, socket

TYPE_CHECKING = False  # as typing has it, which need not be imported
if TYPE_CHECKING:
    from collections.abc import Callable

STDIN, STDOUT = 0, 1
MOST = 1 << 16
"""Bytes that are kept for one who does not read; then the other one is not read either."""
PIECE = select.PIPE_BUF
"""Bytes that a pipe takes which is ready for some."""
FLUSH_SECONDS = 2.0
"""How long a driver that does not read may keep us from ending."""
LONGEST_STATUS = 16

_GONE = select.POLLHUP | select.POLLERR | select.POLLNVAL
_READABLE = select.POLLIN | _GONE


class Relay:
    """Between the driver on stdin and stdout, and the daemon.

    :param link: to the daemon, not blocking
    :param told: the end of a pipe on which it tells our exit status
    :param served: called when the driver has heard the first word
    """

    def __init__(
        self, link: socket, told: int, served: "Callable[[], object]" = lambda: None
    ) -> None:
        self._link = link
        self._told = told
        self._served: Callable[[], object] | None = served
        self._to_daemon = b""
        self._to_driver = b""
        self._driver_ended = False
        self._driver_deaf = False
        self._daemon_ended = False
        self._said_end = False
        self._quitting = False
        self._heard = False
        self._awake, self._wake = posix.pipe()
        posix.set_blocking(self._wake, False)

    def forget(self) -> None:
        """Let go of what this has made, where nothing comes of it."""
        posix.close(self._awake)
        posix.close(self._wake)

    def _quit(self, *_: object) -> None:
        """A signal came, which is an end of what the driver says."""
        self._quitting = True
        try:
            posix.write(self._wake, b"!")
        except BlockingIOError:
            return  # it is full of what wakes us

    def run(self) -> int | None:
        """Pass on all that comes until the daemon hangs up, and all is said.

        :return: the exit status; None: the daemon has died
        """
        # before it kills us, a driver that has waited long enough sends a SIGHUP
        for each in (_signal.SIGHUP, _signal.SIGINT, _signal.SIGTERM):
            _signal.signal(each, self._quit)
        while not self._daemon_ended:
            self._turn(None)
        self._flush()
        return self._status()

    def _flush(self) -> None:
        """Let the driver have the rest, if it reads."""
        end = time.monotonic() + FLUSH_SECONDS
        while self._to_driver and not self._driver_deaf:
            left = end - time.monotonic()
            if left <= 0:
                return
            self._turn(left)

    def _turn(self, seconds: float | None) -> None:
        poll = select.poll()
        for descriptor, events in self._wanted().items():
            poll.register(descriptor, events)
        for descriptor, events in poll.poll(None if seconds is None else seconds * 1000):
            if descriptor == self._awake:
                posix.read(self._awake, MOST)
            elif descriptor == STDIN:
                self._hear_driver()
            elif descriptor == STDOUT:
                self._say_to_driver()
            else:
                if events & _READABLE:
                    self._hear_daemon()
                if events & select.POLLOUT:
                    self._say_to_daemon()
        if self._served is not None and self._heard and not self._to_driver:
            served, self._served = self._served, None
            served()
        if (self._quitting or self._driver_ended) and not self._said_end:
            self._end()

    def _wanted(self) -> dict[int, int]:
        wanted = {self._awake: select.POLLIN}
        ended = self._driver_ended or self._quitting or self._daemon_ended
        if not ended and len(self._to_daemon) < MOST:
            wanted[STDIN] = select.POLLIN
        if self._to_driver and not self._driver_deaf:
            wanted[STDOUT] = select.POLLOUT
        if not self._daemon_ended:
            # one that is to end must not wait for a driver to read
            room = len(self._to_driver) < MOST or self._driver_deaf or self._quitting
            events = (select.POLLIN if room else 0) | (select.POLLOUT if self._to_daemon else 0)
            if events:
                wanted[self._link.fileno()] = events
        return wanted

    def _end(self) -> None:
        """Let the daemon know that nothing more will come, once it has all."""
        if self._to_daemon and not self._quitting:
            return
        self._said_end = True
        self._to_daemon = b""
        try:
            self._link.shutdown(SHUT_WR)
        except OSError:
            return  # it has ended

    def _hear_driver(self) -> None:
        try:
            data = posix.read(STDIN, MOST)
        except BlockingIOError:
            return
        except OSError:
            data = b""  # reset
        self._to_daemon += data
        if data:
            self._say_to_daemon()
        else:
            self._driver_ended = True

    def _say_to_daemon(self) -> None:
        try:
            self._to_daemon = self._to_daemon[self._link.send(self._to_daemon) :]
        except BlockingIOError:
            return
        except OSError:
            self._to_daemon = b""  # it has ended, as we shall hear

    def _hear_daemon(self) -> None:
        try:
            data = self._link.recv(MOST)
        except BlockingIOError:
            return
        except OSError:
            data = b""  # reset
        self._daemon_ended = not data
        self._heard = True
        if not self._driver_deaf:
            self._to_driver += data
            if data:
                self._say_to_driver()

    def _say_to_driver(self) -> None:
        """Write what a pipe takes that is ready; whoever gets here without having asked must."""
        poll = select.poll()
        poll.register(STDOUT, select.POLLOUT)
        while self._to_driver and poll.poll(0):
            try:
                written = posix.write(STDOUT, self._to_driver[:PIECE])
            except BlockingIOError:
                return
            except OSError:
                # it reads no more, but what it has said is to be carried out
                self._driver_deaf = True
                self._to_driver = b""
                return
            self._to_driver = self._to_driver[written:]

    def _status(self) -> int | None:
        """What the daemon has told of how it ended."""
        poll = select.poll()
        poll.register(self._told, select.POLLIN)
        if not poll.poll(FLUSH_SECONDS * 1000):
            return None
        said = posix.read(self._told, LONGEST_STATUS)
        return int(said) if said.strip().isdigit() else None

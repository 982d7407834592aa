"""An application of the tests that knows the rendezvous: a script in threads, on real sockets."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import threading
from collections.abc import Callable, Sequence

from attrs import define, field

from protocols.directtcp import Address
from protocols.rendezvous.application import ApplicationHalf, Names
from protocols.rendezvous.frames import (
    Broken,
    Cannot,
    Delivered,
    End,
    EndResult,
    Frame,
    Halt,
    Halted,
    HeaderBlock,
    HeaderFields,
    Refused,
    Result,
    Send,
    Sending,
    Stored,
    Why,
)
from protocols.rendezvous.states import Phase
from taper.plane.crc import RunningCrc

KEY = b"a key of sixteen bytes or more"
FIELDS = HeaderFields((("program", "APPLICATION"), ("application", "amdirecttar")))
RESET = struct.pack("ii", 1, 0)
PATIENCE = 60.0


def crc_of(data: bytes) -> int:
    crc = RunningCrc()
    crc.update(memoryview(data))
    return crc.value().value


@define
class Cut:
    """The data connection is cut.

    :ivar at: byte of the dump before which it happens.
    :ivar how: ``"reset"``, ``"closed"``: an early end in good order that nobody intended.
    :ivar link: the rendezvous breaks as well.
    """

    at: int
    how: str = "reset"
    link: bool = False


@define
class Script:
    """What the application does.

    :ivar header: what it says of the header; None: nothing.
    :ivar cuts: of its data connections, in order.
    :ivar cannot: its answers to the first orders to send, instead of sending.
    :ivar dies_at: byte at which it is gone for good.
    :ivar fails: why it ends badly, behind all its bytes.
    :ivar lies: bytes more than there are, that it says it has sent.
    :ivar wrong_crc: it says another checksum than that of its bytes.
    :ivar other_start: it says another checksum of the bytes before those that it sends again.
    :ivar mute: it never answers an order to send.
    :ivar idle: it connects, and never sends a byte.
    :ivar loses_first: its first data connection is reset at once, which it does not see.
    :ivar reads_ahead: it has read all, and says so, before it sends anything.
    """

    header: HeaderFields | HeaderBlock | None = FIELDS
    cuts: Sequence[Cut] = ()
    cannot: Sequence[Why] = ()
    dies_at: int | None = None
    fails: str = ""
    lies: int = 0
    wrong_crc: bool = False
    other_start: bool = False
    mute: bool = False
    idle: bool = False
    loses_first: bool = False
    reads_ahead: bool = False


@define
class _Data:
    """One data connection."""

    run: int
    socket: socket.socket
    over: bool = False


@define(slots=False)
class Application:
    """One run of it.

    :ivar heard: all frames.
    :ivar sent: offset and bytes of each piece that was given to a data connection.
    :ivar result: the last word.
    :ivar refused: instead of it.
    """

    addresses: Sequence[Address]
    data: bytes
    script: Script = field(factory=Script)
    names: Names = field(factory=lambda: Names("localhost", "/var", 0, "amdirecttar"))
    key: bytes = KEY
    window: int = 1 << 24
    before_send: Callable[[Send], object] = lambda order: None
    on_sent: Callable[[], object] = lambda: None
    dump_id: bytes = field(factory=lambda: os.urandom(16))
    heard: list[Frame] = field(factory=list)
    sent: list[tuple[int, int]] = field(factory=list)
    result: Result | None = None
    refused: Refused | None = None
    error: BaseException | None = None

    def __attrs_post_init__(self) -> None:
        self._lock = threading.RLock()
        self._link: socket.socket | None = None
        self._half: ApplicationHalf | None = None
        self._running: _Data | None = None
        self._counted = RunningCrc()
        self._cuts = list(self.script.cuts)
        self._cannot = list(self.script.cannot)
        self._dead = threading.Event()
        self._end: End | None = None
        self._last_run = 0
        self._broken: Broken | Delivered | None = None
        self.thread = threading.Thread(target=self._run, name="application", daemon=True)

    def start(self) -> Application:
        self.thread.start()
        return self

    @property
    def over(self) -> bool:
        return not self.thread.is_alive()

    def stop(self) -> None:
        """Be gone, as if killed."""
        self._dead.set()
        with self._lock:
            running, link = self._running, self._link
        for each in (running.socket if running else None, link):
            if each is not None:
                with contextlib.suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)

    # the rendezvous

    def _run(self) -> None:
        try:
            while not self._dead.is_set() and self.result is None and self.refused is None:
                self._talk()
        except (OSError, AssertionError) as error:
            self.error = error
        finally:
            self._leave()

    def _talk(self) -> None:
        """One connection, to its end."""
        where = self.addresses[0]
        with socket.create_connection((where.host, where.port), PATIENCE) as link:
            link.settimeout(PATIENCE)
            half = ApplicationHalf(self.key, self.names, self.dump_id, os.urandom(32), self.window)
            half.begin()
            link.sendall(half.output())
            known = False
            while not self._dead.is_set():
                try:
                    data = link.recv(65536)
                except OSError:
                    return
                if not data:
                    return
                with self._lock:  # whoever sends the data says something, too
                    frames = half.receive(data)
                    with contextlib.suppress(OSError):  # cut meanwhile: there is an end to read
                        link.sendall(half.output())
                if half.established and not known:
                    known = True
                    self._met(link, half)
                for frame in frames:
                    self.heard.append(frame)
                    self._hear(frame)

    def _met(self, link: socket.socket, half: ApplicationHalf) -> None:
        with self._lock:
            self._link, self._half = link, half
            if self.script.header is not None:
                self._say(self.script.header)
            if self._broken is not None:
                self._say(self._broken)
            if self._end is not None:
                self._say(self._end)

    def _say(self, frame: Frame) -> None:
        with self._lock:
            if self._half is None or self._link is None:
                return
            if self._half.phase is Phase.FINISHED:
                return  # the result came together with what this answers
            try:
                self._half.say(frame)
                self._link.sendall(self._half.output())
            except OSError:
                self._half = None  # it is said again

    def _hear(self, frame: Frame) -> None:
        if isinstance(frame, Send):
            self._send(frame)
        elif isinstance(frame, Halt):
            self._leave()
            self._say(Halted(frame.run, frame.offset, self._crc_until(frame.offset)))
        elif isinstance(frame, Result):
            self.result = frame
        elif isinstance(frame, Refused):
            self.refused = frame

    # the data

    def _leave(self) -> None:
        with self._lock:
            running, self._running, self._broken = self._running, None, None
        if running is not None:
            running.over = True
            with contextlib.suppress(OSError):
                running.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            running.socket.close()

    def _send(self, order: Send) -> None:
        if order.run == self._last_run:
            # it was done already; what came of it is said again
            if isinstance(self._broken, Broken):
                self._say(Cannot(order.run, Why.NOBODY_ANSWERS, 0, self._broken.text))
            else:
                self._say(self._sending(order))
            return
        self._leave()
        self.before_send(order)
        if self.script.mute:
            return
        if self._cannot:
            self._say(Cannot(order.run, self._cannot.pop(0), order.offset + 1, "no such luck"))
            return
        where = order.addresses[0]
        try:
            link = socket.create_connection((where.host, where.port), PATIENCE)
        except OSError as error:
            self._say(Cannot(order.run, Why.NOBODY_ANSWERS, 0, str(error)))
            return
        link.settimeout(PATIENCE)
        self._last_run = order.run
        if self.script.loses_first and order.run == 1:
            link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            link.close()
            self._say(self._sending(order))
            return
        data = self._running = _Data(order.run, link)
        self._say(self._sending(order))
        if self.script.reads_ahead:
            self._finish()
        if not self.script.idle:
            threading.Thread(
                target=self._send_data, args=(data, order.offset), name="sender", daemon=True
            ).start()

    def _sending(self, order: Send) -> Sending:
        crc = self._crc_until(order.offset) ^ (self.script.other_start and order.offset > 0)
        return Sending(order.run, order.offset, crc)

    def _crc_until(self, offset: int) -> int:
        """Of the bytes before this one; nobody shall wait for what was computed before."""
        if offset < self._counted.size:
            self._counted = RunningCrc()
        self._counted.update(memoryview(self.data)[self._counted.size : offset])
        return self._counted.value().value

    def _send_data(self, running: _Data, at: int) -> None:
        cut = self._cuts.pop(0) if self._cuts else None
        ends = [len(self.data), cut.at if cut else None, self.script.dies_at]
        end = max(at, min(each for each in ends if each is not None))
        view = memoryview(self.data)
        try:
            while at < end:
                size = running.socket.send(view[at : min(end, at + 65536)])
                with self._lock:
                    self.sent.append((at, size))
                self.on_sent()
                at += size
            if at == self.script.dies_at:
                self.stop()
                return
            if cut is not None and at == cut.at:
                self._cut(running, cut)
                return
            running.socket.shutdown(socket.SHUT_WR)
            self._finish()
            while running.socket.recv(65536):
                continue  # it ends its side as well
        except OSError as error:
            if not (running.over or self._dead.is_set()):
                self._say_broken(Broken(running.run, at, str(error)))
            return
        if not running.over:
            self._say_broken(Delivered(running.run, at))

    def _cut(self, running: _Data, cut: Cut) -> None:
        if cut.how == "reset":
            running.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        with self._lock:
            link = self._link
            self._running = None
        running.socket.close()
        if cut.link and link is not None:
            with contextlib.suppress(OSError):
                link.shutdown(socket.SHUT_RDWR)
        if cut.how == "reset":
            self._say_broken(Broken(running.run, cut.at, "it was cut"))

    def _say_broken(self, frame: Broken | Delivered) -> None:
        with self._lock:
            self._broken = frame
            self._say(frame)

    def _finish(self) -> None:
        script = self.script
        result = EndResult.FAILED if script.fails else EndResult.GOOD
        crc = crc_of(self.data) ^ script.wrong_crc
        with self._lock:
            if self._end is None:
                self._end = End(len(self.data) + script.lies, crc, result, script.fails)
                self._say(self._end)

    # what a test asks

    @property
    def stored(self) -> list[int]:
        """How many bytes were stored, each time that it was said."""
        return [frame.stored for frame in self.heard if isinstance(frame, Stored)]

    @property
    def doubled(self) -> int:
        """Bytes that were given to a data connection more than once."""
        return max(0, sum(size for _, size in self.sent) - len(self.data))

    @property
    def orders(self) -> list[Send]:
        return [frame for frame in self.heard if isinstance(frame, Send)]

"""The MOVER requests and its moving of records [ndmp 4.7, 5.3, 5.5]."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet.error import ConnectError

from protocols.directtcp import Address
from protocols.ndmp import messages as m
from protocols.ndmp.codes import (
    INFINITY,
    AddressType,
    ErrorCode,
    HaltReason,
    MoverMode,
    MoverState,
    PauseReason,
)
from tests.fakes.ndmp_server.drives import Refused
from tests.fakes.ndmp_server.moving import Window, read_step, write_step
from tests.fakes.ndmp_server.stream import OneShotListener, Stream, connect

if TYPE_CHECKING:
    from tests.fakes.ndmp_server.session import Session

MODES = (MoverMode.READ, MoverMode.WRITE)


class Mover:
    """Copies between the session's drive and one data connection.

    :ivar state: see [ndmp 4.7].
    :ivar position: of the next byte in the stream.
    :ivar moved: bytes, padding included.
    :ivar left: bytes that MOVER_READ wants still.
    :ivar held: the record that early warning kept off the tape.
    :ivar window: None: never set.
    :ivar aligned_at: the position that the tape stands at; None: unknown, it must be moved.
    """

    def __init__(self, session: Session) -> None:
        self.session = session
        self.profile = session.profile
        self.record_size = self.profile.first_record_size
        self._listener: OneShotListener | None = None
        self.stream: Stream | None = None
        self._reset()

    def _reset(self) -> None:
        self.state = MoverState.IDLE
        self.mode = MoverMode.READ
        self.pause_reason = PauseReason.NA
        self.halt_reason = HaltReason.NA
        self.position = self.moved = self.left = 0
        self.read_offset = 0
        self.aligned_at: int | None = None
        self.held = b""
        self.window: Window | None = None
        self._window_since_pause = True
        self._address = m.DataAddress()

    def forget_record_size(self) -> None:
        """As servers do at odd moments; only an own size, not the window."""
        self.record_size = self.profile.first_record_size

    # what happens by itself

    def advance(self) -> None:
        """Something changed: move what can be moved."""
        if self.state is MoverState.LISTEN and self.stream and self.stream.connected_now:
            self.state = MoverState.ACTIVE
            self.session.log("mover going active")
        step = read_step if self.mode is MoverMode.READ else write_step
        while self.state is MoverState.ACTIVE and self.stream is not None:
            if not step(self, self.session.tape, self.stream):
                break

    def pause(self, reason: PauseReason) -> None:
        """Pause and say so."""
        if reason is PauseReason.EOW and self.session.version < 3:
            reason = PauseReason.SEEK
        self.state, self.pause_reason = MoverState.PAUSED, reason
        self._window_since_pause = False
        self.session.post(m.NotifyMoverPaused(reason=reason, seek_position=self.position))

    def halt(self, reason: HaltReason) -> None:
        """Halt and say so; the data connection ends."""
        if reason is HaltReason.MEDIA_ERROR and self.session.version < 4:
            reason = HaltReason.INTERNAL_ERROR
        self.state, self.halt_reason = MoverState.HALTED, reason
        self.pause_reason = PauseReason.NA
        self.drop_connection(reset=reason is not HaltReason.CONNECT_CLOSED)
        self.session.post(m.NotifyMoverHalted(reason=reason, text="Whatever"))

    def interrupt(
        self, *, halt: HaltReason | None = None, pause: PauseReason | None = None
    ) -> None:
        """Halt unless idle, or pause if active, for no reason of its own."""
        if halt is not None and self.state not in (MoverState.IDLE, MoverState.HALTED):
            self.halt(halt)
        if pause is not None and self.state is MoverState.ACTIVE:
            self.pause(pause)

    def session_lost(self) -> None:
        """The control connection is gone: nothing is moved any more."""
        self.drop_connection(reset=True)
        self.state = MoverState.IDLE

    def drop_connection(self, *, reset: bool = False) -> None:
        """End the data connection, or the waiting for it."""
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        if self.stream is not None:
            self.stream.close(reset=reset)
            self.stream = None

    # requests

    def mover_get_state(self, request: m.MoverGetState) -> m.MoverGetStateReply:
        exact = self.profile.exact_state
        idle = self.state is MoverState.IDLE
        window = self.window or Window()
        mode = MoverMode.NOACTION if idle and self.session.version >= 4 else self.mode
        return m.MoverGetStateReply(
            mode=mode if exact else MoverMode.READ,
            state=self.state,
            pause_reason=self.pause_reason,
            halt_reason=self.halt_reason,
            record_size=self.record_size,
            record_num=self.position // self.record_size if self.record_size else 0,
            bytes_moved=self.moved,
            seek_position=self.position if exact else self.read_offset,
            bytes_left_to_read=self.left,
            window_offset=window.offset,
            window_length=window.length,
            data_connection_addr=self._address,
        )

    def mover_set_record_size(self, request: m.MoverSetRecordSize) -> m.ErrorReply:
        paused = self.state is MoverState.PAUSED and self.profile.record_size_when_paused
        self._refuse_unless(self.state is MoverState.IDLE or paused)
        if not 1 <= request.size <= self.profile.max_record_size:
            raise Refused(ErrorCode.ILLEGAL_ARGS)
        if request.size != self.record_size and self.profile.record_size_clears_window:
            self.window = Window(0, 0)
        self.record_size = request.size
        return m.ErrorReply()

    def mover_set_window(self, request: m.MoverSetWindow) -> m.ErrorReply:
        offset, length = request.offset, request.length
        if not length and not self.profile.zero_window:
            raise Refused(ErrorCode.ILLEGAL_ARGS)
        listening = self.profile.window_in_listen or self.session.version < 4
        allowed = self.state in (MoverState.IDLE, MoverState.PAUSED)
        self._refuse_unless(allowed or (listening and self.state is MoverState.LISTEN))
        if not self.record_size:
            v4 = self.session.version >= 4
            raise Refused(ErrorCode.PRECONDITION if v4 else ErrorCode.ILLEGAL_ARGS)
        open_end = length == INFINITY or offset + length == INFINITY
        uneven = offset % self.record_size or (length % self.record_size and not open_end)
        if uneven or (offset + length > INFINITY and length != INFINITY):
            raise Refused(ErrorCode.ILLEGAL_ARGS)
        self._bind(offset, length)
        self._window_since_pause = True
        if self.profile.window_moves and self.mode is MoverMode.READ:
            self.position = offset
        return m.ErrorReply()

    def _bind(self, offset: int, length: int) -> None:
        """The window's offset is where the tape stands now."""
        drive = self.session.tape.drive
        block = drive.medium.blockno if drive is not None and drive.medium is not None else 0
        self.window = Window(offset, length, block)
        self.aligned_at = offset

    def mover_listen(self, request: m.MoverListen) -> m.MoverListenReply:
        kinds = (AddressType.LOCAL, AddressType.TCP)
        if request.mode not in MODES or request.address_type not in kinds:
            raise Refused(ErrorCode.ILLEGAL_ARGS)
        self._refuse_unless_ready(request.mode)
        self._begin(request.mode)
        self._address = m.DataAddress(AddressType(request.address_type))
        if request.address_type == AddressType.TCP:
            self.stream = Stream(self.advance)
            self.stream.want(self.record_size)
            server = self.session.server
            self._listener = OneShotListener(server.reactor, self.session.host, self.stream)
            said: tuple[Address, ...] = (self._listener.address,)
            if self.session.version >= 4:  # before, there is room for one only
                said = (*server.say_before, *said, *server.say_after)
            self._address = m.DataAddress(AddressType.TCP, said)
        self.state = MoverState.LISTEN
        return m.MoverListenReply(address=self._address)

    async def mover_connect(self, request: m.MoverConnect) -> m.ErrorReply:
        if request.mode not in MODES or request.address.kind not in tuple(AddressType):
            raise Refused(ErrorCode.ILLEGAL_ARGS)
        self._refuse_unless_ready(request.mode)
        if request.address.kind != AddressType.TCP:
            raise Refused(ErrorCode.ILLEGAL_STATE)  # no data agent listens here
        if not request.address.addresses:
            raise Refused(ErrorCode.ILLEGAL_ARGS)
        self._begin(request.mode)
        stream = Stream(self.advance)
        stream.want(self.record_size)
        try:
            await connect(self.session.server.reactor, request.address.addresses[0], stream)
        except ConnectError:
            raise Refused(ErrorCode.CONNECT) from None
        self.stream, self._address = stream, request.address
        self.state = MoverState.ACTIVE
        self.session.afterwards(self.advance)
        return m.ErrorReply()

    def mover_continue(self, request: m.MoverContinue) -> m.ErrorReply:
        self._refuse_unless(self.state is MoverState.PAUSED)
        if self.session.tape.drive is None:
            raise Refused(ErrorCode.DEV_NOT_OPEN)
        self._refuse_unless_tape_fits(self.mode)
        no_window = self.profile.window_before_continue and not self._window_since_pause
        if no_window and self.session.version >= 4:
            raise Refused(ErrorCode.PRECONDITION)
        self.state, self.pause_reason = MoverState.ACTIVE, PauseReason.NA
        self.session.afterwards(lambda: self.session.log("mover going active"))
        self.session.afterwards(self.advance)
        return m.ErrorReply()

    def mover_read(self, request: m.MoverRead) -> m.ErrorReply:
        self._refuse_unless(self.state is MoverState.ACTIVE and self.mode is MoverMode.WRITE)
        if self.left:
            running = self.profile.read_in_progress and self.session.version >= 4
            raise Refused(ErrorCode.READ_IN_PROGRESS if running else ErrorCode.ILLEGAL_STATE)
        if self.profile.read_in_progress and not request.length:
            raise Refused(ErrorCode.ILLEGAL_ARGS)
        self.left = request.length
        self.position = self.read_offset = request.offset
        self.session.afterwards(self.advance)
        return m.ErrorReply()

    def mover_abort(self, request: m.MoverAbort) -> m.ErrorReply:
        self._refuse_unless(self.state not in (MoverState.IDLE, MoverState.HALTED))
        self._halt_after_reply(HaltReason.ABORTED)
        return m.ErrorReply()

    def mover_close(self, request: m.MoverClose) -> m.ErrorReply:
        self._refuse_unless(self.state is not MoverState.IDLE)
        if self.state is not MoverState.HALTED:
            self._halt_after_reply(HaltReason.CONNECT_CLOSED)
        return m.ErrorReply()

    def _halt_after_reply(self, reason: HaltReason) -> None:
        # the tape must stand still from now on
        self.state = MoverState.HALTED
        self.session.afterwards(lambda: self.halt(reason))

    def mover_stop(self, request: m.MoverStop) -> m.ErrorReply:
        self._refuse_unless(self.state is MoverState.HALTED)
        self.drop_connection()
        self._reset()
        if self.profile.forgets_record_size:
            self.forget_record_size()
        return m.ErrorReply()

    def _begin(self, mode: int) -> None:
        self.mode = MoverMode(mode)
        if self.window is None:
            self._bind(0, INFINITY)

    # checks

    def _refuse_unless(self, right_state: bool) -> None:
        if not right_state:
            raise Refused(ErrorCode.ILLEGAL_STATE)

    def _refuse_unless_ready(self, mode: int) -> None:
        self._refuse_unless(self.state is MoverState.IDLE and self.session.data.is_idle)
        if self.session.tape.drive is None:
            raise Refused(ErrorCode.DEV_NOT_OPEN)
        if not self.record_size:
            v4 = self.session.version >= 4
            raise Refused(ErrorCode.PRECONDITION if v4 else ErrorCode.ILLEGAL_ARGS)
        self._refuse_unless_tape_fits(mode)

    def _refuse_unless_tape_fits(self, mode: int) -> None:
        if mode == MoverMode.READ and not self.session.tape.writable:
            raise Refused(ErrorCode.PERMISSION)

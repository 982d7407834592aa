"""The MOVER requests and what a mover does by itself [ndmp 4.7], [ndmp-server 4]."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from protocols.ndmp import messages as m
from protocols.ndmp.codes import (
    INFINITY,
    AddressType,
    ErrorCode,
    HaltReason,
    LogType,
    MoverMode,
    MoverState,
    PauseReason,
)
from protocols.ndmp_server.interfaces import (
    HALTS,
    PAUSES,
    Channel,
    Drive,
    Listening,
    MoveEnd,
    Progress,
    Refused,
    Tape,
    TapeEnd,
    Window,
)
from protocols.ndmp_server.mover_states import make_life

if TYPE_CHECKING:
    from protocols.ndmp_server.session import Session

MODES = (MoverMode.READ, MoverMode.WRITE)
_SAID = {
    MoveEnd.FULL: "the tape takes no more",
    MoveEnd.RESET: "the data connection broke",
    MoveEnd.SILENT: "the peer of the data connection kept us waiting for too long",
}


class Mover:
    """Copies between the session's drive and one data connection.

    :ivar progress: what was moved and is to be.
    :ivar channel: the data connection; None: none yet, or no more.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._profile = session.profile
        self._life = make_life()
        self._listening: Listening | None = None
        self.channel: Channel | None = None
        self._working: Drive | None = None
        self._record_size = self._profile.first_record_size
        self._reset()

    def _reset(self) -> None:
        self.mode = MoverMode.READ
        self.pause_reason = PauseReason.NA
        self.halt_reason = HaltReason.NA
        self.progress = Progress(
            self._record_size,
            counts_padding=self._profile.counts_padding,
            pads_broken=self._profile.pads_broken,
        )
        self._read_offset = 0
        self._has_window = False
        self._window_since_pause = True
        self._wish: HaltReason | PauseReason | None = None
        self._address = m.DataAddress()

    @property
    def state(self) -> MoverState:
        """See [ndmp 4.7]."""
        return self._life.state()

    def forget_record_size(self) -> None:
        """As servers do at odd moments; only the size, not the window."""
        self._set_record_size(self._profile.first_record_size)

    def _set_record_size(self, size: int) -> None:
        self._record_size = self.progress.record_size = size

    def lose_place(self) -> None:
        """The client moves the tape itself."""
        self.progress.aligned_at = None

    # what happens by itself

    def _came(self, channel: Channel | None) -> None:
        """The awaited data connection is here; None: nobody came."""
        if channel is None:
            self.halt(HaltReason.CONNECT_ERROR, "nobody connected to the mover in time")
            return
        self._drop_listening()
        self.channel = channel
        if self._profile.exact_state:
            self._address = self._address.evolve(addresses=(channel.peer,))
        self._life.accept()
        self._session.log("mover going active")
        self.advance()

    def advance(self) -> None:
        """Let it work, if it is active and does not."""
        if self.state is not MoverState.ACTIVE or self.channel is None:
            return
        if self._working is not None:
            self.channel.wake()
            return
        self._wish = None
        if self._session.tape.drive is None:  # some servers let it be closed while one listens
            self.halt(HaltReason.MEDIA_ERROR, "no tape is open")
            return
        self._working = self._session.tape.drive
        self.channel.begin()
        self._session.spawn(self._work(self._working, self.channel))

    async def _work(self, drive: Drive, channel: Channel) -> None:
        try:
            end: MoveEnd | Refused = await self._move(drive, channel)
        except Refused as refused:
            end = refused
        self._working = None
        if self.state is MoverState.ACTIVE and not self._session.lost:
            if end is MoveEnd.EARLY:
                await self._session.met_early_warning()
            self._judge(end)

    async def _move(self, drive: Drive, channel: Channel) -> MoveEnd:
        tape, progress = self._session.tape, self.progress
        if self.mode is MoverMode.READ:
            before = progress.position
            try:
                return await drive.do(lambda medium: channel.store(medium, progress))
            finally:
                tape.wrote |= progress.position > before
                tape.before_filemark = False
        watch = self._profile.reports_dead_reader

        def serve(medium: Tape) -> MoveEnd:
            tape.end_of_writing(medium)
            end = channel.serve(medium, progress, watch=watch)
            tape.cross(medium, TapeEnd.FILEMARK if end is MoveEnd.FILEMARK else None)
            return end

        return await drive.do(serve)

    def _judge(self, end: MoveEnd | Refused) -> None:
        """The work is over for a reason: pause or halt."""
        wish, self._wish = self._wish, None
        if isinstance(wish, HaltReason):
            self.halt(wish)
        elif isinstance(end, Refused):
            self.halt(HaltReason.MEDIA_ERROR, end.text or end.error.name)
        elif end is MoveEnd.INTERRUPTED:
            if wish is not None:
                self.pause(wish)
        elif end in HALTS:
            self.halt(HALTS[end], _SAID.get(end, ""))
        else:
            self.pause(self._why_paused(end))

    def _why_paused(self, end: MoveEnd) -> PauseReason:
        if end is MoveEnd.WINDOW:
            to_tape = self.mode is MoverMode.READ
            return self._profile.window_end if to_tape else PauseReason.SEEK
        if end is MoveEnd.NOTHING:
            return PauseReason.EOM if self._profile.eom_at_end else PauseReason.EOF
        return PAUSES[end]

    def pause(self, reason: PauseReason) -> None:
        """Pause and say so."""
        if reason is PauseReason.EOW and self._session.version < 3:
            reason = PauseReason.SEEK
        self._life.pause()
        self.pause_reason = reason
        self._window_since_pause = False
        position = self.progress.position
        self._session.post(m.NotifyMoverPaused(reason=reason, seek_position=position))

    def halt(self, reason: HaltReason, text: str = "") -> None:
        """Halt and say so; the data connection ends.

        :param text: what the client's log is told first
        """
        if reason is HaltReason.MEDIA_ERROR and self._session.version < 4:
            reason = HaltReason.INTERNAL_ERROR
        self._life.halt()
        self.halt_reason = reason
        self.pause_reason = PauseReason.NA
        account = self.channel.account() if self.channel is not None else ""
        self.drop_connection(reset=reason is not HaltReason.CONNECT_CLOSED)
        self._session.note("mover halted", f"{reason.name}, {text or account or 'nothing moved'}")
        if text:
            self._session.log(f"mover halted: {text}", LogType.ERROR)
        elif account:
            self._session.log(account)
        self._session.post(m.NotifyMoverHalted(reason=reason, text=text or reason.name))

    def interrupt(
        self, *, halt: HaltReason | None = None, pause: PauseReason | None = None
    ) -> None:
        """Halt unless idle, or pause if active, for no reason of its own."""
        wish = halt or pause
        if wish is None or self.state in (MoverState.IDLE, MoverState.HALTED):
            return
        if self._working is not None and self.channel is not None:
            self._wish = wish
            self.channel.interrupt()
        elif isinstance(wish, HaltReason):
            self.halt(wish)
        elif self.state is MoverState.ACTIVE:
            self.pause(wish)

    async def abandon(self) -> None:
        """The client is gone: nothing is moved any more."""
        await self._stand_still()
        self.drop_connection(reset=True)
        self._life.abandon()

    async def _stand_still(self) -> None:
        """The tape moves no more when this is over."""
        if self._working is not None and self.channel is not None:
            self.channel.interrupt()
            await self._working.settled()

    def drop_connection(self, *, reset: bool = False) -> None:
        """End the data connection, or the waiting for it."""
        self._drop_listening()
        if self.channel is not None:
            self.channel.close(reset=reset)
            self.channel = None

    def _drop_listening(self) -> None:
        listening, self._listening = self._listening, None
        if listening is not None:
            listening.close()

    # requests

    def mover_get_state(self, request: m.MoverGetState) -> m.MoverGetStateReply:
        exact, progress = self._profile.exact_state, self.progress
        idle = self.state is MoverState.IDLE
        mode = MoverMode.NOACTION if idle and self._session.version >= 4 else self.mode
        return m.MoverGetStateReply(
            mode=mode if exact else MoverMode.READ,
            state=self.state,
            pause_reason=self.pause_reason,
            halt_reason=self.halt_reason,
            record_size=self._record_size,
            record_num=progress.position // self._record_size if self._record_size else 0,
            bytes_moved=progress.moved,
            seek_position=progress.position if exact else self._read_offset,
            bytes_left_to_read=progress.left,
            window_offset=progress.window.offset,
            window_length=progress.window.length,
            data_connection_addr=self._address,
        )

    def mover_set_record_size(self, request: m.MoverSetRecordSize) -> m.ErrorReply:
        paused = self.state is MoverState.PAUSED and self._profile.record_size_when_paused
        self._refuse_unless(self.state is MoverState.IDLE or paused)
        if not 1 <= request.size <= self._profile.max_record_size:
            raise Refused(ErrorCode.ILLEGAL_ARGS)
        drive = self._session.tape.drive
        if drive is not None:
            drive.refuse_record_size(request.size)
        if request.size != self._record_size:
            if self._profile.record_size_clears_window:
                self.progress.window, self._has_window = Window(0, 0), True
            elif self._profile.record_size_forgets_window:
                self.progress.window, self._has_window = Window(), False
        self._set_record_size(request.size)
        return m.ErrorReply()

    def mover_set_window(self, request: m.MoverSetWindow) -> m.ErrorReply:
        offset, length = request.offset, request.length
        if not length and not self._profile.zero_window:
            raise Refused(ErrorCode.ILLEGAL_ARGS)
        listening = self._profile.window_in_listen or self._session.version < 4
        allowed = self.state in (MoverState.IDLE, MoverState.PAUSED)
        self._refuse_unless(allowed or (listening and self.state is MoverState.LISTEN))
        if not self._record_size and length:
            self._refuse_precondition()
        if offset + length > INFINITY and length != INFINITY:
            raise Refused(ErrorCode.ILLEGAL_ARGS)
        wanted, to_tape = Window(offset, length), self.mode is MoverMode.READ
        if self._profile.alignment_when_it_starts:
            # before the mover starts nobody knows which way it will go
            uneven = self.state is MoverState.PAUSED and wanted.is_uneven(
                self._record_size, to_tape=to_tape
            )
        else:
            uneven = wanted.is_uneven(self._record_size, to_tape=True)
        if uneven:
            raise Refused(ErrorCode.ILLEGAL_ARGS)
        self._bind(offset, length)
        self._window_since_pause = True
        if self._profile.window_moves and self.mode is MoverMode.READ:
            self.progress.position = offset
        return m.ErrorReply()

    def _bind(self, offset: int, length: int) -> None:
        """The window's offset is where the tape stands now."""
        drive = self._session.tape.drive
        block = drive.place.blockno if drive is not None else 0
        self.progress.window = Window(offset, length, block)
        self.progress.aligned_at = offset
        self._has_window = True

    def mover_listen(self, request: m.MoverListen) -> m.MoverListenReply:
        kind = self._checked(request.mode, request.address_type)
        self._refuse_unless_ready(request.mode)
        address = m.DataAddress(kind)
        if kind is not AddressType.LOCAL:
            house, version = self._session.house, self._session.version
            ipv6 = kind is AddressType.TCP_IPV6
            self._listening = house.listen(self._session.host, self._came, ipv6=ipv6)
            told = house.told_addresses(self._listening.address, version)
            address = m.DataAddress(kind, told)
        self._begin(request.mode)
        self._address = address
        self._life.listen()
        return m.MoverListenReply(address=address)

    async def mover_connect(self, request: m.MoverConnect) -> m.ErrorReply:
        kind = self._checked(request.mode, request.address.kind)
        self._refuse_unless_ready(request.mode)
        if kind is AddressType.LOCAL:
            raise Refused(ErrorCode.ILLEGAL_STATE)  # no data agent listens here
        if not request.address.addresses:
            raise Refused(ErrorCode.ILLEGAL_ARGS)
        channel = await self._session.house.connect(request.address.addresses)
        self._begin(request.mode)
        self.channel = channel
        exact = self._profile.exact_state
        self._address = m.DataAddress(kind, (channel.peer,)) if exact else request.address
        self._life.connect()
        self._session.afterwards(self.advance)
        return m.ErrorReply()

    def mover_continue(self, request: m.MoverContinue) -> m.ErrorReply:
        self._refuse_unless(self.state is MoverState.PAUSED)
        drive = self._session.tape.opened()
        self._refuse_unless_tape_fits(self.mode)
        no_window = self._profile.window_before_continue and not self._window_since_pause
        if no_window and self._session.version >= 4:
            raise Refused(ErrorCode.PRECONDITION)
        drive.refuse_record_size(self._record_size)
        self._life.go_on()
        self.pause_reason = PauseReason.NA
        self._session.afterwards(lambda: self._session.log("mover going active"))
        self._session.afterwards(self.advance)
        return m.ErrorReply()

    def mover_read(self, request: m.MoverRead) -> m.ErrorReply:
        self._refuse_unless(self.state is MoverState.ACTIVE and self.mode is MoverMode.WRITE)
        if self.progress.left:
            running = self._profile.read_in_progress and self._session.version >= 4
            raise Refused(ErrorCode.READ_IN_PROGRESS if running else ErrorCode.ILLEGAL_STATE)
        beyond = request.offset + request.length > INFINITY and request.length != INFINITY
        if beyond or (self._profile.read_in_progress and not request.length):
            raise Refused(ErrorCode.ILLEGAL_ARGS)
        self.progress.position = self._read_offset = request.offset
        self._session.afterwards(lambda: self._want(request.length))
        return m.ErrorReply()

    def _want(self, length: int) -> None:
        self.progress.left = length
        self.advance()

    async def mover_abort(self, request: m.MoverAbort) -> m.ErrorReply:
        ended = (MoverState.IDLE, MoverState.HALTED)
        self._refuse_unless(self.state not in ended)
        await self._stand_still()
        self._refuse_unless(self.state not in ended)  # it may have come to its own end meanwhile
        self._session.afterwards(lambda: self.interrupt(halt=HaltReason.ABORTED))
        return m.ErrorReply()

    async def mover_close(self, request: m.MoverClose) -> m.ErrorReply:
        good = self.state is MoverState.PAUSED
        self._refuse_unless(
            self.state is not MoverState.IDLE if self._profile.close_unless_idle else good
        )
        await self._stand_still()
        self._session.afterwards(lambda: self.interrupt(halt=HaltReason.CONNECT_CLOSED))
        return m.ErrorReply()

    def mover_stop(self, request: m.MoverStop) -> m.ErrorReply:
        self._refuse_unless(self.state is MoverState.HALTED)
        self.drop_connection()
        if self._profile.forgets_record_size:
            self.forget_record_size()
        self._reset()
        self._life.stop()
        return m.ErrorReply()

    def _begin(self, mode: int) -> None:
        self.mode = MoverMode(mode)
        if not self._has_window:
            self._bind(0, INFINITY)

    # checks

    def _checked(self, mode: int, kind: int) -> AddressType:
        """The kind of a data connection. :raise Refused: no such mode or kind"""
        ipv6 = (AddressType.TCP_IPV6,) if self._session.config.knows_ipv6 else ()
        if mode not in MODES or kind not in (AddressType.LOCAL, AddressType.TCP, *ipv6):
            raise Refused(ErrorCode.ILLEGAL_ARGS)
        return AddressType(kind)

    def _refuse_unless(self, right_state: bool) -> None:
        if not right_state:
            raise Refused(ErrorCode.ILLEGAL_STATE)

    def _refuse_precondition(self) -> NoReturn:
        """Only version 4 has a word for it."""
        v4 = self._session.version >= 4
        raise Refused(ErrorCode.PRECONDITION if v4 else ErrorCode.ILLEGAL_ARGS)

    def _refuse_unless_ready(self, mode: int) -> None:
        self._refuse_unless(self.state is MoverState.IDLE and self._session.data_is_idle)
        drive = self._session.tape.opened()
        if not self._record_size:
            self._refuse_precondition()
        self._refuse_unless_tape_fits(mode)
        drive.refuse_record_size(self._record_size)
        to_tape = mode == MoverMode.READ
        uneven = self.progress.window.is_uneven(self._record_size, to_tape=to_tape)
        if self._has_window and uneven:
            self._refuse_precondition()

    def _refuse_unless_tape_fits(self, mode: int) -> None:
        if mode == MoverMode.READ and not self._session.tape.writable:
            raise Refused(ErrorCode.PERMISSION)

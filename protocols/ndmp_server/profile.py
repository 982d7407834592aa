"""How a server behaves where servers differ [ndmp-server 8]."""

from __future__ import annotations

from attrs import evolve, frozen

from protocols.ndmp.codes import VERSIONS, PauseReason


@frozen
class Profile:
    """One kind of server; the defaults are what [ndmp-server 8] recommends.

    :ivar versions: of the protocol that it speaks; the highest one is offered.
    :ivar zero_window: an empty window is accepted; False: ILLEGAL_ARGS.
    :ivar window_end: why it pauses at the end of the window when writing.
    :ivar first_record_size: before one is set; 0: PRECONDITION until then.
    :ivar forgets_record_size: MOVER_STOP resets it.
    :ivar forgets_on_tape_close: TAPE_CLOSE resets it.
    :ivar max_record_size: bytes.
    :ivar record_size_when_paused: it may be set in PAUSED too.
    :ivar record_size_clears_window: a changed one makes the window empty.
    :ivar record_size_forgets_window: a changed one makes it none, so that everything may be moved.
    :ivar alignment_when_it_starts: a window before that may be uneven, as nobody knows the mode.
    :ivar window_in_listen: the window may be set in LISTEN in version 4 too.
    :ivar window_before_continue: CONTINUE without one since the pause is a PRECONDITION error.
    :ivar window_moves: the window's offset becomes the mover's position.
    :ivar tape_while_listening: drive and mover do not mind each other in LISTEN.
    :ivar busy_error: reading and writing while the mover works is DEVICE_BUSY in version 4.
    :ivar busy_motion: and so is moving the tape.
    :ivar raw_opens_protected: mode RAW opens a protected tape; only what writes then fails.
    :ivar reopens: CONNECT_OPEN may be said again after other requests.
    :ivar exact_state: the mover's state tells the real mode and position.
    :ivar counts_padding: the mover's bytes_moved counts what it padded the last record with.
    :ivar pads_broken: the last record is filled up and written though the connection broke.
    :ivar read_in_progress: a second MOVER_READ is told so.
    :ivar reports_dead_reader: the mover halts when the reader of a restore goes away.
    :ivar close_unless_idle: MOVER_CLOSE is good in every state but IDLE; False: in PAUSED only.
    :ivar eom_at_end: reading behind everything is EOM in version 4, not EOF.
    :ivar filemark_after_write: moving the tape after a write first writes a filemark.
    :ivar unloads: OFF and TUR work.
    :ivar answers_unknown: unknown codes and bad bodies get an error, not silence.
    :ivar answers_close: CONNECT_CLOSE gets a header as answer.
    :ivar advertises_local: data connections within the server are offered.
    :ivar tells_all_before_login: host and server say what they are to anybody.
    :ivar forgets_login: a failed login ends an earlier one.
    :ivar busy_drive_refused: a move to or from an open drive is DEVICE_BUSY, not a SCSI error.
    :ivar timeout_needed: a SCSI command with a time limit of 0 fails at once.
    """

    name: str = "conforming"
    versions: tuple[int, ...] = VERSIONS
    zero_window: bool = True
    window_end: PauseReason = PauseReason.EOW
    first_record_size: int = 0
    forgets_record_size: bool = False
    forgets_on_tape_close: bool = False
    max_record_size: int = 2**21
    record_size_when_paused: bool = False
    record_size_clears_window: bool = False
    record_size_forgets_window: bool = True
    alignment_when_it_starts: bool = True
    window_in_listen: bool = False
    window_before_continue: bool = True
    window_moves: bool = True
    tape_while_listening: bool = False
    busy_error: bool = True
    busy_motion: bool = True
    raw_opens_protected: bool = True
    reopens: bool = False
    exact_state: bool = True
    counts_padding: bool = True
    pads_broken: bool = False
    read_in_progress: bool = True
    reports_dead_reader: bool = True
    close_unless_idle: bool = False
    eom_at_end: bool = True
    filemark_after_write: bool = True
    unloads: bool = True
    answers_unknown: bool = True
    answers_close: bool = False
    advertises_local: bool = False
    tells_all_before_login: bool = False
    forgets_login: bool = True
    busy_drive_refused: bool = False
    timeout_needed: bool = False


CONFORMING = Profile()
"""What [ndmp-server 8] recommends."""

NDMJOB = Profile(
    name="ndmjob",
    window_end=PauseReason.SEEK,
    first_record_size=10240,
    forgets_record_size=True,
    max_record_size=2**20,
    record_size_when_paused=True,
    record_size_forgets_window=False,
    alignment_when_it_starts=False,
    window_before_continue=False,
    window_moves=False,
    tape_while_listening=True,
    busy_error=False,
    busy_motion=False,
    pads_broken=True,
    raw_opens_protected=False,
    reopens=True,
    exact_state=False,
    read_in_progress=False,
    reports_dead_reader=False,
    close_unless_idle=True,
    eom_at_end=False,
    unloads=False,
    answers_unknown=False,
    answers_close=True,
    advertises_local=True,
    tells_all_before_login=True,
    forgets_login=False,
    busy_drive_refused=True,
    timeout_needed=True,
)
"""As Amanda's own server."""

ILLUMOS = evolve(
    NDMJOB,
    name="illumos",
    zero_window=False,
    window_end=PauseReason.EOW,
    first_record_size=0,
    forgets_record_size=False,
    record_size_when_paused=False,
    record_size_clears_window=True,
    window_in_listen=True,
    window_before_continue=True,
    window_moves=True,
    tape_while_listening=False,
    busy_error=True,
    exact_state=True,
    read_in_progress=True,
    reports_dead_reader=True,
    eom_at_end=True,
    filemark_after_write=False,
    unloads=True,
    answers_unknown=True,
    answers_close=False,
    advertises_local=False,
)
"""As Solaris and illumos."""

PERSONALITIES = {profile.name: profile for profile in (CONFORMING, NDMJOB, ILLUMOS)}

"""How a server behaves where servers differ [ndmp 5.3, 5.5]."""

from __future__ import annotations

from attrs import evolve, frozen

from protocols.ndmp.codes import VERSIONS, PauseReason


@frozen
class Profile:
    """One kind of server; the defaults are ndmjob's ways.

    :ivar versions: of the protocol that it speaks; the highest one is offered.
    :ivar zero_window: an empty window is accepted; False: ILLEGAL_ARGS.
    :ivar window_end: why it pauses at the end of the window when writing.
    :ivar first_record_size: before one is set; 0: PRECONDITION until then.
    :ivar forgets_record_size: MOVER_STOP resets it.
    :ivar forgets_on_tape_close: TAPE_CLOSE resets it.
    :ivar max_record_size: bytes.
    :ivar record_size_when_paused: it may be set in PAUSED too.
    :ivar record_size_clears_window: a changed one makes the window empty.
    :ivar window_in_listen: the window may be set in LISTEN in version 4 too.
    :ivar window_before_continue: CONTINUE without one since the pause is a PRECONDITION error.
    :ivar window_moves: the window's offset becomes the mover's position.
    :ivar tape_while_listening: drive and mover do not mind each other in LISTEN.
    :ivar busy_error: reading and writing while the mover works is DEVICE_BUSY in version 4.
    :ivar exact_state: the mover's state tells the real mode and position.
    :ivar read_in_progress: a second MOVER_READ is told so.
    :ivar reports_dead_reader: the mover halts when the reader of a restore goes away.
    :ivar eom_at_end: reading behind everything is EOM in version 4, not EOF.
    :ivar filemark_after_write: moving the tape after a write first writes a filemark.
    :ivar eom_marker: at early warning in the stream a marker file is written and left behind.
    :ivar unloads: OFF and TUR work.
    :ivar frees_drives: the end of a session closes its drive; False: it stays busy until
        ``NdmpServer.unlock``.
    :ivar answers_unknown: unknown codes and bad bodies get an error, not silence.
    :ivar answers_close: CONNECT_CLOSE gets a header as answer.
    :ivar advertises_local: data connections within the server are offered.
    """

    name: str = "lenient"
    versions: tuple[int, ...] = VERSIONS
    zero_window: bool = True
    window_end: PauseReason = PauseReason.SEEK
    first_record_size: int = 10240
    forgets_record_size: bool = True
    forgets_on_tape_close: bool = False
    max_record_size: int = 2**20
    record_size_when_paused: bool = True
    record_size_clears_window: bool = False
    window_in_listen: bool = False
    window_before_continue: bool = False
    window_moves: bool = False
    tape_while_listening: bool = True
    busy_error: bool = False
    exact_state: bool = False
    read_in_progress: bool = False
    reports_dead_reader: bool = False
    eom_at_end: bool = False
    filemark_after_write: bool = True
    eom_marker: bool = False
    unloads: bool = False
    frees_drives: bool = True
    answers_unknown: bool = False
    answers_close: bool = True
    advertises_local: bool = True


LENIENT = Profile()
"""As ndmjob, but a lost session does not keep its drive locked."""

CONFORMING = evolve(
    LENIENT,
    name="conforming",
    window_end=PauseReason.EOW,
    exact_state=True,
    reports_dead_reader=True,
    eom_at_end=True,
    filemark_after_write=False,
    unloads=True,
    answers_unknown=True,
)
"""What ndmjob's conformance tests ask for [ndmp 4.6, 5.6]."""

STRICT = Profile(
    name="strict",
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
    eom_marker=True,
    unloads=True,
    answers_unknown=True,
    answers_close=False,
    advertises_local=False,
)
"""As Solaris and illumos."""

PROFILES = {profile.name: profile for profile in (LENIENT, CONFORMING, STRICT)}

"""How servers behave that clients meet, where they differ [ndmp 5.3, 5.5]."""

from __future__ import annotations

from attrs import evolve, frozen

from protocols.ndmp.codes import PauseReason
from protocols.ndmp_server import profile


@frozen
class Profile(profile.Profile):
    """One kind of server, with what only a test wants of one.

    :ivar eom_marker: at early warning in the stream a marker file is written and left behind.
    :ivar frees_drives: the end of a session closes its drive; False: it stays busy until
        ``NdmpServer.unlock``.
    """

    eom_marker: bool = False
    frees_drives: bool = True


LENIENT = Profile(
    name="lenient",
    window_end=PauseReason.SEEK,
    first_record_size=10240,
    forgets_record_size=True,
    max_record_size=2**20,
    record_size_when_paused=True,
    window_before_continue=False,
    window_moves=False,
    tape_while_listening=True,
    busy_error=False,
    busy_motion=False,
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

STRICT = evolve(
    LENIENT,
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

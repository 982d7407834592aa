"""How servers behave that clients meet, where they differ [ndmp 5.3, 5.5]."""

from __future__ import annotations

from attrs import asdict, evolve, frozen

from protocols.ndmp.codes import PauseReason
from protocols.ndmp_server import profile
from protocols.ndmp_server.profile import ILLUMOS, NDMJOB


@frozen
class Profile(profile.Profile):
    """One kind of server, with what only a test wants of one.

    :ivar eom_marker: at early warning in the stream a marker file is written and left behind.
    :ivar frees_drives: the end of a session closes its drive; False: it stays busy until
        ``NdmpServer.unlock``.
    """

    eom_marker: bool = False
    frees_drives: bool = True


def _like(one: profile.Profile, name: str) -> Profile:
    values = asdict(one, recurse=False)
    return Profile(**(values | {"name": name}))


LENIENT = _like(NDMJOB, "lenient")
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

STRICT = evolve(_like(ILLUMOS, "strict"), eom_marker=True)
"""As Solaris and illumos."""

PRODUCT = _like(profile.CONFORMING, "product")
"""As our own tape server [ndmp-server 8]."""

PROFILES = {one.name: one for one in (LENIENT, CONFORMING, STRICT, PRODUCT)}

"""How a recovery fails."""

from __future__ import annotations

from protocols.errorcode import Coded


class RecoveryFailed(Coded):
    """It cannot go on; the text is for the person at amrecover."""

    taper_code = 7000


class NotTaken(RecoveryFailed):
    """Whoever was given the data takes no more of them; the text says how many it took."""

    taper_code = 7005

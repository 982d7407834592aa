"""How a recovery fails."""

from __future__ import annotations


class RecoveryFailed(Exception):
    """It cannot go on; the text is for the person at amrecover."""

"""What a check has to say."""

from __future__ import annotations

import enum

from attrs import frozen


class Weight(enum.Enum):
    """How bad it is."""

    WRONG = "wrong"
    """Dumps fail, or are lost, because of it."""
    RISK = "risk"
    """They may be."""


@frozen(kw_only=True)
class Advice:
    """One thing that is not as it should be; the texts are sentences.

    :ivar check: the name of the check, which stays the same.
    :ivar what: is wrong, with names and values.
    :ivar cause: what that leads to, and why.
    :ivar remedy: what to do.
    """

    check: str
    weight: Weight
    what: str
    cause: str
    remedy: str

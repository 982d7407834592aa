"""What a check has to say."""

from __future__ import annotations

import enum
from collections.abc import Mapping

from attrs import field, frozen

from taper.codes import Kind, kinds


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
    :ivar code: of this kind of trouble.
    :ivar what: is wrong, with names and values.
    :ivar values: for the words in braces of the kind's remedy.
    """

    check: str
    code: int
    weight: Weight
    what: str
    values: Mapping[str, str] = field(factory=dict)

    @property
    def kind(self) -> Kind:
        return kinds()[self.code]

    @property
    def cause(self) -> str:
        """What that leads to, and why."""
        return self.kind.cause

    @property
    def remedy(self) -> str:
        """What to do."""
        return self.kind.remedied(self.values)

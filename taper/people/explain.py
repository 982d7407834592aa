"""``taperctl explain``: what a code means, and what to do. It needs no configuration."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Sequence

from protocols.errorcode import WRONG_WORDS
from taper.codes import find, kinds, listing, paragraph
from taper.last_words import tell

_WIDTH = 80


def explain(codes: Sequence[str]) -> int:
    """Print what they mean; without any, print a list of all. :return: the exit status"""
    if not codes:
        sys.stdout.write(listing(kinds().values()))
        return 0
    found = [find(code) for code in codes]
    for code, kind in zip(codes, found, strict=True):
        if kind is None:
            text = (
                f"{code!r} is none of our codes, expected one as TAPER-1001; see taperctl explain"
            )
            return tell("taperctl", text, WRONG_WORDS)
    told = [_wrapped(paragraph(kind)) for kind in found if kind is not None]
    sys.stdout.write("\n".join(told))
    return 0


def _wrapped(text: str) -> str:
    lines = [textwrap.fill(line, _WIDTH, break_on_hyphens=False) for line in text.splitlines()]
    return "\n".join((*lines, ""))

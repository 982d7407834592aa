"""What a browser asks for, and addresses of pages. Nothing in them is believed: every word is
bounded, and what is no number is none."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Generic, TypeVar
from urllib.parse import quote

from attrs import frozen

T = TypeVar("T")

MOST_LETTERS = 4096
_MOST_DIGITS = 7


@frozen
class Asked:
    """The words behind the question mark.

    :ivar words: by their names; of several the first one counts.
    """

    words: Mapping[bytes, Sequence[bytes]]

    def text(self, name: str) -> str | None:
        """A word; None: it is missing, empty, or longer than any name."""
        found = self.words.get(name.encode()) or (b"",)
        if not 0 < len(found[0]) <= MOST_LETTERS:
            return None
        return found[0].decode("utf-8", "surrogateescape")

    @property
    def page(self) -> int:
        """The number of the page of a list, from 1."""
        text = self.text("page") or ""
        number = text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS
        return max(int(text), 1) if number else 1


def address(path: str, **words: object) -> str:
    """A path of ours with words behind it; bytes of names that are no letters keep what they are.

    :param words: without those that are None
    """
    pairs = [
        f"{name}={quote(str(word), safe='', errors='surrogateescape')}"
        for name, word in words.items()
        if word is not None
    ]
    return f"{path}?{'&'.join(pairs)}" if pairs else path


@frozen(kw_only=True)
class Leaf(Generic[T]):
    """One page of a list.

    :ivar number: of the page, from 1.
    :ivar last: of the last one.
    :ivar total: how many there are in the whole list.
    :ivar before: address of the page before; None: there is none.
    :ivar after: likewise.
    """

    items: Sequence[T]
    number: int
    last: int
    total: int
    before: str | None
    after: str | None


def leaf_of(
    everything: Sequence[T], asked: Asked, most: int, path: str, **words: object
) -> Leaf[T]:
    """The page that is asked for; behind the last one it is the last.

    :param most: on a page
    :param words: of the addresses of its neighbours
    """
    last = max(math.ceil(len(everything) / most), 1)
    number = min(asked.page, last)
    return Leaf(
        items=everything[(number - 1) * most : number * most],
        number=number,
        last=last,
        total=len(everything),
        before=address(path, **words, page=number - 1) if number > 1 else None,
        after=address(path, **words, page=number + 1) if number < last else None,
    )

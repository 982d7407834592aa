"""What the codes of errors mean, for people: ``errors.toml`` beside this file, read when it is
wanted. How an error gets its code: :mod:`protocols.errorcode`."""

from __future__ import annotations

import functools
import re
import tomllib
from collections.abc import Iterable, Mapping
from importlib.resources import files

from attrs import frozen

from protocols.errorcode import named

AREAS = {
    1000: "Configuration",
    2000: "Volumes and devices",
    3000: "Changers",
    4000: "Sources of data",
    5000: "Network and NDMP",
    6000: "DirectTCP and rendezvous",
    7000: "Catalogue and restoring",
    8000: "Installation and operation",
    9000: "Internal errors",
}
_CODE = re.compile(r"(?:TAPER-)?([0-9]{4})", re.ASCII | re.IGNORECASE)


@frozen(kw_only=True)
class Kind:
    """One kind of trouble. Words in braces, such as ``{DISK}``, stand for what is known of a case.

    :ivar name: a word for programmers, which stays the same.
    :ivar title: what is wrong, as a clause.
    :ivar meaning: what that means for backups and for what is stored, in sentences.
    :ivar cause: where it comes from, likewise.
    :ivar remedy: what to do, likewise.
    """

    code: int
    name: str
    title: str
    meaning: str
    cause: str
    remedy: str

    @property
    def label(self) -> str:
        return named(self.code)

    def remedied(self, values: Mapping[str, str]) -> str:
        """The remedy of one case. :param values: for the words in braces"""
        return self.remedy.format_map(values)


class _Words(dict[str, str]):
    """Lets each word in braces stand for itself."""

    def __missing__(self, key: str) -> str:
        return key


@functools.cache
def kinds() -> Mapping[int, Kind]:
    """All kinds, by their codes, in order. Blocks."""
    table = tomllib.loads(files("taper").joinpath("errors.toml").read_text("utf-8"))
    return {int(code): Kind(code=int(code), **texts) for code, texts in sorted(table.items())}


def find(text: str) -> Kind | None:
    """The kind of a code as people write it: ``TAPER-1001`` or ``1001``; None: there is none."""
    match = _CODE.fullmatch(text.strip("[] "))
    return None if match is None else kinds().get(int(match[1]))


def paragraph(kind: Kind) -> str:
    """A kind for people, in Markdown."""
    remedy = kind.remedied(_Words())
    return (
        f"{kind.label}: {kind.title}\n\n{kind.meaning}\n\nCause: {kind.cause}\n\nRemedy: {remedy}\n"
    )


def listing(some: Iterable[Kind]) -> str:
    """A line for each."""
    return "".join(f"{kind.label}  {kind.title}\n" for kind in some)

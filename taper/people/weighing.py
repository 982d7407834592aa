"""Dumps that were read in parts, perhaps from several volumes and in any order: is each of them
what was written?

Pure.
"""

from __future__ import annotations

import enum
import functools
import operator
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from attrs import define, field, fields, frozen

from protocols.crc import UNKNOWN, Crc
from protocols.header import Header
from protocols.stored import End
from taper.people.catalogue import Copy, missing_of
from taper.people.findings import Finding, Wrong
from taper.people.telling import count
from taper.plane.crc import flipped_bit, joined

if TYPE_CHECKING:
    from protocols.stored import StoredPart


class Verdict(enum.Enum):
    """What is to be said of a dump."""

    GOOD = "good"
    """All of it was read, and its checksum is the one that was written."""
    DAMAGED = "damaged"
    """Something of it is not what was written, or is not there."""
    UNCOMPARED = "uncompared"
    """All of it was read and its lengths are right, but nobody ever told its checksum."""
    INCOMPLETE = "incomplete"
    """What was read of it is good as far as that can be told; the rest was not read, or the dump
    never was whole."""


@frozen
class Weighed:
    """A dump that was looked at.

    :ivar size: bytes that were read of it.
    """

    copy: Copy
    verdict: Verdict
    size: int


@define
class _Pile:
    """What there is of one dump."""

    copy: Copy
    headers: dict[int, Header] = field(factory=dict)
    crcs: dict[int, Crc] = field(factory=dict)
    block_size: int = 1
    spoiled: bool = False


class Weighing:
    """Gathers the parts of dumps, and judges them in the end. One thread at a time."""

    def __init__(self) -> None:
        self._piles: dict[int, _Pile] = {}

    def _pile(self, copy: Copy) -> _Pile:
        return self._piles.setdefault(id(copy), _Pile(copy))

    def has_header(self, copy: Copy, part: StoredPart, header: Header) -> None:
        """The header of a part, which is that of the dump as far as the log can tell."""
        self._pile(copy).headers[part.number] = header

    def was_read(self, copy: Copy, part: StoredPart, crc: Crc, block_size: int) -> None:
        """A part that has the length that it should have."""
        pile = self._pile(copy)
        pile.crcs[part.number] = crc
        pile.block_size = block_size

    def spoilt(self, copy: Copy) -> None:
        """Something of it is wrong, or not there; that was told already."""
        self._pile(copy).spoiled = True

    def absorb(self, other: Weighing) -> None:
        """Take over all that another one has, of volumes that come next."""
        for pile in other._piles.values():
            mine = self._pile(pile.copy)
            mine.headers |= pile.headers
            mine.crcs |= pile.crcs
            mine.block_size = pile.block_size if pile.crcs else mine.block_size
            mine.spoiled = mine.spoiled or pile.spoiled

    def findings(self) -> list[Finding]:
        """What is wrong besides, when all that there is to see was seen."""
        found = []
        for pile in self._piles.values():
            odd = [*_odd_headers(pile), *_wrong_sums(pile), *_unlogged(pile)]
            pile.spoiled = pile.spoiled or bool(odd)
            found += odd
        return found

    def weighed(self) -> list[Weighed]:
        """What is to be said of each dump; after :meth:`findings`."""
        return [_weigh(pile) for pile in self._piles.values()]


def _weigh(pile: _Pile) -> Weighed:
    dump = pile.copy.dump
    size = sum(crc.size for crc in pile.crcs.values())
    if pile.spoiled:
        verdict = Verdict.DAMAGED
    elif not dump.is_whole or _read_parts(pile) is None:
        verdict = Verdict.INCOMPLETE
    elif not any(crc.known for _, crc in _expected(pile)):
        verdict = Verdict.UNCOMPARED
    else:
        verdict = Verdict.GOOD
    return Weighed(pile.copy, verdict, size)


def _read_parts(pile: _Pile) -> list[Crc] | None:
    """The checksums of all parts in order; None: not all were read."""
    numbers = [part.number for part in pile.copy.dump.parts[: pile.copy.dump.count]]
    if not pile.copy.dump.is_whole or any(number not in pile.crcs for number in numbers):
        return None
    return [pile.crcs[number] for number in numbers]


def _odd_headers(pile: _Pile) -> Iterator[Finding]:
    """Headers that differ from those of the other parts, or from the log."""
    dump = pile.copy.dump
    shared = {number: _common(header) for number, header in pile.headers.items()}
    usual = _usual(shared.values())
    for part in dump.parts:
        header = pile.headers.get(part.number)
        if header is None:
            continue
        odd = _differing(shared[part.number], usual)
        told = [
            f"its header has the {kind} checksum {found}, the log {expected}"
            for kind, found, expected in (
                ("server", header.server_crc, dump.crc),
                ("client", header.client_crc, dump.client_crc),
                ("native", header.native_crc, dump.native_crc),
            )
            if found.known and expected.known and found != expected
        ]
        if dump.is_whole and header.is_partial:
            told.append("its header says that the dump is not whole, the log that it is")
        if dump.is_whole and 0 < header.totalparts != dump.count:
            parts = count(header.totalparts, "part")
            told.append(f"its header tells of {parts}, the log of {dump.count}")
        if odd:
            told.append(f"its header differs from those of other parts in {', '.join(odd)}")
        for text in told:
            yield Finding(
                wrong=Wrong.HEADER,
                text=text,
                volume=part.label,
                file=part.fileno,
                dump=dump.name,
                part=part.number,
            )


def _unlogged(pile: _Pile) -> Iterator[Finding]:
    """Parts that a dump must have had, as it is done, and of which its log does not tell."""
    dump = pile.copy.dump
    if dump.end is End.DONE and not dump.is_whole and dump.parts:
        yield Finding(
            wrong=Wrong.MISSING,
            text=f"it is done, and {missing_of(dump)}",
            volume=dump.parts[0].label,
            volumes=dump.labels,
            dump=dump.name,
        )


def _usual(headers: Iterable[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """What most parts have; where it is as many as have something else, both of them."""
    counted = Counter(headers).most_common()
    return [header for header, number in counted if number == counted[0][1]]


_COMMON = tuple(
    attribute.name
    for attribute in fields(Header)
    if attribute.name not in ("partnum", "totalparts")
)
_common = operator.attrgetter(*_COMMON)
"""What all parts of a dump have in common."""


def _differing(header: tuple[Any, ...], usual: list[tuple[Any, ...]]) -> list[str]:
    """The fields in which a header is not one of the usual, or not the only one of these."""
    others = [other for other in usual if other != header]
    if len(usual) == 1 and not others:
        return []
    pairs = zip(_COMMON, header, others[0], strict=True)
    return [name for name, value, other in pairs if value != other]


def _expected(pile: _Pile) -> list[tuple[str, Crc]]:
    """Checksums of the whole dump, and who tells them."""
    told = [("the log", pile.copy.dump.crc)]
    headers = {header.server_crc for header in pile.headers.values()}
    if len(headers) == 1 and not pile.copy.dump.crc.known:
        told.append(("its header", headers.pop()))
    return told


def _wrong_sums(pile: _Pile) -> Iterator[Finding]:
    crcs = _read_parts(pile)
    if crcs is None:
        return
    found = functools.reduce(joined, crcs, UNKNOWN)
    for teller, expected in _expected(pile):
        if expected.known and found != expected:
            yield _wrong_sum(pile, found, expected, f"{teller} says {expected}")


def _wrong_sum(pile: _Pile, found: Crc, expected: Crc, told: str) -> Finding:
    dump = pile.copy.dump
    parts = dump.parts[: dump.count]
    text = f"its checksum is {found}, {told}"
    part, byte = _explained(pile, found, expected)
    if len(parts) == 1:
        (part,) = parts
        text += "" if byte is None else "; one flipped bit explains it"
    else:
        # other damage looks like one flipped bit as well, and the larger a dump is the more often
        where = "the damage is in" if part is None else "one flipped bit here explains it, as would"
        some = "one" if part is None else "more damage in one"
        places = ", ".join(part.place for part in parts)
        text += f"; {where} {some} of its {count(len(parts), 'part')}: {places}"
    return Finding(
        wrong=Wrong.CHECKSUM,
        text=text,
        volume=(part or parts[0]).label,
        volumes=() if len(parts) == 1 else dump.labels,
        file=None if part is None else part.fileno,
        dump=dump.name,
        part=None if part is None else part.number,
        block=None if byte is None else byte // pile.block_size,
        byte=byte,
    )


def _explained(
    pile: _Pile, found: Crc, expected: Crc
) -> tuple[StoredPart, int] | tuple[None, None]:
    """The part, and the byte in it, where one flipped bit explains the difference."""
    flipped = flipped_bit(found, expected)
    if flipped is None:
        return None, None
    byte, _ = flipped
    for part in pile.copy.dump.parts:
        length = pile.crcs[part.number].size
        if byte < length:
            return part, byte
        byte -= length
    return None, None

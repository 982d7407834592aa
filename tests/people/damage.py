"""What can happen to volumes, done to files in memory: one damage after the other, each by dice.

The law that :meth:`Damage.demanded` states: whatever somebody else tells of too (the log, the other
parts of the dump, a checksum) is missed when it is another. What nobody else tells of, as the
program in the header of a dump of one part, can be anything.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

from attrs import evolve, field, fields, frozen

from protocols.crc import Crc
from protocols.header import Header, HeaderError, HeaderType, build_header, parse_header
from protocols.stored import StoredPart, full_stamp
from taper.people.catalogue import Catalogue, Copy

HEADER = BLOCK = 32768
"""Bytes of a header, and of a block behind it."""
DUMPS = frozenset({HeaderType.DUMPFILE, HeaderType.SPLIT_DUMPFILE, HeaderType.CONT_DUMPFILE})
LOGGED = {"host", "disk", "level", "partnum"}
"""What of a header the log tells, besides its time and checksums."""
NAMES = tuple(one.name for one in fields(Header))

parse = lru_cache(maxsize=256)(parse_header)

Volume = dict[int, bytes]
"""The files of a vtape, by their numbers."""
Place = tuple[str, int]
"""A label, and the number of a file."""


@frozen(kw_only=True)
class Damage:
    """What was done.

    :ivar kind: in a word.
    :ivar volumes: those that are no longer what they were.
    :ivar places: of all files that are others now.
    :ivar block: of the part in which it is, where that must be told.
    """

    kind: str
    volumes: dict[str, Volume]
    places: frozenset[Place]
    block: int | None = None

    def demanded(
        self, whole: dict[str, Volume], catalogue: Catalogue
    ) -> Iterator[tuple[Place, Copy]]:
        """The parts, and the labels with each of the dumps that are behind it, that must be missed.

        :param whole: the volumes as they were
        """
        for label, number in self.places:
            if number == 0:
                if _label_differs(whole[label].get(0), self.volumes[label].get(0)):
                    yield from (((label, 0), copy) for copy in catalogue.on(label))
                continue
            for copy, part in catalogue.parts_on(label):
                if part.fileno == number and isinstance(part, StoredPart):
                    old, new = whole[label][number], self.volumes[label].get(number)
                    if _part_differs(copy, part, old, new):
                        yield (label, number), copy


def _label_differs(old: bytes | None, new: bytes | None) -> bool:
    one, other = parse((old or b"")[:HEADER]), parse((new or b"")[:HEADER])
    said = [(it.type, it.label, full_stamp(it.datestamp)) for it in (one, other)]
    return said[0] != said[1]


def _part_differs(copy: Copy, part: StoredPart, old: bytes, new: bytes | None) -> bool:
    if not new or new[HEADER:] != old[HEADER:]:
        more = (new or b"")[len(old) :]
        padded = bool(more) and more.count(0) == len(more) < BLOCK
        if not new or not padded or new[HEADER : len(old)] != old[HEADER:]:
            return True
    one, other = parse(old[:HEADER]), parse(new[:HEADER])
    if other.type not in DUMPS:
        return True
    differing = {name for name in NAMES if getattr(one, name) != getattr(other, name)}
    same_time = full_stamp(one.datestamp) == full_stamp(other.datestamp)
    if differing & LOGGED or not same_time or ("is_partial" in differing and other.is_partial):
        return True
    if "totalparts" in differing and other.totalparts > 0:
        return other.totalparts != copy.dump.count
    if copy.dump.count > 1:
        return bool(differing - {"totalparts"})  # the other parts say something else
    told: list[tuple[Crc, Crc]] = [
        (getattr(other, name), expected)
        for name, expected in (
            ("server_crc", copy.dump.crc),
            ("client_crc", copy.dump.client_crc),
            ("native_crc", copy.dump.native_crc),
        )
        if name in differing
    ]
    return any(found.known and expected.known for found, expected in told)


@frozen
class Dice:
    """Damages volumes.

    :ivar whole: the volumes as they are.
    """

    dice: random.Random
    whole: dict[str, Volume]
    headers: list[bytes] = field(init=False, factory=list)

    def throw(self) -> Damage:
        """Do one thing."""
        kind = self.dice.choice(_KINDS)
        label, number = self._somewhere()
        if kind in _PAIRS:
            return self._two(kind, label, number)
        old = self.whole[label][number]
        new, block = _KINDS_OF_ONE[kind](self, old)
        return self._made(kind, {(label, number): new}, block)

    def _made(
        self, kind: str, changed: dict[Place, bytes | None], block: int | None = None
    ) -> Damage:
        volumes = {label: dict(self.whole[label]) for label, _ in changed}
        for (label, number), data in changed.items():
            if data is None:
                volumes[label].pop(number, None)
            else:
                volumes[label][number] = data
        places = frozenset(
            (label, number)
            for label, number in changed
            if volumes[label].get(number) != self.whole[label].get(number)
        )
        return Damage(kind=kind, volumes=volumes, places=places, block=block)

    def _somewhere(self) -> Place:
        label = self.dice.choice(list(self.whole))
        return label, self.dice.choice(list(self.whole[label]))

    # within one file

    def place(self, data: bytes) -> int:
        """Where: half of the time in the payload, else in the header's text or behind it."""
        payload = len(data) - HEADER
        if payload and self.dice.random() < 0.5:
            return HEADER + self.dice.randrange(payload)
        text = data.index(b"\0")
        return self.dice.randrange(text if self.dice.random() < 0.9 else HEADER)

    def block(self, data: bytes) -> int:
        """Where a block begins, of the payload or the header."""
        return self.dice.randrange(len(data) // BLOCK + bool(len(data) % BLOCK)) * BLOCK

    def flip(self, data: bytes) -> tuple[bytes, int | None]:
        """One bit."""
        place, changed = self.place(data), bytearray(data)
        changed[place] ^= 1 << self.dice.randrange(8)
        return bytes(changed), (place - HEADER) // BLOCK if place >= HEADER else None

    def flips(self, data: bytes) -> tuple[bytes, None]:
        """Several bits, near each other or not."""
        changed = bytearray(data)
        for _ in range(self.dice.randrange(2, 40)):
            changed[self.place(data)] ^= 1 << self.dice.randrange(8)
        return bytes(changed), None

    def garble(self, data: bytes) -> tuple[bytes, None]:
        """Some bytes, or a block, are others."""
        size = self.dice.choice([1, 2, 9, 512, BLOCK])
        place = self.block(data) if size == BLOCK else self.place(data)
        size = min(size, len(data) - place)
        return data[:place] + self.dice.randbytes(size) + data[place + size :], None

    def zero(self, data: bytes) -> tuple[bytes, None]:
        """Some bytes, a block, or all from some place on, are zeros."""
        size = self.dice.choice([7, 512, BLOCK, len(data)])
        place = self.block(data) if size == BLOCK else self.place(data)
        size = min(size, len(data) - place)
        return data[:place] + bytes(size) + data[place + size :], None

    def drop(self, data: bytes) -> tuple[bytes, None]:
        """Some bytes are gone, or a block; what follows has moved up."""
        size = self.dice.choice([1, 7, 512, BLOCK])
        place = self.block(data) if size == BLOCK else self.place(data)
        return data[:place] + data[place + size :], None

    def double(self, data: bytes) -> tuple[bytes, None]:
        """Some bytes are there twice, or a block."""
        size = self.dice.choice([1, 7, 512, BLOCK])
        place = self.block(data) if size == BLOCK else self.place(data)
        return data[: place + size] + data[place:], None

    def swap(self, data: bytes) -> tuple[bytes, None]:
        """Two places, or blocks, are exchanged."""
        size = self.dice.choice([1, 4, 512, BLOCK])
        where = self.block if size == BLOCK else self.place
        one, two = sorted((where(data), where(data)))
        two = max(two, one + size)
        return (
            data[:one]
            + data[two : two + size]
            + data[one + size : two]
            + data[one : one + size]
            + data[two + size :]
        ), None

    def truncate(self, data: bytes) -> tuple[bytes, int | None]:
        """It ends early."""
        place = self.block(data) if self.dice.random() < 0.5 else self.place(data)
        return data[:place], (place - HEADER) // BLOCK if place >= HEADER else None

    def append(self, data: bytes) -> tuple[bytes, None]:
        """Something follows that was not there."""
        size = self.dice.choice([1, 511, BLOCK, 3 * BLOCK + 5])
        more = bytes(size) if self.dice.random() < 0.3 else self.dice.randbytes(size)
        return data + more, None

    def reword(self, data: bytes) -> tuple[bytes, None]:
        """A field of the header is another one, and nothing else."""
        old = parse(data[:HEADER])
        for _ in range(9):
            name = self.dice.choice(NAMES)
            try:
                header = build_header(evolve(old, **{name: self._other(old, name)}), HEADER, None)
            except HeaderError:
                continue
            return header + data[HEADER:], None
        return data, None

    def _other(self, header: Header, name: str) -> Any:
        value = getattr(header, name)
        if isinstance(value, HeaderType):
            return self.dice.choice(list(HeaderType))
        if isinstance(value, bool):
            return not value
        if isinstance(value, int):
            return value + self.dice.choice([-1, 1, 2, 1000])
        if isinstance(value, Crc):
            return self.dice.choice([Crc(value.value ^ 1, value.size), Crc(7, 1000), Crc(0, 0)])
        if name == "datestamp":
            return self.dice.choice([value[:8], "20010101", f"{value[:-1]}1", "X"])
        return self.dice.choice([f"{value}x", value[:-1], "other", ""])

    # with two files

    def _two(self, kind: str, label: str, number: int) -> Damage:
        other = label if self.dice.random() < 0.5 else self.dice.choice(list(self.whole))
        second = self.dice.choice(list(self.whole[other]))
        one, two = self.whole[label][number], self.whole[other][second]
        changed: dict[Place, bytes | None]
        if kind == "lose":
            # a label is emptied, as nobody would look for the volume
            changed = {(label, number): None if number and self.dice.random() < 0.8 else b""}
        elif kind == "rename":
            free = self.dice.choice([max(self.whole[other]) + 1, 77, 2**31 - 1, number + 1])
            changed = {(label, number): None if number else b"", (other, free): one}
        elif kind == "copy":
            changed = {(other, second): one}
        elif kind == "exchange":
            changed = {(label, number): two, (other, second): one}
        elif kind == "exchange headers":
            changed = {
                (label, number): two[:HEADER] + one[HEADER:],
                (other, second): one[:HEADER] + two[HEADER:],
            }
        else:
            first, last = self.block(one), self.block(two)
            changed = {
                (label, number): _with(one, first, two[last : last + BLOCK]),
                (other, second): _with(two, last, one[first : first + BLOCK]),
            }
        return self._made(kind, changed)


def _with(data: bytes, place: int, block: bytes) -> bytes:
    return data[:place] + block + data[place + BLOCK :]


_KINDS_OF_ONE: dict[str, Callable[[Dice, bytes], tuple[bytes, int | None]]] = {
    "flip": Dice.flip,
    "flips": Dice.flips,
    "garble": Dice.garble,
    "zero": Dice.zero,
    "drop": Dice.drop,
    "double": Dice.double,
    "swap": Dice.swap,
    "truncate": Dice.truncate,
    "append": Dice.append,
    "reword": Dice.reword,
}
_PAIRS = ("lose", "rename", "copy", "exchange", "exchange headers", "exchange blocks")
_KINDS = (*_KINDS_OF_ONE, "flip", "flip", *_PAIRS)
KINDS = frozenset(_KINDS)

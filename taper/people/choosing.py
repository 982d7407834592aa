"""What the command line wants verified, and with how many drives."""

from __future__ import annotations

import random
from collections.abc import Iterable
from typing import TYPE_CHECKING

from attrs import frozen

from taper.last_words import CannotStart

if TYPE_CHECKING:
    import argparse

    from protocols.conf import Storage
    from taper.people.catalogue import Catalogue, Copy

MOST_DRIVES = 64
"""Each has threads of its own."""


@frozen
class Task:
    """What is to be verified.

    :ivar labels: the volumes, in the order of loading.
    :ivar copies: the dumps that are read; None: all that is on the volumes.
    """

    labels: tuple[str, ...]
    copies: frozenset[int] | None = None

    def wants(self, copy: Copy | None) -> bool:
        """A part of this dump is to be read; None: one that no log tells of."""
        return self.copies is None or (copy is not None and id(copy) in self.copies)


def drives_of(wanted: int | None, usual: int) -> int:
    """How many drives may be used at a time.

    :param wanted: what the command line says
    :raise CannotStart: it makes no sense
    """
    if wanted is None:
        return usual
    if not 1 <= wanted <= MOST_DRIVES:
        raise CannotStart(f"--drives {wanted}: 1 to {MOST_DRIVES} expected", code=1001)
    return wanted


def choose(
    catalogue: Catalogue,
    storages: Iterable[Storage],
    options: argparse.Namespace,
    dice: random.Random,
    config: str,
) -> Task:
    """What the command line asks for. Where it names no storage, also volumes of one that is no
    more: they may be in any changer.

    :param config: name of the configuration
    :raise CannotStart: it asks for nothing, or for several things at once
    """
    ways = [bool(options.volumes), options.all, options.sample is not None]
    if sum(ways) != 1:
        raise CannotStart("name the volumes to verify, or say --all or --sample PERCENT", code=1001)
    if options.volumes:
        return Task(tuple(dict.fromkeys(options.volumes)))
    names = {storage.name for storage in storages}
    labels = tuple(
        entry.label
        for entry in reversed(catalogue.tapelist.entries)
        if entry.datestamp not in ("0", "1")
        and (
            entry.storage in (None, *names)
            or (options.storage is None and entry.config in (None, config))
        )
    )
    if options.all:
        return Task(labels)
    return _sample(catalogue, labels, _percent(options.sample), dice)


def _percent(text: str) -> float:
    """:raise CannotStart: it is none"""
    try:
        percent = float(text.removesuffix("%"))
    except ValueError:
        percent = 0.0
    if not 0 < percent <= 100:
        raise CannotStart(f"--sample {text}: a number over 0 up to 100 expected", code=1001)
    return percent


def _sample(
    catalogue: Catalogue, labels: tuple[str, ...], percent: float, dice: random.Random
) -> Task:
    """Whole dumps, as only they have checksums, drawn until there are so many bytes."""
    known = set(labels)
    there = [copy for copy in catalogue.copies if copy.restorable and known & {*copy.dump.labels}]
    wanted = sum(copy.dump.size for copy in there) * percent / 100
    dice.shuffle(there)
    chosen: list[Copy] = []
    size_of_all = 0
    while there and (not chosen or size_of_all < wanted):
        chosen.append(there.pop())
        size_of_all += chosen[-1].dump.size
    needed = {label for copy in chosen for label in copy.dump.labels}
    order = [entry.label for entry in reversed(catalogue.tapelist.entries)]
    return Task(tuple(label for label in order if label in needed), frozenset(map(id, chosen)))

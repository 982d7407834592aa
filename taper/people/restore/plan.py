"""Which dumps are restored, in which order, and from which volumes.

Pure: what is known of dumps and volumes goes in, a plan comes out.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import datetime
from itertools import pairwise
from typing import TYPE_CHECKING

from attrs import frozen

from protocols.records import Record
from taper.last_words import CannotStart
from taper.people.telling import moment

if TYPE_CHECKING:
    from protocols.stored import StoredDump

HOLDING = "HOLDING"
"""The storage of dumps that wait on a holding disk."""

_STAMP_DIGITS = 14
_DATE = re.compile(r"(\d{4})-?(\d\d)-?(\d\d)(?:[ T]?(\d\d):?(\d\d)(?::?(\d\d))?)?", re.ASCII)


class NothingToRestore(CannotStart):
    """There is no such dump; the text says what there is instead."""

    taper_code = 7002


def latest(date: str) -> str:
    """The last moment that a date means, as 14 digits: the end of the day, if no time is told.

    :raise ValueError: it is no date
    """
    found = _DATE.fullmatch(date)
    if found is None:
        raise ValueError(f"'{date}' is no date: expected YYYY-MM-DD, with HH:MM or HH:MM:SS or not")
    try:
        datetime(*(int(part) for part in found.groups(default="0")))  # type: ignore[arg-type]
    except ValueError as fault:
        raise ValueError(f"'{date}' is no date: {fault}") from fault
    digits = "".join(part for part in found.groups() if part is not None)
    return digits.ljust(_STAMP_DIGITS, "9")


@frozen(kw_only=True)
class Restorable:
    """A complete dump that is on volumes, or on a holding disk.

    :ivar datestamp: 14 digits.
    :ivar size: bytes as stored; None: not known.
    :ivar dump: on volumes.
    :ivar holding: path of its first holding file.
    """

    datestamp: str
    level: int
    size: int | None
    dump: StoredDump | None = None
    holding: str | None = None

    @property
    def storage(self) -> str:
        return HOLDING if self.dump is None else self.dump.name.storage

    @property
    def key(self) -> tuple[str, int]:
        """The same for all copies of a dump."""
        return self.datestamp, self.level


class Need(Record, kw_only=True):
    """A volume that is read.

    :ivar parts: how many of them are wanted.
    :ivar size: bytes; None: not known.
    :ivar slot: that it is in; None: no changer knows it.
    :ivar hidden: it may be in a slot whose content is not known.
    """

    label: str
    storage: str
    parts: int
    size: int | None
    slot: str | None = None
    hidden: bool = False

    @property
    def missing(self) -> bool:
        """Somebody has to bring it."""
        return self.slot is None and not self.hidden


class Step(Record, kw_only=True):
    """One dump that is restored.

    :ivar paths: what is wanted of it; none: everything.
    :ivar needs: its volumes in order of reading.
    :ivar others: storages that have a copy, too.
    """

    copy: Restorable
    paths: tuple[str, ...] = ()
    needs: tuple[Need, ...] = ()
    others: tuple[str, ...] = ()


class Newer(Record, kw_only=True):
    """A dump that is newer than all that is restored, and cannot be restored.

    :ivar why: what is missing of it.
    """

    datestamp: str
    level: int
    why: str


class Plan(Record, kw_only=True):
    """What is going to be done, and in which order.

    :ivar base_missing: the first dump builds on one that is nowhere any more.
    :ivar lost: datestamp and level of dumps between those of the plan that cannot be restored,
        and that one of these may build on.
    :ivar gap: a dump builds on one of the level below it, which nothing tells of.
    :ivar passed_over: dumps that have nothing that is wanted.
    :ivar alone: what the dump builds on is not wanted.
    :ivar newer: what would have been restored instead, if it were there.
    :ivar to_come: the datestamp of the last dump, if that is a moment which is still to come.
    """

    host: str
    disk: str
    steps: tuple[Step, ...]
    base_missing: bool = False
    lost: tuple[tuple[str, int], ...] = ()
    gap: bool = False
    passed_over: tuple[Restorable, ...] = ()
    alone: bool = False
    newer: tuple[Newer, ...] = ()
    to_come: str | None = None

    @property
    def complete(self) -> bool:
        """All that its dumps build on is among them, as far as is known."""
        return not (self.base_missing or self.lost or self.gap)

    @property
    def missing(self) -> tuple[str, ...]:
        """Labels of volumes that somebody has to bring."""
        needs = (need for step in self.steps for need in step.needs if need.missing)
        return tuple(dict.fromkeys(need.label for need in needs))

    @property
    def size(self) -> int | None:
        """Bytes to read; None: not known."""
        sizes = [step.copy.size for step in self.steps]
        return None if None in sizes else sum(size or 0 for size in sizes)


class Contents(Record):
    """What the changer of a storage has.

    :ivar slots: label to slot.
    :ivar hidden: there are slots whose content is not known.
    """

    slots: Mapping[str, str]
    hidden: bool = False


def choose(
    copies: Iterable[Restorable], until: str | None, level: int | None
) -> list[list[Restorable]]:
    """The dumps to restore, the first one first, each with all its copies.

    Each dump builds on the one of a lower level that was the last one before it.

    :param until: the last datestamp that counts; None: any
    :param level: only the newest dump of this level, without what it builds on
    :raise NothingToRestore: there is none
    """
    found: dict[tuple[str, int], list[Restorable]] = {}
    for copy in copies:
        found.setdefault(copy.key, []).append(copy)
    if not found:
        raise NothingToRestore("there is no complete dump of it")
    keys = sorted(key for key in found if until is None or key[0] <= until)
    if level is not None:
        keys = [key for key in keys if key[1] == level]
    if not keys:
        raise NothingToRestore(_what_there_is(found, until, level))
    if level is not None:
        return [found[keys[-1]]]
    chain = [keys[-1]]
    for key in reversed(keys):
        if key[1] < chain[-1][1]:
            chain.append(key)
    return [found[key] for key in reversed(chain)]


def _what_there_is(found: Iterable[tuple[str, int]], until: str | None, level: int | None) -> str:
    of = "" if level is None else f" of level {level}"
    by = "" if until is None else f" of {moment(until.removesuffix('9' * 6))} or before"
    known = ", ".join(f"{moment(stamp)} (level {number})" for stamp, number in sorted(found))
    return f"there is no dump{of}{by}; there are those of {known}"


def make_plan(
    host: str,
    disk: str,
    chain: list[list[Restorable]],
    contents: Mapping[str, Contents],
    wanted: Mapping[tuple[str, int], tuple[str, ...]],
    paths: tuple[str, ...] = (),
    *,
    alone: bool = False,
    lost: Collection[tuple[str, int]] = (),
    newer: tuple[Newer, ...] = (),
) -> Plan:
    """Settle from which copies.

    :param chain: from :func:`choose`
    :param contents: of the changers, by storage
    :param wanted: what of a dump is wanted, where an index tells it; of others it is all paths
    :param paths: what is wanted at all; none: everything
    :param alone: what the dump builds on is not wanted
    :param lost: datestamp and level of dumps that are known, and cannot be restored
    :param newer: those of them that would have been the last one
    """
    keys = [copies[0].key for copies in chain]
    steps: list[Step] = []
    passed_over: list[Restorable] = []
    for copies in chain:
        best = min(copies, key=lambda copy: _trouble(copy, contents))
        its = wanted.get(best.key, paths)
        if paths and not its:
            passed_over.append(best)
            continue
        needs = tuple(_needs(best, contents.get(best.storage)))
        others = dict.fromkeys(copy.storage for copy in copies if copy is not best)
        steps.append(Step(copy=best, paths=its, needs=needs, others=tuple(others)))
    return Plan(
        host=host,
        disk=disk,
        steps=tuple(steps),
        base_missing=not alone and chain[0][0].level > 0,
        lost=tuple(sorted(key for pair in pairwise(keys) for key in lost if _between(key, *pair))),
        gap=any(later[1] - before[1] > 1 for before, later in pairwise(keys)),
        passed_over=tuple(passed_over),
        alone=alone,
        newer=newer,
    )


def _between(key: tuple[str, int], before: tuple[str, int], later: tuple[str, int]) -> bool:
    """``later`` would build on that dump, not on ``before``, if it were there."""
    return before[0] < key[0] < later[0] and key[1] < later[1]


def _trouble(copy: Restorable, contents: Mapping[str, Contents]) -> tuple[int, int]:
    """What a copy costs people: volumes to bring, and volumes at all."""
    needs = list(_needs(copy, contents.get(copy.storage)))
    return sum(need.missing for need in needs), len(needs)


def _needs(copy: Restorable, contents: Contents | None) -> Iterator[Need]:
    if copy.dump is None:
        return
    for label in copy.dump.labels:
        sizes = [part.size for part in copy.dump.parts if part.label == label]
        yield Need(
            label=label,
            storage=copy.storage,
            parts=len(sizes),
            size=None if None in sizes else sum(size or 0 for size in sizes),
            slot=None if contents is None else contents.slots.get(label),
            hidden=contents is not None and contents.hidden,
        )

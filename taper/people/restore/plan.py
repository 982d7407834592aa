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
from taper.people.telling import moment, printable
from taper.recovery.loading_ahead import Coming

if TYPE_CHECKING:
    from protocols.stored import StoredDump, StoredPart

HOLDING = "HOLDING"
"""The storage of dumps that wait on a holding disk."""

_STAMP_DIGITS = 14
_MOST_TOLD = 5
"""Dumps that are not whole, and that a refusal names."""
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
    """A dump that is on volumes, or on a holding disk.

    :ivar datestamp: 14 digits.
    :ivar size: bytes as stored, of one that is not whole what there is; None: not known.
    :ivar dump: on volumes.
    :ivar holding: path of its first holding file.
    :ivar lacks: what it wants to be whole, as a clause for people; None: nothing.
    :ivar unfinished: it was never whole, or nobody knows it.
    :ivar gone: labels of its volumes that cannot be had, and why; an empty one is that of parts of
        which nobody knows where they are.
    """

    datestamp: str
    level: int
    size: int | None
    dump: StoredDump | None = None
    holding: str | None = None
    lacks: str | None = None
    unfinished: bool = False
    gone: tuple[tuple[str, str], ...] = ()

    @property
    def storage(self) -> str:
        return HOLDING if self.dump is None else self.dump.name.storage

    @property
    def key(self) -> tuple[str, int]:
        """The same for all copies of a dump."""
        return self.datestamp, self.level

    @property
    def parts(self) -> tuple[StoredPart, ...]:
        """Those on volumes that may be had, in order."""
        gone = dict(self.gone)
        parts = () if self.dump is None else self.dump.parts
        return tuple(part for part in parts if part.label not in gone)

    @property
    def labels(self) -> tuple[str, ...]:
        """The volumes that may be had, in the order of reading."""
        return tuple(dict.fromkeys(part.label for part in self.parts))


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


class Lacking(Record, kw_only=True):
    """A dump that is not restored, as it is not whole.

    :ivar why: what is missing of it.
    :ivar left: there is something of it.
    """

    datestamp: str
    level: int
    why: str
    left: bool = False


class Plan(Record, kw_only=True):
    """What is going to be done, and in which order.

    :ivar base_missing: the first dump builds on one that is not there as a whole.
    :ivar base: which that is, if anything tells of it.
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
    base: Lacking | None = None
    lost: tuple[tuple[str, int], ...] = ()
    gap: bool = False
    passed_over: tuple[Restorable, ...] = ()
    alone: bool = False
    newer: tuple[Lacking, ...] = ()
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
    copies: Iterable[Restorable],
    until: str | None,
    level: int | None,
    remains: Iterable[Restorable] = (),
) -> list[list[Restorable]]:
    """The dumps to restore, the first one first, each with all its copies.

    Each dump builds on the one of a lower level that was the last one before it.

    :param copies: that are whole
    :param until: the last datestamp that counts; None: any
    :param level: only the newest dump of this level, without what it builds on
    :param remains: copies that are not whole, for where there is none that is: as the last dump,
        and as what the first whole one builds on
    :raise NothingToRestore: there is none
    """
    whole, rest = _by_key(copies), _by_key(remains)
    keys = [key for key in whole if is_meant(key, until, level)]
    others = [key for key in rest if is_meant(key, until, level) and key not in whole]
    if not keys and not others:
        known = whole | rest
        if not known:
            raise NothingToRestore("there is no complete dump of it")
        raise NothingToRestore(_what_there_is(known, until, level))
    chain = [max(keys or others)]
    for some in () if level is not None else (keys, others):
        for key in sorted(some, reverse=True):
            if key < chain[-1] and key[1] < chain[-1][1]:
                chain.append(key)
    found = rest | whole
    return [found[key] for key in reversed(chain)]


def is_meant(key: tuple[str, int], until: str | None, level: int | None) -> bool:
    """A dump is one of those to choose from; see :func:`choose`."""
    return (until is None or key[0] <= until) and (level is None or key[1] == level)


def _by_key(copies: Iterable[Restorable]) -> dict[tuple[str, int], list[Restorable]]:
    found: dict[tuple[str, int], list[Restorable]] = {}
    for copy in copies:
        found.setdefault(copy.key, []).append(copy)
    return found


def why_not(
    refusal: str,
    remains: Iterable[Restorable],
    lost: Iterable[Lacking],
    *,
    partial: bool,
    elsewhere: Iterable[str] = (),
) -> str:
    """What is told where there is no whole dump of what is meant: which there are, why they are
    not whole, and what can be done.

    :param refusal: of :func:`choose`
    :param remains: that are meant, the newest first
    :param lost: all dumps that are meant and not whole, the newest first
    :param partial: it was asked for what is left of them
    :param elsewhere: storages that were not asked for, and have whole ones that are meant
    """
    others = ", ".join(map(printable, sorted(set(elsewhere))))
    if others:
        return f"{refusal}; without --storage, there is one on {others}"
    left = [
        f"level {one.level} of {moment(one.datestamp)} on {printable(one.storage)} "
        f"({printable(one.lacks or '')})"
        for one in remains
    ]
    if left and not partial:
        return (
            f"{refusal}. Not whole: {_some_of(left)}. Say --partial to restore what there is of it"
        )
    known = [f"level {one.level} of {moment(one.datestamp)} ({printable(one.why)})" for one in lost]
    return f"{refusal}. Not whole: {_some_of(known)}" if known else refusal


def _some_of(texts: list[str]) -> str:
    more = len(texts) - _MOST_TOLD
    return ", ".join(texts[:_MOST_TOLD]) + (f", and {more} more" if more > 0 else "")


def base_of(chain: list[list[Restorable]], lost: Iterable[Lacking]) -> Lacking | None:
    """The dump that the first one builds on, among those that are not whole."""
    stamp, level = chain[0][0].key
    before = [one for one in lost if one.datestamp <= stamp and one.level < level]
    return max(before, key=lambda one: (one.datestamp, one.level), default=None)


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
    newer: tuple[Lacking, ...] = (),
    base: Lacking | None = None,
) -> Plan:
    """Settle from which copies.

    :param chain: from :func:`choose`
    :param contents: of the changers, by storage
    :param wanted: what of a dump is wanted, where an index tells it; of others it is all paths
    :param paths: what is wanted at all; none: everything
    :param alone: what the dump builds on is not wanted
    :param lost: datestamp and level of dumps that are known, and cannot be restored
    :param newer: those of them that would have been the last one
    :param base: that of them that the first one builds on
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
        base=base,
        lost=tuple(sorted(key for pair in pairwise(keys) for key in lost if _between(key, *pair))),
        gap=any(later[1] - before[1] > 1 for before, later in pairwise(keys)),
        passed_over=tuple(passed_over),
        alone=alone,
        newer=newer,
    )


def _between(key: tuple[str, int], before: tuple[str, int], later: tuple[str, int]) -> bool:
    """``later`` would build on that dump, not on ``before``, if it were there."""
    return before[0] < key[0] < later[0] and key[1] < later[1]


def _trouble(copy: Restorable, contents: Mapping[str, Contents]) -> tuple[int, int, int]:
    """What a copy costs people: of those that are not whole bytes that are not there, then volumes
    to bring, and volumes at all."""
    needs = list(_needs(copy, contents.get(copy.storage)))
    at_hand = 0
    if copy.lacks is not None:
        away = {need.label for need in needs if need.missing}
        at_hand = sum(part.about for part in copy.parts if part.label not in away)
        at_hand += (copy.size or 0) if copy.dump is None else 0
    return -at_hand, sum(need.missing for need in needs), len(needs)


def _needs(copy: Restorable, contents: Contents | None) -> Iterator[Need]:
    for label in copy.labels:
        sizes = [part.size for part in copy.parts if part.label == label]
        yield Need(
            label=label,
            storage=copy.storage,
            parts=len(sizes),
            size=None if None in sizes else sum(size or 0 for size in sizes),
            slot=None if contents is None else contents.slots.get(label),
            hidden=contents is not None and contents.hidden,
        )


def coming(plan: Plan, storage: str) -> Iterator[Coming]:
    """The volumes of a storage that are thought to be there, in the order of reading."""
    for step in plan.steps:
        if step.copy.storage != storage or step.copy.dump is None:
            continue
        missing = {need.label for need in step.needs if need.missing}
        first: dict[str, int] = {}
        for part in step.copy.parts:
            first.setdefault(part.label, part.fileno)
        yield from (Coming(label, file) for label, file in first.items() if label not in missing)

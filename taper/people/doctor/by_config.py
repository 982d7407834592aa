"""Checks of what a configuration says, against the dumps that there are. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from taper.people.catalogue import Copy, HeldDump
from taper.people.doctor.advice import Advice, Weight
from taper.people.telling import count, printable, size

if TYPE_CHECKING:
    from protocols.conf import Config, Storage
    from taper.people.catalogue import Catalogue
    from taper.people.shelf import Shelf

_KIB = 1024
_ROOM = 0.95
"""The share of a volume that a dump may have without being called large for it."""


def part_size(
    config: Config, storages: Iterable[Storage], catalogue: Catalogue
) -> Iterator[Advice]:
    """Dumps that are too large for a volume, where they are not divided."""
    for storage in storages:
        tapetype = config.tapetype(storage.tapetype)
        if tapetype is None or tapetype.part_size or not tapetype.length:
            continue
        if any(_divided(dump, storage.name) for dump in catalogue.of()):
            continue  # something else says how
        sizes = [_size(dump, storage.name) for dump in catalogue.of()]
        largest, length = max(sizes, default=0), tapetype.length * _KIB
        if largest > length * _ROOM:
            yield Advice(
                check="part-size",
                code=1030,
                weight=Weight.WRONG,
                what=(
                    f"Storage {printable(storage.name)} has no part-size; its volumes hold "
                    f"{size(length)}, and a dump has {size(largest)}."
                ),
                values={"TAPETYPE": printable(tapetype.name), "SIZE": size(length // 20)},
            )


def _divided(dump: Copy | HeldDump, storage: str) -> bool:
    if isinstance(dump, HeldDump):
        return False
    return dump.dump.name.storage == storage and len(dump.dump.parts) > 1


def _size(dump: Copy | HeldDump, storage: str) -> int:
    """Bytes of a dump that may have to go to a storage."""
    if isinstance(dump, HeldDump):
        return dump.size
    return dump.dump.size if dump.dump.name.storage == storage else 0


def retention(config: Config, storages: Iterable[Storage]) -> Iterator[Advice]:
    """Volumes that are written over before the next full dump is made."""
    general = config.general
    runs = general.runspercycle or general.dumpcycle
    for storage in storages:
        policy = config.policy(storage.policy)
        kept = policy.retention_tapes if policy is not None else general.tapecycle
        others = policy is not None and (
            policy.retention_days or policy.retention_full or policy.retention_recover
        )
        if others or not runs:
            continue
        name, needed = printable(storage.name), storage.runtapes * runs
        if kept < storage.runtapes:
            yield Advice(
                check="tapecycle",
                code=1031,
                weight=Weight.WRONG,
                what=(
                    f"Storage {name} keeps {count(kept, 'volume')}, and a run may write "
                    f"{storage.runtapes}."
                ),
                values={"VOLUMES": str(needed + storage.runtapes)},
            )
        elif kept < needed:
            yield Advice(
                check="tapecycle",
                code=1032,
                weight=Weight.RISK,
                what=(
                    f"Storage {name} keeps {count(kept, 'volume')}; the {runs} runs of a dumpcycle "
                    f"may write {needed}."
                ),
                values={"VOLUMES": str(needed + storage.runtapes)},
            )


def slots(config: Config, shelves: Sequence[Shelf]) -> Iterator[Advice]:
    """Changers that have fewer volumes than are kept."""
    for shelf in shelves:
        policies = (config.policy(storage.policy) for storage in shelf.storages)
        kept = max((policy.retention_tapes for policy in policies if policy is not None), default=0)
        runtapes = max((storage.runtapes for storage in shelf.storages), default=1)
        there = sum(not entry.import_export for entry in shelf.entries)
        if shelf.trouble is None and 0 < there < kept + runtapes:
            yield Advice(
                check="slots",
                code=3021,
                weight=Weight.RISK,
                what=(
                    f"Changer {printable(shelf.name)} has {count(there, 'slot')}; "
                    f"{count(kept, 'volume')} are kept, and a run may write {runtapes} more."
                ),
            )


def changers(shelves: Iterable[Shelf]) -> Iterator[Advice]:
    """Changers that cannot be used: a robot, a server or a bucket that refuses."""
    for shelf in shelves:
        if shelf.trouble is not None:
            yield Advice(
                check="changer",
                code=3020,
                weight=Weight.WRONG,
                what=f"Changer {printable(shelf.name)} does not tell what it has: "
                f"{printable(shelf.trouble)}.",
            )

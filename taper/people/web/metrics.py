"""What Prometheus is told; docs/commands.md has the meaning of each metric."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector

from taper.people.doctor.advice import Weight
from taper.people.last_night import Fate
from taper.people.telling import printable
from taper.people.watching import seconds_of
from taper.people.web.sheets import of_volume

if TYPE_CHECKING:
    from taper.people.web.books import Books

CONTENT_TYPE = CONTENT_TYPE_LATEST
_MOST_LETTERS = 200
"""Of a label."""
STATES = ("kept", "locked", "free", "new")


def exposition(books: Books, current: bool) -> bytes:
    """All metrics.

    :param current: the books could be read again when they were last wanted
    """
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_OfBooks(books, current))
    return generate_latest(registry)


class _OfBooks(Collector):
    def __init__(self, books: Books, current: bool) -> None:
        self._books = books
        self._current = current

    def collect(self) -> Iterator[Metric]:
        yield _one("taper_catalogue_up", "The files could be read again.", float(self._current))
        yield _one(
            "taper_catalogue_read_timestamp_seconds",
            "When what is told here was put together.",
            self._books.read_at,
        )
        yield from self._disks()
        yield from self._volumes()
        yield from self._runs()
        yield from self._held()
        weights = Counter(one.weight for one in self._books.advice)
        yield _several(
            "taper_advice",
            "Things that doctor finds wrong or risky; the changers are not asked.",
            ("weight",),
            (((weight.value,), weights[weight]) for weight in Weight),
        )

    def _disks(self) -> Iterator[Metric]:
        names = ("host", "disk")
        lasts = [((disk.host, disk.disk), disk.last()) for disk in self._books.disks]
        yield _several(
            "taper_disk_restorable",
            "The disk has a dump that can be restored, with all that it builds on.",
            names,
            ((name, last is not None) for name, last in lasts),
        )
        yield _several(
            "taper_disk_last_dump_timestamp_seconds",
            "Datestamp of the last dump that can be restored.",
            names,
            (
                (name, at)
                for name, last in lasts
                if last is not None and (at := seconds_of(last.datestamp)) is not None
            ),
        )
        yield _several(
            "taper_disk_last_dump_size_bytes",
            "Its size, as it is stored.",
            names,
            (
                (name, last.size)
                for name, last in lasts
                if last is not None and last.size is not None
            ),
        )
        yield _several(
            "taper_disk_last_dump_level",
            "Its level.",
            names,
            ((name, last.level) for name, last in lasts if last is not None),
        )

    def _volumes(self) -> Iterator[Metric]:
        numbers: Counter[tuple[str, str]] = Counter()
        used: Counter[str] = Counter()
        broken: Counter[str] = Counter()
        for volume in self._books.volumes:
            storage = volume["storage"] or ""
            numbers[storage, of_volume(volume)[0]] += 1
            used[storage] += volume["used"] or 0
            broken[storage] += volume["broken_parts"] or 0
        yield _several(
            "taper_volumes",
            "Volumes of the tapelist, by storage and by whether they may be written over.",
            ("storage", "state"),
            (((storage, state), numbers[storage, state]) for storage in used for state in STATES),
        )
        for name, text, counted in (
            ("taper_volumes_used_bytes", "Bytes of parts on volumes.", used),
            ("taper_volumes_broken_parts", "Parts on volumes that are not good.", broken),
        ):
            yield _several(
                name,
                text,
                ("storage",),
                (((storage,), number) for storage, number in counted.items()),
            )

    def _runs(self) -> Iterator[Metric]:
        over = [night for night in self._books.nights if night.run and not night.under_way]
        going = any(night.under_way for night in self._books.nights)
        yield _one("taper_run_under_way", "A run is going on.", float(going))
        if not over:
            return
        last = over[0]
        fates = Counter(one.fate for one in last.failures)
        at = seconds_of(last.stamp)
        if at is not None:
            yield _one(
                "taper_last_run_timestamp_seconds", "Datestamp of the last run that is over.", at
            )
        yield _one(
            "taper_last_run_finished",
            "It came to its end.",
            float(last.run is not None and last.run.finished),
        )
        yield _one("taper_last_run_dumps", "Dumps that it wrote.", len(last.dumps))
        yield _one("taper_last_run_written_bytes", "Bytes that it wrote to volumes.", last.size)
        yield _one(
            "taper_last_run_writing_seconds",
            "Time that writing took, of all its dumps together.",
            last.seconds,
        )
        yield _several(
            "taper_last_run_failures",
            "Disks that it did not store as a whole.",
            ("kind",),
            (((fate.value,), fates[fate]) for fate in Fate),
        )

    def _held(self) -> Iterator[Metric]:
        held = self._books.catalogue.held
        yield _one("taper_held_dumps", "Dumps that wait on holding disks.", len(held))
        yield _one("taper_held_bytes", "Their size.", sum(dump.size for dump in held))


def _one(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, text, value=value)


def _several(
    name: str,
    text: str,
    labels: tuple[str, ...],
    values: Iterable[tuple[tuple[str, ...], float]],
) -> Metric:
    """Names of disks are told as a terminal is told them, and cut; those that are the same then are
    one."""
    found = {
        tuple(printable(one)[:_MOST_LETTERS] for one in words): value for words, value in values
    }
    metric = GaugeMetricFamily(name, text, labels=labels)
    for words, value in found.items():
        metric.add_metric(words, float(value))
    return metric

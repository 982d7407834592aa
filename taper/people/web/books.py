"""All that the pages tell of, as it was at one moment."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from attrs import field, frozen

from protocols.stored import End, ToldDump, full_stamp
from taper.people.catalogue import Catalogue, Copy, HeldDump
from taper.people.doctor.advice import Advice
from taper.people.last_night import DiskName, Failure, Run
from taper.people.restore.finding import disk_of
from taper.people.watching import KnownDisk
from taper.people.web.logs import ToldLog

Dump = Copy | HeldDump


@frozen(kw_only=True)
class Night:
    """All that was logged under one datestamp.

    :ivar stamp: 14 digits.
    :ivar run: of amdump's; None: none, as of amflush, amvault and other programs.
    :ivar under_way: it is not over.
    :ivar dumps: that were written, whole or not.
    :ivar labels: of the volumes, in the order of writing.
    """

    stamp: str
    run: Run | None
    under_way: bool
    dumps: tuple[ToldDump, ...]
    labels: tuple[str, ...]

    @property
    def size(self) -> int:
        """Bytes on volumes."""
        return sum(dump.size for dump in self.dumps)

    @property
    def seconds(self) -> float:
        """That writing took, of all dumps together."""
        return sum(dump.seconds for dump in self.dumps)

    @property
    def failures(self) -> tuple[Failure, ...]:
        """What is not whole; of a run that goes on, nobody knows yet."""
        return () if self.run is None or self.under_way else self.run.failures

    @property
    def broken(self) -> int:
        """How many dumps are not whole on their volumes."""
        return 0 if self.under_way else sum(dump.end is not End.DONE for dump in self.dumps)

    @property
    def is_well(self) -> bool:
        """Nothing failed, and it did not die."""
        died = self.run is not None and not (self.run.finished or self.under_way)
        return not (self.failures or self.broken or died)


@frozen(kw_only=True)
class Books:
    """One moment.

    :ivar read_at: seconds since the epoch.
    :ivar volumes: as ``taperctl volumes --json`` tells of them, in its order.
    :ivar nights: the newest first.
    :ivar disks: of the disklist.
    :ivar advice: what doctor has to say, the worst first.
    """

    config: str
    read_at: float
    catalogue: Catalogue
    volumes: Sequence[Mapping[str, Any]]
    nights: Sequence[Night]
    disks: Sequence[KnownDisk]
    advice: Sequence[Advice]
    dumps: Sequence[Dump] = field(init=False)
    by_disk: Mapping[DiskName, Sequence[Dump]] = field(init=False)
    by_label: Mapping[str, Mapping[str, Any]] = field(init=False)
    by_stamp: Mapping[str, Night] = field(init=False)

    @dumps.default
    def _all_dumps(self) -> Sequence[Dump]:
        return tuple(self.catalogue.of())

    @by_disk.default
    def _dumps_by_disk(self) -> Mapping[DiskName, Sequence[Dump]]:
        found: dict[DiskName, list[Dump]] = {}
        for dump in self.dumps:
            found.setdefault(disk_of(dump), []).append(dump)
        return dict(sorted(found.items()))

    @by_label.default
    def _volumes_by_label(self) -> Mapping[str, Mapping[str, Any]]:
        return {volume["label"]: volume for volume in self.volumes}

    @by_stamp.default
    def _nights_by_stamp(self) -> Mapping[str, Night]:
        return {night.stamp: night for night in self.nights}


def nights_of(logs: Iterable[ToldLog], under_way: Iterable[str]) -> list[Night]:
    """The nights, the newest first.

    :param under_way: paths of logs whose run is not over
    """
    found: dict[str, list[ToldLog]] = {}
    for log in logs:
        found.setdefault(log.stamp, []).append(log)
    going = set(under_way)
    return [
        Night(
            stamp=stamp,
            run=next((log.run for log in those if log.run is not None), None),
            under_way=any(log.path in going for log in those),
            dumps=(dumps := tuple(dump for log in those for dump in log.dumps)),
            labels=tuple(dict.fromkeys(label for dump in dumps for label in dump.labels)),
        )
        for stamp, those in sorted(found.items(), reverse=True)
    ]


def stamp_of(dump: Dump) -> str:
    """Its datestamp, 14 digits."""
    return dump.datestamp if isinstance(dump, HeldDump) else full_stamp(dump.dump.name.datestamp)

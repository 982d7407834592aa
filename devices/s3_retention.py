"""Volumes in a bucket that nobody can change before a date [volumes 5.6].

Each object is held by the server until the end (in UTC) of the last day on which the storage keeps
the volume. The label is held at least as long as everything else on it, so that it tells of all. A
dump is worth something only as a whole: when a later part of it is held longer than the earlier
ones, because midnight has passed, these are held as long, on whatever volume they are.
"""

from __future__ import annotations

import datetime
import functools
import logging
import threading
from collections import deque
from typing import TYPE_CHECKING, cast

from attrs import define, field, frozen

from devices.errors import DeviceError, DriveFailed, Status, VolumeFailed
from devices.labelled import BAD_VOLUME
from devices.s3_asking import Job, RequestFailed
from devices.s3_link import S3Link
from devices.s3_values import Lock
from devices.s3_volume import S3Volume
from protocols.header import Header
from protocols.s3answers import S3Error
from protocols.s3keys import Place

if TYPE_CHECKING:
    from devices.s3_locked import LockedStore
    from devices.s3_store import S3Store

_MOST_DUMPS = 256
"""That may be under way at the same time."""

_log = logging.getLogger(__name__)

Name = tuple[str, str, str, int]
"""Datestamp, host, disk and level of a dump."""


def now() -> datetime.datetime:
    """The time, in UTC."""
    return datetime.datetime.now(datetime.UTC)


def end_of(days: int, begin: datetime.datetime) -> datetime.datetime:
    """When the day ends that is so many days after ``begin``."""
    last = begin + datetime.timedelta(days=days)
    midnight = last.replace(hour=0, minute=0, second=0, microsecond=0)
    return midnight if midnight == last else midnight + datetime.timedelta(days=1)


@frozen
class _File:
    """A file of a dump, and how it is reached."""

    store: LockedStore
    place: Place
    number: int


@define
class _Dump:
    """What a dump consists of so far.

    :ivar until: all of it is held until then.
    """

    until: datetime.datetime
    files: list[_File] = field(factory=list)


class _Dumps:
    """The dumps of this process that are under way, also over several volumes."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._all: dict[Name, _Dump] = {}

    def of(self, header: Header, until: datetime.datetime) -> _Dump:
        """The dump that a part with this header belongs to; a first part begins one."""
        name = header.datestamp, header.host, header.disk, header.level
        with self._lock:
            found = self._all.pop(name, None)
            if found is None or header.partnum <= 1:
                found = _Dump(until)
            self._all[name] = found
            while len(self._all) > _MOST_DUMPS:
                del self._all[next(iter(self._all))]
        return found


_dumps = _Dumps()


class S3Retention(S3Link):
    """What keeps a volume as it is, if S3_RETENTION_MODE is set."""

    _dump: _Dump | None = None
    _label_until: datetime.datetime | None = None

    @functools.cached_property
    def store(self) -> S3Store:
        if not self._mode:
            return super().store
        if not self._days:
            text = "S3_RETENTION_MODE is set, but S3_RETENTION, a number of days, is not"
            raise self._fail(text, Status.DEVICE_ERROR, DriveFailed)
        from devices.s3_locked import LockedStore  # as from there

        return self._open_store(functools.partial(LockedStore, mode=self._mode))

    @property
    def _mode(self) -> str:
        return self.text("s3_retention_mode").upper()

    @property
    def _days(self) -> int:
        return self.properties.number("s3_retention")

    @property
    def _locked(self) -> LockedStore | None:
        return cast("LockedStore", self.store) if self._mode else None

    # -- whole volumes --------------------------------------------------------------------------

    def _refuse_if_held(self) -> None:
        """:raise DeviceError: the volume cannot be written over now"""
        lock = self._label_lock()
        if lock is None or (lock.until is not None and lock.until <= now()):
            return
        how_long = "by somebody"
        if lock.until is not None:
            how_long = f"until {lock.until.astimezone(datetime.UTC):%Y-%m-%d %H:%M:%S} UTC"
        text = (
            f"The volume cannot be written over: '{self.place.label}' in {self._bucket_text} is "
            f"locked {how_long} ({lock.mode})"
        )
        raise self._fail(text, BAD_VOLUME, VolumeFailed)

    def _label_lock(self) -> Lock | None:
        """What holds the label; None: nothing, or there is none.

        :raise DriveFailed: nobody knows
        """
        key = self.place.label
        try:
            return self.asking.ask(lambda _: self.store.lock_of(key))
        except RequestFailed as failure:
            if failure.error.missing or failure.error.no_bucket:
                return None
            text = f"While asking what holds the label: {self._about(key, failure)}"
            raise self._fail(text, Status.DEVICE_ERROR, DriveFailed) from failure

    def _begin_holding(self) -> None:
        """Before anything is stored on the volume.

        :raise DeviceError: nothing can be held there
        """
        store = self._locked
        if store is None:
            return
        self._check_bucket(store)
        store.until = end_of(self._days, now())
        lock = self._label_lock()
        self._label_until = None if lock is None else lock.until

    def _check_bucket(self, store: LockedStore) -> None:
        try:
            if self.asking.ask(lambda _: store.locks()):
                return
        except RequestFailed as failure:
            if failure.error.no_bucket:
                return  # it will be made, with object lock
            if failure.error.http == 403:
                _log.warning("%s: cannot see whether there is object lock", self._bucket_text)
                return  # what it has not it will refuse
            raise self._connecting(failure) from failure
        text = (
            f"S3_RETENTION_MODE is set, but {self._bucket_text} has no object lock: make a bucket "
            "that has it from the beginning"
        )
        raise self._fail(text, Status.DEVICE_ERROR, DriveFailed)

    def _put_label(self, block: bytes) -> None:
        """Store the label, in place of an old one.

        :raise RequestFailed: it is not stored
        """
        store, key = self._locked, self.place.label
        if store is not None:
            self.asking.ask(lambda _: store.delete_one(key))
            self._label_until = store.until
        self._put(key, block)

    # -- files ----------------------------------------------------------------------------------

    def _hold_file(self, header: Header) -> None:
        """Before a file is begun.

        :raise RequestFailed: the label cannot be held as long as it
        """
        store = self._locked
        if store is None:
            return
        store.until = end_of(self._days, now())
        self._dump = _dumps.of(header, store.until)
        if self._label_until is None or self._label_until < store.until:
            self._hold(store, [self.place.label], store.until)
            self._label_until = store.until

    def _hold_dump(self, number: int) -> None:
        """After a file is stored: let what there was of the dump be held as long as it is.

        :raise DeviceError: it is not
        """
        dump, self._dump = self._dump, None
        store = None if dump is None else self._locked
        if store is None or dump is None:
            return
        if dump.until < store.until:
            try:
                self._hold_files(dump.files, store.until)
            except (RequestFailed, DeviceError) as error:
                text = (
                    "Earlier parts of the dump cannot be locked until "
                    f"{store.until:%Y-%m-%d} as this one is: {error.text}"
                )
                raise self._fail(text, BAD_VOLUME, VolumeFailed) from error
            dump.until = store.until
        dump.files.append(_File(store, self.place, number))

    def _hold_files(self, files: list[_File], until: datetime.datetime) -> None:
        labelled: set[Place] = {self.place}
        for file in files:
            if file.place not in labelled:
                self._hold(file.store, [file.place.label], until)
                labelled.add(file.place)
            volume = S3Volume(self.asking, file.store, file.place, True)
            keys = volume.contents(file.place.file(file.number)).keys.get(file.number, [])
            self._hold(file.store, keys, until)

    def _hold(self, store: LockedStore, keys: list[str], until: datetime.datetime) -> None:
        """Let objects be held until a later date."""
        jobs: deque[Job[None]] = deque()
        waiting = deque(keys)
        while waiting or jobs:
            while waiting and len(jobs) < self.writers:
                ask = functools.partial(_retain, store, waiting.popleft(), until)
                jobs.append(self.asking.begin(ask))
            job = jobs.popleft()
            self.asking.wait([job])
            try:
                job.result()
            except S3Error as error:
                self.asking.drop(jobs)
                raise RequestFailed(error, job.retries) from error


def _retain(store: LockedStore, key: str, until: datetime.datetime, _: Job[None]) -> None:
    store.retain(key, until)

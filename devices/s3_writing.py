"""How the data of one file get into a store, by several requests at the same time [volumes 5.6].

What is offered is copied, and the copy kept until the server has confirmed it. There are as many
copies as requests, so whoever offers more waits.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, TypeVar

from devices.s3_asking import Asking, Job, RequestFailed
from protocols.s3answers import S3Error
from protocols.s3keys import Place

if TYPE_CHECKING:
    from devices.s3_store import S3Store

T = TypeVar("T")

_log = logging.getLogger(__name__)

LEAST_PART = 5 * 2**20
"""Bytes; S3 takes no smaller part of an object but the last."""
LARGEST_PART = 2**29
"""Bytes; none grows beyond them, as so many of them are in memory as there are requests."""
MOST_PARTS = 10_000
_GROWTH = 1000
"""After so many parts they are larger by the size of the first."""
ABORT_PATIENCE = 10.0
"""Seconds; uploads that are left are given up when the volume is written the next time."""


class Upload:
    """The data of one file. One thread uses it.

    :param threads: how many requests may be on their way.
    """

    def __init__(
        self, asking: Asking, store: S3Store, place: Place, number: int, threads: int
    ) -> None:
        self._asking = asking
        self._store = store
        self._place = place
        self._number = number
        self._threads = threads
        self._jobs: dict[Job[Any], str] = {}
        self._failure: RequestFailed | None = None

    def add(self, block: memoryview) -> None:
        """Store one more block, sooner or later.

        :raise RequestFailed: this one or an earlier one is not stored, and all is in vain
        """
        raise NotImplementedError

    def finish(self) -> None:
        """Wait until all blocks are stored.

        :raise RequestFailed: they are not
        """
        raise NotImplementedError

    def abandon(self) -> None:
        """Let what is on its way be lost."""
        self._asking.drop(list(self._jobs))
        self._jobs.clear()

    def _begin(self, key: str, job: Job[T]) -> Job[T]:
        self._jobs[job] = key
        return job

    def _wait_until(self, most: int) -> None:
        """Wait until at most so many requests are on their way."""
        while self._failure is None:
            for job in [job for job in self._jobs if job.done]:
                key = self._jobs.pop(job)
                if job.error is not None and self._failure is None:
                    self._failure = _failure(job, key)
            if self._failure is None and len(self._jobs) > most:
                self._asking.wait(list(self._jobs))
            else:
                break
        if self._failure is not None:
            self.abandon()
            raise self._failure


def _failure(job: Job[Any], key: str) -> RequestFailed:
    error = job.error
    if not isinstance(error, S3Error):
        _log.error("storing '%s'", key, exc_info=error)
        error = S3Error(f"{type(error).__name__}: {error}", repeat=False)
    return RequestFailed(error, job.retries, key)


class BlockUpload(Upload):
    """Each block is an object."""

    _block = 0

    def add(self, block: memoryview) -> None:
        self._wait_until(self._threads - 1)
        key = self._place.block(self._number, self._block)
        data = memoryview(bytes(block))
        self._begin(
            key,
            self._asking.begin(lambda job: self._store.put(key, data, job), len(data)),
        )
        self._block += 1

    def finish(self) -> None:
        self._wait_until(0)


class WholeUpload(Upload):
    """All data are one object, made of parts: of whole blocks, and at least of the size that S3
    wants. Data of one part are put at once; no data make no object.

    :param block_size: bytes
    """

    def __init__(
        self,
        asking: Asking,
        store: S3Store,
        place: Place,
        number: int,
        threads: int,
        block_size: int,
    ) -> None:
        super().__init__(asking, store, place, number, threads)
        self._key = place.whole(number)
        self._unit = -(-LEAST_PART // block_size) * block_size
        self._pending: list[bytes] = []
        self._pending_size = 0
        self._size = 0
        self._upload = ""
        self._parts: list[Job[tuple[str, bytes]]] = []

    @property
    def _part_size(self) -> int:
        grown = self._unit * (1 + len(self._parts) // _GROWTH)
        return max(min(grown, LARGEST_PART), self._unit)

    def add(self, block: memoryview) -> None:
        if self._pending_size >= self._part_size:
            self._send()  # not the last one: there is more
        self._pending.append(bytes(block))
        self._pending_size += len(block)
        self._size += len(block)

    def _send(self) -> None:
        """Let what is pending be a part."""
        if len(self._parts) == MOST_PARTS:
            error = S3Error(
                f"an object has {MOST_PARTS} parts at most",
                repeat=False,
                advice="raise BLOCK_SIZE, or lower the part size of the dump",
            )
            raise self._fail(RequestFailed(error, 0))
        self._wait_until(self._threads - 1)
        if not self._upload:
            try:
                self._upload = self._asking.ask(lambda _: self._store.begin(self._key))
            except RequestFailed as error:
                raise self._fail(error) from error
        data = memoryview(self._taken())
        key, upload, number = self._key, self._upload, len(self._parts) + 1
        job = self._asking.begin(
            lambda job: self._store.put_part(key, upload, number, data, job), len(data)
        )
        self._parts.append(self._begin(key, job))

    def _fail(self, failure: RequestFailed) -> RequestFailed:
        self._failure, failure.key = failure, self._key
        return failure

    def _taken(self) -> bytes:
        data = b"".join(self._pending)
        self._pending, self._pending_size = [], 0
        return data

    def finish(self) -> None:
        self._wait_until(0)
        if not self._upload:
            self._put_at_once()
            return
        if self._pending:
            self._send()
        self._wait_until(0)
        parts = [job.result() for job in self._parts]
        try:
            self._asking.ask(lambda job: self._complete(job, parts))
            stored = self._asking.ask(lambda _: self._store.size(self._key))
        except RequestFailed as error:
            raise self._fail(error) from error
        if stored != self._size:
            text = f"the object has {stored} bytes, {self._size} were stored"
            raise self._fail(RequestFailed(S3Error(text, repeat=False), 0))
        self._upload = ""

    def _put_at_once(self) -> None:
        if not self._pending:
            return
        data = memoryview(self._taken())
        try:
            self._asking.ask(lambda job: self._store.put(self._key, data, job), len(data))
        except RequestFailed as error:
            raise self._fail(error) from error

    def _complete(self, job: Job[None], parts: list[tuple[str, bytes]]) -> None:
        try:
            self._store.complete(self._key, self._upload, parts)
        except S3Error as error:
            # the answer to an earlier try may have been lost: then it is complete already, which
            # the size of the object tells
            if not (job.retries and error.code == "NoSuchUpload"):
                raise

    def abandon(self) -> None:
        super().abandon()
        upload, self._upload = self._upload, ""
        if not upload:
            return
        self._asking.ask(lambda _: self._store.abort(self._key, upload), most=ABORT_PATIENCE)

"""How the data of one file come out of a store, read ahead by several requests [volumes 5.6]."""

from __future__ import annotations

import logging
from collections import deque
from typing import TYPE_CHECKING

from devices.s3_asking import Asking, Job, RequestFailed
from devices.s3_values import Got
from protocols.s3answers import S3Error
from protocols.s3keys import Kind, Place

if TYPE_CHECKING:
    from devices.s3_store import S3Store

LEAST_AT_ONCE = 2**20
LARGEST_OBJECT = 64 * 2**20
"""Bytes of a block that is read whatever BLOCK_SIZE is."""

_log = logging.getLogger(__name__)


class Reading:
    """The data of one file, from the first byte to the last. One thread uses it.

    :param threads: how many requests may be on their way
    """

    def __init__(self, asking: Asking, store: S3Store, threads: int) -> None:
        self._asking = asking
        self._store = store
        self._threads = threads
        self._jobs: deque[Job[Got | None]] = deque()
        self._rest = memoryview(b"")
        self._asked = 0
        self._ended = False

    def read(self, buffer: memoryview) -> int:
        """Fill the buffer, less only at the end of the data. :return: bytes

        :raise RequestFailed: something cannot be read, or is not what it should be
        """
        got = 0
        while got < len(buffer):
            if not self._rest:
                piece = self._next()
                if piece is None:
                    break
                self._rest = memoryview(piece)
                continue
            size = min(len(buffer) - got, len(self._rest))
            buffer[got : got + size] = self._rest[:size]
            self._rest = self._rest[size:]
            got += size
        return got

    def close(self) -> None:
        """Nothing more is wanted."""
        self._asking.drop(self._jobs)
        self._jobs.clear()
        self._ended = True

    def _next(self) -> bytes | None:
        """The next bytes; None: there are no more."""
        if self._ended:
            return None
        while len(self._jobs) < self._threads and (job := self._begin()) is not None:
            self._jobs.append(job)
        if not self._jobs:
            self._ended = True
            return None
        job = self._jobs.popleft()
        self._asking.wait([job])
        try:
            got = job.result()
        except S3Error as error:
            self.close()
            raise RequestFailed(error, job.retries, self._key_at_hand) from error
        except BaseException:
            self.close()
            raise
        try:
            return self._judge(got)
        except S3Error as error:
            self.close()
            raise RequestFailed(error, 0, self._key_at_hand) from error

    def _begin(self) -> Job[Got | None] | None:
        """Ask for the next bytes; None: they were all asked for."""
        raise NotImplementedError

    @property
    def _key_at_hand(self) -> str:
        """Of the object that was read last."""
        raise NotImplementedError

    def _judge(self, got: Got | None) -> bytes | None:
        """What is to be given out of what was read; None: the data are at their end.

        :raise S3Error, RequestFailed: they are not what they should be
        """
        raise NotImplementedError


class WholeReading(Reading):
    """One object.

    :param key: of the object
    :param size: of the object, bytes
    :param block_size: bytes
    """

    def __init__(
        self, asking: Asking, store: S3Store, threads: int, key: str, size: int, block_size: int
    ) -> None:
        super().__init__(asking, store, threads)
        self.size = size
        self._key = key
        self._unit = -(-LEAST_AT_ONCE // block_size) * block_size

    def _begin(self) -> Job[Got | None] | None:
        start, key = self._asked, self._key
        size = min(self._unit, self.size - start)
        if size <= 0:
            return None
        self._asked += size
        return self._asking.begin(lambda job: self._store.get_range(key, job, start, size), size)

    @property
    def _key_at_hand(self) -> str:
        return self._key

    def _judge(self, got: Got | None) -> bytes | None:
        assert got is not None, "only blocks may be missing"
        if got.size != self.size:
            text = f"it had {self.size} bytes, and now has {got.size}"
            raise S3Error(f"it was changed meanwhile: {text}", repeat=False)
        return got.data


class BlockReading(Reading):
    """Objects, one for each block; the first that is missing is the end.

    A block is missing at the end only, and all have one size but the last, which may be shorter.

    :param most: bytes that a block may have.
    """

    def __init__(
        self, asking: Asking, store: S3Store, threads: int, place: Place, number: int, most: int
    ) -> None:
        super().__init__(asking, store, threads)
        self._place = place
        self._number = number
        self._most = max(most, LARGEST_OBJECT)
        self._judged = 0
        self._first_size = 0
        self._last_size = 0

    def _begin(self) -> Job[Got | None]:
        key = self._place.block(self._number, self._asked)
        self._asked += 1
        unsound: list[bytes] = []

        def get(job: Job[Got | None]) -> Got | None:
            try:
                got = self._store.get(key, job, self._most)
            except S3Error as error:
                if error.missing:
                    return None
                raise
            if not got.sound and got.data not in unsound:
                unsound[:] = [got.data]
                raise S3Error("the data are not what their ETag says", "BadDigest")
            if not got.sound:
                # twice the same: the server's ETags are of something else
                _log.info("'%s': its ETag is not its MD5 sum", key)
            return got

        return self._asking.begin(get, self._most)

    @property
    def _key_at_hand(self) -> str:
        return self._place.block(self._number, self._judged)

    def _judge(self, got: Got | None) -> bytes | None:
        if got is None:
            self.close()
            self._check_end(self._key_at_hand)
            return None
        if got.size > self._most:
            raise S3Error(
                f"it has {got.size} bytes, expected {self._most} at most",
                repeat=False,
                advice=f"set BLOCK_SIZE to {got.size}",
            )
        if not got.size:
            raise S3Error("it is empty", repeat=False)
        if self._judged and self._last_size != self._first_size:
            before = self._place.block(self._number, self._judged - 1)
            raise S3Error(
                f"'{before}' has {self._last_size} bytes, the blocks before it "
                f"{self._first_size}, and it is not the last",
                repeat=False,
            )
        if not self._judged:
            self._first_size = got.size
        self._judged += 1
        self._last_size = got.size
        return got.data

    def _check_end(self, key: str) -> None:
        """:raise S3Error, RequestFailed: there are blocks behind the one that is missing"""
        prefix, after = self._place.file(self._number) + "b", key
        while True:
            start = after
            page, after = self._asking.ask(lambda _: self._store.page(prefix, start))  # noqa: B023
            for each in page:
                found = self._place.read(each.key)
                if found is None or (found.kind, found.number) != (Kind.BLOCK, self._number):
                    continue
                if found.block >= self._judged:
                    text = f"it is missing, though '{each.key}' is there"
                    raise S3Error(text, repeat=False)
            if not after:
                return

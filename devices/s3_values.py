"""What stores of objects and their users have in common."""

from __future__ import annotations

import datetime
import threading
import time
from typing import Protocol

from attrs import frozen

from protocols.records import Record

CONNECT_PATIENCE = 30.0
"""Seconds to wait for a connection."""
STALL_PATIENCE = 120.0
"""Seconds in which something must move."""


class Waiter(Protocol):
    """Whoever wants the answer.

    :ivar retries: how often it was asked before.
    """

    given_up: bool
    retries: int


class Listed(Record):
    """One object of a listing."""

    key: str
    size: int


@frozen
class Lock:
    """Why an object cannot be deleted.

    :ivar mode: what it is called.
    :ivar until: up to this date; None: as long as somebody holds it.
    """

    mode: str
    until: datetime.datetime | None


@frozen
class Got:
    """What was read of an object.

    :ivar size: of the whole object, bytes
    :ivar sound: False: it has another MD5 sum than its ETag, if that is one
    """

    data: bytes
    size: int
    sound: bool = True


class Speed:
    """So many bytes a second at most, for all who share it; 0: any number."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._free_at = 0.0
        self._lock = threading.Lock()

    def take(self, size: int, waiter: Waiter) -> None:
        """Wait until so many bytes may be moved."""
        if not self.most:
            return
        with self._lock:
            now = time.monotonic()
            begin = max(self._free_at, now)
            self._free_at = begin + size / self.most
        while not waiter.given_up and (left := begin - time.monotonic()) > 0:
            time.sleep(min(left, 0.2))

"""Requests to a store of objects: repeated with pauses, each with a deadline, side by side.

Each request has a thread, so that whoever waits for its answer can stop waiting: a request cannot
be broken off, the wait for it can. What comes of it later is nobody's then.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

from attrs import frozen

from devices.patience import QUIT_GRACE
from devices.threads import ThreadRefused, start_thread
from protocols.s3answers import S3Error, pauses

T = TypeVar("T")

_log = logging.getLogger(__name__)

SLOWEST = 5120
"""Bytes a second that every transfer is given the time for."""


@frozen
class Terms:
    """How long requests may take, in seconds.

    :ivar first: pause before the first repetition; each later one is twice as long.
    :ivar longest: the longest pause.
    :ivar repeat_for: after the first failure; no repetition begins later.
    :ivar most: for a request with its repetitions, besides the time for its bytes.
    :ivar grace: that answers are waited for once all is to end.
    """

    first: float = 0.1
    longest: float = 20.0
    repeat_for: float = 180.0
    most: float = 900.0
    grace: float = QUIT_GRACE


class Job(Generic[T]):
    """One request with its repetitions.

    :ivar end: when nobody waits any more, in seconds of the monotonic clock.
    :ivar given_up: nobody waits any more; what it does is to come to its end soon.
    """

    def __init__(self, asking: Asking, function: Callable[[Job[T]], T], end: float) -> None:
        self._asking = asking
        self._function = function
        self.end = end
        self.given_up = False
        self.done = False
        self.error: Exception | None = None
        self.retries = 0
        self._result: list[T] = []

    def result(self) -> T:
        """:raise Exception: what went wrong; an S3Error if it was the request"""
        if self.error is not None:
            raise self.error
        return self._result[0]

    def run(self) -> None:
        """Ask, again and again (in a thread of its own)."""
        try:
            self._settle(self._ask(), None)
        except Exception as error:  # it belongs to the one who asked
            self._settle(None, error)

    def _settle(self, result: T | None, error: Exception | None) -> None:
        with self._asking.condition:
            self._asking.jobs.discard(self)
            if not self.done:
                self.done = True
                self.error = error
                if error is None:
                    self._result.append(result)  # type: ignore[arg-type]
            self._asking.condition.notify_all()

    def _ask(self) -> T:
        terms = self._asking.terms
        last = None
        for pause in pauses(terms.first, terms.longest):
            try:
                return self._function(self)
            except S3Error as error:
                now = time.monotonic()
                if last is None:
                    last = now + terms.repeat_for
                if not error.repeat or now + pause > min(last, self.end):
                    raise
                _log.debug("repeating in %s s: %s", pause, error.text(self.retries))
                if not self._pause(now + pause):
                    raise
                self.retries += 1
        raise AssertionError("pauses never end")

    def _pause(self, until: float) -> bool:
        """:return: False: there is no time for it"""
        condition = self._asking.condition
        with condition:
            while not self.given_up and until <= self.end:
                left = until - time.monotonic()
                if left <= 0:
                    return True
                condition.wait(left)
        return False


class Asking:
    """All requests of one device.

    One thread asks; any thread may :meth:`hurry`.

    :ivar condition: guards all jobs.
    :ivar jobs: those whose threads are at work still.
    :ivar slowest: bytes a second that every transfer is given the time for.
    """

    def __init__(self, name: str, terms: Terms | None = None) -> None:
        self.terms = Terms() if terms is None else terms
        self.condition = threading.Condition()
        self._name = name
        self.jobs: set[Job[Any]] = set()
        self.slowest = float(SLOWEST)
        self._hurried_until: float | None = None

    def calm(self) -> None:
        """Whatever was in a hurry is over: what follows has all its time."""
        with self.condition:
            self._hurried_until = None

    def hurry(self) -> None:
        """All that is asked for has a moment left, up to the next :meth:`calm`. Any thread."""
        with self.condition:
            end = self._hurried_until = time.monotonic() + self.terms.grace
            for job in self.jobs:
                job.end = min(job.end, end)
            self.condition.notify_all()

    @property
    def hurried(self) -> bool:
        return self._hurried_until is not None

    def begin(
        self,
        function: Callable[[Job[T]], T],
        size: int = 0,
        *,
        most: float | None = None,
    ) -> Job[T]:
        """Let a request begin in a thread of its own.

        :param function: asks once; an S3Error that it raises may be worth another try
        :param size: bytes that it moves
        :param most: seconds that it may take
        :raise RequestFailed: there is no thread to be had
        """
        limit = self.terms.most + size / self.slowest if most is None else most
        job = Job(self, function, time.monotonic() + limit)
        with self.condition:
            if self._hurried_until is not None:
                job.end = min(job.end, self._hurried_until)
            self.jobs.add(job)
        try:
            start_thread(f"{self._name} request", job.run)
        except ThreadRefused as error:
            with self.condition:
                self.jobs.discard(job)
            raise RequestFailed(S3Error(error.text, repeat=False), 0) from error
        return job

    def wait(self, jobs: Sequence[Job[Any]]) -> None:
        """Wait until one of these is done, well or not, or is given up as its time is over."""
        with self.condition:
            while not any(job.done for job in jobs):
                now = time.monotonic()
                late = [job for job in jobs if job.end <= now]
                for job in late:
                    self._give_up(job)
                if not late:
                    self.condition.wait(min(job.end for job in jobs) - now)

    def _give_up(self, job: Job[Any]) -> None:
        why = "given up, as all is to end" if self.hurried else "it took too long"
        job.given_up = job.done = True
        job.error = S3Error(f"no answer came, {why}", repeat=False)
        self.condition.notify_all()

    def drop(self, jobs: Sequence[Job[Any]]) -> None:
        """Nobody wants to know any more what comes of these."""
        with self.condition:
            for job in jobs:
                job.given_up = True
                job.end = 0.0
            self.condition.notify_all()

    def ask(self, function: Callable[[Job[T]], T], size: int = 0, most: float | None = None) -> T:
        """Ask, and wait for the answer.

        :raise RequestFailed: it failed, or none came in time
        """
        job = self.begin(function, size, most=most)
        self.wait([job])
        try:
            return job.result()
        except S3Error as error:
            raise RequestFailed(error, job.retries) from error

    def settled(self, seconds: float) -> bool:
        """Wait until nothing that was given up can still do something to the store."""
        end = time.monotonic() + seconds
        with self.condition:
            while self.jobs:
                left = min(end, self._hurried_until or end) - time.monotonic()
                if left <= 0:
                    return False
                self.condition.wait(left)
        return True


class RequestFailed(Exception):
    """A request failed, and so did its repetitions.

    :ivar key: of the object; empty: whoever asked knows
    """

    taper_code = 2020

    def __init__(self, error: S3Error, retries: int, key: str = "") -> None:
        super().__init__(error.text(retries))
        self.error = error
        self.text = error.text(retries)
        self.key = key

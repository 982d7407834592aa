"""Threads that do one thing each at the same time, for a device made of devices."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from queue import SimpleQueue
from typing import Any, TypeVar

from devices.threads import start_thread

T = TypeVar("T")

_Work = Callable[[], None]


class Crew:
    """One thread for each number, begun when it is first needed, ended by :meth:`rest`.

    Whoever uses it is one thread; it waits for all before it goes on.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._queues: dict[int, SimpleQueue[_Work | None]] = {}

    def begin(self, tasks: Mapping[int, Callable[[], T]]) -> Callable[[], dict[int, T | Exception]]:
        """Let the tasks begin, each in the thread of its number.

        :return: waits for all of them; their results, or what they raised
        :raise devices.threads.ThreadRefused: there is no thread to be had; nothing was begun
        """
        for number in tasks:
            self._queue(number)
        done: SimpleQueue[tuple[int, T | Exception]] = SimpleQueue()

        def work(number: int) -> None:
            try:
                done.put((number, tasks[number]()))
            except Exception as error:  # it belongs to the one who asked
                done.put((number, error))

        for number in tasks:
            self._queue(number).put(functools.partial(work, number))

        def results() -> dict[int, T | Exception]:
            found = dict(done.get() for _ in tasks)
            return {number: found[number] for number in tasks}

        return results

    def do(self, tasks: Mapping[int, Callable[[], T]]) -> dict[int, T | Exception]:
        """Do them all, the last of them in the caller's own thread."""
        if not tasks:
            return {}
        *others, own = tasks
        results = self.begin({number: tasks[number] for number in others})
        try:
            last: T | Exception = tasks[own]()
        except Exception as error:  # as with the others
            last = error
        return {**results(), own: last}

    def _queue(self, number: int) -> SimpleQueue[_Work | None]:
        queue = self._queues.get(number)
        if queue is None:
            made: SimpleQueue[Any] = SimpleQueue()

            def serve() -> None:
                while (work := made.get()) is not None:
                    work()

            start_thread(f"{self._name} {number}", serve)
            queue = self._queues[number] = made
        return queue

    def rest(self) -> None:
        """Let the threads end; the next task begins others."""
        queues, self._queues = self._queues, {}
        for queue in queues.values():
            queue.put(None)

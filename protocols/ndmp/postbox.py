"""Posts that wait to be asked for."""

from __future__ import annotations

from collections import deque
from typing import TypeAlias

from protocols.ndmp.errors import NdmpGarbage
from protocols.ndmp.messages import LogDebug, LogFile, LogLog, LogMessage, Post

Kinds: TypeAlias = type[Post] | tuple[type[Post], ...]

LIMIT = 1000
"""Posts of one kind that may wait."""
LOG_LIMIT = 100

LOGS = (LogLog, LogDebug, LogFile, LogMessage)
"""Kinds of which the oldest may be lost."""


class PostBox:
    """Posts by kind, in the order of their arrival."""

    def __init__(self) -> None:
        self._number = 0
        self._queues: dict[type[Post], deque[tuple[int, Post]]] = {}

    def put(self, post: Post) -> None:
        """Keep a post; of log lines the last ones.

        :raise NdmpGarbage: more of its kind than any server has to say
        """
        queue = self._queues.setdefault(type(post), deque())
        if isinstance(post, LOGS):
            if len(queue) >= LOG_LIMIT:
                queue.popleft()
        elif len(queue) >= LIMIT:
            raise NdmpGarbage(f"more than {LIMIT} {post.label} that nobody asked for")
        queue.append((self._number, post))
        self._number += 1

    def take_first(self, kinds: Kinds) -> Post | None:
        """The first to arrive of these kinds; None: there is none."""
        queues = [
            queue for kind, queue in self._queues.items() if queue and issubclass(kind, kinds)
        ]
        if not queues:
            return None
        return min(queues, key=lambda queue: queue[0][0]).popleft()[1]

    def take_all(self, kinds: Kinds) -> list[Post]:
        """All of these kinds, in the order of their arrival."""
        taken: list[tuple[int, Post]] = []
        for kind, queue in self._queues.items():
            if issubclass(kind, kinds):
                taken += queue
                queue.clear()
        return [post for _, post in sorted(taken, key=lambda pair: pair[0])]

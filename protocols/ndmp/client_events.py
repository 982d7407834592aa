"""What a client core tells its owner."""

from __future__ import annotations

from typing import TypeAlias

from attrs import frozen

from protocols.ndmp.errors import NdmpError
from protocols.ndmp.messages import Post, Reply


@frozen
class Opened:
    """The session is open for requests."""

    version: int


@frozen
class Answered:
    """A request was answered without an error."""

    sequence: int
    reply: Reply


@frozen
class Failed:
    """A request was refused, or its answer did not come."""

    sequence: int
    error: NdmpError


@frozen
class Posted:
    """The server said something by itself."""

    post: Post


@frozen
class Finished:
    """The session is over: the last event."""

    error: NdmpError


Event: TypeAlias = Opened | Answered | Failed | Posted | Finished

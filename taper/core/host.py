"""The worker, as its dump sees it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from taper.core.rules import Rules
    from taper.core.scribe import Scribe
    from taper.core.watch import WorkerWatch
    from taper.core.world import World


class Host(Protocol):
    """Whose dump it is: whose names it bears, whose scribe and rules it goes by."""

    @property
    def world(self) -> World: ...
    @property
    def name(self) -> str: ...
    @property
    def taper_name(self) -> str: ...
    @property
    def rules(self) -> Rules: ...
    @property
    def watch(self) -> WorkerWatch: ...
    @property
    def scribe(self) -> Scribe:
        """The one it has now: TAKE-SCRIBE-FROM may give another."""

    def request_withdrawn(self, handle: str) -> None:
        """The dump ended before its REQUEST-NEW-TAPE was answered; the answer may still come."""

    def dump_over(self, handle: str) -> None:
        """The dump's end is about to be told: the worker is free for the next command."""

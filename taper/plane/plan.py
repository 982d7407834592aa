"""What the data plane is told of how a dump is to be written."""

from __future__ import annotations

from typing import Protocol


class ICacheKind(Protocol):
    """``taper.core.splitting.CacheKind``, of which only the word matters here."""

    @property
    def value(self) -> str: ...


class IPlan(Protocol):
    """What the data plane needs of ``taper.core.splitting.SplitPlan``: same names, same units."""

    @property
    def part_size(self) -> int: ...
    @property
    def block_size(self) -> int: ...
    @property
    def buffer_size(self) -> int: ...
    @property
    def cache(self) -> ICacheKind: ...
    @property
    def cache_dir(self) -> str | None: ...
    @property
    def pause_at_space(self) -> bool: ...


def wants_cache(plan: IPlan) -> bool:
    """A part is kept until it is stored, in memory or on disk."""
    return plan.cache.value != "none"

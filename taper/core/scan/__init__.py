"""Scans: how a storage finds the next volume to write on [changers 1].

A new algorithm is one file and one line in :data:`ALGORITHMS`.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING

from taper.core.scan import texts
from taper.core.scan.interfaces import (
    IInteractivity,
    IScan,
    ScanContext,
    ScanFailed,
    ScanResult,
    Timers,
)

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred

    from devices.interfaces import IAsyncChanger
    from protocols.conf import Config, Storage
    from protocols.tapelist import Tapelist
    from taper.core.interfaces import ITapelistStore
    from taper.core.retention import Retention

__all__ = [
    "ALGORITHMS",
    "IInteractivity",
    "IScan",
    "ScanFailed",
    "ScanResult",
    "make_scan",
]

# Imported on use: a start pays for the scan it has, not for the others.
ALGORITHMS = {
    "traditional": "taper.core.scan.traditional:TraditionalScan",
    "lexical": "taper.core.scan.lexical:LexicalScan",
    "oldest": "taper.core.scan.oldest:OldestScan",
}

_NEEDS_INVENTORY = frozenset({"lexical", "oldest"})


def make_scan(
    name: str | None,
    *,
    storage: Storage,
    config: Config,
    changer: IAsyncChanger,
    tapelists: ITapelistStore,
    retention: Callable[[Tapelist], Retention],
    note: Callable[[str], Deferred[None] | None],
    refresh: Callable[[], Deferred[None]] | None = None,
    clock: Timers | None = None,
    interactivity: IInteractivity | None = None,
    look: Callable[[str], object] | None = None,
) -> IScan:
    """The one scan of a storage, shared by all workers [changers 1.1].

    :param name: of a ``define taperscan`` section or an algorithm; empty: traditional.
    :param note: takes the text of each ``INFO taper`` line, as soon as it is known; what it
        returns fires when it is written.
    :param refresh: brings what ``retention`` knows besides the tapelist up to date.
    :param clock: anything with ``callLater``; needed with ``interactivity`` only.
    :param interactivity: the operator; None: a scan without a volume fails at once.
    :param look: takes what was found in each slot that was loaded, in words.
    :raise ScanFailed: there is no such algorithm.
    """
    algorithm = _algorithm(name or "", config)
    if algorithm in _NEEDS_INVENTORY and not changer.has_inventory:
        algorithm = "traditional"
    if interactivity is not None and clock is None:
        raise ValueError("a scan with an operator needs a clock to wait by")
    module, _, attribute = ALGORITHMS[algorithm].partition(":")
    factory: Callable[[ScanContext], IScan] = getattr(import_module(module), attribute)
    return factory(
        ScanContext(
            config=config,
            storage=storage,
            changer=changer,
            tapelists=tapelists,
            retention=retention,
            note=note,
            refresh=refresh,
            clock=clock,
            interactivity=interactivity,
            look=look,
        )
    )


def _algorithm(name: str, config: Config) -> str:
    section = config.taperscan(name) if name else None
    if section is not None:
        name = section.plugin or ""
    algorithm = name or "traditional"
    if algorithm not in ALGORITHMS:
        raise ScanFailed(texts.no_such_algorithm(algorithm))
    return algorithm

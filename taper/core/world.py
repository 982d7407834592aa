"""All that one storage's core works with, in one frozen bundle."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING

from attrs import field, frozen

if TYPE_CHECKING:
    from protocols.conf import Config, Storage
    from taper.core.interfaces import (
        IClock,
        IConsole,
        IDriver,
        IFeeds,
        IHistory,
        IStatusFiles,
        ITapelistStore,
        ITraceLog,
    )
    from taper.core.scan import IScan


def _from_one() -> Iterator[int]:
    return itertools.count(1)


@frozen(kw_only=True)
class World:
    """What is around the core of one taper process.

    :ivar tapes: numbers of the volumes labelled by this process, 1, 2, ... over all workers.
    """

    config: Config
    storage: Storage
    driver: IDriver
    trace_log: ITraceLog
    console: IConsole
    tapelists: ITapelistStore
    history: IHistory
    scan: IScan
    feeds: IFeeds
    status_files: IStatusFiles
    clock: IClock
    tapes: Iterator[int] = field(factory=_from_one)

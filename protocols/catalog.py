"""The catalogue: which dump parts lie on which volume, as the trace logs tell it.

Pure: lines of one log go in, values come out; which logs to read is the caller's business
(:mod:`taper.run.history`).
"""

from __future__ import annotations

from collections.abc import Iterable

from attrs import frozen


@frozen(kw_only=True)
class CataloguedPart:
    """One good or bad part on a volume (config-and-state 5.2).

    :ivar label: the volume.
    :ivar written: the timestamp under which the volume was labelled. When the tapelist has
        another one, the volume was overwritten and the part is gone.
    :ivar timestamp: of the dump.
    :ivar partnum: from 1.
    :ivar good: the part itself is complete (PART, not PARTPARTIAL).
    :ivar dump_done: the same log says DONE for the dump.
    """

    label: str
    written: str
    fileno: int
    storage: str
    pool: str
    host: str
    disk: str
    timestamp: str
    level: int
    partnum: int
    good: bool
    dump_done: bool


@frozen(kw_only=True)
class DumpCopy:
    """One dump, on the volumes that hold its parts; all that retention asks for.

    :ivar volumes: (label, timestamp the volume was labelled with); none for a dump that waits
        on a holding disk.
    :ivar done: it is there as a whole.
    """

    host: str
    disk: str
    timestamp: str
    level: int
    volumes: frozenset[tuple[str, str]] = frozenset()
    done: bool = True

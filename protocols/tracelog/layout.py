"""Which words a line of the trace log has: one row per record, for writer and reader alike."""

from __future__ import annotations

from protocols.records import Record
from protocols.tracelog.records import Done, Fail, Part, Partial, PartPartial, Start

_DUMP = ("storage", "pool", "host", "disk", "datestamp")
_PART = ("storage", "pool", "label", "fileno", "host", "disk", "datestamp", "partnum", "level")
_RESULT = (*_DUMP, "parts", "level", "native_crc", "client_crc", "server_crc", "stats")

ROWS: dict[type[Record], tuple[str, tuple[str, ...]]] = {
    Start: (
        "START",
        ("=datestamp", "datestamp", "storage", "pool", "=label", "label", "=tape", "tape"),
    ),
    Part: ("PART", (*_PART, "stats")),
    PartPartial: ("PARTPARTIAL", (*_PART, "stats", "text")),
    Done: ("DONE", _RESULT),
    Partial: ("PARTIAL", (*_RESULT, "text")),
    Fail: ("FAIL", ("vault", *_DUMP, "level", "config", "text")),
}
"""Records that are a row of words: type, then fields and (``=``) fixed words in order."""

PREFIXES = {"storage": "ST:", "pool": "POOL:"}
"""What stands before a value, within its quotes."""

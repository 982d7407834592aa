"""Where a dump lies that is to be vaulted: the trace logs, searched [data-plane 4.4].

Reading them blocks, so it happens in a lane.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, BinaryIO

from devices.regular import open_regular
from devices.tapelist_file import read_tapelist
from protocols.stored import DumpName, StoredDump, full_stamp, stored_dumps
from taper.run.log_catalog import HistoryError, logs_of

if TYPE_CHECKING:
    from protocols.conf import Config
    from protocols.tapelist import Tapelist

_MAX_LINE = 65536


def find_stored(config: Config, wanted: DumpName) -> StoredDump | None:
    """The oldest complete copy of a dump whose volumes still hold it, or None.

    :raise OSError: a log cannot be read
    :raise TapelistError: the tapelist cannot be read
    """
    tapelist = read_tapelist(config.path(config.general.tapelist))
    stamps = {entry.datestamp for entry in tapelist.entries}
    logdir = config.path(config.general.logdir)
    # a dump is never older than the volumes it is on
    young = sorted((stamp for stamp in stamps if _not_before(stamp, wanted)), key=full_stamp)
    for path, stamp in logs_of(logdir, young):
        for dump in _search(path, stamp, wanted, config.name):
            if _still_there(dump, tapelist):
                return dump
    return None


def _not_before(stamp: str, wanted: DumpName) -> bool:
    return len(stamp) >= 8 and full_stamp(stamp) >= wanted.datestamp


def _search(path: str, stamp: str, wanted: DumpName, storage: str) -> list[StoredDump]:
    try:
        with open(path, "rb", opener=open_regular) as file:
            lines = _lines_about(file, wanted)
            return stored_dumps(lines, stamp, wanted, default_storage=storage)
    except FileNotFoundError:
        return []  # tidied away since the directory was read
    except OSError as fault:
        raise HistoryError(
            f"cannot read the trace log {path}: {fault.strerror or fault}; "
            "where the dump lies is not known without it"
        ) from fault


def _lines_about(file: BinaryIO, wanted: DumpName) -> Iterator[str]:
    """Of a log that may be long only what may be of interest."""
    short = wanted.datestamp.removesuffix("000000").encode()
    for line in iter(lambda: file.readline(_MAX_LINE), b""):
        if short in line or line.startswith(b"START "):
            yield line.decode("utf-8", "surrogateescape")


def _still_there(dump: StoredDump, tapelist: Tapelist) -> bool:
    """None of its volumes was written again or forgotten."""
    for label in dump.labels:
        entry = tapelist.lookup(label)
        if entry is None or full_stamp(entry.datestamp) != dump.written:
            return False
    return True

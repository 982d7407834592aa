"""The trace logs, each read when it has changed, and only then. All of it blocks."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING

from attrs import frozen

from protocols.stored import ToldDump, full_stamp, told_dumps
from taper.people.last_night import KINDS, Run, read_run
from taper.people.monitor import listed
from taper.people.reading import log_names
from taper.run.log_catalog import HistoryError, dump_lines, logs_of

if TYPE_CHECKING:
    from protocols.conf import Config
    from protocols.tapelist import Tapelist

_OF_DUMPS = (b"START taper ", b"START amvault ", b"PART ", b"PARTPARTIAL ", b"DONE ")
_OF_PARTS = ("START taper ", "PART ", "PARTPARTIAL ")
_KINDS = tuple(dict.fromkeys((*KINDS, *_OF_DUMPS)))

_State = tuple[int, int, int]


@frozen(kw_only=True)
class ToldLog:
    """What one log tells.

    :ivar path: of the file.
    :ivar stamp: of its name, 14 digits.
    :ivar dumps: in its order.
    :ivar run: None: it is no run of amdump's.
    """

    path: str
    stamp: str
    dumps: tuple[ToldDump, ...]
    run: Run | None


class Logs:
    """Remembers what was read."""

    def __init__(self, config: Config) -> None:
        self._logdir = config.path(config.general.logdir)
        self._storage = config.name
        self._known: dict[str, tuple[_State, ToldLog]] = {}

    def read(self, tapelist: Tapelist) -> list[ToldLog]:
        """All logs, the oldest first.

        :param tapelist: whose volumes' logs are among them, however they are called
        :raise HistoryError: one cannot be read
        """
        seen: dict[str, tuple[_State, ToldLog]] = {}
        for path, stamp in self._paths(tapelist):
            try:
                state = _state(path)
                known = self._known.get(path)
                if known is None or known[0] != state:
                    known = state, self._told(path, stamp)
                seen[path] = known
            except FileNotFoundError:
                continue  # tidied away since the directory was read
            except OSError as fault:
                text = f"cannot read the trace log {path}: {fault.strerror or fault}"
                raise HistoryError(text) from fault
        self._known = seen
        return [told for _, told in seen.values()]

    def _paths(self, tapelist: Tapelist) -> list[tuple[str, str]]:
        stamps = {entry.datestamp for entry in tapelist.entries}
        found = dict(logs_of(self._logdir, sorted(stamps, key=full_stamp)))
        for name, stamp in reversed(log_names(listed(self._logdir))):
            found.setdefault(f"{self._logdir}/{name}", stamp)
        return sorted(found.items(), key=lambda one: full_stamp(one[1]))  # stable: by sequence

    def _told(self, path: str, stamp: str) -> ToldLog:
        lines = dump_lines(path, _KINDS)
        return ToldLog(
            path=path,
            stamp=full_stamp(stamp),
            dumps=tuple(told_dumps(lines, stamp, default_storage=self._storage)),
            run=read_run((line for line in lines if not line.startswith(_OF_PARTS)), stamp),
        )


def _state(path: str) -> _State:
    facts = os.stat(path)
    return facts.st_ino, facts.st_size, facts.st_mtime_ns


def of_volumes(logs: Iterable[ToldLog], tapelist: Tapelist) -> list[ToldDump]:
    """The dumps of those logs whose volumes the tapelist has, the oldest first."""
    stamps = {full_stamp(entry.datestamp) for entry in tapelist.entries}
    return [dump for log in logs if log.stamp in stamps for dump in log.dumps]

"""What the trace log of one run of amdump tells of the disks that were to be dumped [config 5.1].

Pure: lines of a log go in, values come out.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping, Sequence

from attrs import define, field, frozen

from protocols.quoting import split_line, unquote
from protocols.stored import full_stamp
from protocols.tracelog import Done, Fail, Partial, read_record

KINDS = (
    *(b"INFO amdump ", b"DISK planner ", b"FINISH driver ", b"SUCCESS ", b"STRANGE ", b"RETRY "),
    *(b"FAIL ", b"PARTIAL ", b"DONE taper "),
)
"""How the lines begin that are read here."""

DiskName = tuple[str, str]
"""Host and disk."""

_WORDS_BEFORE_TEXT = 4
"""Host, disk, datestamp and level."""


class Fate(enum.Enum):
    """What became of a disk, if it is not on a volume or holding disk as a whole."""

    FAILED = "failed"
    PARTIAL = "partial"
    MISSING = "missing"
    """No word tells that the dump is anywhere."""


@frozen(kw_only=True)
class Failure:
    """A dump of a run that is not whole.

    :ivar text: what the log says, as a clause.
    """

    host: str
    disk: str
    fate: Fate
    text: str


@frozen(kw_only=True)
class Run:
    """One run.

    :ivar stamp: its datestamp, 14 digits.
    :ivar pid: of amdump, while the log does not say that it has ended.
    :ivar finished: the driver came to its end.
    :ivar disks: that the planner had.
    :ivar failures: those of these disks, and of older dumps that the run was to write.
    """

    stamp: str
    pid: str | None
    finished: bool
    disks: tuple[DiskName, ...]
    failures: tuple[Failure, ...]


@define
class _Words:
    """What was said of one disk; of several words of one program the last counts.

    :ivar dump: of tonight's dump, by all programs but the taper; None: it is well.
    :ivar taper: by datestamp, level and storage.
    """

    dump: dict[str, tuple[Fate, str] | None] = field(factory=dict)
    taper: dict[tuple[str, str, str], tuple[Fate, str] | None] = field(factory=dict)

    def is_written(self, stamp: str) -> bool:
        """Tonight's dump is on a volume as a whole."""
        return any(key[0] == stamp and fate is None for key, fate in self.taper.items())

    def verdict(self, stamp: str, *, planned: bool) -> tuple[Fate, str] | None:
        fates = [fate for fate in self.taper.values() if fate is not None]
        if not self.is_written(stamp):
            fates += [fate for fate in self.dump.values() if fate is not None]
        if fates:
            return min(fates, key=lambda fate: list(Fate).index(fate[0]))
        if not planned or self.is_written(stamp) or {"chunker", "planner"} & set(self.dump):
            return None
        if self.dump:
            return Fate.MISSING, "it was dumped, and no word tells where to"
        return Fate.MISSING, "no word tells what became of it"


def read_run(lines: Iterable[str], stamp: str) -> Run | None:
    """Read a log; None: it is not one of amdump's.

    :param lines: those of :data:`KINDS`, or all
    :param stamp: of the log's name
    """
    reader = _Reader(full_stamp(stamp))
    for line in lines:
        type_, _, rest = line.rstrip("\r\n").partition(" ")
        program, _, text = rest.partition(" ")
        reader.take(type_, program, text)
    return reader.run()


class _Reader:
    def __init__(self, stamp: str) -> None:
        self._stamp = stamp
        self._is_amdump = False
        self._pid: str | None = None
        self._finished = False
        self._planned: dict[DiskName, None] = {}
        self._words: dict[DiskName, _Words] = {}

    def take(self, type_: str, program: str, text: str) -> None:
        if type_ == "INFO" and program == "amdump":
            self._read_pid(text)
        elif type_ == "FINISH" and program == "driver":
            self._finished = True
        elif type_ == "DISK" and program == "planner":
            words = _unquoted(text)
            if len(words) >= 2:
                self._planned[words[0], words[1]] = None
        elif program == "taper":
            self._read_taper(type_, text)
        elif type_ in ("SUCCESS", "STRANGE"):
            self._read_dump(program, text, None)
        elif type_ in ("FAIL", "RETRY"):
            self._read_dump(program, text, Fate.FAILED)
        elif type_ == "PARTIAL":
            self._read_dump(program, text, Fate.PARTIAL)

    def _read_pid(self, text: str) -> None:
        words = text.split(" ")
        if len(words) == 3 and words[:2] == ["amdump", "pid"]:
            self._is_amdump = True
            self._pid = words[2]
        elif words[0] == "pid-done" and words[1:] == [self._pid]:
            self._pid = None

    def _read_taper(self, type_: str, text: str) -> None:
        record = read_record(type_, text)
        if not isinstance(record, Done | Partial | Fail):
            return
        fate = None
        if isinstance(record, Partial):
            fate = Fate.PARTIAL, f"taper: {record.text or 'the dump is not whole'}"
        elif isinstance(record, Fail):
            fate = Fate.FAILED, f"taper: {record.text}"
        words = self._words.setdefault((record.host, record.disk), _Words())
        words.taper[full_stamp(record.datestamp), record.level, record.storage] = fate

    def _read_dump(self, program: str, text: str, fate: Fate | None) -> None:
        said = _unquoted(text)
        while said and (said[0] == "VAULT" or said[0].startswith(("ST:", "POOL:"))):
            del said[0]
        if len(said) < 2:
            return
        words = self._words.setdefault((said[0], said[1]), _Words())
        why = " ".join(said[_WORDS_BEFORE_TEXT:]).removeprefix("[").removesuffix("]")
        words.dump[program] = None if fate is None else (fate, f"{program}: {why}")

    def run(self) -> Run | None:
        if not (self._is_amdump or self._planned):
            return None
        failures = []
        for name in dict.fromkeys((*self._planned, *self._words)):
            words = self._words.get(name, _Words())
            verdict = words.verdict(self._stamp, planned=name in self._planned)
            if verdict is not None:
                host, disk = name
                failures.append(Failure(host=host, disk=disk, fate=verdict[0], text=verdict[1]))
        return Run(
            stamp=self._stamp,
            pid=self._pid,
            finished=self._finished,
            disks=tuple(self._planned),
            failures=tuple(failures),
        )


def _unquoted(text: str) -> list[str]:
    return [unquote(word) for word in split_line(text)]


@frozen(kw_only=True)
class Judged:
    """A disk, and the last run that was to dump it.

    :ivar failure: None: it is well.
    """

    stamp: str
    failure: Failure | None


def last_of(runs: Sequence[Run]) -> Mapping[DiskName, Judged]:
    """Each disk by the last run that had it: one that is dumped by hand in the morning does not let
    the night of all others be forgotten.

    :param runs: the newest first
    """
    found: dict[DiskName, Judged] = {}
    for run in runs:
        failures = {(one.host, one.disk): one for one in run.failures}
        for name in (*run.disks, *failures):
            judged = Judged(stamp=run.stamp, failure=failures.get(name))
            found.setdefault(name, judged)
    return found

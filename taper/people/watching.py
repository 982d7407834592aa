"""What a monitoring system is told, and how bad it is. Pure: what is known of disks, volumes and
runs goes in, findings come out."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping

from attrs import frozen

from taper.people.exits import State
from taper.people.last_night import DiskName, Fate, Judged, Run
from taper.people.plugin_text import Datum, Finding
from taper.people.restore.plan import Restorable, choose
from taper.people.telling import count, moment, size

DEFAULT_WARNING = "36h"
"""A nightly run may take until noon."""
DEFAULT_CRITICAL = "60h"
"""One night is missing, and the next one, too."""

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_MAX_DIGITS = 9
_HOUR = 3600


def parse_age(text: str) -> int:
    """An age, as ``36h``, in seconds.

    :raise ValueError: it is none; the text says what was expected
    """
    unit = text[-1:] if text[-1:] in _SECONDS else ""
    digits = text.removesuffix(unit)
    if not (digits.isascii() and digits.isdigit() and len(digits) <= _MAX_DIGITS and int(digits)):
        raise ValueError(f"'{text}' is no age: a number with s, m, h, d or w behind it expected")
    return int(digits) * _SECONDS[unit or "s"]


@frozen(kw_only=True)
class Limits:
    """When something is bad.

    :ivar warning: seconds; a last dump that is older is a warning.
    :ivar critical: likewise.
    :ivar volumes_warning: fewer volumes are a warning; None: fewer than a run may write.
    :ivar volumes_critical: fewer are critical; None: fewer than one.
    """

    warning: int
    critical: int
    volumes_warning: int | None = None
    volumes_critical: int | None = None

    @property
    def wants_volumes(self) -> bool:
        """Somebody wants to know how many volumes there are."""
        return (self.volumes_warning, self.volumes_critical) != (0, 0)

    def complaint(self) -> str | None:
        """What is wrong with them, as a sentence; None: nothing."""
        if self.warning > self.critical:
            return f"--warning {self.warning}s is more than --critical {self.critical}s"
        few, fewer = self.volumes_warning, self.volumes_critical
        for name, number in (("--volumes-warning", few), ("--volumes-critical", fewer)):
            if number is not None and number < 0:
                return f"{name} {number}: 0 or more expected"
        if few is not None and fewer is not None and few < fewer:
            return f"--volumes-warning {few} is less than --volumes-critical {fewer}"
        return None


# Disks


@frozen(kw_only=True)
class KnownDisk:
    """A disk, and its dumps.

    :ivar dumps: all that were written as a whole.
    :ivar there: the keys of those that are still there as a whole.
    """

    host: str
    disk: str
    dumps: tuple[Restorable, ...]
    there: frozenset[tuple[str, int]]

    @property
    def name(self) -> str:
        return f"{self.host}:{self.disk}"

    def last(self) -> Restorable | None:
        """The newest dump that can be restored, together with all that it builds on."""
        for stamp in sorted({dump.datestamp for dump in self.dumps}, reverse=True):
            chain = choose(self.dumps, stamp, None)
            keys = [copies[0].key for copies in chain]
            if keys[0][1] == 0 and self.there.issuperset(keys):
                return next(copy for copy in self.dumps if copy.key == keys[-1])
        return None


def seconds_of(stamp: str) -> float | None:
    """The moment of a datestamp of 14 digits, local time, in seconds since the epoch; None: it is
    none."""
    if not (stamp.isascii() and stamp.isdigit() and len(stamp) == 14):
        return None
    try:
        return time.mktime(time.strptime(stamp, "%Y%m%d%H%M%S"))
    except (ValueError, OverflowError):
        return None


def about(seconds: int) -> str:
    """A time in words."""
    if seconds < 2 * _HOUR:
        return count(seconds // 60, "minute")
    if seconds < 72 * _HOUR:
        return count(seconds // _HOUR, "hour")
    return count(seconds // (24 * _HOUR), "day")


def judge_disk(disk: KnownDisk, last: Restorable | None, limits: Limits, now: float) -> Finding:
    """How old its last dump is.

    :param last: as :meth:`KnownDisk.last` has it
    :param now: seconds since the epoch
    """
    if last is None:
        text = f"{disk.name} has no dump that can be restored"
        return Finding(state=State.CRITICAL, text=text)
    begun = seconds_of(last.datestamp)
    told = f"level {last.level} of {moment(last.datestamp)}"
    if last.size is not None:
        told += f", {size(last.size)}"
    if begun is None or begun > now + _HOUR:
        text = f"{disk.name}: the last dump, {told}, is none of the past: is the clock right?"
        return Finding(state=State.WARNING, text=text)
    age = max(int(now - begun), 0)
    state = State.OK
    if age > limits.critical:
        state = State.CRITICAL
    elif age > limits.warning:
        state = State.WARNING
    data = [
        Datum(
            label=f"{disk.name} age",
            value=age,
            unit="s",
            warning=str(limits.warning),
            critical=str(limits.critical),
        )
    ]
    if last.size is not None:
        data.append(Datum(label=f"{disk.name} size", value=last.size, unit="B"))
    text = f"{disk.name}: the last dump is {about(age)} old ({told})"
    return Finding(state=state, text=text, data=tuple(data))


# Volumes


@frozen(kw_only=True)
class Left:
    """The volumes of a storage that may be written tonight.

    :ivar usable: how many there are.
    :ivar unknown: slots of which nobody knows what is in them until they are loaded.
    :ivar slots: all that have a volume.
    :ivar runtapes: as many may a run write.
    :ivar refused: why the scan of tonight would take none all the same.
    :ivar trouble: why none of this is known.
    """

    storage: str
    usable: int = 0
    unknown: int = 0
    slots: int = 0
    runtapes: int = 1
    refused: str | None = None
    trouble: str | None = None


def judge_volumes(left: Left, limits: Limits) -> Finding:
    """Whether there are enough."""
    name = f"storage {left.storage}"
    if left.trouble is not None:
        text = f"{name}: what volumes are left is not known: {left.trouble}"
        return Finding(state=State.UNKNOWN, text=text)
    critical = 1 if limits.volumes_critical is None else limits.volumes_critical
    warning = limits.volumes_warning
    if warning is None:
        warning = max(left.runtapes, critical)
    state = _enough(left, warning, critical)
    text = f"{name}: {count(left.usable, 'volume')} left"
    if left.unknown:
        text += f", and {count(left.unknown, 'slot')} of unknown content"
    if left.refused is not None and critical:
        state = State.CRITICAL
        text += f"; tonight none would be taken: {left.refused}"
    datum = Datum(
        label=f"{left.storage} volumes",
        value=left.usable,
        warning=f"{warning}:" if warning else "",
        critical=f"{critical}:" if critical else "",
        most=str(left.slots),
    )
    return Finding(state=state, text=text, data=(datum,))


def _enough(left: Left, warning: int, critical: int) -> State:
    """Slots of unknown content may have volumes that are usable, or not."""
    for state, limit in ((State.CRITICAL, critical), (State.WARNING, warning)):
        if left.usable + left.unknown < limit:
            return state
        if left.usable < limit:
            return State.UNKNOWN
    return State.OK


# Runs


def judge_run(run: Run | None, *, under_way: bool) -> Finding:
    """Whether the last run came to its end.

    :param run: the last one that is over; None: no log tells of any
    :param under_way: another one is going on
    """
    beside = "; another one is going on" if under_way else ""
    if run is None:
        return Finding(state=State.OK, text=f"no log tells of a run that is over{beside}")
    if run.finished:
        return Finding(state=State.OK, text=f"the last run, of {moment(run.stamp)}, ended{beside}")
    text = f"the last run, of {moment(run.stamp)}, died before its end{beside}"
    return Finding(state=State.WARNING, text=text)


def judge_failures(judged: Mapping[DiskName, Judged]) -> list[Finding]:
    """What failed, each disk in its last run."""
    return [
        Finding(
            state=State.WARNING,
            text=(
                f"{one.failure.host}:{one.failure.disk}: {one.failure.fate.value} in the run of "
                f"{moment(one.stamp)}: {one.failure.text}"
            ),
        )
        for one in judged.values()
        if one.failure is not None
    ]


def sum_of_failures(judged: Mapping[DiskName, Judged]) -> Iterator[Datum]:
    """How many there are of each kind."""
    fates = [one.failure.fate for one in judged.values() if one.failure is not None]
    for fate in Fate:
        yield Datum(label=fate.value, value=fates.count(fate), warning="0")


# All together


def summary_of(
    disks: int, lasts: Iterable[Restorable], volumes: Iterable[Finding], run: Finding, now: float
) -> list[str]:
    """What is said when nothing is wrong.

    :param disks: how many there are
    :param lasts: their last dumps
    """
    stamps = [seconds_of(last.datestamp) for last in lasts]
    ages = [int(now - begun) for begun in stamps if begun is not None]
    clause = count(disks, "disk")
    if ages:
        clause += f", the oldest last dump is {about(max(*ages, 0))} old"
    return [clause, *(finding.text for finding in volumes), run.text]

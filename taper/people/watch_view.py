"""What people are shown of running tapers. Pure: what the tapers have told goes in.

Nothing of it is believed to be as documented: one taper that tells nonsense must not hide others.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from protocols.status import config_of
from taper.people.telling import Column, Table, count, printable, size

if TYPE_CHECKING:
    from protocols.status import Event, Snapshot

NOBODY = "No taper is running."
_NOTES = 3
_NONSENSE = (LookupError, TypeError, AttributeError, ValueError, OverflowError, OSError)

WORKERS = (Column("worker"), Column("state"), Column("dump"), Column("waits for"))
WRITING = (
    Column("worker"),
    Column("volume"),
    Column("part", right=True),
    Column("written", right=True),
    Column("source", right=True),
    Column("device", right=True),
    Column("empty", right=True),
    Column("full", right=True),
)
"""``empty`` and ``full`` are those of the ring between source and device: who is slow."""


def view(snapshots: Iterable[Snapshot], now: float) -> list[Table | str]:
    """All tapers, as tables and lines.

    :param now: seconds since the epoch
    """
    shown: list[Table | str] = []
    for snapshot in snapshots:
        if shown:
            shown.append("")
        try:
            shown += _taper(snapshot, now)
        except _NONSENSE:
            shown.append(f"a taper tells what nobody understands: {_short(snapshot)}")
    return shown or [NOBODY]


def _short(thing: object) -> str:
    return printable(repr(thing)[:60])


def _taper(snapshot: Snapshot, now: float) -> list[Table | str]:
    """One taper."""
    return [_head(snapshot), *_workers(snapshot, now), *_question(snapshot, now), *_notes(snapshot)]


def _head(snapshot: Snapshot) -> str:
    conversation, totals = snapshot["conversation"], snapshot["totals"]
    config = printable(config_of(snapshot))
    if conversation is None:
        service = printable(snapshot["service"])
        return f"{config}: pid {snapshot['pid']:d}, {service}; no driver is there"
    words = [
        f"{config}: storage {printable(conversation['storage'])}, pid {snapshot['pid']:d}",
        f"since {_clock(conversation['begun'])}",
        f"{count(totals['dumps'], 'dump')} done",
    ]
    if totals["failed"]:
        words.append(f"{totals['failed']:d} failed or partial")
    words.append(f"{size(totals['bytes'])} in {count(totals['parts'], 'part')}")
    return ", ".join(words)


def _workers(snapshot: Snapshot, now: float) -> Iterator[Table]:
    workers = snapshot["workers"]
    if workers:
        yield Table(WORKERS, [_worker(name, workers[name], now) for name in workers])
    rows = [_writing(name, workers[name]) for name in workers]
    if any(any(row[1:]) for row in rows):
        yield Table(WRITING, [row for row in rows if any(row[1:])])


def _worker(name: str, worker: dict[str, Any], now: float) -> list[str]:
    return [
        printable(name),
        f"{printable(worker['state'])} {lasting(now - worker['since'])}",
        _dump(worker),
        _wait(worker, now),
    ]


def _wait(worker: dict[str, Any], now: float) -> str:
    wait = worker["wait"]
    return "" if wait is None else f"{printable(wait['reason'])}, {lasting(now - wait['since'])}"


def _writing(name: str, worker: dict[str, Any]) -> list[str]:
    dump, volume = worker["dump"], worker["volume"]
    progress = None if dump is None else dump["progress"]
    part = None if progress is None else progress["part"]
    rates = None if progress is None else progress["rates"]
    return [
        printable(name),
        "" if volume is None else f"{printable(volume['label'])} ({printable(volume['slot'])})",
        "" if part is None else f"{part['number']:d}",
        "" if progress is None else size(progress["written"]),
        "" if rates is None else _rate(rates["source"]),
        "" if rates is None else _rate(rates["device"]),
        "" if part is None else _percent(part["empty"]),
        "" if part is None else _percent(part["full"]),
    ]


def _dump(worker: dict[str, Any]) -> str:
    dump, last = worker["dump"], worker["last"]
    if dump is not None:
        return name_of(dump)
    return "" if last is None else f"({name_of(last)}: {printable(last['result'])})"


def name_of(dump: dict[str, Any]) -> str:
    """A dump, in words."""
    host, disk, level = (printable(dump[key]) for key in ("host", "disk", "level"))
    return f"{host}:{disk} level {level}"


def _rate(rate: int | None) -> str:
    return "" if rate is None else f"{size(rate)}/s"


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.0f} %"


def _question(snapshot: Snapshot, now: float) -> Iterator[str]:
    question = snapshot["question"]
    if question is not None:
        yield f"{_asked(question)} ({lasting(now - question['since'])})"


def _asked(question: dict[str, Any]) -> str:
    changer, text = printable(question["changer"]), printable(question["text"])
    return f"An operator is asked for a volume in {changer}: {text}"


def _notes(snapshot: Snapshot) -> Iterator[str]:
    for note in snapshot["notes"][-_NOTES:]:
        yield f"{_clock(note['at'])} {printable(note['text'])}"


def _clock(moment: float) -> str:
    return time.strftime("%H:%M:%S", time.localtime(moment))


def lasting(seconds: float) -> str:
    """A time, as ``0:07``, ``12:30`` or ``1:02:03``."""
    minutes, rest = divmod(max(int(seconds), 0), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


# Line by line


def lines_of(snapshot: Snapshot, event: Event) -> list[str]:
    """What an event says to whoever reads lines; of most, nothing."""
    try:
        told = _told(event)
        head = f"{_clock(event['at'])} {printable(snapshot['config'])}"
        return [f"{head} {line}" for line in told]
    except _NONSENSE:
        return [f"an event that nobody understands: {_short(event)}"]


def _told(event: Event) -> Iterator[str]:
    kind = event["event"]
    if kind == "part":
        yield f"{printable(event['name'])}: {_part(event['part'])}"
    elif kind == "dump":
        yield f"{printable(event['name'])}: {_over(event['dump'])}"
    elif kind == "note":
        yield printable(event["text"])
    elif kind == "question" and event["question"] is not None:
        yield _asked(event["question"])
    elif kind == "end":
        yield printable(event["reason"])


def _part(part: dict[str, Any]) -> str:
    head = f"part {part['number']:d} on {printable(part['label'])}"
    if not part["good"]:
        return f"{head} is not good: {printable(part['error'])}"
    return f"{head}, {size(part['bytes'])} in {part['seconds']:.1f} s{_waited(part)}"


def _over(dump: dict[str, Any]) -> str:
    head = f"{name_of(dump)}: {printable(dump['result'])}, {size(dump['stored'])}"
    message = f"; {printable(dump['message'])}" if dump["message"] else ""
    return f"{head} in {count(dump['parts'], 'part')}{_waited(dump)}{message}"


def _waited(over: dict[str, Any]) -> str:
    empty, full = over["empty"], over["full"]
    told = [] if empty is None else [f"the device waited {_percent(empty)} for data"]
    told += [] if full is None else [f"the source {_percent(full)} for the device"]
    return f"; {', '.join(told)}" if told else ""


def progress_of(snapshot: Snapshot, now: float) -> list[str]:
    """How far the dumps of a taper are, a line each."""
    try:
        return list(_progress(snapshot, now))
    except _NONSENSE:
        return [f"a taper tells what nobody understands: {_short(snapshot)}"]


def _progress(snapshot: Snapshot, now: float) -> Iterator[str]:
    head = f"{_clock(now)} {printable(snapshot['config'])}"
    for name, worker in snapshot["workers"].items():
        if worker["dump"] is None:
            continue
        _, _, _, written, source, device, _, _ = _writing(name, worker)
        words = [f"{_dump(worker)}: {written}"]
        words += [f"{source} from the source"] if source else []
        words += [f"{device} to the device"] if device else []
        words += [f"waits: {_wait(worker, now)}"] if worker["wait"] is not None else []
        yield f"{head} {printable(name)}: {', '.join(words)}"

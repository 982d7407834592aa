"""What a process tells on its status socket, as lines: docs/status.md has what is in them.

It is a taper, or one that restores or verifies. The first line has a snapshot, each one after it an
event. Whoever folds the events into the snapshot has what its next snapshot would be.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

VERSION = 1
"""Of the first line: keys may come to be, and kinds of events; none goes or changes its meaning."""

MOST_LINE = 1 << 20
"""Bytes of a line that a client reads."""
MOST_TEXT = 1000
"""Characters of a text in a line; of a longer one its beginning."""
MOST_NOTES = 10
"""Notes in a snapshot: the last ones."""

MOST_WORKERS = 1000
"""Workers of one taper that a client knows."""

Snapshot = dict[str, Any]
Event = dict[str, Any]


class StatusError(Exception):
    """A peer said what no taper says; the text says what."""


def clipped(text: str) -> str:
    """A text that is not longer than one may be."""
    return text if len(text) <= MOST_TEXT else f"{text[: MOST_TEXT - 3]}..."


def encode(message: Mapping[str, Any]) -> bytes:
    """A message as a line. ASCII: bytes of names that are no UTF-8 are lone surrogates in it."""
    return json.dumps(message, separators=(",", ":"), allow_nan=False).encode("ascii") + b"\n"


def first_line(snapshot: Snapshot) -> bytes:
    """The line that a client gets first."""
    return encode({"taper": VERSION, "snapshot": snapshot})


def refusal(reason: str) -> bytes:
    """The only line for a client that is one too many."""
    return encode({"taper": VERSION, "refused": clipped(reason)})


# What a client hears


class Refused(StatusError):
    """The taper wants no further client now; the text is its reason."""


class Hearing:
    """What a client knows of one taper, from the lines that it has heard.

    :ivar snapshot: the newest state; None: the first line has not come.
    :ivar dropped: why the taper hung up on us, if it said so.
    """

    def __init__(self) -> None:
        self.snapshot: Snapshot | None = None
        self.dropped: str | None = None
        self._rest = b""

    def feed(self, data: bytes) -> list[Event]:
        """Take what has come, in whatever pieces. :return: the events in it, which are folded in

        :raise Refused: instead of a snapshot
        :raise StatusError: a line is too long, or is none of a taper's
        """
        *lines, self._rest = (self._rest + data).split(b"\n")
        events = [event for line in lines if (event := self._take(line)) is not None]
        if len(self._rest) > MOST_LINE:
            raise StatusError(f"a line of more than {MOST_LINE} bytes")
        return events

    def _take(self, line: bytes) -> Event | None:
        message = _decode(line)
        if self.snapshot is None:
            self.snapshot = _opened(message)
            return None
        self.snapshot = fold(self.snapshot, message)
        if message.get("event") == "dropped":
            self.dropped = str(message.get("reason"))
        return message


def _decode(line: bytes) -> dict[str, Any]:
    if len(line) > MOST_LINE:
        raise StatusError(f"a line of more than {MOST_LINE} bytes")
    try:
        message = json.loads(line)
    except (ValueError, RecursionError) as fault:
        raise StatusError(f"a line is no JSON: {_shown(line)}") from fault
    if not isinstance(message, dict):
        raise StatusError(f"a line is no object: {_shown(line)}")
    return message


def _shown(line: bytes) -> str:
    return repr(line[:60])


def _opened(message: dict[str, Any]) -> Snapshot:
    if message.get("taper") != VERSION:
        said = _shown(repr(message.get("taper")).encode("utf-8", "replace"))
        raise StatusError(f"this is no taper of version {VERSION}: it says {said}")
    if "refused" in message:
        raise Refused(str(message["refused"]))
    snapshot = message.get("snapshot")
    if not isinstance(snapshot, dict) or not isinstance(snapshot.get("workers"), dict):
        raise StatusError("the first line has no snapshot")
    return snapshot


def config_of(snapshot: Snapshot) -> Any:
    """Name of the configuration that is at work; a daemon may serve drivers of several."""
    conversation = snapshot.get("conversation")
    served = conversation.get("config") if isinstance(conversation, dict) else None
    return snapshot.get("config") if served is None else served


def reading_of(snapshot: Snapshot) -> Any:
    """What a process that reads volumes has told of it; None: it is a taper, which has not."""
    return snapshot.get("reading")


def fold(snapshot: Snapshot, event: Event) -> Snapshot:
    """The snapshot after an event; of a kind that is not known it stays as it is.

    :raise StatusError: the event lacks something, or something in it is of a wrong type
    """
    known = _FOLDS.get(str(event.get("event")))
    try:
        after = snapshot if known is None else {**snapshot, **known(snapshot, event)}
    except (LookupError, TypeError, AttributeError, ValueError) as fault:
        raise StatusError(
            f"event {event.get('event')!r} is not as it should be: {fault!r}"[:200]
        ) from fault
    return {**after, "at": event["at"]} if "at" in event else after


def _conversation(snapshot: Snapshot, event: Event) -> Snapshot:
    return {
        "conversation": event["conversation"],
        "question": None,
        "totals": NOTHING_YET,
        "workers": {},
        "notes": [],
    }


def _worker(snapshot: Snapshot, event: Event) -> Snapshot:
    workers, name = dict(snapshot["workers"]), event["name"]
    if event["worker"] is None:
        workers.pop(name, None)
    elif name in workers or len(workers) < MOST_WORKERS:
        workers[name] = {**event["worker"]}
    else:
        raise ValueError(f"more than {MOST_WORKERS} workers")
    return {"workers": workers}


def _progress(snapshot: Snapshot, event: Event) -> Snapshot:
    workers, name = snapshot["workers"], event["name"]
    worker = workers[name]
    dump = {**worker["dump"], "progress": {**event["progress"]}}
    return {"workers": {**workers, name: {**worker, "dump": dump}}}


def _part(snapshot: Snapshot, event: Event) -> Snapshot:
    part, totals = event["part"], snapshot["totals"]
    if not part["good"]:
        return {}
    bytes_ = totals["bytes"] + part["bytes"]
    return {"totals": {**totals, "parts": totals["parts"] + 1, "bytes": bytes_}}


def _dump(snapshot: Snapshot, event: Event) -> Snapshot:
    totals = snapshot["totals"]
    key = "dumps" if event["dump"]["result"] == "DONE" else "failed"
    return {"totals": {**totals, key: totals[key] + 1}}


def _question(snapshot: Snapshot, event: Event) -> Snapshot:
    return {"question": event["question"]}


def _note(snapshot: Snapshot, event: Event) -> Snapshot:
    note = {"at": event["at"], "text": event["text"]}
    return {"notes": [*snapshot["notes"], note][-MOST_NOTES:]}


def _reading(snapshot: Snapshot, event: Event) -> Snapshot:
    return {"reading": {**event["reading"]}}


def _read(snapshot: Snapshot, event: Event) -> Snapshot:
    reading, places = snapshot["reading"], event["places"]
    drives = {
        name: {**drive, "place": places[name]} if name in places else drive
        for name, drive in reading["drives"].items()
    }
    return {"reading": {**reading, "progress": {**event["progress"]}, "drives": drives}}


NOTHING_YET: Mapping[str, int] = {"dumps": 0, "failed": 0, "parts": 0, "bytes": 0}
"""Totals of a conversation in which nothing was written yet."""

_FOLDS = {
    "conversation": _conversation,
    "worker": _worker,
    "progress": _progress,
    "part": _part,
    "dump": _dump,
    "question": _question,
    "note": _note,
    "reading": _reading,
    "read": _read,
}

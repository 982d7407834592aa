"""The checker is not blind: each synchronisation that is left out, each reply that comes too early,
each harm to a volume is found."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence

import pytest
from attrs import evolve

from tests.crash.checker import Checker
from tests.crash.disk import Blob, Image, Node
from tests.crash.events import Event, Heard, SyncBegun, Synced, Told
from tests.crash.images import crashes
from tests.crash.promises import Promises
from tests.crash.stage import Recording

SAMPLES = 3
Change = Callable[[Recording], Sequence[Event]]


def faults(recording: Recording, events: Sequence[Event]) -> set[str]:
    """What is found where these events happen instead of those recorded."""
    checker = Checker(recording)
    found: set[str] = set()
    for crash in crashes(recording.tree, events, recording.name, SAMPLES):
        promises = Promises.made(crash.told, recording.dumps)
        found.update(checker.faults(crash.image, promises))
    return found


def without_sync(path: str, call: str = "") -> Change:
    """Files or directories of such a path are never synchronised."""

    def change(recording: Recording) -> Sequence[Event]:
        left_out = {
            event.number
            for event, made in zip(recording.events, recording.calls, strict=True)
            if isinstance(event, SyncBegun)
            and re.fullmatch(path, made.path)
            and made.name.startswith(call)
        }
        assert left_out, f"nothing like {path} is synchronised at all"
        return [
            event
            for event in recording.events
            if not (isinstance(event, SyncBegun | Synced) and event.number in left_out)
        ]

    return change


def told_early(word: str, before: str) -> Change:
    """Such a reply comes before the synchronisation of such a path that precedes it."""

    def change(recording: Recording) -> Sequence[Event]:
        events: list[Event] = []
        begun = 0
        for event, made in zip(recording.events, recording.calls, strict=True):
            if isinstance(event, SyncBegun) and re.fullmatch(before, made.path):
                begun = len(events)
            if isinstance(event, Told) and event.line.startswith(word):
                events.insert(begun, event)
            else:
                events.append(event)
        assert events != recording.events
        return events

    return change


PART = r"(.*/)?0*[1-9]\d*\.[^/]*"
SLOT = r"vtapes/slot\d+"
LEFT_OUT: list[tuple[str, str, Change, str]] = [
    ("a part's data", "parts", without_sync(PART), "is not whole"),
    ("a part's name", "parts", without_sync(SLOT), "there are 0 such files"),
    ("a label's data", "first_label", without_sync(".*/00000-label"), "no volume bears"),
    ("a label's name", "first_label", without_sync(SLOT), "no volume bears the label"),
    ("a new label's name", "relabelling", without_sync(SLOT), "and in .* is"),
    ("the tapelist's data", "first_label", without_sync("tapelist-new.*"), "the tapelist"),
    ("the tapelist's name", "first_label", without_sync(r"\."), "the tapelist has None"),
    ("a linked tapelist's name", "linked_tapelist", without_sync("state/C"), "the tapelist"),
    ("the log's data", "first_label", without_sync("log/log"), "no log has it"),
    ("the log's name", "first_label", without_sync("log"), "no log has it"),
    ("the next log's name", "three_nights", without_sync("log"), "no log has it"),
    ("a new slot", "new_slots", without_sync("vtapes"), "no volume bears the label"),
    ("a flat volume's data", "flat_volume", without_sync("flat/.*"), "is not whole"),
    ("a flat volume's name", "flat_volume", without_sync("flat"), "no volume bears the label"),
    ("a part from a port", "from_a_port", without_sync(PART), "is not whole"),
    ("a part of a vault", "vaulting", without_sync(PART), "is not whole"),
    ("the lone volume's part", "lone_volume", without_sync(PART), "is not whole"),
    ("a second worker's part", "two_workers", without_sync(PART), "is not whole"),
    ("NEW-TAPE waits for the log", "parts", told_early("NEW-TAPE", "log/log"), "no log has it"),
    ("NEW-TAPE waits for the label", "parts", told_early("NEW-TAPE", SLOT), "the tapelist has"),
    ("PARTDONE waits for the log", "parts", told_early("PARTDONE", "log/log"), "no log has it"),
    ("PARTDONE waits for the data", "parts", told_early("PARTDONE", PART), "is not whole"),
    # name and data are stored beside one another: what is told before the one may be before both
    (
        "PARTDONE waits for the name",
        "parts",
        told_early("PARTDONE", SLOT),
        "there are 0 such|is not whole",
    ),
    ("DONE waits for the log", "parts", told_early("DONE", "log/log"), "no log has it"),
    ("DONE waits for the last part", "parts", told_early("DONE", PART), "bytes were stored"),
    (
        "PARTIAL waits for the log",
        "broken_holding_file",
        told_early("PARTIAL", "log/log"),
        "no log",
    ),
    ("FAILED waits for the log", "broken_holding_file", told_early("FAILED", "log/log"), "no log"),
]


@pytest.mark.parametrize(
    ("name", "change", "text"), [row[1:] for row in LEFT_OUT], ids=[row[0] for row in LEFT_OUT]
)
def test_what_is_left_out_is_found(
    name: str, change: Change, text: str, recordings: Mapping[str, Recording]
) -> None:
    recording = recordings[name]
    found = faults(recording, change(recording))
    assert any(re.search(text, fault) for fault in found), found


def test_a_device_that_synchronises_nothing(recordings: Mapping[str, Recording]) -> None:
    """The property FSYNC is off: parts are told that are not on the disk."""
    recording = recordings["not_synchronised"]
    found = faults(recording, recording.events)
    assert any("is not whole" in fault for fault in found)
    assert any("there are 0 such files" in fault for fault in found)


def test_a_volume_that_must_not_be_touched(recordings: Mapping[str, Recording]) -> None:
    """One byte, a file more, a file less, the volume gone, its label on another."""
    recording = recordings["relabelling"]
    assert {"C02", "C03"} == recording.kept
    image = last_image(recording)
    names = sorted(path for path in image.nodes if path.startswith("vtapes/slot3/"))
    touched: list[dict[str, Node]] = [
        {**image.nodes, names[1]: Blob(_node(image, names[1]).data[:-1] + b"?")},
        {**image.nodes, "vtapes/slot3/00007.x._y.0": Blob(b"")},
        _lacking(image, names[-1:]),
        _lacking(image, names),
    ]
    for nodes in touched:
        (fault, *_) = judged(recording, Image(nodes))
        assert fault == "volume C03 is active, and not as it was"


def test_a_label_on_two_volumes(recordings: Mapping[str, Recording]) -> None:
    recording = recordings["first_label"]
    image = last_image(recording)
    label = _node(image, "vtapes/slot1/00000.C01")
    nodes = {**image.nodes, "vtapes/slot3/00000.C01": label}
    assert "label C01 is in vtapes/slot1 and in vtapes/slot3" in judged(recording, Image(nodes))
    nodes = {**image.nodes, "vtapes/slot1/00000.C02": label}
    assert any("NEW-TAPE C01 was told, and in" in one for one in judged(recording, Image(nodes)))


def test_a_damaged_tapelist(recordings: Mapping[str, Recording]) -> None:
    recording = recordings["first_label"]
    image = last_image(recording)
    for data, text in (
        (b"C01 what\n", "the tapelist cannot be read"),
        (b"", "the tapelist has None"),
        (_node(image, "tapelist").data * 2, "the tapelist"),
    ):
        found = judged(recording, Image({**image.nodes, "tapelist": Blob(data)}))
        assert any(text in one for one in found), found
    assert judged(recording, Image(_lacking(image, ["tapelist"]))) == ["there is no tapelist"]


def test_a_dump_that_was_not_whole(recordings: Mapping[str, Recording]) -> None:
    """DONE in the log, of what a dumper failed to send."""
    recording = recordings["first_label"]
    dumps = {handle: evolve(dump, whole=False) for handle, dump in recording.dumps.items()}
    found = judged(evolve(recording, dumps=dumps), last_image(recording))
    assert found == ["DONE was told of /disk1, and no log has it"]


def last_image(recording: Recording) -> Image:
    """What is there in the end."""
    *_, last = crashes(recording.tree, recording.events, recording.name, 0)
    *_, whole = (
        crash
        for crash in crashes(recording.tree, recording.events, recording.name, 0)
        if crash.kind == "nothing lost"
    )
    assert whole.moment == last.moment
    assert judged(recording, whole.image) == []
    return whole.image


def judged(recording: Recording, image: Image) -> list[str]:
    said = [event for event in recording.events if isinstance(event, Told | Heard)]
    promises = Promises.made(said, recording.dumps)
    return Checker(recording).faults(image, promises)


def _node(image: Image, path: str) -> Blob:
    node = image.nodes[path]
    assert isinstance(node, Blob)
    return node


def _lacking(image: Image, paths: Iterable[str]) -> dict[str, Node]:
    return {path: node for path, node in image.nodes.items() if path not in set(paths)}

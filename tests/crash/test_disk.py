"""What a crash may leave, in small."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.crash.disk import Blob, Disk, Image, applied, sized
from tests.crash.events import (
    ROOT,
    Change,
    Event,
    Kind,
    Make,
    Names,
    SyncBegun,
    Synced,
    SyncFailed,
    Told,
    Tree,
    Truncate,
    Write,
)
from tests.crash.images import crashes

EMPTY = Tree({ROOT: (Make(ROOT, Kind.DIRECTORY), b"")}, {ROOT: {}})
NEW: tuple[Event, ...] = (Make(1, Kind.FILE), Names((Change(ROOT, "new", 1),)))
DIRECTORY_SYNC: tuple[Event, ...] = (SyncBegun(ROOT, 9), Synced(ROOT, 9))
MOVE = Names((Change(ROOT, "new", None), Change(ROOT, "name", 1)))


def sync(number: int = 1, inode: int = 1) -> tuple[Event, ...]:
    return (SyncBegun(inode, number), Synced(inode, number))


def left(
    *events: Event, samples: int = 300, lax: bool = False
) -> set[tuple[tuple[str, bytes], ...]]:
    """All that crashes after the last of these events may leave, as names and contents."""
    found = set()
    for crash in crashes(EMPTY, events, "test", samples, lax):
        if crash.moment == len(events):
            found.add(_shown(crash.image))
    return found


def _shown(image: Image) -> tuple[tuple[str, bytes], ...]:
    nodes = image.nodes.items()
    return tuple(
        sorted((name, node.data if isinstance(node, Blob) else b"") for name, node in nodes)
    )


def contents(found: Iterable[tuple[tuple[str, bytes], ...]]) -> set[bytes]:
    return {data for image in found for _, data in image}


def test_nothing_is_sure_without_synchronisation() -> None:
    found = left(*NEW, Write(1, 0, b"ab"))
    assert () in found
    assert contents(found) >= {b"ab", b"", b"\0\0", b"a"}


def test_the_file_without_its_name_and_the_name_without_the_file() -> None:
    assert left(*NEW, Write(1, 0, b"ab"), *sync()) == {(), (("new", b"ab"),)}
    found = left(*NEW, Write(1, 0, b"ab"), *DIRECTORY_SYNC)
    assert () not in found
    assert contents(found) > {b"ab", b""}
    both = left(*NEW, Write(1, 0, b"ab"), *sync(), *DIRECTORY_SYNC)
    assert both == {(("new", b"ab"),)}


def test_lax_file_systems_store_the_name_with_the_file() -> None:
    assert left(*NEW, Write(1, 0, b"ab"), *sync(), lax=True) == {(("new", b"ab"),)}


def test_what_comes_while_it_is_synchronised_is_not_covered() -> None:
    events = (*NEW, *DIRECTORY_SYNC, Write(1, 0, b"ab"), SyncBegun(1, 1), Write(1, 2, b"cd"))
    assert b"" in contents(left(*events))
    assert contents(left(*events, Synced(1, 1))) >= {b"ab", b"abcd", b"ab\0\0"}
    assert b"" not in contents(left(*events, Synced(1, 1)))


def test_what_failed_to_be_stored_is_not_stored_later() -> None:
    """Of a file's data; the names in a directory are, when it is synchronised again."""
    failed = (SyncBegun(1, 5), SyncFailed(1, 5))
    events = (*NEW, *DIRECTORY_SYNC, Write(1, 0, b"ab"), *failed, Write(1, 2, b"cd"), *sync())
    assert {b"\0\0cd", b"abcd"} <= contents(left(*events))
    again = (*events, Write(1, 0, b"ef"), *sync())
    assert b"efcd" in contents(left(*again))
    assert left(*NEW, SyncBegun(ROOT, 8), SyncFailed(ROOT, 8), *DIRECTORY_SYNC) == {(("new", b""),)}


def test_a_rename_happens_or_not() -> None:
    stored = (*NEW, Write(1, 0, b"ab"), *sync(), *DIRECTORY_SYNC)
    assert left(*stored, MOVE) == {(("new", b"ab"),), (("name", b"ab"),)}
    assert left(*stored, MOVE, *DIRECTORY_SYNC) == {(("name", b"ab"),)}


def test_a_name_has_one_history() -> None:
    """What was made, moved, and made again: the second is never there without the move."""
    again = (Make(2, Kind.FILE), Names((Change(ROOT, "new", 2),)))
    found = left(*NEW, Write(1, 0, b"ab"), *sync(), *DIRECTORY_SYNC, MOVE, *again)
    assert found == {
        (("new", b"ab"),),
        (("name", b"ab"),),
        (("name", b"ab"), ("new", b"")),
    }


def test_names_come_in_any_combination() -> None:
    other = (Make(2, Kind.FILE), Names((Change(ROOT, "other", 2),)))
    found = left(*NEW, *other)
    assert {tuple(name for name, _ in image) for image in found} == {
        (),
        ("new",),
        ("other",),
        ("new", "other"),
    }


def test_a_directory_takes_what_is_in_it_along() -> None:
    below = (
        Make(2, Kind.DIRECTORY),
        Names((Change(ROOT, "below", 2),)),
        Make(3, Kind.FILE),
        Names((Change(2, "file", 3),)),
        *sync(1, 3),
        *sync(2, 2),
    )
    assert left(*below) == {(), (("below", b""), ("below/file", b""))}
    assert left(*below, *DIRECTORY_SYNC) == {(("below", b""), ("below/file", b""))}


def test_a_move_between_directories_needs_both() -> None:
    below = (Make(2, Kind.DIRECTORY), Names((Change(ROOT, "below", 2),)))
    move = Names((Change(ROOT, "new", None), Change(2, "moved", 1)))
    events = (*NEW, *below, *DIRECTORY_SYNC, move)
    assert len(left(*events)) == len(left(*events, *sync(7, 2))) == 2
    assert len(left(*events, *sync(7, 2), *DIRECTORY_SYNC)) == 1


def test_every_moment_has_its_crashes() -> None:
    """What was told counts from the moment on at which it was told."""
    events = (*NEW, Told("DONE"), Write(1, 0, b"ab"))
    found = list(crashes(EMPTY, events, "test", 2))
    assert {crash.moment for crash in found} == {0, 2, 3, 4}  # nothing is made by Make alone
    assert {len(crash.told) for crash in found if crash.moment < 3} == {0}
    assert {len(crash.told) for crash in found if crash.moment >= 3} == {1}


def test_the_seed_is_the_name() -> None:
    events = (*NEW, Write(1, 0, bytes(range(200)) * 40))
    prints = [[one.image.digest for one in crashes(EMPTY, events, name, 9)] for name in "aab"]
    assert prints[0] == prints[1] != prints[2]


WRITES = st.builds(Write, st.just(1), st.integers(0, 40), st.binary(max_size=20))
CUTS = st.builds(Truncate, st.just(1), st.integers(0, 60))


@given(st.lists(st.one_of(WRITES, CUTS), max_size=8), st.binary(max_size=30))
def test_sizes_are_those_of_the_whole(changes: list[Write | Truncate], data: bytes) -> None:
    assert len(sized(data, changes)) == len(applied(data, changes))


@given(st.lists(st.one_of(WRITES, CUTS, st.just(None)), max_size=12))
def test_at_the_end_all_is_there(steps: list[Write | Truncate | None]) -> None:
    """With nothing lost, and after a last synchronisation with all lost, a file is as written."""
    events: list[Event] = list(NEW)
    written = [step for step in steps if step is not None]
    for number, step in enumerate(steps, 100):
        events += sync(number) if step is None else [step]
    wanted = applied(b"", written)
    last = [crash for crash in crashes(EMPTY, events, "test", 0) if crash.kind == "nothing lost"][
        -1
    ]
    assert _shown(last.image) == (("new", wanted),)
    assert left(*events, *sync(), *DIRECTORY_SYNC, samples=3) == {(("new", wanted),)}


def test_an_inode_that_is_not_known_is_an_error() -> None:
    with pytest.raises(KeyError):
        Disk(EMPTY).happen(Write(5, 0, b"x"))

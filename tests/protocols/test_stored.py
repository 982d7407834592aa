"""Dumps on volumes, as one trace log tells of them [data-plane 4.4]."""

from __future__ import annotations

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from protocols.crc import Crc
from protocols.header import Header, HeaderType
from protocols.stored import DumpName, StoredDump, StoredPart, dump_at, stored_dumps

STAMP = "20260101000000"
NAME = DumpName(
    storage="near", host="localhost", disk="/srv/data", datestamp="20251231000000", level="0"
)
PLACE = '"ST:near" "POOL:near"'
WHO = "localhost /srv/data 20251231"


def start(label: str, stamp: str = STAMP) -> str:
    return f"START taper datestamp {stamp} {PLACE} label {label} tape 1\n"


def part(label: str, fileno: int, number: int, size: int = 100, who: str = WHO) -> str:
    stats = f"[sec 1.000000 bytes {size} kps 1.000000 orig-kb 1]"
    return f"PART taper {PLACE} {label} {fileno} {who} {number}/-1 0 {stats}\n"


def done(parts: int, word: str = "DONE", crc: str = "0000000a:200") -> str:
    stats = "[sec 1.000000 bytes 200 kps 1.000000 orig-kb 1]"
    return f"{word} taper {PLACE} {WHO} {parts} 0 1:1 2:2 {crc} {stats}\n"


def found(*lines: str, name: DumpName = NAME) -> list[StoredDump]:
    return stored_dumps(lines, STAMP, name, default_storage="CONF")


def places(dump: StoredDump) -> list[tuple[str, int, int]]:
    return [(it.label, it.fileno, it.number) for it in dump.parts]


def test_a_dump_over_two_volumes() -> None:
    lines = [start("A"), part("A", 3, 1), start("B"), part("B", 1, 2, 50), done(2)]
    (dump,) = found(*lines)
    assert dump == StoredDump(
        name=NAME,
        written=STAMP,
        parts=(
            StoredPart(label="A", fileno=3, number=1, size=100),
            StoredPart(label="B", fileno=1, number=2, size=50),
        ),
        crc=Crc(10, 200),
        native_crc=Crc(1, 1),
        client_crc=Crc(2, 2),
    )
    assert dump.labels == ("A", "B")


def test_the_last_good_line_of_a_part_counts() -> None:
    """Failed parts have lines of their own; a repeated one is good where it was last."""
    failed = part("A", 1, 1).replace("PART ", "PARTPARTIAL ").replace("]\n", '] "no space"\n')
    (dump,) = found(start("A"), failed, part("A", 2, 1), start("B"), part("B", 1, 1), done(1))
    assert places(dump) == [("B", 1, 1)]


@pytest.mark.parametrize("word", ["PARTIAL", "FAIL"])
def test_a_dump_begun_anew_forgets_what_it_had(word: str) -> None:
    """Parts of the first attempt are no parts of the second."""
    end = done(2, word)
    if word == "FAIL":
        end = f"FAIL taper {PLACE} {WHO} 0 error nothing\n"
    lines = [start("A"), part("A", 1, 1), part("A", 2, 2), end]
    assert found(*lines) == []
    assert found(*lines, part("A", 3, 1), done(2)) == []
    (dump,) = found(*lines, part("A", 3, 1), done(1))
    assert places(dump) == [("A", 3, 1)]


@pytest.mark.parametrize(
    "lines",
    [
        (part("A", 1, 1), done(1)),
        (start("A", "20250101000000"), part("A", 1, 1), done(1)),
        (start("A"), part("A", 1, 1), done(2)),
        (start("A"), part("A", 0, 1), done(1)),
        (start("A"), part("A", 1, 1)),
        (start("A"), part("A", 1, 1), done(0)),
        (start("A"), part("A", 1, 1), done(10**9)),
    ],
)
def test_what_is_not_there_as_a_whole_does_not_count(lines: tuple[str, ...]) -> None:
    """No START, another day's volume, a part missing, no file, no DONE."""
    assert found(*lines) == []


@pytest.mark.parametrize(
    "name",
    [
        evolve(NAME, storage="far"),
        evolve(NAME, host="localhos"),
        evolve(NAME, disk="/srv"),
        evolve(NAME, datestamp="20251231000001"),
        evolve(NAME, level="1"),
    ],
)
def test_names_are_compared_exactly(name: DumpName) -> None:
    assert found(start("A"), part("A", 1, 1), done(1), name=name) == []


def test_lines_of_amvault_and_of_before_storages() -> None:
    lines = [line.replace(" taper ", " amvault ") for line in (start("A"), part("A", 1, 1))]
    assert len(found(*lines, done(1))) == 1
    old = [line.replace(f"{PLACE} ", "") for line in (start("A"), part("A", 1, 1), done(1))]
    assert len(found(*old, name=evolve(NAME, storage="CONF"))) == 1


def test_amvault_tells_no_checksums() -> None:
    """What it copies is a whole dump all the same."""
    (dump,) = found(start("A"), part("A", 1, 1), done(1).replace(" 1:1 2:2 0000000a:200", ""))
    assert dump.labels == ("A",)
    assert not dump.crc.known


def test_whole_kib_tell_no_size() -> None:
    (dump,) = found(start("A"), part("A", 1, 1).replace("bytes 100", "kb 100"), done(1))
    assert dump.parts[0].size is None


@given(st.lists(st.text(max_size=80), max_size=20))
def test_any_lines_may_stand_between(rubbish: list[str]) -> None:
    (dump,) = found(start("A"), *rubbish, part("A", 1, 1), *rubbish, done(1))
    assert places(dump) == [("A", 1, 1)]


def test_what_is_wrong_with_a_header() -> None:
    """Stock's words, one for each difference."""
    (dump,) = found(start("A"), part("A", 7, 1), done(1))
    good = Header(
        type=HeaderType.SPLIT_DUMPFILE,
        host="localhost",
        disk="/srv/data",
        datestamp="20251231",
        partnum=1,
    )
    assert dump.mismatch(good, dump.parts[0]) is None
    bad = evolve(good, host="h", disk="/d", datestamp="20240101000000", level=2, partnum=4)
    assert dump.mismatch(bad, dump.parts[0]) == (
        "header on 'A' file 7 does not match expectations: "
        "got hostname 'h'; expected 'localhost'; got disk '/d'; expected '/srv/data'; "
        "got datestamp '20240101000000'; expected '20251231000000'; "
        "got dumplevel '2'; expected '0'; got partnum '4'; expected '1'"
    )


def test_the_dump_in_a_file_of_a_volume() -> None:
    """The last one that is told of, if it was written twice."""
    other = WHO.replace("/srv/data", "/srv/other")
    lines = [start("A"), part("A", 1, 1, who=other), part("A", 1, 1), part("A", 2, 2)]
    assert dump_at(lines, "A", 1, default_storage="CONF") == NAME
    assert dump_at(lines[:2], "A", 1, default_storage="CONF") == evolve(NAME, disk="/srv/other")
    assert dump_at(lines, "B", 1, default_storage="CONF") is None
    assert dump_at(["PART taper nonsense\n"], "A", 1, default_storage="CONF") is None

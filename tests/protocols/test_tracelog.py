"""Lines of the trace log, written and read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols import tracelog
from protocols.crc import UNKNOWN, Crc
from protocols.records import Record
from protocols.stats import format_stats
from protocols.tracelog import (
    Error,
    Fail,
    Fatal,
    Info,
    NoTapeConfig,
    NoTapeError,
    Other,
    Partial,
    PartPartial,
    PidDone,
    PidStart,
    TapeInfo,
    Warning_,
    encode,
    parse_line,
    read_record,
)
from tests.protocols.strategies import counts, crcs, wire_text, words

TRANSCRIPTS = Path(__file__).parent.parent / "vectors" / "driver_transcripts.txt"
STATS = "[sec 0.100000 bytes 1048576 kps 10240.000000 orig-kb 1024]"
DUMP = ("PROTO", "PROTO", "localhost", "/home", "20260101000000")


def logged() -> list[str]:
    lines = TRANSCRIPTS.read_text("utf-8").splitlines()
    return [line[4:] for line in lines if line.startswith("log ")]


@pytest.mark.parametrize("line", logged())
def test_recorded_lines_read_and_write_to_the_same_bytes(line: str) -> None:
    record = parse_line(line)
    assert record is not None
    assert not isinstance(record, Other)
    assert encode(record) == f"{line}\n".encode()


def test_the_recordings_show_most_kinds() -> None:
    kinds = {type(parse_line(line)).__name__ for line in logged()}
    assert kinds >= {
        "Done", "Fail", "Info", "NoTapeConfig", "NoTapeError", "Part", "PartPartial", "Partial",
        "PidDone", "PidStart", "Start", "TapeInfo",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("record", "line"),
    [
        (Info("Will request retry of failed split part."), None),
        (PidStart(12296), "INFO taper taper pid 12296"),
        (PidDone(12296), "INFO taper pid-done 12296"),
        (TapeInfo("PROTO01", 0, -1), "INFO taper tape PROTO01 kb 0 fm -1 [OK]"),
        (Error("unknown command"), "ERROR taper unknown command"),
        (NoTapeError("No acceptable volumes found"), None),
        (NoTapeConfig("sorry"), "ERROR taper no-tape config [sorry]"),
        (Warning_("h", "/d", "falling back"), "WARNING taper h:/d: falling back"),
        (Fatal("no"), "FATAL taper no"),
        (
            Partial(*DUMP, 1, "0", UNKNOWN, UNKNOWN, Crc(0x730AE46A, 100000), STATS),
            'PARTIAL taper "ST:PROTO" "POOL:PROTO" localhost /home 20260101000000 1 0'
            f" 00000000:0 00000000:0 730ae46a:100000 {STATS}",
        ),
        (
            PartPartial("S", "P", "L 1", 2, "h", "/d", "20260101", 3, "0", STATS, "No space"),
            f'PARTPARTIAL taper "ST:S" "POOL:P" "L 1" 2 h /d 20260101 3/-1 0 {STATS} "No space"',
        ),
        (
            Fail(*DUMP, "0", True, "sorry"),
            'FAIL taper "ST:PROTO" "POOL:PROTO" localhost /home 20260101000000 0 config sorry',
        ),
        (
            Fail(*DUMP, "0", False, "error; Dump not found", vault=True),
            'FAIL taper VAULT "ST:PROTO" "POOL:PROTO" localhost /home 20260101000000 0 error'
            ' "error; Dump not found"',
        ),
    ],
)
def test_records_are_written_as_stock_writes_them(record: Record, line: str | None) -> None:
    encoded = encode(record).decode()
    if line is not None:
        assert encoded == line + "\n"
    assert parse_line(encoded) == record


stats = st.builds(
    format_stats,
    st.floats(0.001, 1000),
    st.integers(0, 10**12),
    st.one_of(st.none(), st.just(""), words),
)
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "str": wire_text,
    "str | None": st.one_of(st.none(), wire_text),
    "int": counts,
    "Crc": crcs,
    "bool": st.booleans(),
}
ROWS = ("Start", "Part", "PartPartial", "Done", "Partial", "Fail")
TEXTS = ("Info", "Error", "NoTapeError", "NoTapeConfig", "Warning_", "Fatal", "TapeInfo")


def records(names: tuple[str, ...]) -> st.SearchStrategy[Record]:
    kinds: list[type[Record]] = [getattr(tracelog, name) for name in names]
    return st.one_of(
        *(
            st.builds(
                kind,
                **{
                    field: stats if field == "stats" else VALUES[annotation]
                    for field, annotation in kind.kinds.items()
                },
            )
            for kind in kinds
        )
    )


@given(records(ROWS))
def test_rows_of_words_read_back(record: Record) -> None:
    line = encode(record)
    assert line.count(b"\n") == 1
    assert parse_line(line.decode("utf-8", "surrogateescape")) == record


@given(records(TEXTS))
def test_texts_stay_on_one_line_and_read_back_as_the_same_line(record: Record) -> None:
    line = encode(record)
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    again = parse_line(line.decode("utf-8", "surrogateescape"))
    assert again is not None
    # a CR at the end of a free text cannot be told from a line end that another system made
    assert encode(again) in (line, line.removesuffix(b"\r\n") + b"\n")


def test_line_ends_in_texts_become_blanks() -> None:
    assert encode(Info("one\ntwo\n")) == b"INFO taper one two \n"


def test_long_lines_are_cut() -> None:
    assert encode(Info("x" * 5000)) == b"INFO taper " + b"x" * 4093 + b"\n"
    assert encode(Fatal("é" * 5000)) == b"FATAL taper " + ("é" * 5000).encode()[:4093] + b"\n"


@pytest.mark.parametrize("line", logged())
def test_a_line_that_ends_with_cr_lf_is_the_same_line(line: str) -> None:
    """A log that was edited or copied elsewhere protects its volumes all the same."""
    assert parse_line(f"{line}\r\n") == parse_line(line) == parse_line(f"{line}\n")


@pytest.mark.parametrize(
    ("line", "label"),
    [
        ("INFO taper tape L-1 Barcode 00A kb 5 fm 3 [OK]", "L-1"),
        ("INFO taper tape L-1 Barcode  kb 5 fm 3 [OK]", "L-1"),
        ("INFO taper tape L-1 Barcode a b kb 5 fm 3 [OK]\r\n", "L-1"),
        ("INFO taper tape L-1 kb 5 fm 3 [OK]", "L-1"),
        ("INFO taper tape Barcode kb 5 fm 3 [OK]", "Barcode"),
        ("INFO taper tape Barcode Barcode x kb 5 fm 3 [OK]", "Barcode"),
    ],
)
def test_a_volume_is_known_by_its_label_with_and_without_a_barcode(line: str, label: str) -> None:
    """Newer releases write the barcode behind the label (amanda-3.5.4, row 5)."""
    assert parse_line(line) == TapeInfo(label, 5, 3)


@pytest.mark.parametrize("line", ["", "\n", "\r\n", "  continued", "  \n"])
def test_empty_and_continuation_lines_are_no_records(line: str) -> None:
    assert parse_line(line) is None


@pytest.mark.parametrize(
    ("line", "record"),
    [
        ("INFO driver pid-done 3", Other("INFO", "driver", "pid-done 3")),
        ("STATS driver startup time 0.1", Other("STATS", "driver", "startup time 0.1")),
        ("START taper datestamp 2026", Other("START", "taper", "datestamp 2026")),
        ("PART taper a b", Other("PART", "taper", "a b")),
        ("WARNING taper no colon", Other("WARNING", "taper", "no colon")),
        ("SUCCESS taper x", Other("SUCCESS", "taper", "x")),
        ("junk", Other("junk", "", "")),
    ],
)
def test_other_lines_are_kept_as_they_stand(line: str, record: Record) -> None:
    assert parse_line(line) == record


def test_rows_from_before_storages_are_read() -> None:
    record = parse_line(f"PART taper L1 2 h /d 20260101 1/-1 0 {STATS}")
    assert isinstance(record, tracelog.Part)
    assert (record.storage, record.label, record.fileno) == ("", "L1", 2)


def test_rows_of_other_programs_can_be_read_on_demand() -> None:
    other = parse_line(f'PART amvault "ST:S" "POOL:P" L1 2 h /d 20260101 1/-1 0 {STATS}')
    assert isinstance(other, Other)
    record = read_record(other.type, other.text)
    assert isinstance(record, tracelog.Part)
    assert record.storage == "S"


@given(
    st.sampled_from(["START", "PART", "PARTPARTIAL", "DONE", "PARTIAL", "FAIL", "INFO", "ERROR"]),
    st.lists(
        st.one_of(
            wire_text,
            st.sampled_from(["ST:a", "POOL:b", "[sec", "1]", STATS, "1", "1/-1", "tape", "kb"]),
        ),
        max_size=16,
    ),
)
def test_any_line_is_some_record(kind: str, texts: list[str]) -> None:
    assert parse_line(" ".join([kind, "taper", *texts])) is not None


@given(wire_text)
def test_any_text_can_be_read(line: str) -> None:
    record = parse_line(line)
    assert record is None or isinstance(record, Record)

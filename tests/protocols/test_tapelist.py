"""The tapelist file's text, each way."""

from __future__ import annotations

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.tapelist import (
    Tapelist,
    TapelistEntry,
    TapelistError,
    check_name,
    format_entry,
    parse_tapelist,
)

# Any text without ASCII blanks; surrogates stand for bytes that are not UTF-8.
WORDS = st.text(
    st.characters(min_codepoint=0x21, exclude_characters="\x7f", exclude_categories=["Cs"])
    | st.sampled_from("\udc80\udcff"),
    min_size=1,
    max_size=12,
)
COMMENTS = st.text(st.characters(exclude_characters="\n", exclude_categories=["Cs"]), max_size=20)
DATESTAMPS = st.sampled_from(["0", "1", "20260101", "20260101120000"]) | st.from_regex(
    r"20[0-9]{12}", fullmatch=True
)


@st.composite
def entries(draw: st.DrawFn) -> TapelistEntry:
    return TapelistEntry(
        datestamp=draw(DATESTAMPS),
        label=draw(WORDS),
        reuse=draw(st.booleans()),
        barcode=draw(st.none() | WORDS),
        meta=draw(st.none() | WORDS),
        blocksize=draw(st.none() | st.integers(0, 1 << 20)),
        pool=draw(st.none() | WORDS),
        storage=draw(st.none() | WORDS),
        config=draw(st.none() | WORDS),
        comment=draw(st.none() | COMMENTS),
    )


LISTS = st.lists(entries(), max_size=8, unique_by=lambda entry: entry.label)


@settings(max_examples=100)
@given(LISTS)
def test_a_list_comes_back_as_it_was_written(volumes: list[TapelistEntry]) -> None:
    """Every field survives writing and reading, whatever bytes it holds."""
    tapelist = Tapelist()
    for volume in volumes:
        tapelist = tapelist.adding(volume)
    assert parse_tapelist(tapelist.format()) == tapelist


@settings(max_examples=100)
@given(LISTS)
def test_newest_first_and_newest_addition_first_among_equals(
    volumes: list[TapelistEntry],
) -> None:
    """Adding keeps the list in the order in which reading sorts it."""
    tapelist = Tapelist()
    for volume in volumes:
        tapelist = tapelist.adding(volume)
    stamps = [entry.datestamp for entry in tapelist.entries]
    assert stamps == sorted(stamps, reverse=True)
    for stamp in set(stamps):
        added = [volume for volume in volumes if volume.datestamp == stamp]
        listed = [entry for entry in tapelist.entries if entry.datestamp == stamp]
        assert listed == added[::-1]


@settings(max_examples=100)
@given(st.binary(max_size=80) | st.text("01 \tABreuseno-:#\n", max_size=80).map(str.encode))
def test_any_bytes_are_a_list_or_a_clear_error(data: bytes) -> None:
    """Nothing but TapelistError comes out of a damaged file, and a good one is written alike."""
    try:
        tapelist = parse_tapelist(data)
    except TapelistError:
        return
    assert parse_tapelist(tapelist.format()) == tapelist


def test_fields_stand_in_the_order_stock_demands() -> None:
    """A full entry is written just as amlabel writes it."""
    line = (
        "20260101120000 DAILY-01 no-reuse BARCODE:B1 META:M1 BLOCKSIZE:32 POOL:p STORAGE:s "
        "CONFIG:c # two words\n"
    )
    (entry,) = parse_tapelist(line.encode()).entries
    assert entry == TapelistEntry(
        datestamp="20260101120000",
        label="DAILY-01",
        reuse=False,
        barcode="B1",
        meta="M1",
        blocksize=32,
        pool="p",
        storage="s",
        config="c",
        comment=" two words",
    )
    assert format_entry(entry) == line


def test_an_old_short_line_is_read() -> None:
    """Lists of old versions have neither flag nor fields; no LF at the end is fine too."""
    (entry,) = parse_tapelist(b"20030101 OLD-1").entries
    assert entry == TapelistEntry(datestamp="20030101", label="OLD-1")
    assert parse_tapelist(b"").entries == ()
    assert parse_tapelist(b"\n0 A reuse\n\n").lookup("A") is not None


@pytest.mark.parametrize(
    "line",
    [
        "x LABEL reuse",
        "20260101",
        "0 A reuse POOL:p BARCODE:b",
        "0 A sometimes",
        "0 A reuse BLOCKSIZE:many",
        "0 A reuse POOL:p more",
    ],
)
def test_a_bad_line_is_named(line: str) -> None:
    """The error tells file, line number and line, as stock does."""
    with pytest.raises(TapelistError) as caught:
        parse_tapelist(f"0 GOOD reuse\n{line}\n".encode(), "/etc/amanda/X/tapelist")
    assert str(caught.value) == (
        f"Failed to read tapelist file '/etc/amanda/X/tapelist' on line 2: {line}"
    )


def test_the_same_label_twice_is_refused() -> None:
    """Which of the two would hold? Nobody knows."""
    with pytest.raises(TapelistError, match="duplicate label 'A' in tapelist file 'tl'"):
        parse_tapelist(b"0 A reuse\n20260101 A reuse\n", "tl")
    tapelist = parse_tapelist(b"0 A reuse\n")
    with pytest.raises(TapelistError, match="already in the tapelist"):
        tapelist.adding(TapelistEntry(datestamp="1", label="A"))


@pytest.mark.parametrize(
    "change",
    [
        {"label": "two words"},
        {"label": ""},
        {"pool": "a b"},
        {"comment": "a\nb"},
        {"datestamp": "today"},
        {"storage": "x\ty"},
        {"blocksize": -1},
    ],
)
def test_an_entry_that_would_spoil_the_file_is_refused(change: dict[str, object]) -> None:
    """Every other program would stop at such a line."""
    entry = evolve(TapelistEntry(datestamp="0", label="A"), **change)
    with pytest.raises(TapelistError, match="cannot be written"):
        Tapelist().adding(entry)


def test_looking_up_removing_and_replacing() -> None:
    """A changed volume moves to the front of its equals; a list never changes in place."""
    tapelist = parse_tapelist(b"20260102 C reuse BARCODE:c\n20260101 A reuse\n20260101 B reuse\n")
    moved = tapelist.replacing(evolve(tapelist.entries[2], reuse=False))
    assert [entry.label for entry in moved.entries] == ["C", "B", "A"]
    assert [entry.label for entry in tapelist.entries] == ["C", "A", "B"]
    assert moved.lookup("B") == TapelistEntry(datestamp="20260101", label="B").no_reuse()
    assert moved.removing("B").lookup("B") is None
    assert moved.removing("nobody") is moved
    assert tapelist == parse_tapelist(tapelist.format())
    assert hash(tapelist) == hash(parse_tapelist(tapelist.format()))


def test_eight_digit_stamps_sort_as_strings() -> None:
    """Old and new stamps stand in the order all other programs use."""
    tapelist = parse_tapelist(b"20260101 A\n0 Z\n20260101120000 B\n1 Y\n20260102 C\n")
    assert [entry.label for entry in tapelist.entries] == ["C", "B", "A", "Y", "Z"]


@pytest.mark.parametrize("field", ["label", "barcode", "meta", "pool", "storage", "config"])
@pytest.mark.parametrize("name", ["a b", "a\tb", "a\nb", "a\rb", "a\fb", "a\vb"])
def test_a_name_with_a_blank_is_refused_by_its_own_name(field: str, name: str) -> None:
    """Whoever reads the text knows which field it is."""
    fields = {"label": "V", field: name}
    with pytest.raises(TapelistError, match=rf"^{field} of volume .* cannot be written to the"):
        Tapelist().adding(TapelistEntry(datestamp="0", **fields))


@pytest.mark.parametrize("name", ["", "DailySet1", "a#b", "POOL:x", "b\udcfcro", "é"])
def test_names_that_come_back_as_they_were(name: str) -> None:
    check_name("storage", name)
    entry = TapelistEntry(datestamp="0", label="V", pool=name, storage=name, config=name)
    assert parse_tapelist(Tapelist().adding(entry).format()).entries == (entry,)

"""What amrecover asks for [recovery 6.3]."""

from __future__ import annotations

import re
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.recovery import request as module
from protocols.recovery.features import MAX_DIGITS, OLD, OURS, Feature, Features
from protocols.recovery.request import (
    BadRequest,
    Place,
    RequestReader,
    exactly,
    parse_packet,
    parse_places,
)

words = st.text(st.characters(exclude_characters="\r\n\0"), min_size=1, max_size=20)
places = st.builds(
    Place,
    words,
    words,
    st.lists(st.integers(1, 10**8), min_size=1, max_size=5).map(tuple),
)


def escaped(text: str) -> str:
    return re.sub(r"([:;,\\])", r"\\\1", text)


def written(place: Place) -> str:
    files = ",".join(str(file) for file in place.files)
    return f"{escaped(place.storage)}:{escaped(place.label)}:{files}"


def read(*lines: str, storage_told: bool = True) -> module.Request:
    reader = RequestReader()
    for line in lines:
        reader.line(line)
    return reader.request(True, storage_told)


@given(st.lists(places, min_size=1, max_size=5))
def test_places_are_read_as_they_are_written(told: list[Place]) -> None:
    assert parse_places(";".join(map(written, told)), with_storage=True) == tuple(told)


def test_places_of_old_peers() -> None:
    assert parse_places("D01:1,2;D02:3", with_storage=False) == (
        Place("", "D01", (1, 2)),
        Place("", "D02", (3,)),
    )
    assert parse_places("D01", with_storage=True) == (Place("", "D01", ()),)


@given(st.text(), st.booleans())
def test_any_text_is_read_or_refused(text: str, with_storage: bool) -> None:
    with suppress(BadRequest):
        assert all(place.label for place in parse_places(text, with_storage=with_storage))


def test_files_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_FILES", 3)
    parse_places("S:D:1,2,3", with_storage=True)
    with pytest.raises(BadRequest, match="more than 3 files"):
        parse_places("S:D:1,2;S:E:3,4", with_storage=True)


def test_a_request() -> None:
    """As amrecover 3.5.1 sends it."""
    told = read(
        f"FEATURES={OURS.text()}",
        "CONFIG=SYS",
        "LABEL=SYS:SYS-01:1,2,3",
        "FSF=1",
        "HEADER",
        "DEVICE=chg-disk:/vtapes",
        r"HOST=^localhost$",
        r"DISK=^/srv/a\.b$",
        "DATESTAMP=20261130021758",
    )
    assert told.places == (Place("SYS", "SYS-01", (1, 2, 3)),)
    assert (told.config, told.fsf, told.header, told.holding) == ("SYS", 1, True, None)
    assert (exactly(told.host), exactly(told.disk)) == ("localhost", "/srv/a.b")
    assert told.features == OURS


def test_a_dump_on_the_holding_disk() -> None:
    told = read("CONFIG=SYS", "DEVICE=HOLDING:/hold/2026/a\\:b:0", "HEADER")
    assert told.holding == "/hold/2026/a:b"
    assert told.places == ()


@pytest.mark.parametrize("name", ["", "../SYS", "/etc/x", ".", "a/b", "a b", "x" * 256])
def test_a_configuration_is_named_by_no_path(name: str) -> None:
    with pytest.raises(BadRequest, match="CONFIG is"):
        read(f"CONFIG={name}", "LABEL=S:D:1")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("RM=x", "invalid command 'RM'"),
        ("FEATURES=xy", "expected hex digits"),
        ("FEATURES=abc", "expected pairs"),
    ],
)
def test_bad_lines(line: str, words: str) -> None:
    with pytest.raises(BadRequest, match=words):
        RequestReader().line(line)


@pytest.mark.parametrize("line", ["FSF=x", "FSF=-1", "LABEL=S:D:x", "LABEL=S:D:1:2", "DEVICE=x"])
def test_bad_values(line: str) -> None:
    with pytest.raises(BadRequest):
        read("CONFIG=SYS", *([] if line.startswith("DEVICE") else ["LABEL=S:D:1"][:0]), line)


def test_the_first_of_two_lines_counts() -> None:
    assert read("CONFIG=A", "CONFIG=B", "LABEL=S:D:1").config == "A"


def test_the_packet() -> None:
    text = "OPTIONS features=ff;auth=local;\nmore\n"
    assert parse_packet(text) == {"features": "ff", "auth": "local"}
    assert parse_packet("nothing\n") == {}


@given(st.frozensets(st.integers(0, 8 * MAX_DIGITS // 2 - 1)))
def test_features_are_read_as_they_are_written(numbers: frozenset[int]) -> None:
    features = Features.of(numbers)
    assert Features.parse(features.text()) == features


def test_features_of_amanda() -> None:
    assert set(Feature) <= OURS.numbers
    assert set(Feature) & OLD.numbers == set()


@given(st.text(max_size=2 * MAX_DIGITS))
def test_any_features_are_read_or_refused(text: str) -> None:
    with suppress(ValueError):
        assert Features.parse(Features.parse(text).text()) == Features.parse(text)

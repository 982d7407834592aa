"""The index of the trace logs, as bytes."""

from __future__ import annotations

import json
import zlib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.catalog import DumpCopy
from protocols.logindex import KnownLog, Stamp, format_index, parse_index

names = st.text(st.characters(), max_size=6)
numbers = st.integers(0, 2**63)
copies = st.builds(
    DumpCopy,
    names,
    st.integers(0, 999),
    st.frozensets(st.tuples(names, names), max_size=3),
    st.booleans(),
)
disks = st.lists(st.tuples(names, names), max_size=4).map(tuple)
known_logs = st.builds(
    KnownLog, st.builds(Stamp, *[numbers] * 4), st.dictionaries(copies, disks, max_size=3)
)
SAMPLE = {
    "log.20261122190855.0": KnownLog(
        Stamp(1, 2, 3, 4), {DumpCopy("20261122190855", 0, frozenset({("V", "1")})): (("h", "/"),)}
    )
}


@settings(max_examples=100)
@given(st.dictionaries(names, known_logs, max_size=4))
def test_it_reads_back(logs: dict[str, KnownLog]) -> None:
    """Whatever bytes names had that are no UTF-8."""
    assert parse_index(format_index(logs), {}) == logs


@settings(max_examples=200)
@given(st.data())
def test_any_damage_is_seen(data: st.DataObject) -> None:
    """A changed, missing or added byte."""
    whole = format_index(SAMPLE)
    at = data.draw(st.integers(0, len(whole) - 2), label="at")
    gone = data.draw(st.integers(0, 3), label="gone")
    spoiled = whole[:at] + data.draw(st.binary(max_size=3), label="new") + whole[at + gone :]
    found = parse_index(spoiled, {})
    assert found is None or spoiled.rstrip(b"\n") == whole.rstrip(b"\n")


@given(st.binary(max_size=60))
def test_anything_else_is_no_index(data: bytes) -> None:
    assert parse_index(data, {}) is None


ROW = ["1", 0, True, [["V", "1"]], [0]]
STAMP = [1, 2, 3, 4]


def body(row: Any = ROW, stamp: Any = STAMP, disk: Any = ("h", "/")) -> Any:
    return {"disks": [disk], "logs": {"log.1.0": [stamp, [row]]}}


@pytest.mark.parametrize(
    "content",
    [
        [],
        {},
        {"disks": [], "logs": []},
        {"disks": 1, "logs": {}},
        body(stamp=[1, 2, 3]),
        body(stamp=[1, 2, 3, "4"]),
        body(stamp=[1, 2, 3, 4.0]),
        body(disk=["h"]),
        body(disk=["h", 1]),
        body(row=["1", 0, True, [["V", "1"]], [1]]),
        body(row=["1", 0, True, [["V", "1"]], [-1]]),
        body(row=["1", 0, True, [["V", "1"]], ["0"]]),
        body(row=["1", 0, True, [["V", 1]], [0]]),
        body(row=["1", 0, True, [["V"]], [0]]),
        body(row=["1", "0", True, [["V", "1"]], [0]]),
        body(row=["1", 0, 1, [["V", "1"]], [0]]),
        body(row=[1, 0, True, [["V", "1"]], [0]]),
        body(row=["1", 0, True, [["V", "1"]]]),
    ],
)
def test_the_checksum_alone_is_not_believed(content: Any) -> None:
    """Somebody else's file with a right one is no index either."""
    data = json.dumps(content).encode()
    assert parse_index(b"taper log index 1 %08x\n%s\n" % (zlib.crc32(data), data), {}) is None
    good = json.dumps(body()).encode()
    assert parse_index(b"taper log index 1 %08x\n%s\n" % (zlib.crc32(good), good), {})

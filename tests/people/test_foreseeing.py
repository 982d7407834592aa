"""Dumps of nights to come."""

from __future__ import annotations

import pytest

from protocols.catalog import DumpCopy
from taper.people.foreseeing import foreseen, next_level


@pytest.mark.parametrize(
    ("levels", "following"),
    [
        ([], 0),
        ([0], 1),
        ([1, 1], 0),
        ([0, 0], 0),
        ([0, 1, 1, 0], 1),
        ([1, 0, 1, 1, 0], 1),
        ([1, 1, 0, 1, 1, 0], 0),
        ([2, 1, 0, 3, 2, 1, 0], 3),
    ],
)
def test_cycles_go_on(levels: list[int], following: int) -> None:
    """The newest level is the first one."""
    assert next_level(levels) == following


def test_a_night_to_come() -> None:
    """A disk that is dumped no more has no dump."""
    dumps = {
        ("h", "/a"): [DumpCopy("20260108000000", 1), DumpCopy("20260107000000", 0)],
        ("h", "/b"): [DumpCopy("20260108000000", 0), DumpCopy("20260107000000", 0)],
        ("h", "/old"): [DumpCopy("20250108000000", 0)],
    }
    volumes = frozenset({("C01", "20260109000000")})
    assert foreseen(dumps, "20260109000000", ["C01"]) == {
        DumpCopy("20260109000000", 0, volumes): (("h", "/a"), ("h", "/b")),
    }

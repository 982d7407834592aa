"""Statistics of parts and dumps."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.stats import Stats, format_stats, parse_stats
from tests.protocols.strategies import words


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ((0.000309, 65536, "64"), "[sec 0.000309 bytes 65536 kps 207119.741100 orig-kb 64]"),
        ((0.000077, 131072, None), "[sec 0.000077 bytes 131072 kps 1662337.662338]"),
        ((4.0, 131072, None), "[sec 4.000000 bytes 131072 kps 32.000000]"),
        ((1, 1023, "0"), "[sec 1.000000 bytes 1023 kps 0.000000 orig-kb 0]"),
    ],
)
def test_text_is_that_of_stock(values: tuple[float, int, str | None], text: str) -> None:
    assert format_stats(*values) == text


@pytest.mark.parametrize("seconds", [0, -3, 0.0])
def test_no_time_counts_as_a_tenth_of_a_second(seconds: float) -> None:
    expected = "[sec 0.100000 bytes 1048576 kps 10240.000000 orig-kb 1024]"
    assert format_stats(seconds, 1048576, "1024") == expected


def test_an_empty_orig_kb_is_printed_empty() -> None:
    assert format_stats(1, 0, "") == "[sec 1.000000 bytes 0 kps 0.000000 orig-kb ]"


@given(st.floats(0.001, 10**6), st.integers(0, 10**15), st.one_of(st.none(), st.just(""), words))
def test_text_reads_back(seconds: float, size: int, orig_kb: str | None) -> None:
    text = format_stats(seconds, size, orig_kb)
    stats = parse_stats(text)
    assert stats is not None
    assert (stats.size, stats.orig_kb) == (size, orig_kb)
    assert f"{stats.seconds:f}" == f"{seconds:f}"


def test_sizes_in_kb_are_read() -> None:
    assert parse_stats("[sec 1.5 kb 3 kps 2]") == Stats(1.5, 3072, 2.0, None)


@given(st.text("[]sec bytkporig-019. ", max_size=60))
def test_other_text_is_none(text: str) -> None:
    stats = parse_stats(text)
    assert stats is None or isinstance(stats, Stats)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "sec 1 bytes 1 kps 1",
        "[sec x bytes 1 kps 1]",
        "[sec 1 bytes -1 kps 1]",
        "[sec 1 bytes 1 kps 1 orig 1]",
        "[sec 1 bytes 1 kps inf]",
        "[sec 1 blocks 1 kps 1]",
        f"[sec 1 bytes {'9' * 30} kps 1]",
    ],
)
def test_text_of_another_form_is_refused(text: str) -> None:
    assert parse_stats(text) is None

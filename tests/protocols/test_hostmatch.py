"""Expressions for hosts [recovery 6.6]."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.hostmatch import MAX_EXPRESSION, match_host

STOCK = [
    ("example.com", "h.example.com", True),
    ("*.example.com", "h.example.com", True),
    ("h*", "h.example.com", True),
    ("^h", "h.example.com", True),
    ("ple.com", "h.example.com", False),
    ("^h.example.com$", "H.Example.com", True),
    ("=h", "h", True),
    ("=h", "h.x", False),
    ("=h.x", "H.X", False),
    ("?", "h", True),
    ("a", "b", False),
    ("**.com", "a.b.com", True),
    ("[gh]", "h.x", True),
    ("[!gh]", "h.x", True),
    (".", "h.x", False),
    ("", "h", False),
    ("h\\.x", "h.x", True),
    ("*", "a.b", True),
    ("h.", "h.x", True),
    ("com$", "x.com", True),
    ("^x$", "x.com", False),
    ("a-b", "x.a-b.c", True),
]
"""What ``match_host`` of Amanda 3.5.1 says."""


@pytest.mark.parametrize(("expression", "name", "fits"), STOCK)
def test_as_amanda(expression: str, name: str, fits: bool) -> None:
    assert match_host(expression, name) is fits


@given(st.text(), st.text())
def test_nothing_is_raised(expression: str, name: str) -> None:
    assert match_host(expression, name) in (True, False)


@given(st.lists(st.from_regex(r"[a-z0-9-]{1,10}", fullmatch=True), min_size=1, max_size=4))
def test_a_name_fits_itself_and_no_other(words: list[str]) -> None:
    name = ".".join(words)
    assert match_host(f"^{name}$", name)
    assert match_host(name, f"www.{name}")
    assert not match_host(name, f"x{name}x")


def test_what_is_too_long_or_makes_no_sense_fits_nothing() -> None:
    assert not match_host("a" * (MAX_EXPRESSION + 1), "a" * (MAX_EXPRESSION + 1))
    assert not match_host("[z-a]", "z")

"""POSIX extended regular expressions, against the C library's own."""

from __future__ import annotations

import ctypes
import ctypes.util

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.ere import Ere, EreError

_EXTENDED, _NEWLINE = 1, 4

# Backslashes only before punctuation: glibc gives some letters and digits a meaning of its own.
_TOKENS = [*"ab1-[]()|*+?{}^$.:,=", "{1,2}", "{2}", "{,1}", "[a-c]", "[^a]", "[[:digit:]]", "\\."]
_PATTERNS = st.lists(st.sampled_from(_TOKENS), max_size=9).map("".join)
_TEXTS = st.text("ab1-]})c.\n", max_size=8)


def _c_library() -> ctypes.CDLL:
    library = ctypes.CDLL(None)
    if not hasattr(library, "gnu_get_libc_version"):
        pytest.skip("regcomp of the GNU C library is the oracle, and this is another one")
    return library


def _c_search(pattern: str, text: str) -> bool | None:
    library = _c_library()
    compiled = ctypes.create_string_buffer(256)
    if library.regcomp(compiled, pattern.encode(), _EXTENDED | _NEWLINE):
        return None
    try:
        return bool(library.regexec(compiled, text.encode(), 0, None, 0) == 0)
    finally:
        library.regfree(compiled)


def _our_search(pattern: str, text: str) -> bool | None:
    try:
        return Ere(pattern).search(text)
    except EreError:
        return None


@settings(max_examples=600, deadline=None)
@given(_PATTERNS, _TEXTS)
def test_we_match_what_the_c_library_matches(pattern: str, text: str) -> None:
    """Same answer, or refused by both."""
    assert _our_search(pattern, text) == _c_search(pattern, text)


@pytest.mark.parametrize(
    "pattern",
    [
        *("[", "[a", "(", "*a", "^*", "a|+", "a{", "a{2,1}", "a{x}", "[b-a]", "[[:no:]]"),
        *("[[.ab.]]", "a\\", "a{99999}", "a{32768}", "x" * 5000, "((a{200}){200}){200}"),
        "(" * 200,
    ],
)
def test_a_bad_expression_is_refused_with_a_reason(pattern: str) -> None:
    """Not valid, or too large to be meant."""
    with pytest.raises(EreError):
        Ere(pattern)


def test_an_expression_that_would_keep_a_backtracking_matcher_for_ever() -> None:
    """Time grows with the text, not with the ways to match it."""
    assert not Ere("^(a*)*(a|aa)+(a?){30}$").search("a" * 200 + "b")
    assert Ere("(a*)*b").search("a" * 200 + "b")
    assert Ere("((){30000}){30000}x").search("x")


def test_python_specialities_mean_nothing() -> None:
    """A backslash only makes the next character ordinary; there is no look-around."""
    assert Ere(r"^\d$").search("d")
    assert not Ere(r"^\d$").search("5")
    assert Ere(r"^(a)\1$").search("a1")
    with pytest.raises(EreError):
        Ere("(?=a)")


def test_bytes_that_are_not_utf8_are_single_characters() -> None:
    """As in the C locale, in which the driver starts a taper."""
    assert Ere("^A..$").search("Aä")
    assert Ere("^A.$").search("A\udcff")
    assert Ere("^[^a]$").search("\udcff")

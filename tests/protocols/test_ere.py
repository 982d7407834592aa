"""POSIX extended regular expressions, against the C library's own."""

from __future__ import annotations

import ctypes
import ctypes.util

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.ere import MAX_STATES, Ere, EreError

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


@settings(max_examples=600)
@given(_PATTERNS, _TEXTS)
def test_we_match_what_the_c_library_matches(pattern: str, text: str) -> None:
    """Same answer, or refused by both."""
    assert _our_search(pattern, text) == _c_search(pattern, text)


@pytest.mark.parametrize(
    "pattern",
    [
        *("[", "[a", "(", "*a", "^*", "a|+", "a{", "a{2,1}", "a{x}", "[b-a]", "[[:no:]]"),
        *("[[.ab.]]", "a\\", "a{99999}", "a{32768}", "x" * 5000, "((a{200}){200}){200}"),
        *("(" * 200, "a" + "{1}" * 200, "((a{0}|b{0}){0,99}){0,199}"),
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


_GREEDY = (
    "(" + "|" * 70 + "){19000}x",
    "(a?){9000}b",
    "((((a*)+)?)*)*b",
    "(a|aa|a?a?)*(ab?){0,900}$c",
    "((a?){70}.){100}x",
    "(a|b|(||c){3,}){900}x",
    "a" + "*+?" * 1300 + "b",
)


@pytest.mark.parametrize("pattern", _GREEDY, ids=range(len(_GREEDY)))
def test_work_is_bounded_by_text_times_states(pattern: str) -> None:
    """Counted, not timed: no pattern makes a search look at a state twice for the same byte."""
    for size in (120, 240):
        expression = Ere(pattern)
        assert expression.states <= MAX_STATES
        assert not expression.search("a" * size)
        assert expression.steps <= 4 * expression.states * (size + 1)


@pytest.mark.parametrize("pattern", ["LABEL-[0-9]*$", "(|a|aa)*b", "^(A[0-9]+)?-(x|y){1,9}$"])
def test_a_search_takes_a_step_a_byte_once_the_way_is_known(pattern: str) -> None:
    """Labels of one storage are alike: the second costs less than the first, and grows evenly."""
    expression = Ere(pattern)
    work = []
    for size in (200, 200, 400):
        before = expression.steps
        assert not expression.search("LABEL-" + "aA0-x" * size)
        work.append(expression.steps - before)
    assert work[1:] == [6 + 5 * 200 + 1, 6 + 5 * 400 + 1]


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A search that forgets finds the same."""
    monkeypatch.setattr("protocols.ere._MAX_REMEMBERED", 3)
    assert Ere("(a|b)*c[xy]{2,3}$").search("abbacababcxyz\nabcyx")
    assert not Ere("(a|b)*c[xy]{2,3}$").search("abbacababcxyz")


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

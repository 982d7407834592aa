"""Records: values that are given by position, by name, or by name only."""

from __future__ import annotations

import pytest

from protocols.records import Record


class Either(Record):
    first: int
    second: str = "two"


class Named(Record, kw_only=True):
    first: int
    second: str = "two"


class More(Named):
    third: int = 3


def test_by_position_or_by_name() -> None:
    assert Either(1) == Either(first=1, second="two")
    assert hash(Either(1)) == hash(Either(1, "two"))
    with pytest.raises(TypeError, match="Either takes 2 fields by position, not 3"):
        Either(1, "two", 3)  # type: ignore[call-arg]


def test_by_name_only_where_the_class_says_so() -> None:
    with pytest.raises(TypeError, match="Named takes 0 fields by position, not 1"):
        Named(1)  # type: ignore[misc]
    assert Named(first=1).evolve(second="2") == Named(first=1, second="2")
    assert repr(Named(first=1)) == "Named(first=1, second='two')"
    with pytest.raises(TypeError, match="field 'first' is missing"):
        Named()  # type: ignore[call-arg]


def test_a_subclass_has_a_word_of_its_own() -> None:
    assert More(1, "two", 3) == More(first=1)

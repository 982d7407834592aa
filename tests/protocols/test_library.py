"""What a robot may tell of slots and cartridges."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.library import LARGEST_NUMBER, Place, clean_barcode, clean_number


@pytest.mark.parametrize(
    ("text", "barcode"),
    [
        ("A00001L4", "A00001L4"),
        ("CLN001L1", "CLN001L1"),
        ("a-b_c.d:e=f", "a-b_c.d:e=f"),
        ("A" * 64, "A" * 64),
        ("A" * 65, None),
        ("", None),
        (None, None),
        ("A 1", None),
        ("A1\n", None),
        ("A\0", None),
        ("\u00c41", None),
        ("A\udcff", None),
    ],
)
def test_barcodes_never_escape(text: str | None, barcode: str | None) -> None:
    """A barcode is one word, for a line of the tapelist or a label; what is none is no barcode."""
    assert clean_barcode(text) == barcode
    assert Place(full=True, barcode=text).barcode == barcode


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("0", "0"),
        ("007", "7"),
        (str(LARGEST_NUMBER), str(LARGEST_NUMBER)),
        (str(LARGEST_NUMBER + 1), None),
        ("9" * 5000, None),
        ("0" * 5000 + "5", "5"),
        ("-1", None),
        ("+1", None),
        (" 1", None),
        ("1\n", None),
        ("\u0661", None),
        ("\u00b2", None),
        ("", None),
        ("-f", None),
        ("../1", None),
    ],
)
def test_slot_numbers_never_escape(text: str, number: str | None) -> None:
    """A number has one spelling and no sign: no option of a command, no path."""
    assert clean_number(text) == number


@given(st.text(max_size=9))
def test_whatever_comes_is_clean_or_nothing(text: str) -> None:
    """What is kept is what it was, but for zeros before it."""
    assert clean_barcode(text) in (text, None)
    number = clean_number(text)
    assert number is None or (number == str(int(text)) and text.isdigit())

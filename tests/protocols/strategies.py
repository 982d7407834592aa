"""Values for the property tests of wire and file formats."""

from __future__ import annotations

from hypothesis import strategies as st

from protocols.crc import Crc

wire_text = st.one_of(
    st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0"), max_size=20),
    st.binary(max_size=20).map(
        lambda data: data.replace(b"\0", b"").decode("utf-8", "surrogateescape")
    ),
    st.text("ab01:\"'\\ \t\n\r\f\v\x7f;é", max_size=12),
)
"""Text as it comes off a wire: any bytes but NUL, read as UTF-8 with surrogateescape."""

words = st.text("abcXYZ019-_./é", min_size=1, max_size=12)
"""Text without anything that needs care."""

crcs = st.builds(Crc, st.integers(0, 2**32 - 1), st.integers(0, 10**18))
counts = st.integers(0, 10**18)

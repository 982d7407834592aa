"""Who talks to whom can be seen, by all."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

import pytest

from tests.docs import talks

SVG = "{http://www.w3.org/2000/svg}"
SOURCE = """\
title: A <talk>
desc: One says it,
  and the other hears.
host: Here
  one: one
host: There
  other: the other
one -> other: words
other => one: data
"""


def test_what_a_picture_says() -> None:
    """Title and description for those who cannot see it; colours for light and dark pages."""
    text = talks.draw(talks.parse(SOURCE))
    root = ET.fromstring(text)
    assert root.get("role") == "img"
    for attribute, tag, told in (
        ("aria-labelledby", "title", "A <talk>"),
        ("aria-describedby", "desc", "One says it, and the other hears."),
    ):
        (element,) = root.findall(f"{SVG}{tag}")
        assert (element.get("id"), element.text) == (root.get(attribute), told)
    assert "prefers-color-scheme:dark" in text
    said = [element.text for element in root.findall(f"{SVG}text")]
    assert said == ["A <talk>", "Here", "There", "one", "the other", "words", "data"]


def test_data_go_in_their_own_colour() -> None:
    """And thicker, for those who do not see the colour."""
    root = ET.fromstring(talks.draw(talks.parse(SOURCE)))
    arrows = [line for line in root.findall(f"{SVG}line") if line.get("y1") == line.get("y2")]
    words, data = ((line.get("class"), float(line.get("stroke-width", 0))) for line in arrows)
    assert words[0] != data[0]
    assert words[1] < data[1]


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("one -> nobody: words", "line 10: there is no program nobody"),
        ("subject: words", "line 10: 'subject': title, desc or host expected"),
        ("one other", "line 10: 'one other': NAME: TEXT or ONE -> OTHER: TEXT expected"),
        ("host: More\n  one: again", "line 11: 'one' is a program of no host, or of two"),
    ],
)
def test_lines_that_make_no_sense(line: str, fault: str) -> None:
    with pytest.raises(ValueError, match=re.escape(fault)):
        talks.parse(f"{SOURCE}{line}\n")


def test_something_is_missing() -> None:
    with pytest.raises(ValueError, match="a title, a desc and something that is said"):
        talks.parse("title: Silence\n")


def test_a_text_without_room() -> None:
    with pytest.raises(ValueError, match="there is no room for 'words words"):
        talks.draw(talks.parse(f"{SOURCE}one -> other: {'words ' * 10}\n"))

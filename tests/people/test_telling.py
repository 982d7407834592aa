"""How answers are told: on a terminal, without one, to programs; and what a locale cannot say."""

from __future__ import annotations

import io
import json

import pytest

from taper.people import telling
from taper.people.screen import Screen, Style
from taper.people.telling import Answer, Column, Table, moment, printable, size

ANSWER = Answer(
    record={"label": "Größe \udcff"},
    shown=(
        "a line",
        Table(
            (Column("volume"), Column("used", right=True)),
            [(printable("Größe \udcff\x1b[31m"), "5 B"), ("A", "128.1 KiB")],
        ),
    ),
)


def said(style: Style, encoding: str) -> str:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding=encoding)
    Screen(style, stream, lambda: 0.0).answer(ANSWER)
    stream.flush()
    return raw.getvalue().decode(encoding)


def test_without_a_terminal() -> None:
    assert said(Style.PLAIN, "utf-8").splitlines() == [
        "a line",
        "volume                   used",
        "Größe \\xff\\x1b[31m        5 B",
        "A                   128.1 KiB",
    ]


def test_a_locale_without_letters_for_it() -> None:
    """As LANG=C; nothing fails."""
    assert "Gr\\xf6\\xdfe \\xff\\x1b[31m" in said(Style.PLAIN, "ascii")
    assert "Gr\\xf6\\xdfe \\xff\\x1b[31m" in said(Style.TERMINAL, "ascii")


def test_json_is_ascii_and_loses_nothing() -> None:
    for encoding in ("ascii", "utf-8"):
        assert json.loads(said(Style.JSON, encoding)) == ANSWER.record


def test_on_a_terminal() -> None:
    """The same words, in columns that fit; markup in labels is no markup."""
    lines = [line.rstrip() for line in said(Style.TERMINAL, "utf-8").splitlines()]
    assert lines[0] == "a line"
    assert lines[1].split() == ["volume", "used"]
    assert lines[2].startswith("Größe \\xff\\x1b[31m")


def test_a_narrow_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Words are broken over lines, and all of them are there."""
    monkeypatch.setenv("COLUMNS", "20")
    text = said(Style.TERMINAL, "utf-8")
    assert max(map(len, text.splitlines())) <= 20
    letters = "".join(text.split())
    assert "Größe" in letters
    assert "[31m" in letters


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 KiB"), (1 << 20, "1.0 MiB"), (10**24, "867361.7 EiB")],
)
def test_sizes(count: int, text: str) -> None:
    assert size(count) == text


@pytest.mark.parametrize(
    ("stamp", "text"),
    [
        ("20260131183000", "2026-01-31 18:30:00"),
        ("20260131000000", "2026-01-31"),
        ("20260131", "2026-01-31"),
        ("X\x07", "X\\x07"),
    ],
)
def test_moments(stamp: str, text: str) -> None:
    assert moment(stamp) == text


def test_counts() -> None:
    assert telling.count(1, "part") == "1 part"
    assert telling.count(2, "copy", "copies") == "2 copies"


def test_progress_without_a_terminal() -> None:
    """A line now and then, with rate and time left."""
    now, told = [0.0], []
    screen = Screen(Style.PLAIN, io.StringIO(), lambda: now[0])
    screen.warn = told.append  # type: ignore[method-assign]
    progress = screen.progress("verifying", 100 << 20)
    for second in range(0, 91, 10):
        now[0] = float(second)
        progress.advance(second << 20, "C01")
    progress.close()
    assert told == [
        "verifying: 30.0 MiB of 100.0 MiB, about 70 seconds left, 1.0 MiB/s, C01",
        "verifying: 60.0 MiB of 100.0 MiB, about 40 seconds left, 1.0 MiB/s, C01",
        "verifying: 90.0 MiB of 100.0 MiB, about 10 seconds left, 1.0 MiB/s, C01",
    ]

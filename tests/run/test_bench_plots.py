"""The bench draws what can be read, and the document shows what was measured."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.bench.axes import AXES
from tests.bench.cases import CASES
from tests.bench.charts import WIDTH, Bars, Panel, bars, decades, growth, short, ticks
from tests.bench.documents import DOCUMENT, FIGURES, FIRST, LAST, PLACE, with_figures
from tests.bench.figures import COLUMNS, LIMIT, OURS, STOCK, Figures, Measured
from tests.bench.plots import PLOTS, write_plots
from tests.bench.results import Results
from tests.bench.svg import DARK, LIGHT, Drawing

SVG = "{http://www.w3.org/2000/svg}"
ABOUT = {"machine": "fast", "idle": "yes"}


def one(name: str, value: int = 0) -> Measured:
    """Two rounds, with all columns."""
    figures = [Figures(2.0, rate, 1.0, 0.2, 1.0, 40.0, 1.0) for rate in (500.0, 600.0)]
    return Measured(name, name, value, [dict.fromkeys(COLUMNS, each) for each in figures])


def everything() -> Results:
    points = [one(axis.name, value) for axis in AXES for value in axis.values]
    return Results(ABOUT, [one("start"), one("file"), one("clone")], points)


def check(text: str) -> ElementTree.Element:
    """It is XML, all is within the picture, and nothing has a colour but by name."""
    root = ElementTree.fromstring(text)
    height = float(root.attrib["height"])
    for thing in root.iter():
        for name, most in (("x", WIDTH), ("cx", WIDTH), ("y", height), ("cy", height)):
            assert 0 <= float(thing.get(name, 0)) <= most, thing.attrib
        assert "fill" not in thing.attrib
        assert "stroke" not in thing.attrib
    return root


def texts(root: ElementTree.Element) -> list[str]:
    return [text.text or "" for text in root.iter(f"{SVG}text")]


@given(st.floats(1e-6, 1e12))
def test_ticks_are_round_and_reach_the_end(most: float) -> None:
    marks = ticks(most)
    assert marks[0] == 0
    assert most * 0.999 <= marks[-1] <= 2.6 * most
    assert 2 <= len(marks) <= 12
    assert f"{marks[1]:e}".split("e")[0] in ("1.000000", "2.000000", "2.500000", "5.000000")
    steps = {round((b - a) / marks[1], 6) for a, b in itertools.pairwise(marks)}
    assert steps == {1.0}


@given(st.floats(1e-6, 1e9), st.floats(1, 1e6))
def test_decades_hold_all(least: float, times: float) -> None:
    marks = decades(least, least * times)
    assert marks[0] <= least * 1.001
    assert marks[-1] >= least * times * 0.999
    assert len(marks) >= 2


def test_numbers_of_an_axis() -> None:
    assert [short(value) for value in (0.0, 0.25, 2.5, 40.0, 1500.0)] == [
        *("0", "0.25", "2.5", "40", "1,500")
    ]


def test_bars() -> None:
    """As long as they are great; what the pointer shows is all of it."""
    groups = [
        Bars("a < b & c", {OURS: (50.0, 40.0, 60.0), STOCK: (100.0, 90.0, 400.0)}),
        Bars("d", {LIMIT: (25.0, 25.0, 25.0)}),
    ]
    root = check(bars("Title", "MB/s", groups))
    assert "a < b & c" in texts(root)
    said = [title.text for title in root.iter(f"{SVG}title")]
    assert said[0] == "ours: 50 MB/s (40 to 60)"
    wide = {
        rect.attrib["class"]: float(rect.attrib["width"])
        for rect in root.iter(f"{SVG}rect")
        if len(rect)
    }
    assert wide["f-stock"] == pytest.approx(2 * wide["f-ours"], abs=0.2)
    assert wide["f-ours"] == pytest.approx(2 * wide["f-limit"], abs=0.2)


def test_growth() -> None:
    """More is higher, further is to the right, by equal steps for equal ratios."""
    points = [(1.0, 10.0), (10.0, 20.0), (100.0, 30.0)]
    root = check(growth("Title", [Panel("Time", "logs", "s", {OURS: points})]))
    dots = [(float(dot.attrib["cx"]), float(dot.attrib["cy"])) for dot in root.iter(f"{SVG}circle")]
    assert dots[1][0] - dots[0][0] == pytest.approx(dots[2][0] - dots[1][0], abs=0.2)
    assert dots[0][1] - dots[1][1] == pytest.approx(dots[1][1] - dots[2][1], abs=0.2)
    assert dots[0][1] > dots[1][1]


def test_growth_by_ratios() -> None:
    """Where the greatest is much more than the least; also one point only."""
    steep = [(64.0, 0.01), (4096.0, 10.0)]
    check(growth("Title", [Panel("Time", "MiB", "s", {OURS: steep})] * 3))
    check(growth("Title", [Panel("Time", "MiB", "s", {OURS: [(5.0, 0.0)]})]))


def test_it_is_readable_on_light_and_on_dark_pages() -> None:
    """Every colour is there twice, and stands out from the background of its kind."""

    def brightness(colour: str) -> float:
        parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        linear = [
            part / 12.92 if part < 0.04 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
        ]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    assert LIGHT.keys() == DARK.keys()
    for colours in (LIGHT, DARK):
        back = brightness(colours["back"])
        for name in (*COLUMNS, "ink", "soft"):
            bright, dark = sorted((back, brightness(colours[name])), reverse=True)
            assert (bright + 0.05) / (dark + 0.05) >= 3, name
    text = Drawing(10, 10, "x").finish()
    assert all(colour in text for colour in (*LIGHT.values(), *DARK.values()))
    assert "prefers-color-scheme:dark" in text


def test_all_plots(tmp_path: Path) -> None:
    written = write_plots(everything(), tmp_path / "new")
    assert {path.name for path in written} == set(PLOTS)
    for path in written:
        check(path.read_text())
    assert write_plots(Results(ABOUT), tmp_path) == []


# the document


def test_figures_get_their_place() -> None:
    """And nothing else of the document changes, however often they are written."""
    text = f"before\n{FIRST}\nOLD\n{LAST}\nafter\n"
    once = with_figures(text, everything())
    assert once.startswith(f"before\n{FIRST}\n")
    assert once.endswith(f"{LAST}\nafter\n")
    assert "OLD" not in once
    assert "| machine | fast |" in once
    assert with_figures(once, everything()) == once
    with pytest.raises(ValueError, match="has no"):
        with_figures("no place", everything())


def test_every_case_has_its_line() -> None:
    """With a figure of ours for what it is about, whatever that is."""
    figures = Figures(2.0, 500.0, 1.0, 0.2, 1.0, 40.0, 1.0, stops=1, stall=0.04)
    cases = [
        Measured(case.name, case.text, rounds=[dict.fromkeys(COLUMNS, figures)]) for case in CASES
    ]
    lines = with_figures(f"{FIRST}{LAST}", Results(ABOUT, cases)).splitlines()
    for case in CASES:
        (line,) = (line for line in lines if line.startswith(f"| **{case.name}**: "))
        _, unit, ours, *_ = (cell.strip() for cell in line.strip("| ").split(" | "))
        assert unit, line
        assert float(ours) > 0, line
        assert sum(text.startswith(f"| {case.name} | ") for text in lines) >= 1, case.name


def test_what_an_earlier_version_took_says_so() -> None:
    kept = [replace(one(name), at="1.0; then") for name in ("file", "by-size")]
    text = with_figures(f"{FIRST}{LAST}", Results(ABOUT, [one("start"), kept[0]], [kept[1]]))
    assert "| but of file, by-size | 1.0; then |" in text


def test_the_document_shows_what_was_measured() -> None:
    """Tables and plots are those that the kept figures give; if not, see "Speed" in
    docs/testing.md."""
    results = Results.load(FIGURES)
    assert with_figures(DOCUMENT.read_text(), results) == DOCUMENT.read_text()
    for name, draw in PLOTS.items():
        assert (PLACE / name).read_text() == draw(results), name

"""References to facts: what leads somewhere, and what is found that does not."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.docs.markdown import prose
from tests.docs.references import FACTS, Checker, faults, files, names, places, spoken_python

KNOWN = {"data-plane": {"3.2", "3.4", "Q2b", "Q19"}, "changers": {"quirk-31", "3.1"}}


def found(text: str, spoken: str | None = None) -> list[tuple[int, str]]:
    return list(Checker(KNOWN).check(text, spoken))


@pytest.mark.parametrize(
    "text",
    [
        "A part [data-plane 3.2].",
        "[data-plane 3.2, 3.4] and [changers 3.1, quirk 31]",
        "[data-plane 3.2 to 3.4], [data-plane Q2b, Q19]",
        "[data-plane\n    Q19]",
        "# [changers\n    # quirk 31]",
        "[data-plane](facts/data-plane.md)",
        "the data-plane has 3 threads; row[data - 3.2]",
    ],
)
def test_what_leads_somewhere(text: str) -> None:
    """Or is no reference at all."""
    assert found(text) == []


@pytest.mark.parametrize(
    ("text", "line", "fault"),
    [
        ("one\n[data-plane 3.3]", 2, "data-plane.md has no place 3.3"),
        ("[changers quirk 32]", 1, "changers.md has no place quirk-32"),
        ("[data-plane 3.2, Q20]", 1, "data-plane.md has no place Q20"),
        ("[data-plane 3.2 to\n    3.9]", 1, "data-plane.md has no place 3.9"),
        ("(data-plane 3.2)", 1, "not in the form [document place]: 'data-plane 3.2'"),
        ("[data-plane section 3.2]", 1, "not in the form"),
        ("scan-and-changers 3", 1, "not in the form"),
        ("as quirk 31 says", 1, "not in the form"),
        ("[data-plane Q19] but Q19 alone", 1, "of which document? 'Q19'"),
        ("T6: denied", 1, "of which document? 'T6'"),
    ],
)
def test_what_does_not(text: str, line: int, fault: str) -> None:
    """The line and the reason are told."""
    ((where, what),) = found(text)
    assert where == line
    assert what.startswith(fault)


def test_only_words_are_searched_for_bare_numbers() -> None:
    """T1 is a good name for a tapetype; in a docstring it is a transcript."""
    program = (
        '"""T1: a story."""\n\nkind = "tapetype T1 {"  # T2\n\n\n'
        'def one() -> None:\n    """Q3."""\n'
    )
    assert found(program, spoken_python(program)) == [
        (1, "of which document? 'T1'"),
        (3, "of which document? 'T2'"),
        (7, "of which document? 'Q3'"),
    ]


def test_anchors_are_unique(tmp_path: Path) -> None:
    """A document that has one twice is refused."""
    (tmp_path / "one.md").write_text('## 1. A <a id="1"></a>\n## 2. B <a id="1"></a>\n')
    with pytest.raises(ValueError, match=r"one\.md has anchors twice: 1"):
        places(tmp_path)


def test_every_numbered_section_has_its_anchor() -> None:
    """A heading and its anchor cannot drift apart."""
    numbers = 0
    for name in names():
        for line, text in prose((FACTS / f"{name}.md").read_text()):
            heading = re.match(r"#{2,3} (?P<number>\d+(\.\d+)*)\.? ", text)
            if heading is not None:
                numbers += 1
                assert text.endswith(f' <a id="{heading["number"]}"></a>'), f"{name}.md:{line}"
    assert numbers > 200


def test_every_quirk_and_transcript_has_its_anchor() -> None:
    """Those of the data plane by Q, of the protocol by T, of the other lists by number."""
    known = places()
    assert {f"Q{number}" for number in range(44)} <= known["data-plane"]
    assert {f"T{number}" for number in range(1, 27)} <= known["protocol"]
    for name, last in (("volumes", 43), ("config", 27), ("changers", 32)):
        assert {f"quirk-{number}" for number in range(1, last + 1)} <= known[name]
    assert {f"6.2.{number}" for number in range(1, 29)} <= known["ndmp"]


def test_documents_refer_to_one_another() -> None:
    """References within docs lead somewhere, too."""
    found, count = faults()
    assert [fault for fault in found if fault.startswith("docs/")] == []
    assert count > 20


def test_what_is_searched() -> None:
    """Programs, tests, documents, the README; not what is recorded."""
    seen = {str(path) for path in files(FACTS.parents[1])}
    assert any(path.endswith("/README.md") for path in seen)
    assert any(path.endswith("/taper/core/rules.py") for path in seen)
    assert any(path.endswith("/docs/differences.md") for path in seen)
    assert not any("/tests/vectors/" in path for path in seen)

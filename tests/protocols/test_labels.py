"""Matching and making labels."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.conf import AutoLabel, LabelStr
from protocols.labels import (
    LabelError,
    LabelScheme,
    check_label,
    labelstr_template,
    make_label,
    make_meta_label,
    match_labelstr,
    match_template,
)
from protocols.tapelist import TapelistEntry

PERL_LIBRARY = "/usr/lib/x86_64-linux-gnu/amanda/perl"


def matches(template: str | None, label: str) -> bool:
    return match_template(
        template, label, config="CONF", org="ORG", storage="STO", barcode="BAR", meta="MET"
    )


def made(template: str | None, *known: TapelistEntry | str, **changes: str | bool | None) -> str:
    entries = [
        TapelistEntry(datestamp="0", label=entry) if isinstance(entry, str) else entry
        for entry in known
    ]
    facts = {"storage": "STO", "barcode": "BAR", "meta": "MET", "slot": "7"} | changes
    return make_label(template, entries, config="CONF", org="ORG", **facts)  # type: ignore[arg-type]


# Matching

VECTORS = [
    # template, label, matches
    ("", "anything", True),
    ("Daily", "xDailyx", True),
    ("^Daily-[0-9][0-9]$", "Daily-01", True),
    ("^Daily-[0-9][0-9]$", "Daily-1", False),
    ("^Daily-[[:digit:]]{2}$", "Daily-01", True),
    ("^daily$", "Daily", False),
    ("^$b$", "BAR", True),
    ("^$m$", "MET", True),
    ("^$r$", "STO", True),
    ("^A$s$", "A", True),
    ("^A$s$", "A123", True),
    ("^A$3s$", "A123", True),
    ("^A$3s$", "A12", False),
    ("^A$0s$", "A", True),
    ("^a%!$", "a5B", True),
    ("^a%!$", "aB5", False),
    ("A$xB", "AxxB", True),
    ("A$xB", "AxB", False),
    ("a$%", "a%5", True),
    ("a$!", "a!A", True),
    ("a$.b", "axb", False),
    ("A$.B", "AxyB", True),
    ("a$$", "a", True),
    ("a$$b", "ab", False),
    ("a$", "a", True),
    ("a$", "ab", False),
    ("A\\.B", "AxB", True),
    ("a\\%", "a%", True),
    ("a\\%", "a5", False),
    ("[%]", "5]", True),
    ("[%]", "5", False),
    ("^$5x$", "", True),
    ("a$5bc", "ac", True),
    ("a$5bc", "abc", False),
    ("a(b|c)+d{2}$", "abcbdd", True),
]


@pytest.mark.parametrize(("template", "label", "expected"), VECTORS)
def test_templates_match_as_in_stock(template: str, label: str, expected: bool) -> None:
    """Each case was answered so by the stock matcher."""
    assert matches(template, label) is expected


@pytest.mark.system
def test_the_vectors_are_the_stock_matchers(tmp_path: Path) -> None:
    """Amanda's own match_labelstr_template gives the answers that the vectors hold."""
    if not os.path.isdir(PERL_LIBRARY) or shutil.which("perl") is None:
        pytest.skip("Amanda's Perl library is not installed")
    script = (
        "use Amanda::Util qw(match_labelstr_template); while (<STDIN>) { chomp;"
        'my ($t, $l) = split /\\t/, $_, -1; print match_labelstr_template($t, $l, "BAR", "MET",'
        '"STO") ? 1 : 0, "\\n"; }'
    )
    lines = "".join(f"{template}\t{label}\n" for template, label, _ in VECTORS)
    run = subprocess.run(
        ["perl", f"-I{PERL_LIBRARY}", "-e", script],
        input=lines,
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
    )
    assert run.stdout.split() == [str(int(expected)) for _, _, expected in VECTORS]


def test_config_and_org_stand_in_templates() -> None:
    """Unknown values are nothing; values are inserted raw, so their operators work."""
    assert matches("^$c-$o$", "CONF-ORG")
    assert match_template("^$c$b$m$r$", "a.c", config="a.c", org="", storage=None)
    assert match_template("^$c$", "abc", config="a.c", org="", storage=None)
    assert matches(None, "anything")


def test_match_autolabel_holds_for_the_whole_label() -> None:
    """But labelstr may match anywhere."""
    autolabel = AutoLabel(template="$c-%%")

    def match(labelstr: LabelStr, label: str) -> bool:
        scheme = LabelScheme(
            config="CONF", org="O", storage="S", labelstr=labelstr, autolabel=autolabel
        )
        return match_labelstr(scheme, label)

    automatic, own = LabelStr("$c-%%", match_autolabel=True), LabelStr("$c-%%")
    assert match(automatic, "CONF-01")
    assert not match(automatic, "CONF-010")
    assert match(own, "xCONF-010")
    assert labelstr_template(automatic, AutoLabel(template="X")) == "X"
    assert labelstr_template(own, AutoLabel(template="X")) == "$c-%%"


def test_a_wide_slot_number_does_not_hang() -> None:
    """Stock loops for ever on two digits before the s."""
    assert matches("^$12s$", "123456789012")
    assert not matches("^$12s$", "12345678901")
    with pytest.raises(LabelError, match="over 100 digits"):
        matches("$1000s", "x")


def test_a_bad_expression_is_an_error_and_not_the_end() -> None:
    """Stock dies; the text names the expression."""
    with pytest.raises(LabelError) as caught:
        matches("Daily-[", "Daily-01")
    assert caught.value.text == 'regex "Daily-[": Unmatched ['
    assert not caught.value.exists


# Making


@pytest.mark.parametrize(
    ("template", "known", "label"),
    [
        ("Daily-%%", [], "Daily-01"),
        ("Daily-%%", ["Daily-01", "Daily-02", "Daily-04"], "Daily-03"),
        ("%%%-x", ["001-x"], "002-x"),
        ("A!!", [], "AAA"),
        ("A!!", [f"AA{chr(65 + i)}" for i in range(26)], "ABA"),
        ("$o.$c.$m.$r-%", [], "ORG.CONF.MET.STO-1"),
        ("$$%", [], "$1"),
        ("$$b%", [], "$b1"),
        ("$x%", [], "$x1"),
        ("$b", [], "BAR"),
        ("S$s", [], "S7"),
        ("S$4s-$s", [], "S0007-0007"),
        ("$s-$4s", [], "7-7"),
        ("%a%-$s", [], "%a%-7"),
        ("!a!%", [], "!a!1"),
    ],
)
def test_labels_are_made_from_templates(template: str, known: list[str], label: str) -> None:
    """The smallest free number, or the first free letters."""
    assert made(template, *known) == label


def test_the_slot_of_an_aggregate_is_its_last_part() -> None:
    """``1:12`` is slot 12 of changer 1."""
    assert made("S$3s", slot="1:12") == "S012"
    assert made("S$s", slot="007") == "S7"
    assert made("S$s", slot="left") == "Sleft"


def test_a_counter_beside_a_barcode_runs_over_all_barcodes() -> None:
    """So the number alone tells volumes apart."""
    known = [
        TapelistEntry(datestamp="0", label="B1-01", barcode="B1"),
        TapelistEntry(datestamp="0", label="B2-02", barcode="B2"),
    ]
    assert made("$b-%%", *known, barcode="B3") == "B3-03"


def test_a_counter_beside_a_slot_never_makes_a_label_twice() -> None:
    """Stock answers S1-01 even if that volume exists."""
    assert made("S$s-%%", "S1-01", "S2-01", slot="1") == "S1-02"
    assert made("S$s-!", "S1-A", slot="1") == "S1-B"
    assert made("$b-%", TapelistEntry(datestamp="0", label="B3-1"), barcode="B3") == "B3-2"


def test_a_claim_of_the_slots_only_label_is_no_obstacle() -> None:
    """Who claimed it held the slot, and is dead; any other entry of the label is one."""
    facts = {"config": "CONF", "storage": "STO", "barcode": "BAR"}
    claim = TapelistEntry(datestamp="1", label="S7", reuse=False, **facts)  # type: ignore[arg-type]
    assert made("S$s", claim) == "S7"
    bare = evolve(claim, barcode=None)
    assert made("S$s", bare, barcode=None, stays=True) == "S7"
    others = [
        evolve(claim, datestamp="0"),
        evolve(claim, datestamp="20260101000000"),
        evolve(claim, reuse=True),
        evolve(claim, config="OTHER"),
        evolve(claim, storage="OTHER"),
        evolve(claim, barcode=None),
    ]
    for other in others:
        with pytest.raises(LabelError, match="Label 'S7' already exists"):
            made("S$s", other)
    with pytest.raises(LabelError, match="Label 'S7' already exists"):
        made("S$s", bare, barcode=None)  # the volume may have moved
    with pytest.raises(LabelError, match="Label 'BAR' already exists"):
        made("$b", evolve(claim, label="BAR"))


@pytest.mark.parametrize(
    ("template", "text", "exists"),
    [
        (None, "template is not set, you must set autolabel", False),
        ("", "template is not set, you must set autolabel", False),
        ("a%b!", "Can't generate label: '%' and '!' in autolabel", False),
        ("fixed", "autolabel require at least one '%' or '!'", False),
        ("%x%", "autolabel require at least one '%' or '!'", False),
        ("$c", "autolabel require at least one '%' or '!'", False),
        ("S$s", "Label 'S7' already exists", True),
        ("N%", "Can't label unlabeled volume: All labels used", False),
        ("L!", "Can't label unlabeled volume: All labels used", False),
        ("$m$b", "Generated label is empty", False),
    ],
)
def test_why_no_label_can_be_made(template: str | None, text: str, exists: bool) -> None:
    """The texts are stock's; only a label that exists lets the scan try the next volume."""
    known = ["S7", *(f"N{i}" for i in range(1, 10)), *(f"L{chr(65 + i)}" for i in range(26))]
    with pytest.raises(LabelError) as caught:
        made(template, *known, barcode=None, meta=None)
    assert (caught.value.text, caught.value.exists) == (text, exists)


@pytest.mark.parametrize("label", ["", "a b", "a/b", "a\tb", "a\nb", "a\x00b", "a\x7f", "x" * 256])
def test_labels_that_no_file_could_hold_are_refused(label: str) -> None:
    """They would spoil tapelist, log line or file name."""
    with pytest.raises(LabelError):
        check_label(label)
    if label:
        with pytest.raises(LabelError):
            made("$b-%", barcode=label)


@settings(max_examples=60)
@given(
    st.sampled_from(["%", "x%%", "!", "$b-%", "S$s-%", "$s$b!", "$b", "$s%$2s"]),
    st.lists(st.tuples(st.sampled_from(["B1", "B2", None]), st.sampled_from("12")), max_size=15),
)
def test_no_label_is_ever_made_twice(template: str, volumes: list[tuple[str | None, str]]) -> None:
    """Whatever template, barcodes and slots."""
    known: list[TapelistEntry] = []
    for barcode, slot in volumes:
        try:
            label = made(template, *known, barcode=barcode, slot=slot)
        except LabelError:
            continue
        assert label not in {entry.label for entry in known}
        known.append(TapelistEntry(datestamp="0", label=label, barcode=barcode))


# Meta labels


def test_meta_labels() -> None:
    """The first one that no volume's META is."""
    known = [TapelistEntry(datestamp="0", label="A", meta="CONF-1")]
    assert make_meta_label("$c-%", known, config="CONF", org="O") == "CONF-2"
    assert make_meta_label("$$$o-!!", known, config="CONF", org="O") == "$O-AA"
    assert make_meta_label(None, known, config="CONF", org="O") is None
    assert make_meta_label("", known, config="CONF", org="O") is None


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("fixed", "Can't generate meta-label: no '%' or '!' in meta-autolabel"),
        ("%!", "Can't generate meta-label: '%' and '!' in meta-autolabel"),
        ("M%", "Can't label unlabeled meta volume: All meta labels used"),
    ],
)
def test_why_no_meta_label_can_be_made(template: str, text: str) -> None:
    """The texts are stock's."""
    known = [TapelistEntry(datestamp="0", label=f"A{i}", meta=f"M{i}") for i in range(1, 10)]
    with pytest.raises(LabelError) as caught:
        make_meta_label(template, known, config="CONF", org="O")
    assert caught.value.text == text

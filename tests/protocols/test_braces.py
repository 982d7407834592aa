"""Lists in braces, also beside Amanda's own reading of them."""

from __future__ import annotations

import json
import os
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.braces import BraceError, collapse_braces, expand_braces

PERL_LIB = "/usr/lib/x86_64-linux-gnu/amanda/perl"

READ_BY_AMANDA = r"""
use lib $ARGV[0];
use Amanda::Util;
binmode(STDOUT);
while (my $line = <STDIN>) {
    chomp $line;
    my @names = Amanda::Util::expand_braced_alternates($line);
    print join("\t", scalar(@names), map { defined $_ ? "=$_" : "-" } @names), "\n";
}
"""


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("", [""]),
        ("a", ["a"]),
        ("a{b,c}", ["ab", "ac"]),
        ("{1..3}", ["1", "2", "3"]),
        ("{01..10}", [f"{number:02d}" for number in range(1, 11)]),
        ("{0..10}{a}", [f"{number:02d}a" for number in range(11)]),
        ("{7..009}", ["7", "8", "9"]),
        ("{1,3..4}{x,y}", ["1x", "1y", "3x", "3y", "4x", "4y"]),
        (r"a\{b\,c\}", ["a{b,c}"]),
        (r"{a\,b,c}", ["a,b", "c"]),
        (r"\x\\", ["\\x\\"]),
        ("{5..1}", ["5..1"]),
        (r"{\1..3}", [r"\1..3"]),
        ("{a,{b,c}}", ["a}", "{b}", "c}"]),
        ("a}", ["a}"]),
        ("{a,,b}", ["a", ",b"]),
        ("{}", [""]),
        (r"chg-rait:{chg-multi:\{a\,b\},ERROR}", ["chg-rait:chg-multi:{a,b}", "chg-rait:ERROR"]),
    ],
)
def test_lists(text: str, names: list[str]) -> None:
    """Alternates, ranges, several groups and escapes."""
    assert list(expand_braces(text)) == names


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{a", "has a '{' without its '}'"),
        ("{a,}", "has a '{' without its '}'"),
        ("{a{b}}", "has a '{' inside of braces"),
        ("{1..200000}", "stands for more than 100001 names"),
        ("{1..400}{1..400}", "stands for more than 100001 names"),
        ("{1..999999999999999999}", "stands for more than 100001 names"),
    ],
)
def test_what_is_no_list_is_refused(text: str, why: str) -> None:
    """The error has the text and says what is wrong with it."""
    with pytest.raises(BraceError, match=r"names|without|inside") as caught:
        expand_braces(text)
    assert str(caught.value).endswith(why)


@given(st.lists(st.text(alphabet="ab1.{},\\", min_size=1, max_size=6), min_size=1, max_size=4))
def test_what_is_collapsed_expands_to_the_same(names: list[str]) -> None:
    """A list made of names stands for these names."""
    ranges = [name for name in names if ".." in name and name.replace(".", "").isdigit()]
    if not ranges:
        assert list(expand_braces(collapse_braces(names))) == names


@pytest.mark.skipif(not os.path.exists(PERL_LIB), reason=f"{PERL_LIB} is not installed")
def test_amanda_reads_them_as_we_do() -> None:
    """Some hundred lists, each given to both."""
    pieces = ["{", "}", ",", "a", "b", "1..3", "01..03", "8..11", "0..10", "\\", "2..1", "x"]
    texts: list[str] = []

    @settings(max_examples=400, database=None)
    @given(st.lists(st.sampled_from(pieces), max_size=9))
    def gather(parts: list[str]) -> None:
        texts.append("".join(parts))

    gather()
    done = subprocess.run(
        ["perl", "-e", READ_BY_AMANDA, PERL_LIB],
        input="".join(f"{text}\n" for text in texts),
        capture_output=True,
        text=True,
        check=True,
        timeout=600,
    )
    different = {}
    for text, line in zip(texts, done.stdout.split("\n"), strict=False):
        count, *words = line.split("\t")
        theirs = None if "-" in words else [word[1:] for word in words]
        try:
            ours = list(expand_braces(text))
        except BraceError:
            ours = None
        if (count, theirs) != (str(1 if ours is None else len(ours)), ours):
            different[text] = (theirs, ours)
    assert not different, json.dumps(different, indent=1)

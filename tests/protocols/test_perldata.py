"""State files of changers are read without being executed, and written so that Perl reads them."""

from __future__ import annotations

import contextlib
import shutil
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.perldata import (
    MAX_DEPTH,
    Blessed,
    CharString,
    PerlDataError,
    format_perl_data,
    parse_perl_data,
)

_text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
_raw = st.binary(max_size=12).map(lambda data: data.decode("utf-8", "surrogateescape"))
_scalar = st.none() | st.integers(-(2**53), 2**53) | _text | _raw
_value = st.recursive(
    _scalar,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_text, inner, max_size=4),
    max_leaves=20,
)
_state = st.dictionaries(_text, _value, max_size=5)

CAPTURED = rb"""$STATE = {
           'current' => 'slot7',
           'drives' => {
                         'drive1' => {
                                       'slot' => 'slot7',
                                       'pid' => 23425
                                     }
                       },
           'current_slot' => { 'config' => { 'DailySet' => { 'storage' => {
                'disklex' => { 'changer' => {} } } } } }
         };
"""


@given(_state)
@settings(max_examples=150)
def test_what_is_written_is_read_back(state):
    """Any state survives writing and reading unchanged."""
    assert parse_perl_data(format_perl_data(state)) == state


@given(st.binary(max_size=200))
@settings(max_examples=200)
def test_any_bytes_are_read_or_refused(data):
    """Arbitrary bytes give a hash or a PerlDataError, nothing else."""
    with contextlib.suppress(PerlDataError):
        assert isinstance(parse_perl_data(data), dict)


@given(st.text("$STATE={}[]()'\"\\,;->=blesundf 019x#\n", max_size=60))
@settings(max_examples=300)
def test_scraps_of_perl_are_read_or_refused(text):
    """Text made of the format's own letters never trips the reader otherwise."""
    with contextlib.suppress(PerlDataError):
        assert isinstance(parse_perl_data(text.encode()), dict)


@given(_state, st.integers(0, 400))
@settings(max_examples=100)
def test_a_torn_file_is_never_taken_for_a_whole_one(state, cut):
    """A state cut short (a crash while writing) is refused unless only its end mark is missing."""
    data = format_perl_data(state)
    torn = data[: min(cut, len(data) - 3)]
    if torn.strip():
        with pytest.raises(PerlDataError):
            parse_perl_data(torn)


def test_captured_state():
    """A state captured from chg-disk reads as the hash it is."""
    state = parse_perl_data(CAPTURED)
    assert state["drives"] == {"drive1": {"slot": "slot7", "pid": 23425}}
    assert state["current_slot"]["config"]["DailySet"]["storage"]["disklex"] == {"changer": {}}


@pytest.mark.parametrize(
    ("source", "value"),
    [
        (rb"'it\'s \\ \n'", "it's \\ \\n"),
        (rb'"a\tb\x{e9}"', "a\tb\udce9"),
        (rb'"\x{e9}\x{3a9}"', "éΩ"),
        (rb'"\x{3a9} \$x \@y \"q\""', 'Ω $x @y "q"'),
        (rb'"\303\251"', "é"),
        (rb'"plain"', "plain"),
        (b"'\xff'", "\udcff"),
        (b"-12", -12),
        (b"'12345678901'", "12345678901"),
        (b"12345678901", 12345678901),
        (b"1.5", "1.5"),
        (b"0x1f", 31),
        (b"0x20000000000000", 1 << 53),
        (b"0x20000000000001", "9007199254740993"),
        (b"-9007199254740993", "-9007199254740993"),
        (b"010", 8),
        (b"undef", None),
        (b"[1, 'a', undef, [],]", [1, "a", None, []]),
        (b"{ a => 1, -b => 2, 'c', 3, 4 => 5, }", {"a": 1, "-b": 2, "c": 3, "4": 5}),
        (b"bless( {'x' => 1}, 'My::Class' )", Blessed({"x": 1}, "My::Class")),
        (
            b"bless( { 'sign' => '-', 'value' => bless( [ '2' ], 'Math::BigInt::Calc' ) },"
            b" 'Math::BigInt' )",
            -2,
        ),
        (
            b"bless( {'value' => bless( [ 8 ], 'Math::BigInt::Calc' ), sign => '+' },"
            b" 'Math::BigInt' )",
            8,
        ),
        (
            b"bless( {'sign' => '+', 'value' => bless( do{\\(my $o = 94223)}, 'Math::BigInt::GMP' )"
            b"}, 'Math::BigInt' )",
            None,
        ),
    ],
)
def test_values(source, value):
    """Every kind of value that stock or a careful hand writes is understood."""
    assert parse_perl_data(b"$STATE = {'k' => " + source + b"}") == {"k": value}


def test_later_statements_assign_into_the_state():
    """Fix-up statements, comments and a closing 1; are understood; copies share nothing."""
    state = parse_perl_data(
        b"# kept by hand\n$STATE = { a => { x => 1 }, l => [ 1 ] };\n"
        b"$STATE->{'b'} = $STATE->{'a'};\n$STATE->{b}{y}{z} = 2;$STATE->{l}->[1] = 'two';\n1;\n"
    )
    assert state == {"a": {"x": 1}, "b": {"x": 1, "y": {"z": 2}}, "l": [1, "two"]}


@pytest.mark.parametrize(
    "source",
    [
        b'{"a":1}',
        b"$STATE = [1];",
        b"$STATE = undef;",
        b"$STATE = { 'a' => system('id') };",
        b"$STATE = { 'a' => `id` };",
        b"$STATE = { 'a' => \"$ENV{HOME}\" };",
        b"$OTHER = {};",
        b"$STATE = {} garbage",
        b"$STATE = {'a' => 1",
        b"$STATE = { 'a' 1 };",
        b"$STATE = {'l' => []}; $STATE->{l}[9] = 1;",
        b"$STATE = " + b"{a=>" * (MAX_DEPTH + 1) + b"1" + b"}" * (MAX_DEPTH + 1),
        b"$STATE = {}\x00",
    ],
)
def test_refused(source):
    """JSON, code, other variables, wrong shapes and too deep nesting are refused."""
    with pytest.raises(PerlDataError):
        parse_perl_data(source)


@pytest.mark.parametrize(
    "tail",
    [
        b"\n" * 5000 + b"\0" * 30,  # a tail that a power cut left zeroed
        b" #\t\n" * 5000 + b"\0",
        b"a => do{\\(my $o =" + b" " * 5000 + b"\0",
        b"'" + b"\\a" * 5000,
        b"1_" * 5000 + b"\0",
    ],
    ids=range(5),
)
def test_long_runs_before_what_is_no_perl_are_passed_over_once(tail):
    """Damage behind a long run is told at once; how the work grows is in test_expressions."""
    with pytest.raises(PerlDataError, match="expected"):
        parse_perl_data(b"$STATE = {" + tail)


def test_references_cannot_grow_without_bound(monkeypatch):
    """Statements that double the state each time are stopped by the number of values."""
    monkeypatch.setattr("protocols.perldata.MAX_VALUES", 1000)
    doubling = b"$STATE->{a} = [ $STATE->{a}, $STATE->{a} ];" * 40
    with pytest.raises(PerlDataError, match=r"values|deeper"):
        parse_perl_data(b"$STATE = {a => [1]};" + doubling)


def test_an_empty_file_is_an_empty_state():
    """A state file that was just made holds nothing."""
    assert parse_perl_data(b"") == {} == parse_perl_data(b"\n \n")


def test_what_is_no_perl_data_is_refused_by_the_writer():
    """A value that Perl cannot hold is a mistake of ours and is told so."""
    with pytest.raises(TypeError, match="not Perl data"):
        format_perl_data({"a": 1.5})
    with pytest.raises(TypeError, match="key"):
        format_perl_data({1: "a"})


@pytest.mark.skipif(not shutil.which("perl"), reason="perl is not installed")
def test_perl_reads_what_we_write():
    """Perl itself evaluates our output to the same data."""
    state = {
        "quotes": "it's \\ 'q' \\",
        "dollar": "$HOME @x",
        "raw\n": "\udcff\x00",
        "utf": "Grüße",
        "n": -7,
        "big": 2**60,
        "none": None,
        "deep": [{"a": {}}, []],
        "chars": CharString('é$@"\\Ω'),
    }
    program = (
        "local $/; my $STATE; my $t = <STDIN>; eval $t; die $@ if $@; use Data::Dumper;"
        '$Data::Dumper::Sortkeys = 1; print Data::Dumper->new([$STATE], ["STATE"])->Dump;'
    )
    done = subprocess.run(
        ["perl", "-Mstrict", "-e", program],
        input=format_perl_data(state),
        capture_output=True,
        check=True,
    )
    assert parse_perl_data(done.stdout) == {**state, "big": str(2**60)}

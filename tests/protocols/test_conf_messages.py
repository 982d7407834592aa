"""What is said about a wrong configuration: stock's texts, and where [config 1.11]."""

import re

import pytest

from protocols.conf import load

DEFINE_EXPECTED = (
    "DUMPTYPE, INTERFACE, TAPETYPE, HOLDINGDISK, APPLICATION, SCRIPT, DEVICE, CHANGER,"
    " INTERACTIVITY, TAPERSCAN, POLICY or STORAGE expected"
)

GLOBAL_ERRORS: list[tuple[str, str]] = [
    ("foo", "error: not a keyword."),
    ("5", "error: not a keyword."),
    ('"x"', "error: not a keyword."),
    ("{", "error: not a keyword."),
    ("}", "error: not a keyword."),
    ("disk", "configuration keyword expected"),
    ("runtapes=4", "an integer is expected"),
    ("tapebufs 5", "error: not a keyword."),
    ("runtapes", "an integer is expected"),
    ("runtapes 1 2", "end of line is expected"),
    ('runtapes "1"', "an integer is expected"),
    ("runtapes 1.5", "an integer is expected"),
    ("runtapes x", "an integer is expected"),
    ("runtapes - 5", "an integer is expected"),
    ("runtapes +5", "an integer is expected"),
    ("runtapes 0x10", "end of line is expected"),
    ("runtapes 1e3", "end of line is expected"),
    ("runtapes 5 sec", "end of line is expected"),
    ("runtapes 5 k k", "end of line is expected"),
    ("runtapes 99999999999", "value too large"),
    ("runtapes -99999999999", "value too small"),
    ("runtapes 3000000 k", "RUNTAPES must be nonnegative"),
    ("runtapes -1", "RUNTAPES must be nonnegative"),
    ("runtapes\x0b5", "an integer is expected"),
    ("tapecycle 0", "TAPECYCLE must be positive"),
    ("etimeout 0", "ETIMEOUT must not be 0"),
    ("maxdumpsize 99999999999 t", "value too large"),
    ("bumpmult x", "a real number is expected"),
    ("bumpmult inf", "a real number is expected"),
    ("bumpmult .5", "a real number is expected"),
    ("bumpmult 0.9", "bumpmult must one or more"),
    ("org foo", "a quoted string is expected"),
    ("org 5", "a quoted string is expected"),
    ('org "a', "string not terminated"),
    ("tapetype", "an identifier is expected"),
    ("includefile foo", "a quoted string is expected"),
    (
        "define",
        DEFINE_EXPECTED,
    ),
    (
        "define foo x",
        DEFINE_EXPECTED,
    ),
    ("define tapetype", "an identifier is expected"),
    ("define tapetype B A {", '"{" is expected'),
    (
        'autolabel "A%%" foo',
        "ANY, NEW-VOLUME, OTHER-CONFIG, NON-AMANDA, VOLUME-ERROR or EMPTY is expected",
    ),
    (
        'autolabel "A%%" new-volume',
        "ANY, NEW-VOLUME, OTHER-CONFIG, NON-AMANDA, VOLUME-ERROR or EMPTY is expected",
    ),
    (
        'autolabel "A%%" any, empty',
        "ANY, NEW-VOLUME, OTHER-CONFIG, NON-AMANDA, VOLUME-ERROR or EMPTY is expected",
    ),
    (
        "autolabel foo any",
        "ANY, NEW-VOLUME, OTHER-CONFIG, NON-AMANDA, VOLUME-ERROR or EMPTY is expected",
    ),
    ('autolabel "A %%"', "AUTOLABEL template must not contains space"),
    ('autolabel "A\\"" any', "AUTOLABEL template must not contains double quotes"),
    ("labelstr foo", "labelstr template or MATCH_AUTOLABEL expected"),
    ('labelstr "a b"', "LABELSTR template must not contains space"),
    ('labelstr "a\\"b"', "LABELSTR template must not contains double quotes"),
    (
        "labelstr match-autolabel",
        "parse error: AUTOLABEL not set and LABELSTR set to MATCH-AUTOLABEL",
    ),
    ('meta-autolabel "a b"', "META_AUTOLABEL must not contains space"),
    ("autoflush foo", "YES, NO, ALL, TRUE, FALSE, ON, OFF, 0, 1, 2 expected"),
    ("autoflush inf", "YES, NO, ALL, TRUE, FALSE, ON, OFF, 0, 1, 2 expected"),
    ("eject-volume foo", "YES, NO, TRUE, FALSE, ON, OFF, 0, 1 expected"),
    ('eject-volume "yes"', "YES, NO, TRUE, FALSE, ON, OFF, 0, 1 expected"),
    ("unreserved-tcp-port 1024 2000", "an integer is expected"),
    ("unreserved-tcp-port 5,10", "portrange must be in the range 1024 to 65535, inclusive"),
    ("unreserved-tcp-port 3000,2000", "portranges must be in order from low to high"),
    ("reserved-tcp-port 0,10", "portrange must be in the range 1 to 1023, inclusive"),
    ("vault-storage a,b", "string expected"),
    ("vault-storage a 5", "string expected"),
    ("storage nope", "parse error: storage 'nope' is not defined"),
    ("active-storage nope", "parse error: storage 'nope' is not defined"),
    ("report-format a", "string expected"),
    ('displayunit "mm"', "displayunit must be k,m,g or t."),
    ('columnspec "foo"', "invalid columnspec: foo"),
    ('columnspec "Foo=1:2"', "invalid column name: 'Foo'"),
    ('columnspec "HostName=x"', "invalid format: x"),
    ('tmpdir "/nonexist"', "invalid TMPDIR: directory '/nonexist': No such file or directory."),
    ("debug-taper 10", "Debug must be between 0 and 9"),
    ("bumppercent 101", "bumppercent must be between 0 and 100"),
    ("reserve -1", "reserve must be between 0 and 100"),
    ("runspercycle -2", "runspercycle must be >= -1"),
    ("send-amreport-on foo", "ALL, STRANGE, ERROR or NEVER expected"),
    ("taperalgo largest_fit", "FIRST, FIRSTFIT, LARGEST, LARGESTFIT, SMALLEST or LAST expected"),
    ("recovery-limit foo", "SAME-HOST or a string expected"),
    ('interactivity "x"', "Unknown interactivity named: x"),
    ('taperscan "x"', "Unknown taperscan named: x"),
    ("taperscan 5", "taperscan name expected"),
    ("device-property", "key expected"),
    ('device-property a "b"', "key expected"),
    ('device-property "a" b', "value expected"),
    ('device-property append priority "a" "b"', "key expected"),
    ("holdingdisk", "an identifier is expected"),
    ("holdingdisk h9", "parse error: holdingdisk h9 is not defined"),
    ("tapetype X", "parse error: tapetype X is not defined"),
]
"""A line, and the first message about it."""

SECTION_ERRORS: list[tuple[str, str, str]] = [
    ("tapetype", "foo", "tape type parameter expected"),
    ("tapetype", '"foo"', "tape type parameter expected"),
    ("tapetype", "disk", "tapetype parameter expected"),
    ("tapetype", "5", "tapetype parameter expected"),
    ("tapetype", "define x", "tapetype parameter expected"),
    ("tapetype", "length 5 }", "end of line is expected"),
    ("tapetype", "blocksize 16", "Tape blocksize must be at least 32 KBytes"),
    ("tapetype", "length -5", "LENGTH must be nonnegative"),
    ("tapetype", "part-cache-type foo", "NONE, DISK or MEMORY expected"),
    ("changer", "foo", "changer parameter expected"),
    ("changer", 'property "a" b', "value expected"),
    ("device", "runtapes 1", "device parameter expected"),
    ("holdingdisk", "foo", "holdingdisk parameter expected"),
    ("holdingdisk", "runtapes 1", "holding disk parameter expected"),
    ("holdingdisk", "chunksize 63", "chunksize must be at least 64kb"),
    ("holdingdisk", "chunksize -1", "Negative chunksize (-1) is no longer supported"),
    ("storage", "vault off", "an integer is expected"),
    ("storage", "vault disk 3", "end of line is expected"),
    ("storage", "dump-selection all", "ALL, FULL or INCR expected"),
    ("storage", "dump-selection all foo", "ALL, FULL or INCR expected"),
    ("storage", "dump-selection tag full", "string, ALL or OTHER expected"),
    ("storage", "dump-selection all full full", "string expected"),
    (
        "storage",
        "labelstr match-autolabel",
        "parse error: AUTOLABEL not set and LABELSTR set to MATCH-AUTOLABEL",
    ),
    ("storage", 'tapepool "a b"', "TAPEPOOL must not contains space"),
    ("storage", 'policy "nope"', "Unknown policy named: nope"),
    ("storage", "policy 7", "policy name expected"),
    ("storage", 'interactivity "nope"', "Unknown interactivity named: nope"),
    ("policy", "retention-tapes x", "an integer is expected"),
    ("script", "execute-on", "Execute-on expected"),
    ("script", "execute-on foo", "Execute-on expected"),
    ("script", "execute-on pre-amcheck post-backup", "end of line is expected"),
    (
        "dumptype",
        "compress fast best",
        "NONE, CLIENT FAST, CLIENT BEST, CLIENT CUSTOM, SERVER FAST, SERVER BEST or SERVER"
        " CUSTOM expected",
    ),
    ("dumptype", "comprate 1 2", "a real number is expected"),
    ("dumptype", "comprate -1", "full compression rate must be >= 0"),
    ("dumptype", "estimate", "CLIENT, SERVER or CALCSIZE expected"),
    ("dumptype", "exclude foo", "end of line is expected"),
    ("dumptype", "starttime 20.5", "a time is expected"),
    ("dumptype", "priority 5", "LOW, MEDIUM, HIGH or integer expected"),
    ("dumptype", 'program "dump"', 'program must be "DUMP", "GNUTAR", "STAR" or "APPLICATION"'),
    ("dumptype", "client-port 5.5", "an integer or a quoted string is expected"),
    ("dumptype", 'dump-limit "a"', "dump-limit can't specify hostname"),
    ("dumptype", "tag a", "string expected"),
    ("dumptype", "strategy foo", "dump strategy expected"),
    ("dumptype", "encrypt foo", "NONE, CLIENT or SERVER expected"),
    ("dumptype", "data-path foo", "AMANDA or DIRECTTCP expected"),
    ("dumptype", 'application "nope"', "Unknown application named: nope"),
    ("dumptype", 'script "nope"', "Unknown pp_script named: nope"),
    ("dumptype", "holdingdisk foo", "YES, NO, TRUE, FALSE, ON, OFF, 0, 1 expected"),
    ("storage", "flush-threshold-dumped -1", "FLUSH_THRESHOLD_DUMPED must be nonnegative"),
    ("interface", "use 0", "USE must be positive"),
    ("dumptype", "comprate 1,-1", "incremental compression rate must be >= 0"),
]
"""Kind of section, a line in it, and the first message about it."""

FILE = "/etc/amanda/T/amanda.conf"


def messages(text: str, overrides: tuple[str, ...] = ()) -> list[str]:
    files = {FILE: text.encode("utf-8", "surrogateescape")}
    return [message.text for message in load("T", files.get, overrides=overrides).messages]


def bare(text: str) -> str:
    """A message without its place and without what was found: what stock says too."""
    return re.sub(r" \(found .*\)$", "", re.sub(r"^'[^']*', line \d+: ", "", text))


@pytest.mark.parametrize(("line", "expected"), GLOBAL_ERRORS)
def test_a_wrong_line_gets_the_message_of_stock(line: str, expected: str) -> None:
    loaded = load("T", {FILE: f'dumpcycle 3\n{line}\ntapedev "x"\n'.encode()}.get)
    assert loaded.failed
    assert bare(loaded.messages[0].text) == expected


@pytest.mark.parametrize(("kind", "line", "expected"), SECTION_ERRORS)
def test_a_wrong_line_of_a_section_gets_the_message_of_stock(
    kind: str, line: str, expected: str
) -> None:
    said = messages(f"dumpcycle 3\ndefine {kind} xx {{\n{line}\n}}\n")
    assert bare(said[0]) == expected


def test_a_message_tells_file_line_and_token() -> None:
    assert messages('org "a"\n\nruntapes x # how many?\n') == [
        f"'{FILE}', line 3: an integer is expected (found 'x')"
    ]


def test_lines_are_counted_through_strings_that_span_them() -> None:
    assert messages('org "a\\\nb"\nfoo\n') == [
        f"'{FILE}', line 3: error: not a keyword. (found 'foo')"
    ]


def test_one_mistake_gives_one_message_and_reading_goes_on() -> None:
    said = messages("runtapes\ntapecycle x 5\ndefine tapetype A\n{\nlength 5\n}\nreserve 900\n")
    assert [bare(text) for text in said] == [
        "an integer is expected",
        "an integer is expected",
        '"{" is expected',
        "reserve must be between 0 and 100",
    ]


@pytest.mark.parametrize(
    "text", ["runtapes 5", 'org "a', "define tapetype A {\nlength 5\n", "define tapetype A {\n}"]
)
def test_the_last_statement_must_end(text: str) -> None:
    assert [bare(line) for line in messages(text)] == ["end of line is expected"]


def test_a_comment_may_end_a_file_without_a_line_end() -> None:
    assert messages("runtapes 5\n  # five") == []


def test_words_and_strings_have_a_longest_length() -> None:
    assert messages('org "' + "a" * 4093 + '"\n') == []
    assert bare(messages('org "' + "\u00e9" * 2047 + '"\n')[0]).startswith('string too long: "')
    assert bare(messages("a" * 4095 + "\n")[0]) == "error: not a keyword."
    assert bare(messages("a" * 4096 + "\n")[0]) == "token too long: " + "a" * 20 + "..."
    assert messages("runtapes " + "0" * 5000 + "1\n") == []


def test_stray_punctuation_is_an_error_and_no_crash() -> None:
    for char in ",=@$\x0b":
        assert bare(messages(f"{char}\n")[0]) == "configuration keyword expected"


def test_a_deprecated_keyword_is_warned_of_once_and_as_written() -> None:
    assert messages('usetimestamps yes\nUSETIMESTAMPS no\nlabel_new_tapes "x"\n') == [
        f"'{FILE}', line 1: warning: Keyword usetimestamps is deprecated.",
        f"'{FILE}', line 3: warning: Keyword label_new_tapes is deprecated.",
    ]


def test_other_warnings_are_those_of_stock() -> None:
    assert [bare(text) for text in messages('autolabel "Q%"\nlabelstr "MATCH_AUTOLABEL"\n')] == [
        'warning: labelstr is set to "MATCH_AUTOLABEL", you probably want the MATCH_AUTOLABEL'
        " keyword, without the double quote"
    ]
    assert [bare(text) for text in messages('changerfile "x"\n')] == [
        "warning: Global changerfile is deprecated, it must be set in the changer section"
    ]


def test_a_missing_configuration_is_an_error() -> None:
    assert [message.text for message in load("T", {}.get).messages] == [
        f"parse error: could not open conf file '{FILE}': No such file or directory"
    ]


def test_a_labelstr_that_is_no_expression_is_refused_at_start() -> None:
    """Stock dies of it at its first scan."""
    assert messages('labelstr "A["\n') == [
        "parse error: labelstr of storage 'T': regex \"A[\": Unmatched ["
    ]
    assert messages('autolabel "$c-$3s-%%%" any\n') == []


def test_a_negative_buffer_size_is_refused() -> None:
    """Stock takes it for a number of almost 2**64."""
    said = messages("device-output-buffer-size -1\n")
    assert bare(said[0]) == "DEVICE_OUTPUT_BUFFER_SIZE must be nonnegative"


def test_names_that_stock_takes_unseen_are_warned_of() -> None:
    text = 'define storage s {\ntapetype "no"\ntaperscan "no"\nvault off 3\n}\nvault-storage v\n'
    loaded = load("T", {FILE: text.encode()}.get)
    assert not loaded.failed
    assert [message.text for message in loaded.messages] == [
        "warning: storage 's': tapetype 'no' is not defined, so the global one is used",
        "warning: storage 's': taperscan 'no' is neither a section nor a known scan",
        "warning: storage 's': vault names the storage 'off', which is not defined",
        "warning: vault-storage 'v' is not defined",
    ]


def test_a_message_is_one_line_and_bounded() -> None:
    (text,) = messages('taperscan "a\\n' + "b" * 200 + '"\n')
    assert text.isprintable()
    assert len(text) < 150

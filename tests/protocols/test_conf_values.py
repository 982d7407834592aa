"""Values of single parameters, as stock prints them [config 1.2, 1.5, 1.7]."""

import re

import pytest

from protocols.conf import AutoLabel, Config, LabelStr, load
from protocols.conf.grammar import GLOBAL, SECTIONS

GLOBAL_VALUES: list[tuple[str, list[str] | None]] = [
    ("runtapes 5", ["5"]),
    ("runtapes 5#x", ["5"]),
    ("runtapes 10k", ["10240"]),
    ("runtapes 10KB", ["10240"]),
    ("runtapes 3 weeks", ["21"]),
    ("runtapes 7 Tapes", ["7"]),
    ("runtapes inf", ["2147483647"]),
    ("runtapes\x0c5", ["5"]),
    ("RunTapes 5\r", ["5"]),
    ("debug_taper 5", ["5"]),
    ("bumpmult 1", ["1.00000"]),
    ("bumpmult 1.", ["1.00000"]),
    ("bumpmult 2.25", ["2.25000"]),
    ("maxdumpsize -5 m", ["-5120"]),
    ("maxdumpsize 5000 b", ["4"]),
    ("maxdumpsize -5000 b", ["-4"]),
    ("maxdumpsize inf", ["9223372036854775807"]),
    ("maxdumpsize 9999999999999999999", ["-8446744073709551617"]),
    ("bumpsize 3 weeks", ["21"]),
    ("bumpsize 2 meg", ["2048"]),
    ("bumpsize 1 tera", ["1073741824"]),
    ("netusage 2 mbps", ["2048"]),
    ("device-output-buffer-size 64 mbytes", ["67108864"]),
    ("device-output-buffer-size 5 weeks", ["35"]),
    ("device-output-buffer-size inf", ["9223372036854775807"]),
    ('org "a#b"#c', ['"a#b"']),
    ('org "a\\tb\\rc\\fd\\"e\\\\f\\qg"', ['"a\\tb\\rc\\fd\\"e\\\\fqg"']),
    ('org "\\1234"', ['"S4"']),
    ('org "\\0a"', ['"a"']),
    ('org "a\\400b"', ['"ab"']),
    ('org "\\x41"', ['"x41"']),
    ('org "hé\\é"', ['"héé"']),
    ('org "a\\\nb"', ['"a\\nb"']),
    ('org "a\x00b"', ['"a"']),
    ('org ""', ['""']),
    ('autolabel "A%%"', ['"A%%" VOLUME-ERROR EMPTY']),
    ('autolabel "A%%" any', ['"A%%" OTHER-CONFIG NON-AMANDA VOLUME-ERROR EMPTY']),
    ('autolabel "A%%" empty', ['"A%%" EMPTY']),
    ('autolabel "A%%" Other_Config NON_AMANDA', ['"A%%" OTHER-CONFIG NON-AMANDA']),
    ("autolabel empty", ['"" EMPTY']),
    ("autolabel", ['""']),
    ('labelstr "^A[0-9]$"', ['"^A[0-9]$"']),
    ('labelstr ""', ['""']),
    ('meta-autolabel "m%%"', ['"m%%"']),
    ("autoflush yes", ["yes"]),
    ("autoflush all", ["all"]),
    ("autoflush 2", ["all"]),
    ("autoflush 5", ["yes"]),
    ("autoflush 0", ["no"]),
    ("autoflush", ["yes"]),
    ("autoflush f", ["no"]),
    ("eject-volume", ["yes"]),
    ("eject-volume 2", ["yes"]),
    ("eject-volume 0", ["no"]),
    ("eject-volume Off", ["no"]),
    ("eject-volume T", ["yes"]),
    ("unreserved-tcp-port 1024 , 2000", ["1024,2000"]),
    ("unreserved-tcp-port 1024", ["1024,1024"]),
    ("unreserved-tcp-port 1024,65536", ["1024,65536"]),
    ("reserved-udp-port 5,2000", ["5,2000"]),
    ('vault-storage ""', ['""']),
    ('report-format "a" "b"', ['"a" "b"']),
    ('displayunit "m"', ['"M"']),
    ("send-amreport-on error", ["ERROR"]),
    ("taperalgo LARGESTFIT", ["LARGESTFIT"]),
    ('recovery-limit same-host server "foo"', ['SAME-HOST SERVER "foo" ']),
    ("recovery-limit", [""]),
    ('taperscan ""', ['""']),
    ('columnspec "HostName=0:12,Disk=1:-1,Level=:3:0"', ['"HostName=0:12,Disk=1:-1,Level=:3:0"']),
    ('device-property "MAX_VOLUME_USAGE" "1g"', ['"max-volume-usage" "1g"']),
    ('property priority append hidden "A_b" "1" "2"', ['"a-b" "1" "2"']),
    ('device-property "a"', None),
    ("usetimestamps no", ["yes"]),
    ("debug-days -1", ["-1"]),
    ("rest-api-port 70000", ["70000"]),
]
"""A line, and what stock's amgetconf prints for its keyword."""

SECTION_VALUES: list[tuple[str, str, list[str] | None]] = [
    ("tapetype", "blocksize 64 k", ["64"]),
    ("tapetype", "LENGTH 6", ["6"]),
    ("tapetype", "length 3000 bytes", ["2"]),
    ("tapetype", "filemark 5 tapes", ["0"]),
    ("tapetype", "speed 10 mps", ["10485760"]),
    ("tapetype", "part-cache-type DISK", ["DISK"]),
    ("tapetype", "part-size 1 gbyte", ["1048576"]),
    ("tapetype", "part-cache-max-size 10 m", ["10240"]),
    ("changer", 'property "A_b" "c" "d"', ['"a-b" "c" "d"']),
    ("changer", 'changerfile "x"', ['"x"']),
    ("storage", "vault off 3 near 2 weeks", ['"off" 3', '"near" 14']),
    ("storage", 'vault "off" inf', ['"off" 2147483647']),
    ("storage", "vault off 3 5", ['"off" 3']),
    ("storage", "vault", None),
    ("storage", 'dump-selection "tag" INCR', ['"tag" INCR']),
    ("storage", "dump-selection other ALL", ["OTHER ALL"]),
    ("storage", "dump-selection", None),
    ("storage", 'tapepool ""', ['""']),
    ("storage", "runtapes -3", ["-3"]),
    ("storage", "taperalgo last", ["LAST"]),
    ("storage", "set-no-reuse", ["yes"]),
    ("storage", 'taperscan "oldest"', ['"oldest"']),
    ("policy", "retention-tapes 0", ["0"]),
    ("policy", "retention-days 2 weeks", ["14"]),
    ("holdingdisk", "chunksize 100", ["96"]),
    ("holdingdisk", "chunksize 0", ["9007199254740896"]),
    ("holdingdisk", "chunksize 65 b", ["9007199254740896"]),
    ("holdingdisk", "chunksize inf", ["9223372036854775776"]),
    ("holdingdisk", "use -100", ["-96"]),
    ("holdingdisk", "use 33", ["32"]),
    ("interface", "use 10 mbps", ["10240"]),
    ("script", "execute-on post-recover , pre-amcheck", ["PRE-AMCHECK, POST-RECOVER"]),
    ("script", "order 5", ["5"]),
    ("script", "execute-where server", ["SERVER"]),
    ("dumptype", "compress", ["CLIENT FAST"]),
    ("dumptype", "compress server", ["SERVER FAST"]),
    ("dumptype", "compress custom", ["CLIENT CUSTOM"]),
    ("dumptype", "compress server none", ["NONE"]),
    ("dumptype", "comprate 0.5", ["0.50000 0.50000"]),
    ("dumptype", "comprate 0.5 0.6", ["0.50000 0.60000"]),
    ("dumptype", "comprate 1 , 2", ["1.00000 2.00000"]),
    ("dumptype", "estimate server client server", ["SERVER CLIENT SERVER"]),
    ("dumptype", 'exclude list optional "l" "m"', ['LIST OPTIONAL "l" "m"', "FILE OPTIONAL"]),
    ("dumptype", 'exclude file append "b"', ["LIST", 'FILE "b"']),
    (
        "dumptype",
        'exclude list "a" "b"\nexclude "c"\nexclude optional append "d"',
        ['LIST OPTIONAL "a" "b"', 'FILE OPTIONAL "c" "d"'],
    ),
    (
        "dumptype",
        'exclude list optional append "c"\nexclude file "b"\nexclude file append',
        ['LIST "c"', "FILE"],
    ),
    ("dumptype", "holdingdisk never", ["NEVER"]),
    ("dumptype", "holdingdisk required", ["REQUIRED"]),
    ("dumptype", "holdingdisk 2", ["AUTO"]),
    ("dumptype", "holdingdisk", ["AUTO"]),
    ("dumptype", "starttime 2359", ["2359"]),
    ("dumptype", "priority low", ["LOW"]),
    ("dumptype", 'program "GNUTAR"', ['"GNUTAR"']),
    ("dumptype", "client-port 5", ['"5"']),
    ("dumptype", 'client-port "abc"', ['"abc"']),
    ("dumptype", "dump-limit server", ["SERVER "]),
    ("dumptype", 'tag "a" "b"', ['"a" "b"']),
    ("dumptype", "strategy incronly", ["INCRONLY"]),
    ("dumptype", "data-path directtcp", ["DIRECTTCP"]),
    ("dumptype", "encrypt server", ["SERVER"]),
    ("dumptype", "bumpsize 2 m", ["2048"]),
    ("storage", "max-dle-by-volume 0", ["0"]),
]
"""Kind of section, a line in it, and what amgetconf prints."""

_ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": "\\t", "\r": "\\r", "\f": "\\f"}
_TEXTS = ("name", "str", "intstr", "taperscan", "interactivity", "policy", "application")


def quoted(text: str) -> str:
    return '"' + "".join(_ESCAPES.get(char, char) for char in text) + '"'


def keyword(line: str) -> str:
    match = re.match("[A-Za-z_-]+", line)
    assert match is not None
    return match[0].lower().replace("_", "-")


def configure(text: str, name: str = "T", overrides: tuple[str, ...] = ()) -> Config:
    """The configuration of a text that has no errors."""
    files = {f"/etc/amanda/{name}/amanda.conf": text.encode("utf-8", "surrogateescape")}
    loaded = load(name, files.get, overrides=overrides, amanda_version=lambda: (3, 5, 1))
    assert not loaded.failed, loaded.messages
    return loaded.config


def _shown_lists(type_: str, value: object) -> list[str] | None:
    """What amgetconf prints for a list, its lines sorted if it is a map."""
    assert isinstance(value, tuple)
    if type_ == "strlist":
        return [" ".join(map(quoted, value))] if value else None
    if type_ == "hostlim":
        names = ("SAME-HOST", "SERVER")
        return ["".join((text if text in names else quoted(text)) + " " for text in value)]
    if type_ == "vault":
        return [f"{quoted(name)} {days}" for name, days in value] or None
    if type_ == "dumpsel":
        return [
            f"{quoted(tag) if kind == 'tag' else kind.upper()} {level.upper()}"
            for kind, tag, level in value
        ] or None
    if type_ in ("idlist", "holdingdisk", "scripts"):
        return [" ".join(value) or '""']
    formats = {"rate": "%.5f %.5f", "range": "%d,%d"}
    if type_ in formats:
        return [formats[type_] % value]
    return [(", " if type_ == "execon" else " ").join(value).upper()]


def shown(type_: str, value: object) -> list[str] | None:
    """What amgetconf prints for a value of this type."""
    if isinstance(value, LabelStr):
        return ["MATCH-AUTOLABEL" if value.match_autolabel else quoted(value.template)]
    if isinstance(value, AutoLabel):
        flags = {
            "OTHER-CONFIG": value.other_config,
            "NON-AMANDA": value.non_amanda,
            "VOLUME-ERROR": value.volume_error,
            "EMPTY": value.empty,
        }
        return [" ".join((quoted(value.template or ""), *(key for key in flags if flags[key])))]
    if type_ == "prop":
        assert hasattr(value, "items")
        return [" ".join(map(quoted, (key, *texts))) for key, texts in value.items()] or None
    if type_ == "exinc":
        assert hasattr(value, "get")
        optional = " OPTIONAL" if "optional" in value else ""
        return [
            " ".join((name + optional, *map(quoted, value.get(name.lower(), ()))))
            for name in ("LIST", "FILE")
        ]
    if isinstance(value, tuple):
        return _shown_lists(type_, value)
    if isinstance(value, bool):
        return ["yes" if value else "no"]
    if isinstance(value, float):
        return [f"{value:.5f}"]
    text = str(value)
    if type_ == "application" and not text:
        return [""]
    if type_ in _TEXTS:
        return [quoted(text)]
    return [text if type_ in ("ident", "nya") else text.upper()]


def printed(config: Config, key: str) -> list[str] | None:
    """What ``amgetconf CONFIG key`` prints, a line each.

    Properties sorted and without their flags; the tapetype of a storage, which amgetconf puts in
    quotes if the storage set it, without.
    """
    kind, _, rest = key.partition(":")
    if kind == "list":
        classes = {"device": "DeviceSection", "changer": "ChangerSection"}
        sections = config.sections[classes.get(rest, rest.capitalize())]
        return [section.name for section in sections.values()]
    if not rest:
        return shown(GLOBAL[key][0], getattr(config.general, key.replace("-", "_")))
    name, _, parameter = rest.rpartition(":")
    section = getattr(config, kind)(name)
    if section is None:
        return None
    if parameter == "tapetype":
        return [section.tapetype]
    lines = shown(SECTIONS[kind][parameter][0], getattr(section, parameter.replace("-", "_")))
    return sorted(lines) if lines is not None and parameter.endswith("property") else lines


def section_text(kind: str, line: str) -> str:
    return f"dumpcycle 3\ndefine {kind} xx {{\n{line}\n}}\n"


@pytest.mark.parametrize(("line", "expected"), GLOBAL_VALUES)
def test_a_global_parameter_has_the_value_that_stock_reads(
    line: str, expected: list[str] | None
) -> None:
    assert printed(configure(f"dumpcycle 3\n{line}\n"), keyword(line)) == expected


@pytest.mark.parametrize(("kind", "line", "expected"), SECTION_VALUES)
def test_a_section_parameter_has_the_value_that_stock_reads(
    kind: str, line: str, expected: list[str] | None
) -> None:
    config = configure(section_text(kind, line))
    assert printed(config, f"{kind}:xx:{keyword(line)}") == expected


def test_bytes_that_are_not_utf8_survive() -> None:
    assert configure('org "caf\udce9"\n').general.org.encode("utf-8", "surrogateescape") == (
        b"caf\xe9"
    )


@pytest.mark.parametrize(
    ("quoted_text", "value"),
    [
        (r"A\101\102", "AAB"),
        (r"x\101", "xA"),
        (r"a\1\"b", 'a\x01"b'),
        (r"\101\n\60", "A\n0"),
        (r"\303\251", "é"),
    ],
)
def test_an_octal_escape_takes_nothing_but_its_digits(quoted_text: str, value: str) -> None:
    """As from 3.5.2 on; before, Amanda copies the character after it raw, whatever it means."""
    assert configure(f'org "{quoted_text}"\n').general.org == value


def test_a_value_says_whether_it_was_set() -> None:
    general = configure("runtapes 1\n").general
    assert general.is_set("runtapes")
    assert not general.is_set("tapecycle")


def test_settings_cannot_be_changed() -> None:
    general = configure("").general
    with pytest.raises(AttributeError, match="cannot be changed"):
        general.runtapes = 3  # type: ignore[misc]

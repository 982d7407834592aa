"""Sections, inheritance, includes, overrides and derived values, as stock has them."""

import re

import pytest

from protocols.conf import Loaded, load
from tests.protocols.test_conf_messages import bare
from tests.protocols.test_conf_values import printed

Keys = dict[str, list[str] | None]

PARENT = 'define changer p {\nproperty append "a" "1"\nproperty "b" "2"\n}\n'
STORAGE = (
    "runtapes 1\ndefine storage S {\nruntapes 2\n}\ndefine tapetype t1 {\n}\ndefine policy p {\n}\n"
    'define changer c {\nproperty "a" "1"\n}\ndefine storage u {\nS\n}\ntapetype t1\nstorage S\n'
)

WHOLE: list[tuple[str, Keys]] = [
    # implicit storage and policy
    ("", {"storage": ["CONF"], "list:storage": ["CONF"], "policy:CONF:retention-tapes": ["14"]}),
    ('storage ""\n', {"storage": ["CONF"], "active-storage": ["CONF"]}),
    (
        'tpchanger "x"\nautolabel "Q%%" any\n',
        {
            "storage:CONF:tpchanger": ['"x"'],
            "labelstr": ["MATCH-AUTOLABEL"],
            "storage:CONF:labelstr": ["MATCH-AUTOLABEL"],
            "storage:CONF:tapepool": ['"CONF"'],
            "storage:CONF:policy": ['"CONF"'],
            "storage:CONF:tapetype": ["DEFAULT_TAPE"],
        },
    ),
    ("define storage b {\n}\n", {"list:storage": ["b", "CONF"], "storage": ["CONF"]}),
    ("define storage b {\n}\nstorage b\n", {"list:storage": ["b"], "list:policy": ["CONF"]}),
    ("define storage conf {\nruntapes 4\n}\n", {"storage:CONF:runtapes": ["4"]}),
    (
        "define storage A {\n}\ndefine storage b {\n}\nstorage A\nactive-storage b\n",
        {"storage": ["A"], "active-storage": ["b A"]},
    ),
    # what a storage takes from the global parameters
    (
        'define storage s {\nautolabel "S%" any\n}\n',
        {"storage:s:labelstr": ['".*"'], "labelstr": ['".*"']},
    ),
    (
        'define storage s {\nautolabel "S%" any\n}\nautolabel "Q%" any\nlabelstr "G"\n',
        {"storage:s:labelstr": ['"G"']},
    ),
    (
        'define storage s {\nlabelstr "S%"\n}\nautolabel "Q%" empty\n',
        {"storage:s:labelstr": ['"S%"'], "storage:s:autolabel": ['"Q%" EMPTY']},
    ),
    (
        'autolabel "Q%%" empty\nautolabel any\n',
        {"autolabel": ['"Q%%" OTHER-CONFIG NON-AMANDA VOLUME-ERROR EMPTY']},
    ),
    ('autolabel "Q%%" any\nautolabel\n', {"autolabel": ['""']}),
    ('autolabel "Q%%" any\nautolabel ""\n', {"autolabel": ['"" VOLUME-ERROR EMPTY']}),
    (
        'define storage s {\nautolabel "S%" any\nautolabel volume-error\n}\n'
        "define storage t {\ns\nautolabel empty\n}\n",
        {
            "storage:s:autolabel": ['"S%" VOLUME-ERROR'],
            "storage:t:autolabel": ['"S%" EMPTY'],
        },
    ),
    ('label-new-tapes "X%"\n', {"autolabel": ['"X%" VOLUME-ERROR EMPTY'], "labelstr": ['".*"']}),
    (
        'org "OO"\ndefine storage s {\ntapepool "$c.$r.$o.$c"\n}\n',
        {"storage:s:tapepool": ['"CONF.s.OO.$c"']},
    ),
    (
        "max-dle-by-volume 5\nreport-use-media yes\n",
        {"report-use-media": ["yes"], "report-next-media": ["no"]},
    ),
    # inheritance
    (
        "tapecycle 8\ndefine policy p {\nretention-days 3\n}\ndefine policy q {\np\n"
        "retention-tapes 0\n}\n",
        {
            "policy:p:retention-tapes": ["7"],
            "policy:q:retention-tapes": ["0"],
            "policy:q:retention-days": ["3"],
        },
    ),
    (
        PARENT + 'define changer c {\nproperty "a" "9"\nproperty "b" "8"\np\n}\n',
        {"changer:c:property": ['"a" "9" "1"', '"b" "2"']},
    ),
    (
        PARENT + 'define changer c {\n"P"\nproperty append "b" "8"\nproperty "a"\n}\n',
        {"changer:c:property": ['"b" "2" "8"']},
    ),
    (
        "define tapetype p {\nlength 5\nspeed 7\n}\n"
        "define tapetype c {\nlength 6\nspeed 8\np\nspeed 9\n}\n",
        {"tapetype:c:length": ["5"], "tapetype:c:speed": ["9"]},
    ),
    (
        'define dumptype p {\nexclude "a"\ntag "x"\n}\n'
        'define dumptype c {\nexclude "b"\ntag "y"\np\n}\n',
        {"dumptype:c:exclude": ["LIST", 'FILE "a"'], "dumptype:c:tag": ['"y" "x"']},
    ),
    (
        'define storage s {\nvault a 3\nvault b 4 a 7\ndump-selection "t" full\n'
        'dump-selection all incr\ndump-selection "t" all\n}\n'
        "define storage u {\nvault q 1\ns\n}\n",
        {
            "storage:u:vault": ['"a" 7', '"b" 4'],
            "storage:u:dump-selection": ['"t" ALL', "ALL INCR"],
        },
    ),
    (
        'define dumptype d {\nno-compress\nBSD-AUTH\n"NO-HOLD"\n}\n',
        {
            "dumptype:d:compress": ["NONE"],
            "dumptype:d:auth": ['"BSD"'],
            "dumptype:d:holdingdisk": ["NEVER"],
        },
    ),
    (
        "define tapetype A {\nblocksize 128\nreadblocksize 64\n}\n",
        {"tapetype:A:blocksize": ["128"], "tapetype:A:readblocksize": ["128"]},
    ),
    # inline sections
    (
        'define storage s {\npolicy {\nretention-tapes 4\n}\ninteractivity { plugin "tty"\n}\n}\n'
        'taperscan {\nplugin "x"\n}\n'
        'define dumptype d {\napplication {\nplugin "z"\n}\nscript { plugin "q"\n}\n}\n',
        {
            "list:policy": ["custom(po).1", "CONF"],
            "storage:s:policy": ['"custom(po).1"'],
            "policy:custom(po).1:retention-tapes": ["4"],
            "storage:s:interactivity": ['"custom(iv).2"'],
            "interactivity:custom(iv).2:plugin": ['"tty"'],
            "taperscan": ['"custom(ts).3"'],
            "dumptype:d:application": ['"custom(DUMPTYPE:d).4"'],
            "dumptype:d:script": ["custom(DUMPTYPE:d).5"],
        },
    ),
    ("taperscan {}\n", {"taperscan": ['"custom(ts).1"'], "list:taperscan": ["custom(ts).1"]}),
    # holding disks
    (
        "holdingdisk h1 h2\ndefine holdingdisk h1 {\n}\ndefine holdingdisk h2 {\nh1\n}\n",
        {"holdingdisk": ["h1 h2"], "list:holdingdisk": ["h1", "h2"]},
    ),
    ("holdingdisk h1 {\n}\ndefine holdingdisk h2 {\n}\n", {"holdingdisk": ["h1"]}),
    (
        "dumpcycle 3\ndefine dumptype d {\n}\ndumpcycle 4\nmaxdumps 5\n"
        "define dumptype e {\nd\nmaxdumps 2\n}\n",
        {
            "dumptype:d:dumpcycle": ["3"],
            "dumptype:d:maxdumps": ["1"],
            "dumptype:e:dumpcycle": ["4"],
            "dumptype:e:maxdumps": ["2"],
        },
    ),
    # changers
    (
        'define changer x {\nchangerfile "a$t-$t"\ntpchanger "chg-disk:/$t/$t"\n}\n'
        'define changer y {\ntpchanger "chg-disk:/$t"\n}\n',
        {
            "changer:x:changerfile": ['"ax-$t"'],
            "changer:x:tpchanger": ['"chg-disk:/x/$t"'],
            "changer:y:tpchanger": ['"chg-disk:/$t"'],
        },
    ),
    # layout
    ("define tapetype A { # c\n\n}\t# d\r\n", {"list:tapetype": ["A", "DEFAULT_TAPE"]}),
]
"""Configurations called CONF, and what amgetconf prints."""

OVERRIDES: list[tuple[str, Keys]] = [
    ("runtapes=7 k", {"runtapes": ["7168"], "storage:S:runtapes": ["2"]}),
    ("runtapes=5 # five", {"runtapes": ["5"]}),
    ('org=x "y" \\z', {"org": ['"x \\"y\\" \\\\z"']}),
    ("storage:s:runtapes=9", {"storage:S:runtapes": ["9"], "storage:u:runtapes": ["9"]}),
    ("STORAGE:S:RunTapes=9", {"storage:S:runtapes": ["9"]}),
    ("tapetype:T1:length=5m", {"tapetype:t1:length": ["5120"]}),
    ("storage:S:tapetype=t1", {"storage:S:tapetype": ["t1"]}),
    ('changer:c:property="b" "2"', {"changer:c:property": ['"a" "1"', '"b" "2"']}),
    ("storage=u", {"storage": ["u"]}),
    ('autolabel="Q%%" any', {"labelstr": ["MATCH-AUTOLABEL"]}),
    ("dumptype:NO-COMPRESS:index=no", {"dumptype:no-compress:index": ["no"]}),
]
"""Overrides of ``STORAGE``, and what amgetconf prints."""

WRONG_OVERRIDES: list[tuple[str, str]] = [
    ("runtapes=x", "argument 'x': an integer is expected"),
    ("runtapes=-1", "argument '-1': RUNTAPES must be nonnegative"),
    ("eject-volume=", "argument '': YES, NO, TRUE, FALSE, ON, OFF, 0, 1 expected"),
    ("labelstr=Q", "argument 'Q': labelstr template or MATCH_AUTOLABEL expected"),
    ("taperscan=oldest", "argument '\"oldest\"': Unknown taperscan named: oldest"),
    ("storage:S:policy=p", "argument '\"p\"': Unknown policy named: p"),
    ("storage:S:tapepool=a b", "argument '\"a b\"': TAPEPOOL must not contains space"),
    ("nope=1", "parse error: unknown parameter 'nope'"),
    ("::=", "parse error: unknown parameter '::'"),
    ("foo:S:runtapes=9", "parse error: unknown parameter 'foo:S:runtapes'"),
    ("storage:nope:runtapes=9", "parse error: unknown parameter 'storage:nope:runtapes'"),
    ("storage:S:nope=9", "parse error: unknown parameter 'storage:S:nope'"),
    ("storage:S=5", "parse error: unknown parameter 'storage:S'"),
    ("includefile=x", "parse error: unknown parameter 'includefile'"),
    ("storage=nope", "parse error: storage 'nope' is not defined"),
    ("tapetype=nope", "parse error: tapetype nope is not defined"),
]
"""Overrides of ``STORAGE``, and the first message."""

WRONG: list[tuple[str, str]] = [
    (
        "define tapetype T {\n}\ndefine tapetype t {\n}\n",
        "tapetype T already defined at /etc/amanda/CONF/amanda.conf:1",
    ),
    (
        "define holdingdisk h {\n}\ndefine holdingdisk h {\n}\n",
        "holding disk 'h' already defined",
    ),
    (
        "define dumptype no-compress {\n}\n",
        "dumptype NO-COMPRESS is defined by default and cannot be redefined",
    ),
    ("define holdingdisk h\n", "holdingdisk definition must specify holdingdisk parameters"),
    ("holdingdisk h {\n}\nholdingdisk h\n", "holding disk 'h' already in use"),
    ("define tapetype a {\nb\n}\ndefine tapetype b {\n}\n", "tape type parameter expected"),
    (
        'runtapes 1\ndefine tapetype a {\n}\ndefine tapetype "b c" {\n}\n',
        "TAPETYPE must not contains space",
    ),
    (
        'label-new-tapes "X%"\nautolabel "Q%"\n',
        "parse error: Can't specify both label-new-tapes and autolabel",
    ),
    (
        'org "a b"\ndefine storage s {\nautolabel "$o-%" any\n}\n',
        "parse error: ORG must not contains space if '$0' is in autolabel",
    ),
    (
        'org "a b"\ndefine storage s {\nmeta-autolabel "$o-%"\n}\n',
        "parse error: ORG must not contains space if '$0' is in meta_autolabel",
    ),
    ("define tapetype A { length 5\n}\n", "end of line is expected"),
    ("define tapetype A {\n} length\n", "end of line is expected"),
]
"""Configurations called CONF, and the first error."""


def read(text: str, overrides: tuple[str, ...] = (), **files: str) -> Loaded:
    files = {"amanda.conf": text, **files}
    data = {f"/etc/amanda/CONF/{name}": body.encode() for name, body in files.items()}
    return load("CONF", data.get, overrides=overrides, amanda_version=lambda: (3, 5, 1))


@pytest.mark.parametrize("line", ['tag "x"', 'property append "p" "x"'])
def test_lists_that_double_with_each_section_are_bounded(line: str) -> None:
    """Sixty sections that name their parent twice would be more entries than there is memory."""
    sections = [f"define dumptype d0 {{\n{line}\n}}\n"]
    sections += [f"define dumptype d{i} {{\nd{i - 1}\nd{i - 1}\n}}\n" for i in range(1, 60)]
    loaded = read("".join(sections))
    assert loaded.failed
    assert "has more than 10000 entries" in loaded.messages[0].text
    assert len(loaded.messages) <= 60 * 2


def texts(loaded: Loaded) -> list[str]:
    return [bare(message.text) for message in loaded.messages]


def without_names(lines: list[str]) -> list[str]:
    """Warnings of names that stock does not look up are ours."""
    return [line for line in lines if not re.match("warning: (storage '|vault-)", line)]


@pytest.mark.parametrize(("text", "expected"), WHOLE)
def test_a_configuration_means_what_stock_reads(text: str, expected: Keys) -> None:
    loaded = read(text)
    assert not loaded.failed, loaded.messages
    assert {key: printed(loaded.config, key) for key in expected} == expected


@pytest.mark.parametrize(("text", "expected"), WRONG)
def test_a_wrong_configuration_gets_the_message_of_stock(text: str, expected: str) -> None:
    said = texts(read(text))
    assert next(line for line in said if not line.startswith("warning")) == expected


@pytest.mark.parametrize(("override", "expected"), OVERRIDES)
def test_an_override_means_what_stock_reads(override: str, expected: Keys) -> None:
    loaded = read(STORAGE, (override,))
    assert loaded.messages == ()
    assert {key: printed(loaded.config, key) for key in expected} == expected


@pytest.mark.parametrize(("override", "expected"), WRONG_OVERRIDES)
def test_a_wrong_override_gets_the_message_of_stock(override: str, expected: str) -> None:
    assert texts(read(STORAGE, (override,)))[0] == expected


def test_an_override_without_a_value_is_an_error() -> None:
    assert texts(read("", ("runtapes",))) == ["Must specify a value for runtapes."]


def test_overrides_that_stock_spoils_do_what_they_say() -> None:
    """Twice appended, cut at the first non-ASCII byte, or refused [config quirk 13]."""
    text = STORAGE + "define holdingdisk h {\n}\n"
    overrides = (
        'changer:c:property=append "a" "2"',
        "org=h\u00e9y",
        "holdingdisk=h",
        "policy:CONF:retention-days=9",
    )
    loaded = read(text, overrides)
    assert loaded.messages == ()
    assert printed(loaded.config, "changer:c:property") == ['"a" "1" "2"']
    assert loaded.config.general.org == "h\u00e9y"
    assert loaded.config.general.holdingdisk == ("h",)
    assert printed(loaded.config, "policy:CONF:retention-days") == ["9"]


def test_an_override_is_told_from_a_setting() -> None:
    config = read("runtapes 1\n", ("storage=CONF",)).config
    assert config.overridden("storage")
    assert not config.overridden("runtapes")


def test_a_storage_says_whether_a_value_was_set_for_it() -> None:
    text = (
        "define storage a {\nruntapes 4\n}\ndefine storage b {\na\n}\neject-volume yes\nstorage b\n"
    )
    storage = read(text).config.storage("B")
    assert storage is not None
    assert storage.is_set("runtapes")
    assert storage.is_set("eject-volume")
    assert not storage.is_set("device_output_buffer_size")


def test_includes_are_found_in_the_config_directory() -> None:
    data = {
        "/etc/amanda/CONF/amanda.conf": b'includefile "sub/x"\nruntapes 3\n',
        "/etc/amanda/CONF/sub/x": b'org "inc"\nincludefile "y"\n',
        "/etc/amanda/CONF/y": b'includefile "/abs"\n',
        "/abs": b'tapedev "q"\n',
    }
    loaded = load("CONF", data.get)
    assert loaded.messages == ()
    general = loaded.config.general
    assert (general.org, general.tapedev, general.runtapes) == ("inc", "q", 3)


def test_a_missing_include_is_reported_by_its_own_name() -> None:
    assert [m.text for m in read('runtapes 3\nincludefile "no"\nfoo\n').messages] == [
        "'/etc/amanda/CONF/no', line 2: could not open conf file '/etc/amanda/CONF/no':"
        " No such file or directory",
        "'/etc/amanda/CONF/amanda.conf', line 3: error: not a keyword. (found 'foo')",
    ]


def test_files_that_include_themselves_are_an_error() -> None:
    assert texts(read('includefile "amanda.conf"\n')) == [
        "includefile 'amanda.conf' includes itself"
    ]
    assert texts(read('includefile "a"\n', a='includefile "b"\n', b='includefile "a"\n')) == [
        "includefile 'a' includes itself"
    ]


def test_includes_are_bounded_in_depth_and_number() -> None:
    deep = load("CONF", lambda path: f'includefile "{path}x"\n'.encode())
    assert any("include one another" in message.text for message in deep.messages)
    many = {"/etc/amanda/CONF/x": b""}
    many["/etc/amanda/CONF/amanda.conf"] = b'includefile "x"\n' * 1200
    assert any("more than 1000 files" in m.text for m in load("CONF", many.get).messages)


def test_the_own_file_overlays_the_global_one() -> None:
    data = {
        "/etc/amanda/amanda.conf": b'runtapes 9\ntapecycle 9\ndevice-property "A" "1"\n'
        b'includefile "shared"\n',
        "/etc/amanda/shared": b"define tapetype shared {\n}\n",
        "/etc/amanda/CONF/amanda.conf": b'runtapes 3\ndevice-property append "A" "2"\n'
        b"tapetype shared\n",
    }
    loaded = load("CONF", data.get)
    assert loaded.messages == ()
    general = loaded.config.general
    assert (general.runtapes, general.tapecycle) == (3, 9)
    assert dict(general.device_property) == {"a": ("1", "2")}


def test_a_warning_in_the_global_file_does_not_hide_the_own_one() -> None:
    """Stock stops reading there [config quirk 9]."""
    data = {
        "/etc/amanda/amanda.conf": b"usetimestamps yes\n",
        "/etc/amanda/CONF/amanda.conf": b'org "own"\n',
    }
    loaded = load("CONF", data.get)
    assert [message.level for message in loaded.messages] == ["warning"]
    assert loaded.config.general.org == "own"


def test_the_name_dot_means_the_current_directory() -> None:
    config = load(".", {"/srv/daily/amanda.conf": b"runtapes 4\n"}.get, cwd="/srv/daily").config
    assert (config.name, config.directory, config.general.runtapes) == ("daily", "/srv/daily", 4)
    assert load(".", {}.get, cwd="/srv/daily").messages == ()


def test_a_file_that_cannot_be_read_is_an_error_and_no_crash() -> None:
    def read_file(path: str) -> bytes:
        raise PermissionError(13, "Permission denied", path)

    assert texts(load("CONF", read_file)) == [
        "parse error: could not open conf file '/etc/amanda/amanda.conf': Permission denied",
        "parse error: could not open conf file '/etc/amanda/CONF/amanda.conf': Permission denied",
    ]


def test_an_empty_policy_name_is_refused() -> None:
    """Stock crashes on it."""
    assert read('define storage s {\npolicy ""\n}\n').failed


def test_a_property_says_where_it_stands() -> None:
    """File and line of its last mention, through includes, inheritance and overrides."""
    files = {
        "/etc/amanda/C/amanda.conf": b'property "x" "1"\nincludefile "more"\n'
        b'define changer c {\n  p\n  property append "a" "2"\n}\n',
        "/etc/amanda/C/more": b'define changer p {\n  property "a" "1"\n  property "b" "1"\n}\n',
    }
    overrides = ('changer:c:property="z" "9"',)
    config = load("C", files.get, config_root="/etc/amanda", overrides=overrides).config
    assert config.general.property.places == {"x": "'/etc/amanda/C/amanda.conf', line 1"}
    section = config.changer("c")
    assert section is not None
    assert section.property.places == {
        "a": "'/etc/amanda/C/amanda.conf', line 5",
        "b": "'/etc/amanda/C/more', line 3",
        "z": """argument '"z" "9"'""",
    }

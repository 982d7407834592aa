"""The DLE of a header, against what stock wrote of the same configuration."""

from __future__ import annotations

import base64
from functools import cache

import pytest

from protocols.conf import Config, Dumptype, load
from protocols.dle import make_dle

APPLICATION = """  <backup-program>
    <plugin>amfake</plugin>
  </backup-program>
"""


def read(text: str) -> Config:
    """The configuration that this text is."""
    loaded = load("C", lambda path: text.encode() if path.endswith("/C/amanda.conf") else None)
    assert not [message for message in loaded.messages if message.level == "error"]
    return loaded.config


@cache
def read_dumptype(statements: str) -> tuple[Config, Dumptype]:
    """With a dumptype of these statements, where ``;`` ends one."""
    config = read(
        'define application a {\nplugin "amfake"\n}\n'
        'define script s1 {\nplugin "s"\nclient-name "c1"\nexecute-on pre-dle-amcheck\n}\n'
        'define script s2 {\nplugin "s"\nclient-name "c2"\nexecute-where server\n}\n'
        'define script s3 {\nplugin "s"\norder -3\nclient-name "c3"\n}\n'
        'define dumptype base {\nprogram "APPLICATION"\napplication "a"\nauth "bsdtcp"\n}\n'
        f"define dumptype d {{\nbase\n{statements.replace(';', chr(10))}\n}}\n"
    )
    dumptype = config.dumptype("d")
    assert dumptype is not None
    return config, dumptype


def dle(statements: str, disk: str = "/d", device: str | None = None, level: int = 0) -> str:
    config, dumptype = read_dumptype(statements)
    scripts = [script for script in map(config.script, dumptype.script) if script]
    application = config.application(dumptype.application)
    return make_dle(disk, device, level, dumptype, application, scripts)


def test_the_whole() -> None:
    """All that every entry has, and the order of all there may be."""
    found = dle(
        'kencrypt yes;data-path directtcp;include file "./x";exclude list "l";script "s1"',
        device="/home",
        level=3,
    )
    assert found == (
        "<dle>\n"
        "  <program>APPLICATION</program>\n"
        "  <disk>/d</disk>\n"
        "  <diskdevice>/home</diskdevice>\n"
        "  <level>3</level>\n"
        "  <auth>bsdtcp</auth>\n"
        "  <record>YES</record>\n"
        "  <index>YES</index>\n"
        "  <kencrypt>YES</kencrypt>\n"
        "  <datapath>DIRECTTCP</datapath>\n"
        "  <exclude>\n"
        "    <list>l</list>\n"
        "  </exclude>\n"
        "  <include>\n"
        "    <file>./x</file>\n"
        "  </include>\n"
        "  <script>\n"
        "    <plugin>s</plugin>\n"
        "    <execute_where>CLIENT</execute_where>\n"
        "    <execute_on>PRE-DLE-AMCHECK</execute_on>\n"
        "    <client_name>c1</client_name>\n"
        "  </script>\n"
        f"{APPLICATION}"
        "</dle>"
    )


def test_neither_index_nor_record() -> None:
    assert dle("index no;record no") == (
        "<dle>\n"
        "  <program>APPLICATION</program>\n"
        "  <disk>/d</disk>\n"
        "  <level>0</level>\n"
        "  <auth>bsdtcp</auth>\n"
        "  <record>NO</record>\n"
        "  <datapath>AMANDA</datapath>\n"
        f"{APPLICATION}"
        "</dle>"
    )


def test_a_program() -> None:
    """No application, no backup-program."""
    found = dle('program "GNUTAR";application ""')
    assert "<program>GNUTAR</program>" in found
    assert "backup-program" not in found


SELECTIONS = {
    'exclude file "./a" "b&c";exclude file append "d <e>";exclude list optional append "l"': (
        "    <file>./a</file>\n"
        '    <file encoding="raw" raw="YiZj">b_c</file>\n'
        '    <file encoding="raw" raw="ZCA8ZT4=">d__e_</file>\n'
        "    <list>l</list>\n"
        "    <optional>YES</optional>\n"
    ),
    'exclude list optional "a";exclude file "b"': "    <file>b</file>\n    <list>a</list>\n",
    'exclude list "one";exclude "two";exclude list append "three"': (
        "    <file>two</file>\n    <list>one</list>\n    <list>three</list>\n"
    ),
    'exclude list "a" "b";exclude optional': (
        "    <list>a</list>\n    <list>b</list>\n    <optional>YES</optional>\n"
    ),
    'exclude list "one";exclude list;exclude file "one" "" "two"': (
        "    <file>one</file>\n    <file></file>\n    <file>two</file>\n"
    ),
    'exclude "a";exclude file optional append;exclude list "a";exclude list optional append': "",
    "exclude optional": "",
}


@pytest.mark.parametrize("statements", SELECTIONS)
def test_selections(statements: str) -> None:
    """Files before lists; ``optional`` as the last line has it; nothing of nothing."""
    inner = SELECTIONS[statements]
    wanted = (
        f"</datapath>\n  <exclude>\n{inner}  </exclude>\n  <b" if inner else "</datapath>\n  <b"
    )
    assert wanted in dle(statements)


def test_properties() -> None:
    """Several values share a line; ``priority`` shows, ``hidden`` does not."""
    found = dle(
        'application {;plugin "amfake";property "B_Prop" "one" "two & <three>"'
        ';property priority "c d" "x";property append "c d" "";property hidden "e" "ü\\\\t"'
        ';client-name "cli";}'
    )
    assert found.partition("  <backup-program>\n")[2] == (
        "    <plugin>amfake</plugin>\n"
        "    <property>\n"
        "      <name>b-prop</name>\n"
        "      <value>one</value>"
        '      <value encoding="raw" raw="dHdvICYgPHRocmVlPg==">two____three_</value>\n'
        "    </property>\n"
        "    <property>\n"
        '      <name encoding="raw" raw="YyBk">c_d</name>\n'
        "      <priority>yes</priority>\n"
        "      <value>x</value>      <value></value>\n"
        "    </property>\n"
        "    <property>\n"
        "      <name>e</name>\n"
        '      <value encoding="raw" raw="w7xcdA==">___t</value>\n'
        "    </property>\n"
        "    <client_name>cli</client_name>\n"
        "  </backup-program>\n"
        "</dle>"
    )


def test_priority_of_properties() -> None:
    """A new value has its own; one that is added, either's; one that is inherited, the child's."""
    parent = 'define application parent {\nproperty "b" "2"\nproperty priority append "c" "3"\n'
    parent += 'property append "d" "4"\nproperty priority "e" "5"\n}\n'
    child = 'define application child {\nproperty priority "a" "1"\nproperty "a" "2"\n'
    child += 'property priority "b" "1"\nproperty "c" "1"\nproperty priority "d" "1"\nparent\n}\n'
    application = read(parent + child).application("child")
    assert application is not None
    assert dict(application.property) == {
        "a": ("2",),
        "b": ("2",),
        "c": ("1", "3"),
        "d": ("1", "4"),
        "e": ("5",),
    }
    assert application.property.priority == {"d", "e"}


def test_scripts_by_their_order() -> None:
    """The lowest first; of those that are equal, the last of the dumptype."""
    found = dle('script "s1" "s2";script "s3"')
    names = [part[:2] for part in found.split("<client_name>")[1:]]
    assert names == ["c3", "c2", "c1"]
    assert "<execute_where>SERVER</execute_where>\n    <client_name>c2" in found


def test_every_moment_of_a_script() -> None:
    """In stock's order, whatever the configuration's."""
    kinds = ("amcheck", "estimate", "backup")
    places = ("post-host", "post-dle", "post", "pre-host", "pre-dle", "pre")
    words = [f"{place}-{kind}" for kind in kinds for place in places]
    words += ["inter-level-recover", "post-level-recover", "pre-level-recover"]
    words += ["post-recover", "pre-recover"]
    found = dle(f'script {{;plugin "s";execute-on {",".join(words)};}}')
    assert found.partition("<execute_on>")[2].partition("<")[0] == (
        "PRE-AMCHECK,PRE-DLE-AMCHECK,PRE-HOST-AMCHECK,"
        "POST-DLE-AMCHECK,POST-HOST-AMCHECK,POST-AMCHECK,"
        "PRE-ESTIMATE,PRE-DLE-ESTIMATE,PRE-HOST-ESTIMATE,"
        "POST-DLE-ESTIMATE,POST-HOST-ESTIMATE,POST-ESTIMATE,"
        "PRE-BACKUP,PRE-DLE-BACKUP,PRE-HOST-BACKUP,"
        "POST-BACKUP,POST-DLE-BACKUP,POST-HOST-BACKUP,"
        "PRE-RECOVER,POST-RECOVER,PRE-LEVEL-RECOVER,POST-LEVEL-RECOVER,INTER-LEVEL-RECOVER"
    )


def test_names_that_are_not_plain() -> None:
    """Blanks, control characters, quotes, ``&<>\\`` and what is no ASCII go in base64."""
    odd = {'"', "&", "'", "<", ">", "\\"}
    for code in range(1, 0x100):
        data = bytes((0x61, code, 0x62))
        name = data.decode("utf-8", "surrogateescape")
        plain = 0x20 < code < 0x80 and chr(code) not in odd
        wanted = f"<disk>{name}</disk>"
        if not plain:
            raw = base64.b64encode(data).decode()
            wanted = f'<disk encoding="raw" raw="{raw}">a_b</disk>'
        assert f"  {wanted}\n" in dle("", disk=name)
    found = dle("", disk="d\t\n21", device="/home/with blank and ü")
    assert '  <disk encoding="raw" raw="ZAkKMjE=">d__21</disk>\n' in found
    assert ">/home/with_blank_and___</diskdevice>\n" in found

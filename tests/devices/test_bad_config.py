"""Bad configuration of each kind of device and changer: what is told names file, line, value and
what was expected."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from devices.asynchronous import open_changer, open_device
from devices.configure import configure_device
from devices.errors import ChangerError, DeviceError
from devices.interfaces import LoadRequest, Relative
from devices.properties import READ_ONLY, Kind, Property
from devices.registry import CHANGERS, DEVICES
from protocols.conf import load
from protocols.conf.config import Config
from tests.fakes.changers import SteppedLanes, open_waited

PATH = "/etc/amanda/Bad/amanda.conf"
CONF = """define changer c {{
  {changer}
}}
define device d {{
  {device}
}}
define device child {{
  {child}
}}
"""
PROPERTY = {"changer": 3, "device": 7, "child": 11}
"""The line of the property of each section, behind its first one."""

DEVICE = {
    "diskflat": "diskflat:{root}/flat",
    "dvdrw": "dvdrw:{root}/cache:/dev/sr0",
    "file": "file:{root}/slot1",
    "ndmp": "ndmp:127.0.0.1:1@drive",
    "null": "null:",
    "rait": "rait:{{file:{root}/a,file:{root}/b,file:{root}/c}}",
    "s3": "s3:bucket/volume",
    "tape": "tape:/dev/nst0",
}
"""One of each kind."""
CHANGER = {
    "aggregate": "chg-aggregate:{{chg-disk:{root},chg-null:}}",
    "disk": "chg-disk:{root}",
    "diskflat": "chg-diskflat:{root}",
    "multi": "chg-multi:file:{root}/{{a,b}}",
    "ndmp": "chg-ndmp:127.0.0.1:1@robot",
    "null": "chg-null:",
    "rait": "chg-rait:{{chg-disk:{root},chg-disk:{root}}}",
    "robot": "chg-robot:/dev/sg0",
    "single": "chg-single:file:{root}/a",
}

WRONG = {
    Kind.BOOL: ("perhaps", "2", "-1"),
    Kind.INT: ("many", "-1", "12 parsecs", "99999999999999999999"),
    Kind.UINT: ("many", "-1", "99999999999999999999"),
    Kind.UINT64: ("many", "-1", "99999999999999999999999999"),
}
"""What a property of this type cannot be."""
SPECIAL = {
    "directtcp_address": ("here", "10.0.0.0/8", "300.1.1.1"),
    "directtcp_peer_address": ("here", "10.0.0.0/99"),
    "final_filemarks": ("0", "3"),
    "ndmp_auth": ("strong",),
}
"""What else some cannot be."""
EXPECTATION = re.compile(r"expected|it must be|must be a multiple of")


def configuration(root: Path, **sections: str) -> Config:
    """One with these first lines of its sections, and second lines of those named ``NAME2``."""
    usual = {"changer": 'tpchanger "chg-null:"', "device": 'tapedev "null:"'}
    usual["child"] = 'tapedev "null:"'
    first = {**usual, **{name: line for name, line in sections.items() if name in usual}}
    lines = {
        name: f"{line}\n  {sections.get(f'{name}2', '')}".format(root=root)
        for name, line in first.items()
    }
    return load("Bad", {PATH: CONF.format(**lines).encode()}.get).config


def told(error: ChangerError | DeviceError, line: int, *words: str) -> None:
    """Assert that all of it stands in the text."""
    text = str(error)
    for word in (f"'{PATH}', line {line}", *words):
        assert word in text, text
    assert EXPECTATION.search(text), text


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("slot1", "a", "b", "c"):
        (tmp_path / name).mkdir()
    return tmp_path


def test_there_is_one_of_each_kind() -> None:
    assert set(DEVICE) == set(DEVICES)
    assert set(CHANGER) == set(CHANGERS)


# Devices


def settable(prop: Property) -> bool:
    return prop.access != READ_ONLY


def wrong_values(prop: Property) -> Iterator[str]:
    yield from WRONG.get(prop.kind, ())
    yield from SPECIAL.get(prop.name, ())


@pytest.mark.parametrize("kind", DEVICE)
def test_properties_of_devices(root: Path, kind: str) -> None:
    """Each of them, wrong in each way; and one that it has not, or that nobody sets."""
    lanes = SteppedLanes()
    name = DEVICE[kind].format(root=root)
    properties = list(open_device(name, lanes.context).facts.properties)
    cases = [(prop.name, value) for prop in properties for value in wrong_values(prop)]
    cases += [("no-such-thing", "1"), ("fsf" if kind == "s3" else "proxy", "x")]
    assert len(cases) > 10
    for prop, value in cases:
        line = f'device-property "{prop}" "{value}"'
        config = configuration(root, device=f'tapedev "{DEVICE[kind]}"', device2=line)
        device = open_device("d", lanes.context, config)
        with pytest.raises(ChangerError) as caught:
            configure_device(device.facts, config, None, config.device("d"), {})
        told(caught.value, PROPERTY["device"], f"'{value}'", prop.replace("_", "-"), "'d'")


def test_every_type_of_property_has_wrong_values() -> None:
    """But texts, of which any is one."""
    assert set(WRONG) == set(Kind) - {Kind.STRING, Kind.DOUBLE}


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('device-property "LEOM" "perhaps"', ("'leom'", "'perhaps'", "yes or no")),
        ('device-property "BLOCK-SIZE" "many"', ("'block-size'", "'many'", "a whole number")),
    ],
)
def test_a_child_of_a_rait(
    root: Path, caplog: pytest.LogCaptureFixture, line: str, words: tuple[str, ...]
) -> None:
    """It counts as one that is missing, and who would write is told why."""
    config = configuration(
        root,
        device='tapedev "rait:{{child,file:{root}/b}}"',
        child='tapedev "file:{root}/a"',
        child2=line,
    )
    device = open_device("d", SteppedLanes().context, config)
    (record,) = (record for record in caplog.records if record.levelno >= logging.WARNING)
    for word in (f"'{PATH}', line {PROPERTY['child']}", *words):
        assert word in record.getMessage()
        assert word in device.blocking.lacks  # type: ignore[attr-defined]


# Changers


ROBOT = (
    ("tape-device", "nst0", "'nst0'"),
    ("drive-choice", "best", "'best'"),
    ("drive-serial", "x", "'x'"),
    ("use-slots", "all", "'all'"),
    ("eject-before-unload", "perhaps", "'perhaps'"),
    ("eject-delay", "soon", "'soon'"),
    ("unload-delay", "h", "'h'"),
    ("fast-search", "2", "'2'"),
    ("ignore-barcodes", "x", "'x'"),
    ("load-poll", "often", "'often'"),
    ("status-interval", "-1", "'-1'"),
    ("broken-drive-loaded-slot", "x", "'x'"),
)
REFUSED = [
    *(("robot", *case) for case in (*ROBOT, ("mtx", "/no/mtx", "'/no/mtx'"))),
    *(("ndmp", *case) for case in (*ROBOT, ("ndmp-auth", "strong", "'strong'"))),
]


@pytest.mark.parametrize(("kind", "name", "value", "shown"), REFUSED)
def test_properties_of_robots(root: Path, kind: str, name: str, value: str, shown: str) -> None:
    drive = "" if name == "tape-device" else '\n  property "tape-device" "0=tape:/dev/nst0"'
    config = configuration(
        root,
        changer=f'tpchanger "{CHANGER[kind]}"'.replace("/dev/sg0", "/dev/null"),
        changer2=f'property "{name}" "{value}"{drive}',
    )
    with pytest.raises(ChangerError) as caught:
        open_changer("c", config, None, SteppedLanes().context)
    told(caught.value, PROPERTY["changer"], shown, name)


TAKEN = [
    *(("disk", name) for name in ("num-slot", "auto-create-slot", "removable", "lock-timeout")),
    ("multi", "first-slot"),
    *(("aggregate", name) for name in ("allow-missing-changer", "lock-timeout")),
]
"""As with stock these count as something else, and a warning says so."""


@pytest.mark.parametrize("value", ["perhaps", "-1", "7x"])
@pytest.mark.parametrize(("kind", "name"), TAKEN)
def test_properties_of_other_changers(
    root: Path, caplog: pytest.LogCaptureFixture, kind: str, name: str, value: str
) -> None:
    config = configuration(
        root, changer=f'tpchanger "{CHANGER[kind]}"', changer2=f'property "{name}" "{value}"'
    )
    open_changer("c", config, None, SteppedLanes().context)
    messages = {r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING}
    (message,) = messages
    for word in (f"'{PATH}', line {PROPERTY['changer']}", f"'{value}'", name, "should be"):
        assert word in message


NAMES = [
    ("chg-multi:", "'chg-multi:'", "a list of devices"),
    ("chg-multi:{{a,", "'{a,'", "a list of devices"),
    ("chg-multi:nothing:x", '"nothing"', "devices here are"),
    ("chg-aggregate:chg-null:", "'chg-null:'", "at least two"),
    ("chg-aggregate:{{a,b", "'{a,b'", "a list of changers"),
    ("chg-rait:chg-null:", "'chg-null:'", "at least two"),
    ("chg-rait:{{x", "'{x'", "a list of changers"),
    ("chg-rait:{{chg-nothing:a,chg-nothing:b}}", "chg-nothing", "changers here are"),
    ("chg-disk:/no/where", "'/no/where'", "does not exist"),
    ("chg-diskflat:/no/where", "'/no/where'", "does not exist"),
    ("chg-diskflat:{root}", "template", "you must set autolabel"),
    ("chg-null", "'chg-null'", "specifies invalid"),
    ("chg-nothing:x", "'chg-nothing:x'", "changers here are"),
    ("tape:/dev/nst0", "'tape:/dev/nst0'", "specifies invalid"),
    ("chg-single:", '""', "is not a valid device name"),
    ("chg-single:nothing:x", '"nothing"', "devices here are"),
    ("chg-single:rait:{{a", "'rait:{a'", "without its '}'"),
    ("chg-robot:/dev/null", "tape-device", '"DRIVE=DEVICE"'),
    ("chg-ndmp:x", "'x'", "HOST[:PORT]@CHANGER"),
    ("chg-ndmp:127.0.0.1:1@robot", "tape-device", '"DRIVE=DEVICE"'),
]


@pytest.mark.parametrize(("name", "shown", "expected"), NAMES)
def test_names_of_changers(root: Path, name: str, shown: str, expected: str) -> None:
    """Where they stand is told by the section that they are in."""
    config = configuration(root, changer=f'tpchanger "{name}"', changer2=f'changerfile "{root}/s"')

    def use() -> None:
        open_waited("c", config, None).load(LoadRequest(relative=Relative.CURRENT))

    with pytest.raises(ChangerError) as caught:
        use()
    text = caught.value.message
    for word in (f"changer 'c', defined in '{PATH}', line 1", shown, expected):
        assert word in text, text


@pytest.mark.parametrize(
    ("lines", "text"),
    [
        ('tpchanger "chg-null:"\n  tapedev "null:"', "Cannot specify both"),
        ('comment "none"', "You must specify one of"),
    ],
)
def test_a_section_that_says_too_much_or_too_little(root: Path, lines: str, text: str) -> None:
    config = configuration(root, changer=lines)
    with pytest.raises(ChangerError, match=text) as caught:
        open_changer("c", config, None, SteppedLanes().context)
    assert f"(changer 'c', defined in '{PATH}', line 1)" in caught.value.message

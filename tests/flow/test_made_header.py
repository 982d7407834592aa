"""The header that is made where a dumper sends none."""

from __future__ import annotations

from pathlib import Path

import pytest

from protocols.conf import Config, load
from protocols.driver.commands import PortWrite
from protocols.driver.messages import SplitFields
from protocols.header import HeaderType, build_header
from taper.core.errors import SourceFault
from taper.flow.made_header import make_header

CONF = """
define application app {
  plugin "amdirecttar"
}
define dumptype direct {
  program "APPLICATION"
  application "app"
  exclude "./tmp"
}
define dumptype tar {
  program "GNUTAR"
}
define dumptype lost {
  program "APPLICATION"
}
"""
DISKS = """
h /direct /home/direct direct
h /tar tar
h /lost lost
h /nothing nowhere
h /inline "/home/inline" {
  tar
  program "APPLICATION"
  application "app"
  exclude "./tmp"
}
"""


@pytest.fixture
def config(tmp_path: Path) -> Config:
    directory = tmp_path / "C"
    directory.mkdir()
    (directory / "amanda.conf").write_text(CONF)
    (directory / "disklist").write_text(DISKS)

    def read(path: str) -> bytes | None:
        return Path(path).read_bytes() if Path(path).exists() else None

    return load("C", read, config_root=str(tmp_path)).config


def command(disk: str, level: str = "1") -> PortWrite:
    return PortWrite("w", "h", "h", disk, level, "20260101000000", SplitFields(), "DIRECTTCP")


@pytest.mark.parametrize("disk", ["/direct", "/inline"])
def test_an_applications_header(config: Config, disk: str) -> None:
    """From a dumptype by name or in the disklist itself: the application, how to restore, and the
    entry in XML."""
    header = make_header(command(disk), config)
    assert (header.type, header.host, header.disk) == (HeaderType.DUMPFILE, "h", disk)
    assert (header.level, header.datestamp) == (1, "20260101000000")
    assert (header.program, header.application) == ("APPLICATION", "amdirecttar")
    text = build_header(header, 32768, 32768).rstrip(b"\0").decode()
    assert text.startswith(
        f"AMANDA: FILE 20260101000000 h {disk}  lev 1 comp N program APPLICATION"
    )
    assert "\nAPPLICATION=amdirecttar\n" in text
    assert "amdirecttar restore" in text
    assert header.dle.splitlines()[2:5] == [
        f"  <disk>{disk}</disk>",
        f"  <diskdevice>/home{disk}</diskdevice>",
        "  <level>1</level>",
    ]
    assert "<file>./tmp</file>" in header.dle
    assert "<plugin>amdirecttar</plugin>" in header.dle
    assert f"\nDLE=<<ENDDLE\n{header.dle}\nENDDLE\n" in text


def test_a_programs_header(config: Config) -> None:
    header = make_header(command("/tar"), config)
    assert (header.program, header.application) == ("GNUTAR", "")


@pytest.mark.parametrize(
    ("disk", "text"),
    [
        ("/unknown", "not in the disklist"),
        ("/nothing", "no dumptype 'nowhere'"),
        ("/lost", "names no application"),
    ],
)
def test_what_cannot_be_made(config: Config, disk: str, text: str) -> None:
    """The error says what is missing where."""
    with pytest.raises(SourceFault, match=text):
        make_header(command(disk), config)


def test_no_disklist(config: Config) -> None:
    Path(config.path("disklist")).unlink()
    with pytest.raises(SourceFault, match="No such file"):
        make_header(command("/tar"), config)


def test_a_level_that_is_none(config: Config) -> None:
    with pytest.raises(SourceFault, match="level 'x'"):
        make_header(command("/tar", "x"), config)

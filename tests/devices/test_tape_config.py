"""Bad properties of a tape drive in the configuration: what stands where, and what was expected."""

from __future__ import annotations

import pytest

from devices.configure import configure_device
from devices.errors import ChangerError
from devices.tape import TapeDevice
from protocols.conf import load

CONF = """org "tapes"
tapetype LTO
{top}
define tapetype LTO {{
  length 100 gbytes
  blocksize {blocksize}
}}
define device drive {{
  tapedev "tape:/dev/nst0"
  device-property "LEOM" "true"
  {device}
}}
"""
PATH = "/etc/amanda/Conf/amanda.conf"
NUMBER = "a whole number, perhaps with a unit"


def configured(top: str = "", device: str = "", blocksize: str = "32 kbytes") -> TapeDevice:
    """The drive of such a configuration; :raise ChangerError: it is refused"""
    text = CONF.format(top=top, device=device, blocksize=blocksize)
    config = load("Conf", {PATH: text.encode()}.get).config
    drive = TapeDevice("drive", "/dev/nst0")
    configure_device(drive, config, None, config.device("drive"), {})
    return drive


def test_good_ones() -> None:
    """The tapetype's length is nothing to a drive, its block size is."""
    drive = configured(
        'device-property "READ-BLOCK-SIZE" "1m"',
        'device-property "fsf" "no"\n  device-property "COMPRESSION" "on"',
        "512 kbytes",
    )
    assert (drive.block_size, drive.read_size, drive.leom) == (524288, 1048576, True)
    assert not drive.properties.flag("fsf")
    assert drive.properties["compression"].value is True


@pytest.mark.parametrize(
    ("where", "name", "value", "line", "expected"),
    [
        ("top", "fsf", "perhaps", 3, "yes or no"),
        ("device", "broken-gmt-online", "2", 11, "yes or no"),
        ("device", "final-filemarks", "3", 11, "it must be 1 or 2"),
        ("device", "read-block-size", "16k", 11, "it must be between 32768 and 16777216"),
        ("device", "read-block-size", "large", 11, NUMBER),
        ("top", "block-size", "1k", 3, "it must be between 32768 and 16777216"),
        ("device", "max-volume-usage", "1g", 11, "unknwon device-property"),
    ],
)
def test_bad_ones(where: str, name: str, value: str, line: int, expected: str) -> None:
    """The file, the line, the property, its value, and what it should be."""
    with pytest.raises(ChangerError) as caught:
        configured(**{where: f'device-property "{name}" "{value}"'})
    text = caught.value.message
    start = f"Error setting device property '{name}' to value '{value}' on device 'drive': "
    assert text.startswith(start)
    assert expected in text
    assert text.endswith(f" ('{PATH}', line {line})")


def test_a_block_size_of_the_tapetype() -> None:
    """It is refused as well."""
    with pytest.raises(ChangerError, match=r"'block-size' to value '1024' .* between 32768"):
        configured(blocksize="1 kbytes")

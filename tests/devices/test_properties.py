"""Properties: values, units, phases, refusals."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.errors import PropertyRefused
from devices.file import FileDevice
from devices.interfaces import AccessMode
from devices.properties import (
    Phase,
    Properties,
    Source,
    Surety,
    normal_name,
    parse_boolean,
    parse_integer,
)
from tests.contract.device import PART

BIG = 2**64 - 1


@pytest.fixture
def vtape(tmp_path: Path) -> FileDevice:
    return FileDevice("alias", str(tmp_path))


def refusal(properties: Properties, name: str, value: object) -> str:
    with pytest.raises(PropertyRefused) as caught:
        properties.set(name, value)  # type: ignore[arg-type]
    return caught.value.text


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0", 0),
        ("512k", 524288),
        ("512 KB", 524288),
        ("0x10", 16),
        ("0X1f M", 31 * 2**20),
        ("017", 15),
        ("3 weeks", 21),
        ("2GBYTES", 2**31),
        ("1t", 2**40),
        ("inf", BIG),
        (f"{BIG}", BIG),
    ],
)
def test_integers(text: str, value: int) -> None:
    """Numbers in C notation, with a unit or without."""
    assert parse_integer(text, BIG) == value


@pytest.mark.parametrize(
    "text", ["", "k", "-1", "08", "1.5", "5 parsecs", f"{BIG + 1}", "17 E", "9" * 10**6, "\u0663"]
)
def test_bad_integers(text: str) -> None:
    """What is no number, negative or too large is refused."""
    with pytest.raises(ValueError, match=r"."):
        parse_integer(text, BIG)


@given(st.text(max_size=20))
def test_any_text(text: str) -> None:
    """No text does anything worse than being refused."""
    for parse in (lambda text: parse_integer(text, BIG), parse_boolean):
        try:
            parse(text)
        except ValueError:
            continue


def test_booleans() -> None:
    """Every spelling of yes and no."""
    assert all(parse_boolean(text) for text in ("1", "Y", "yes", "T", "TRUE", "On"))
    assert not any(parse_boolean(text) for text in ("0", "n", "NO", "f", "False", "off"))
    with pytest.raises(ValueError, match="maybe"):
        parse_boolean("maybe")


def test_names() -> None:
    """Case does not matter, nor does - or _."""
    assert normal_name("Max-Volume_USAGE") == "max_volume_usage"


def test_initial_values(vtape: FileDevice) -> None:
    """A vtape's properties have stock's values, surety, source and access, and some are ours."""
    good, default, detected = Surety.GOOD, Source.DEFAULT, Source.DETECTED
    found = {
        prop.name: (prop.text(), prop.surety, prop.source, prop.access) for prop in vtape.properties
    }
    assert found == {
        "use_data": ("EXIST", good, default, 0x1F1F),
        "slow_write": ("0", good, default, 0x1F1F),
        "monitor_free_space": ("1", good, default, 0x1F1F),
        "leom": ("1", good, detected, 0x011F),
        "comment": (None, good, default, 0x1F1F),
        "directtcp_address": (None, good, default, 0x1F1F),
        "directtcp_peer_address": (None, good, default, 0x1F1F),
        "enforce_max_volume_usage": ("1", good, detected, 0x1B1F),
        "max_volume_usage": (None, good, default, 0x1B1F),
        "full_deletion": ("1", good, detected, 0x1F),
        "partial_deletion": ("1", good, detected, 0x1F),
        "medium_access_type": ("2", good, detected, 0x1F),
        "canonical_name": ("alias", good, default, 0x1F),
        "appendable": ("1", good, detected, 0x1F),
        "max_block_size": ("2147483647", good, default, 0x1F),
        "min_block_size": ("1", good, default, 0x1F),
        "block_size": ("32768", Surety.BAD, default, 0x011F),
        "compression": ("0", good, detected, 0x1F),
        "streaming": ("0", good, detected, 0x1F),
        "concurrency": ("2", good, detected, 0x1F),
        "fsync": ("1", good, default, 0x011F),
        "direct_io": ("0", good, default, 0x011F),
    }


def test_setting(vtape: FileDevice) -> None:
    """A value set by the user is good, and read back under any spelling of the name."""
    vtape.properties.set("BLOCK-SIZE", "40000")
    prop = vtape.properties["Block_Size"]
    assert (prop.value, prop.surety, prop.source) == (40000, Surety.GOOD, Source.USER)
    assert vtape.block_size == 40000
    vtape.properties.set("leom", "off")
    assert vtape.leom is False


def test_refusals(vtape: FileDevice) -> None:
    """Each reason has stock's words; what is refused changes nothing."""
    refuse = vtape.properties
    assert refusal(refuse, "foo", "1") == "No such device-property"
    assert refusal(refuse, "verbose", "1") == "unknwon device-property"
    assert refusal(refuse, "s3-bucket-location", "x") == "unknwon device-property"
    assert refusal(refuse, "appendable", "0") == "Not allowed to set property"
    assert refusal(refuse, "block_size", "abc") == "The value is no allowed"
    assert refusal(refuse, "leom", "abc") == "The value is no allowed"
    assert refusal(refuse, "max_volume_usage", -1) == "The value is no allowed"
    assert refusal(refuse, "block-size", "0") == (
        "Error setting BLOCK-SIZE property to '0', it must be between 1 and 2147483647"
    )
    assert vtape.block_size == 32768
    vtape.read_label()
    vtape.status = vtape.status.DEVICE_ERROR
    assert refusal(refuse, "leom", "1") == "device already in error"


def test_phases(vtape: FileDevice) -> None:
    """What may be set depends on what the device is doing."""
    properties = vtape.properties
    vtape.start(AccessMode.WRITE, "A", "X")
    assert refusal(properties, "block_size", 1024) == "Not allowed to set property"
    properties.set("max_volume_usage", "1g")
    vtape.start_file(PART)
    assert refusal(properties, "max_volume_usage", "2g") == "Not allowed to set property"
    properties.set("monitor_free_space", False)
    vtape.finish()
    properties.set("block_size", 1024)
    assert Phase.BEFORE_START in Phase(properties["leom"].access & 0x1F)

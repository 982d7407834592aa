"""What mtx is asked, and what it says."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.library import Place, RobotStatus, clean_barcode, clean_number
from protocols.mtx import (
    MtxError,
    describe_failure,
    inquiry_arguments,
    move_arguments,
    parse_inquiry,
    parse_status,
    sense_key,
    status_arguments,
)

STATUS = """  Storage Changer /dev/sg0:2 Drives, 5 Slots ( 1 Import/Export )
Data Transfer Element 0:Full (Storage Element 3 Loaded):VolumeTag = AAA003\x20
Data Transfer Element 1:Empty
      Storage Element 1:Full :VolumeTag=AAA001   \x20
      Storage Element 2:Full\x20
      Storage Element 3:Empty
      Storage Element 4:Empty:VolumeTag=
      Storage Element 5 IMPORT/EXPORT:Full :VolumeTag=AAA005
"""
SENSE = """mtx: Request Sense: Long Report=yes
mtx: Request Sense: Sense Key=Not Ready
mtx: Request Sense: Additional Sense Code = 04
READ ELEMENT STATUS Command Failed
"""


def test_a_status_is_read() -> None:
    """Drives and slots, full and empty, with barcodes, import/export and the slot of origin."""
    assert parse_status(STATUS) == RobotStatus(
        {
            "1": Place(full=True, barcode="AAA001"),
            "2": Place(full=True),
            "3": Place(full=False),
            "4": Place(full=False),
            "5": Place(full=True, barcode="AAA005", import_export=True),
        },
        {"0": Place(full=True, barcode="AAA003", source="3"), "1": Place(full=False)},
    )


def test_barcodes_of_slots_may_be_left_unread() -> None:
    """Those of drives are told only if mtx does not heed nobarcode."""
    status = parse_status(STATUS, barcodes=False)
    assert [place.barcode for place in status.slots.values()] == [None] * 5
    assert status.drives["0"].barcode == "AAA003"


@pytest.mark.parametrize(
    ("line", "drives", "slots"),
    [
        ("Data Transfer Element:Empty", {"0": Place(full=False)}, {}),
        (
            "data transfer element 1: FULL (Unknown Storage Element Loaded)",
            {"1": Place(full=True)},
            {},
        ),
        (
            "Data Transfer Element 2:Full (Storage Element 99999 Loaded)",
            {"2": Place(full=True)},
            {},
        ),
        ("Storage Element 007:full:volumetag  =  B7 x", {}, {"7": Place(full=True, barcode="B7")}),
        ("Storage Element 1:Full :VolumeTag=\udcff", {}, {"1": Place(full=True)}),
        (
            "Storage Element 1:Full :VolumeTag=A:AlternateVolumeTag=B",
            {},
            {"1": Place(full=True, barcode="A:AlternateVolumeTag=B")},  # as stock has it
        ),
    ],
)
def test_lines_of_many_robots(line: str, drives: dict[str, Place], slots: dict[str, Place]) -> None:
    """Without a number, in any case of letters, with blanks, with nonsense in a barcode's place."""
    assert parse_status(f"nonsense\n{line}\n") == RobotStatus(slots, drives)


@pytest.mark.parametrize(
    "output",
    [
        "",
        "nothing of the kind\n",
        "Storage Element 1:Broken\n",
        "Storage Element 70000:Full\n",
        "Data Transfer Element 123456:Empty\n",
        "Storage Element x:Full\n",
    ],
)
def test_a_robot_without_a_slot_or_drive_is_none(output: str) -> None:
    """Else a moment's nonsense would wipe all that is known of the slots."""
    with pytest.raises(MtxError, match=r"^no slot and no drive in what it says"):
        parse_status(output)


@given(st.text())
def test_nothing_in_a_status_escapes(text: str) -> None:
    """Numbers of slots and drives, barcodes: clean, whatever is said."""
    told = (
        f"Storage Element 1:Full :VolumeTag={text}\nData Transfer Element {text}:Full{text}\n{text}"
    )
    status = parse_status(told)
    for places in (status.slots, status.drives):
        for number, place in places.items():
            assert number == clean_number(number)
            assert place.barcode is None or place.barcode == clean_barcode(place.barcode)
            assert place.source is None or place.source == clean_number(place.source)


def test_the_arguments_are_those_of_stock() -> None:
    """Words of a list, the device behind its option."""
    assert status_arguments("/dev/sg0", barcodes=True) == ["-f", "/dev/sg0", "status"]
    assert status_arguments("-x", barcodes=False) == ["-f", "-x", "nobarcode", "status"]
    assert inquiry_arguments("/dev/sg0") == ["-f", "/dev/sg0", "inquiry"]
    assert move_arguments("/dev/sg0", "load", "3", "0") == ["-f", "/dev/sg0", "load", "3", "0"]


@pytest.mark.parametrize("bad", ["", "x", "-f", "1 2", "03", "70000"])
def test_only_numbers_become_arguments(bad: str) -> None:
    """A state file that others write may hold anything in the place of a slot."""
    with pytest.raises(MtxError, match="is no slot or drive"):
        move_arguments("/dev/sg0", "load", bad, "0")
    with pytest.raises(MtxError, match="is no slot or drive"):
        move_arguments("/dev/sg0", "unload", "1", bad)


def test_an_inquiry_names_the_maker() -> None:
    """Quotes and blanks are cut; what is missing is told as unknown."""
    told = "Product Type: Medium Changer\nVendor ID: 'ACME    '\nProduct ID: 'Lib 8  '\n"
    assert parse_inquiry(told) == "ACME Lib 8"
    assert parse_inquiry("Product ID: ''\n") == "<unknown> <unknown>"


def test_a_failure_is_one_line() -> None:
    """All that was said, without line ends; of a status the sense key alone, as stock has it."""
    assert describe_failure("a \n b\n", "exit status 1") == "error from mtx: a b"
    assert describe_failure("", "exit status 1") == "error from mtx: exit status 1"
    assert sense_key(SENSE) == "Not Ready"
    assert sense_key("mtx: Request Sense: Sense Key=\n") is None
    told = describe_failure(SENSE, "x", of_status=True)
    assert told == "error from mtx: SCSI error; Sense Key=Not Ready"
    assert describe_failure(SENSE, "x").endswith("= 04 READ ELEMENT STATUS Command Failed")
    assert len(describe_failure("x" * 10**6, "x")) < 1100

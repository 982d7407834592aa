"""SCSI media changer commands and answers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.smc import (
    INQUIRY,
    PROBE_BYTES,
    Element,
    ElementType,
    SmcError,
    describe_status,
    element_status_command,
    move_medium_command,
    parse_element_status,
    parse_inquiry,
    status_length,
)


def descriptor(element: Element, *, tagged: bool) -> bytes:
    source = b"\x80" + element.source.to_bytes(2, "big") if element.source else bytes(3)
    head = element.address.to_bytes(2, "big") + bytes((int(element.full), 0, 0, 0, 0, 0, 0))
    tag = (element.barcode or "").encode().ljust(36) if tagged else b""
    return head + source + tag


def page(elements: list[Element], *, tagged: bool) -> bytes:
    body = b"".join(descriptor(element, tagged=tagged) for element in elements)
    size = len(body) // len(elements)
    flags = 0x80 if tagged else 0
    head = bytes((elements[0].type, flags)) + size.to_bytes(2, "big") + b"\0"
    return head + len(body).to_bytes(3, "big") + body


def answer(*pages: bytes) -> bytes:
    body = b"".join(pages)
    return bytes(5) + len(body).to_bytes(3, "big") + body


SLOTS = [
    Element(type=ElementType.STORAGE, address=1024, full=True, barcode="PTAG00XX"),
    Element(type=ElementType.STORAGE, address=1025, full=False),
]
DRIVES = [Element(type=ElementType.DRIVE, address=128, full=True, source=1025, barcode="A 1")]
ARM = [Element(type=ElementType.TRANSPORT, address=16, full=False)]


def test_commands_are_laid_out_as_the_standard_says() -> None:
    """READ ELEMENT STATUS, MOVE MEDIUM and INQUIRY, byte for byte."""
    assert element_status_command(8).hex() == "b8100000ffff020000080000"
    assert move_medium_command(16, 1024, 128).hex() == "a500001004000080" + "00000000"
    assert INQUIRY.hex() == "120000006000"


def test_an_element_status_is_read_with_and_without_barcodes() -> None:
    """Every page's elements come in order, with source and barcode where there are any."""
    told = answer(page(ARM, tagged=False), page(SLOTS, tagged=True), page(DRIVES, tagged=True))
    assert parse_element_status(told) == (*ARM, *SLOTS, *DRIVES)
    assert status_length(told[:PROBE_BYTES]) == len(told)


@pytest.mark.parametrize("cut", [0, 7, 9, 20, 60])
def test_an_answer_cut_short_is_an_error(cut: int) -> None:
    """Nothing is guessed from half an answer."""
    told = answer(page(SLOTS, tagged=True))
    with pytest.raises(SmcError):
        parse_element_status(told[:cut])


@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    """A lying robot gives an error, never another exception."""
    for parse in (parse_element_status, parse_inquiry, status_length):
        try:
            parse(data)
        except SmcError:
            continue


@given(st.binary(min_size=8, max_size=200))
def test_well_marked_nonsense_is_read_or_refused(data: bytes) -> None:
    """Pages of any contents within the right length."""
    try:
        parse_element_status(answer(data))
    except SmcError:
        return


@pytest.mark.parametrize("kind", [1, 2, 3, 4, 9])
@pytest.mark.parametrize("size", [0, 12, 52])
def test_a_page_without_elements_has_none(kind: int, size: int) -> None:
    """A library without drives, say: the page's header alone, with any size of descriptors."""
    empty = bytes((kind, 0x80)) + size.to_bytes(2, "big") + bytes(4)
    assert parse_element_status(answer(empty)) == ()
    assert parse_element_status(answer(empty, page(SLOTS, tagged=True), empty)) == tuple(SLOTS)


@pytest.mark.parametrize("size", [0, 1, 11])
def test_elements_of_no_size_are_refused(size: int) -> None:
    """Descriptors too small to hold what every robot tells."""
    told = bytes((2, 0)) + size.to_bytes(2, "big") + (24).to_bytes(4, "big") + bytes(24)
    with pytest.raises(SmcError, match=f"descriptors of {size} bytes"):
        parse_element_status(answer(told))


def test_an_inquiry_names_the_robot() -> None:
    """Vendor, product and revision without padding; a tape drive is refused."""
    data = bytes((8,)).ljust(8, b"\0") + b"VENDOR  " + b"PRODUCT         " + b"1.0\0"
    inquiry = parse_inquiry(data)
    assert (inquiry.vendor, inquiry.product, inquiry.revision) == ("VENDOR", "PRODUCT", "1.0")
    with pytest.raises(SmcError, match="not a SCSI media changer device"):
        parse_inquiry(b"\1" + data[1:])


@pytest.mark.parametrize(
    ("status", "sense", "text"),
    [
        (0, "", None),
        (
            2,
            "72052101",
            "CHECK CONDITION: invalid element address - "
            "sense key 0x05, sense code 0x21, qualifier 0x01",
        ),
        (2, "72052400", "CHECK CONDITION: sense key 0x05, sense code 0x24, qualifier 0x00"),
        (
            2,
            "700002000000000a000000003b0e",
            "CHECK CONDITION: medium source element empty - "
            "sense key 0x02, sense code 0x3b, qualifier 0x0e",
        ),
        (8, "", "unexpected SCSI status 8"),
    ],
)
def test_a_refused_command_is_put_in_words(status: int, sense: str, text: str | None) -> None:
    """Descriptor and fixed sense data, with the standard's text where it is known."""
    assert describe_status(status, bytes.fromhex(sense)) == text

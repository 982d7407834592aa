"""SCSI media changer commands: what a robot is told and what it answers.

Pure. Facts: [ndmp 3.12]. Every number is big-endian.
"""

from __future__ import annotations

import enum

from attrs import frozen

MAX_STATUS_BYTES = 4 * 2**20
"""Largest element status we ask for: a library of 10000 slots needs some 0.6 MiB."""

PROBE_BYTES = 8
"""The element status asked for first, which tells the length of the whole."""

INQUIRY_BYTES = 96
TEST_UNIT_READY = bytes(6)
INQUIRY = bytes((0x12, 0, 0, 0, INQUIRY_BYTES, 0))
_CHANGER_DEVICE = 8
_PAGE_HEADER = 8
_TAG_OFFSET = 12
_TAG_BYTES = 32
_CHECK_CONDITION = 2

# additional sense code and qualifier, as the SCSI standard names them
_SENSE_TEXTS = {
    0x0500: "logical unit does not respond to selection",
    0x0600: "no reference position found",
    0x2101: "invalid element address",
    0x3003: "cleaning cartridge installed",
    0x3B0D: "medium destination element full",
    0x3B0E: "medium source element empty",
    0x3B11: "medium magazine not accessible",
    0x3B12: "medium magazine removed",
    0x3B13: "medium magazine inserted",
    0x3B14: "medium magazine locked",
    0x3B15: "medium magazine unlocked",
    0x3B18: "element disabled",
}


class SmcError(Exception):
    """The robot's answer cannot be read, or is a refusal; the message says what."""

    taper_code = 3010


class ElementType(enum.IntEnum):
    """What a place in a library is."""

    TRANSPORT = 1
    STORAGE = 2
    IMPORT_EXPORT = 3
    DRIVE = 4


@frozen(kw_only=True)
class Element:
    """One place of the library.

    :ivar address: by which the robot knows it.
    :ivar source: address of the place its medium came from, None if not known.
    :ivar barcode: None without one.
    """

    type: ElementType
    address: int
    full: bool
    source: int | None = None
    barcode: str | None = None


@frozen
class Inquiry:
    """Who the robot is."""

    vendor: str
    product: str
    revision: str


def element_status_command(length: int) -> bytes:
    """READ ELEMENT STATUS of everything, with barcodes and without moving anything.

    :param length: bytes of answer to allow
    """
    return bytes((0xB8, 0x10, 0, 0, 0xFF, 0xFF, 0x02)) + length.to_bytes(3, "big") + bytes(2)


def move_medium_command(transport: int, source: int, target: int) -> bytes:
    """MOVE MEDIUM between two element addresses."""
    places = b"".join(place.to_bytes(2, "big") for place in (transport, source, target))
    return bytes((0xA5, 0)) + places + bytes(4)


def parse_inquiry(data: bytes) -> Inquiry:
    """:raise SmcError: too short, or not a media changer"""
    if len(data) < 36:
        raise SmcError(f"INQUIRY answer has {len(data)} bytes, at least 36 expected")
    if data[0] & 0x1F != _CHANGER_DEVICE:
        raise SmcError("not a SCSI media changer device")
    return Inquiry(_text(data[8:16]), _text(data[16:32]), _text(data[32:36]))


def status_length(probe: bytes) -> int:
    """Bytes of the whole element status, from the answer to a probe.

    :raise SmcError: too short, or more than any library has
    """
    if len(probe) < PROBE_BYTES:
        raise SmcError(f"element status has {len(probe)} bytes, at least {PROBE_BYTES} expected")
    length = int.from_bytes(probe[5:8], "big") + PROBE_BYTES
    if length > MAX_STATUS_BYTES:
        raise SmcError(f"element status of {length} bytes is over {MAX_STATUS_BYTES}")
    return length


def parse_element_status(data: bytes) -> tuple[Element, ...]:
    """All elements, in the order of the robot.

    :raise SmcError: the answer is cut short or contradicts itself
    """
    end = status_length(data)
    if len(data) < end:
        raise SmcError(f"element status has {len(data)} bytes, {end} expected")
    elements: list[Element] = []
    at = PROBE_BYTES
    while at < end:
        if end - at < _PAGE_HEADER:
            raise SmcError(f"element status page at {at} has {end - at} bytes of header")
        length = int.from_bytes(data[at + 5 : at + 8], "big")
        size = int.from_bytes(data[at + 2 : at + 4], "big")
        start, at = at, at + _PAGE_HEADER + length
        if at > end:
            raise SmcError(f"element status page at {start} is longer than the whole answer")
        if not length:
            continue  # a page of no elements, whatever size it says they have
        if size < _TAG_OFFSET:
            raise SmcError(f"element descriptors of {size} bytes, at least {_TAG_OFFSET} expected")
        tagged = bool(data[start + 1] & 0x80)
        for place in range(start + _PAGE_HEADER, at - size + 1, size):
            element = _element(data[start], tagged, data[place : place + size])
            if element is not None:
                elements.append(element)
    return tuple(elements)


def _element(kind: int, tagged: bool, descriptor: bytes) -> Element | None:
    if kind not in set(ElementType):
        return None
    barcode = _text(descriptor[_TAG_OFFSET : _TAG_OFFSET + _TAG_BYTES]) if tagged else ""
    known = bool(descriptor[9] & 0x80)
    return Element(
        type=ElementType(kind),
        address=int.from_bytes(descriptor[:2], "big"),
        full=bool(descriptor[2] & 0x01),
        source=int.from_bytes(descriptor[10:12], "big") if known else None,
        barcode=barcode or None,
    )


def describe_status(status: int, sense: bytes) -> str | None:
    """What a SCSI status means, in words; None: the command succeeded."""
    if not status:
        return None
    if status & 0x3E != _CHECK_CONDITION:
        return f"unexpected SCSI status {status}"
    key, code, qualifier = _sense(sense)
    known = _SENSE_TEXTS.get(code << 8 | qualifier)
    return (
        f"CHECK CONDITION: {known + ' - ' if known else ''}sense key 0x{key:02x}, "
        f"sense code 0x{code:02x}, qualifier 0x{qualifier:02x}"
    )


def _sense(sense: bytes) -> tuple[int, int, int]:
    """Key, code and qualifier of descriptor or fixed sense data; zeros where it has none."""
    padded = sense[:14].ljust(14, b"\0")
    if padded[0] & 0x7F in (0x70, 0x71):
        return padded[2] & 0x0F, padded[12], padded[13]
    return padded[1] & 0x0F, padded[2], padded[3]


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape").strip(" \0")

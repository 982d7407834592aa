"""Commands to a medium changer, as a robot of ours understands them [ndmp-server 5]."""

from __future__ import annotations

from protocols.ndmp_server.commands import BAD_FIELD
from protocols.ndmp_server.interfaces import CheckCondition, Contents, Element, Shelf

ARM = 16
FIRST_DRIVE = 128
FIRST_SLOT = 1024
MOST_DRIVES = 256
MOST_SLOTS = 32768
ADDRESS_PAGE = 0x1D
"""Of MODE SENSE: which addresses there are."""
_PAGE_ARM, _PAGE_SLOT, _PAGE_DRIVE = 1, 2, 4
_TAGGED = 36
_PLAIN = 12
_EVERY_PAGE = 0x3F


def element(address: int) -> Element | None:
    """What an address stands for; whether there is one is another question."""
    if FIRST_DRIVE <= address < FIRST_DRIVE + MOST_DRIVES:
        return Element(Shelf.DRIVE, address - FIRST_DRIVE)
    if FIRST_SLOT <= address < FIRST_SLOT + MOST_SLOTS:
        return Element(Shelf.SLOT, address - FIRST_SLOT)
    return None


def element_status(contents: Contents, cdb: bytes) -> bytes:
    """The data of READ ELEMENT STATUS, cut to the allocation length [ndmp-server 5.3]."""
    tagged = bool(cdb[1] & 0x10)
    wanted = cdb[1] & 0x0F
    first = int.from_bytes(cdb[2:4], "big")
    room = int.from_bytes(cdb[4:6], "big")
    drives = [
        (FIRST_DRIVE + number, held[0] if held else None, held[1] if held else None)
        for number, held in enumerate(contents.drives)
    ]
    slots = [(FIRST_SLOT + number, code, None) for number, code in enumerate(contents.slots)]
    every = ((_PAGE_ARM, [(ARM, None, None)]), (_PAGE_DRIVE, drives), (_PAGE_SLOT, slots))
    pages = b""
    told: list[int] = []
    for kind, elements in every:
        chosen = [one for one in elements if one[0] >= first and wanted in (0, kind)]
        chosen = chosen[: max(room - len(told), 0)]
        if chosen:
            told += [address for address, _, _ in chosen]
            pages += _page(kind, [_descriptor(*one, tagged=tagged) for one in chosen], tagged)
    head = min(told, default=0).to_bytes(2, "big") + len(told).to_bytes(2, "big")
    data = head + len(pages).to_bytes(4, "big") + pages
    return data[: int.from_bytes(cdb[7:10], "big")]


def addresses(contents: Contents, cdb: bytes) -> bytes:
    """The data of MODE SENSE for the page that tells them, cut to the allocation length.

    :raise CheckCondition: another page is wanted
    """
    if cdb[2] & 0x3F not in (ADDRESS_PAGE, _EVERY_PAGE):
        raise CheckCondition(BAD_FIELD)
    slots, drives = len(contents.slots), len(contents.drives)
    ranges = ((ARM, 1), (FIRST_SLOT, slots), (0, 0), (FIRST_DRIVE, drives))
    told = b"".join(number.to_bytes(2, "big") for pair in ranges for number in pair)
    page = bytes((ADDRESS_PAGE, len(told) + 2)) + told + bytes(2)
    if len(cdb) == 10:
        head, room = (6 + len(page)).to_bytes(2, "big") + bytes(6), int.from_bytes(cdb[7:9], "big")
    else:
        head, room = bytes((3 + len(page), 0, 0, 0)), cdb[4]
    return (head + page)[:room]


def _page(kind: int, descriptors: list[bytes], tagged: bool) -> bytes:
    content = b"".join(descriptors)
    size = _PLAIN + (_TAGGED if tagged else 0)
    lengths = size.to_bytes(2, "big") + len(content).to_bytes(4, "big")
    return bytes((kind, 0x80 if tagged else 0)) + lengths + content


def _descriptor(address: int, barcode: str | None, source: int | None, *, tagged: bool) -> bytes:
    full = barcode is not None
    head = address.to_bytes(2, "big") + bytes((0x08 | full, 0, 0, 0, 0, 0, 0))  # accessible
    if full and source is not None:
        head += b"\x80" + (FIRST_SLOT + source).to_bytes(2, "big")
    else:
        head += bytes(3)
    tag = (barcode or "").encode("ascii", "replace").ljust(32)[:32] + bytes(4)
    return head + (tag if tagged else b"")

"""The frames of a rendezvous as values, and their bodies as bytes.

Offsets and sizes are bytes of the dump, checksums CRC-32C of its first bytes. Runs count the data
connections of a dump, from 1 on.
"""

from __future__ import annotations

from enum import IntEnum
from typing import ClassVar

from attrs import fields, frozen

from protocols.directtcp import Address
from protocols.rendezvous.errors import RendezvousError
from protocols.rendezvous.forms import (
    MAX_BODY,
    MAX_SIZE,
    Addresses,
    BodyReader,
    Choice,
    Fixed,
    Flag,
    Form,
    Number,
    Pairs,
    Remark,
    Rest,
    Text,
)

NONCE_SIZE = 32
DUMP_ID_SIZE = 16

MAX_BLOCK = 32768
"""Bytes of a header as it stands on a volume."""


class Kind(IntEnum):
    """What a frame is."""

    HELLO = 1
    CHALLENGE = 2
    PROOF = 3
    HEADER = 4
    SENDING = 5
    CANNOT = 6
    HALTED = 7
    BROKEN = 8
    END = 9
    ALIVE = 10
    DELIVERED = 11
    SEND = 16
    HALT = 17
    STORED = 18
    RESULT = 19
    REFUSED = 20


class Why(IntEnum):
    """Reasons of :class:`Cannot`."""

    NOBODY_ANSWERS = 1
    KEPT_NO_MORE = 2
    FAILED = 3


class EndResult(IntEnum):
    """How the dump ended at its source."""

    GOOD = 0
    FAILED = 1


class Outcome(IntEnum):
    """What became of the dump."""

    GOOD = 0
    PARTIAL = 1
    FAILED = 2


class Refusal(IntEnum):
    """Reasons of :class:`Refused`."""

    VERSION = 1
    OTHER_DUMP = 2
    BUSY = 3
    OVER = 4


_U8, _U16, _U32 = Number(1), Number(2), Number(4)
_RUN = Number(4, least=1)
_SIZE = Number(8, most=MAX_SIZE)
_NONCE = Fixed(NONCE_SIZE)
_TEXT = Text()
_REMARK = Remark()


@frozen
class Frame:
    """Base of all frames.

    :cvar prefix: how the body of such a frame begins; two forms of a frame differ in it.
    :cvar layout: how the fields stand behind it, in their order.
    """

    kind: ClassVar[Kind]
    prefix: ClassVar[bytes] = b""
    layout: ClassVar[tuple[Form, ...]]


@frozen
class Hello(Frame):
    """The application begins.

    :ivar least_version: with :attr:`greatest_version` what it speaks.
    :ivar nonce: 32 random bytes, new for each connection.
    :ivar dump_id: 16 random bytes, the same for all connections of one dump.
    """

    kind = Kind.HELLO
    layout = (Number(1, least=1), Number(1, least=1), _NONCE, Fixed(DUMP_ID_SIZE))
    least_version: int
    greatest_version: int
    nonce: bytes
    dump_id: bytes


@frozen
class Challenge(Frame):
    """The taper knows the key, and says what is spoken."""

    kind = Kind.CHALLENGE
    layout = (Number(1, least=1), _NONCE)
    version: int
    nonce: bytes


@frozen
class Proof(Frame):
    """The application knows the key, too, and says what it dumps.

    :ivar application: the program's name.
    :ivar window: bytes that it can send again.
    :ivar flags: 0; others are for later versions, and mean nothing yet.
    """

    kind = Kind.PROOF
    layout = (_TEXT, _TEXT, _U16, _TEXT, _SIZE, _U32)
    host: str
    disk: str
    level: int
    application: str
    window: int
    flags: int = 0


@frozen
class HeaderFields(Frame):
    """What the header of the dump is made of: names and values."""

    kind = Kind.HEADER
    prefix = b"\1"
    layout = (Pairs(),)
    fields: tuple[tuple[str, str], ...]


@frozen
class HeaderBlock(Frame):
    """The header of the dump, as it would stand on a volume; at most 32768 bytes."""

    kind = Kind.HEADER
    prefix = b"\2"
    layout = (Rest(MAX_BLOCK),)
    block: bytes


@frozen
class Sending(Frame):
    """A good answer to :class:`Send`: the data connection is made, and data will follow.

    :ivar crc: of the first ``offset`` bytes.
    """

    kind = Kind.SENDING
    layout = (_RUN, _SIZE, _U32)
    run: int
    offset: int
    crc: int


@frozen
class Cannot(Frame):
    """A bad answer to :class:`Send` or :class:`Halt`.

    :ivar first_byte_kept: the smallest offset from which it could send.
    """

    kind = Kind.CANNOT
    layout = (_RUN, Choice(Why), _SIZE, _REMARK)
    run: int
    reason: int
    first_byte_kept: int
    text: str


@frozen
class Halted(Frame):
    """A good answer to :class:`Halt`: the data connection is left.

    :ivar crc: of the first ``offset`` bytes.
    """

    kind = Kind.HALTED
    layout = (_RUN, _SIZE, _U32)
    run: int
    offset: int
    crc: int


@frozen
class Broken(Frame):
    """The data connection broke; the application waits for another.

    :ivar sent: where it had come to: bytes of the dump that were given to the connection.
    """

    kind = Kind.BROKEN
    layout = (_RUN, _SIZE, _REMARK)
    run: int
    sent: int
    text: str


@frozen
class Delivered(Frame):
    """The data connection is over, in good order at both its ends.

    :ivar sent: bytes of the dump that were given to it or one before; the other end has taken them.
    """

    kind = Kind.DELIVERED
    layout = (_RUN, _SIZE)
    run: int
    sent: int


@frozen
class End(Frame):
    """The dump is at its end, and so large. Once on each connection.

    :ivar crc: of all of it.
    :ivar result: see :class:`EndResult`.
    """

    kind = Kind.END
    layout = (_SIZE, _U32, Choice(EndResult), _REMARK)
    size: int
    crc: int
    result: int
    text: str


@frozen
class Alive(Frame):
    """Either side is there.

    :ivar bytes: the application's: bytes sent so far; the taper's: bytes written.
    """

    kind = Kind.ALIVE
    layout = (_SIZE,)
    bytes: int


@frozen
class Send(Frame):
    """Connect to one of these addresses, and send from ``offset`` on."""

    kind = Kind.SEND
    layout = (_RUN, _SIZE, Addresses())
    run: int
    offset: int
    addresses: tuple[Address, ...]


@frozen
class Halt(Frame):
    """Leave the data connection, tell the checksum of the first ``offset`` bytes, and wait."""

    kind = Kind.HALT
    layout = (_RUN, _SIZE)
    run: int
    offset: int


@frozen
class Stored(Frame):
    """How far the dump has come.

    :ivar stored: so many bytes will never be asked for again.
    :ivar written: so many were given to the device, and may yet be asked for; at least as many.
    """

    kind = Kind.STORED
    layout = (_SIZE, _SIZE)
    stored: int
    written: int


@frozen
class Result(Frame):
    """What became of the dump: the last that a taper says.

    :ivar result: see :class:`Outcome`.
    :ivar size: bytes stored.
    :ivar crc: of them, if ``crc_known``.
    """

    kind = Kind.RESULT
    layout = (Choice(Outcome), _SIZE, Flag(), _U32, _REMARK)
    result: int
    size: int
    crc_known: bool
    crc: int
    text: str


@frozen
class Refused(Frame):
    """The taper does not want this connection, and closes it; see :class:`Refusal`."""

    kind = Kind.REFUSED
    layout = (Choice(Refusal), _REMARK)
    reason: int
    text: str


FRAMES: tuple[type[Frame], ...] = (
    Hello,
    Challenge,
    Proof,
    HeaderFields,
    HeaderBlock,
    Sending,
    Cannot,
    Halted,
    Broken,
    Delivered,
    End,
    Alive,
    Send,
    Halt,
    Stored,
    Result,
    Refused,
)


def encode_body(frame: Frame) -> bytes:
    """The body of a frame.

    :raise ValueError: a field has a value that cannot be said
    """
    pieces = [frame.prefix]
    for attribute, form in zip(fields(type(frame)), frame.layout, strict=True):
        try:
            pieces.append(form.put(getattr(frame, attribute.name)))
        except ValueError as fault:
            raise ValueError(f"{frame.kind.name}: {attribute.name}: {fault}") from fault
    _check(frame)
    body = b"".join(pieces)
    if len(body) > MAX_BODY:
        raise ValueError(f"{frame.kind.name}: {len(body)} bytes, expected at most {MAX_BODY}")
    return body


def decode_body(kind: int, body: bytes) -> Frame:
    """The frame of this kind with this body.

    :raise RendezvousError: there is no such kind, or no such frame
    """
    found = _FORMS.get(kind)
    if found is None:
        raise RendezvousError(f"a frame of kind {kind}, which is unknown")
    name = Kind(kind).name
    for form in found:
        if body.startswith(form.prefix):
            return _decode(form, name, body)
    raise RendezvousError(f"{name}: there is no form {body[:1].hex() or 'of no bytes'}")


_FORMS: dict[int, list[type[Frame]]] = {
    kind: [frame for frame in FRAMES if frame.kind is kind] for kind in Kind
}


def _decode(form: type[Frame], name: str, body: bytes) -> Frame:
    reader = BodyReader(body[len(form.prefix) :])
    values = []
    for attribute, each in zip(fields(form), form.layout, strict=True):
        try:
            values.append(each.get(reader))
        except RendezvousError as fault:
            raise RendezvousError(f"{name}: {attribute.name}: {fault}") from None
    try:
        reader.end()
        frame = form(*values)
        _check(frame)
    except RendezvousError as fault:
        raise RendezvousError(f"{name}: {fault}") from None
    except ValueError as fault:
        raise RendezvousError(str(fault)) from None
    return frame


def _check(frame: Frame) -> None:
    """What fields say of one another."""
    if isinstance(frame, Stored) and frame.stored > frame.written:
        text = f"{frame.stored} bytes are stored, but only {frame.written} written"
        raise ValueError(f"{frame.kind.name}: {text}")
    if isinstance(frame, Hello) and frame.least_version > frame.greatest_version:
        text = f"versions {frame.least_version} to {frame.greatest_version}"
        raise ValueError(f"{frame.kind.name}: {text}")

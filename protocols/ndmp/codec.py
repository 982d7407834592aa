"""Messages to bytes and back, for clients and servers [ndmp 4.1]."""

from __future__ import annotations

from typing import Any, NamedTuple

from protocols.ndmp.base import POSTS, REQUESTS
from protocols.ndmp.codes import VERSIONS
from protocols.ndmp.errors import NdmpGarbage, NdmpInvalid
from protocols.ndmp.layout import row
from protocols.ndmp.messages import Message, Post, Reply, Request
from protocols.ndmp.record import encode_record
from protocols.xdr import Reader, Writer, XdrError

HEADER_SIZE = 24
REQUEST = 0
"""Message type of requests and of posts."""
REPLY = 1
BEFORE_OPEN = VERSIONS[-1]
"""The version to take before one is agreed upon; what is said then is the same in all."""


class Header(NamedTuple):
    """The header of every message.

    :ivar sequence: the sender's own count, from 1.
    :ivar time_stamp: seconds since 1970.
    :ivar message_type: REQUEST or REPLY.
    :ivar reply_sequence: of the request answered; 0 if this is no reply.
    :ivar error: in replies; other than 0: no body follows.
    """

    sequence: int
    time_stamp: int
    message_type: int
    code: int
    reply_sequence: int = 0
    error: int = 0


def encode(header: Header, body: Message | None, version: int) -> bytes:
    """A whole message with its record mark, to be sent in one write.

    :param body: None: a header alone, as in replies with an error in the header.
    :raise NdmpInvalid: the version does not have it, a value is out of range, or it is too long.
    """
    out = Writer()
    try:
        for number in header:
            out.uint(number)
        if body is not None:
            if version not in body.versions:
                raise XdrError(f"not in version {version}")
            for name, kind in row(type(body), version):
                _put_field(out, name, kind, body, version)
        return encode_record(out.data())
    except XdrError as fault:
        what = "header" if body is None else body.label
        raise NdmpInvalid(f"{what} cannot be sent: {fault.text}") from None


def _put_field(out: Writer, name: str, kind: Any, body: Message, version: int) -> None:
    try:
        kind.put(out, getattr(body, name), version)
    except XdrError as fault:
        raise XdrError(f"{name}: {fault.text}") from None


def decode_header(record: bytes) -> Header:
    """The header of a message.

    :raise NdmpGarbage: too short, or neither request nor reply.
    """
    if len(record) < HEADER_SIZE:
        raise NdmpGarbage(f"message of {len(record)} bytes, expected at least {HEADER_SIZE}")
    data = Reader(record)
    header = Header(*(data.uint() for _ in Header._fields))
    if header.message_type not in (REQUEST, REPLY):
        raise NdmpGarbage(f"message type {header.message_type}, expected {REQUEST} or {REPLY}")
    return header


def decode_body(header: Header, record: bytes, version: int) -> Message | None:
    """The body of a message: a request, a reply or a post.

    A reply with an error in its body may be cut after it: the other fields are then the defaults.

    :return: None: the version does not know this code, or there is no body since the header has
        an error
    :raise NdmpGarbage: no such body, or something behind it.
    """
    structure = _structure(header)
    if structure is None or version not in structure.versions or header.error:
        return None
    data = Reader(record, HEADER_SIZE)
    values: dict[str, Any] = {}
    name = "the end"
    try:
        for name, kind in row(structure, version):
            values[name] = kind.get(data, version)
        name = "the end"
        data.end()
    except XdrError as fault:
        if not (issubclass(structure, Reply) and values.get("error")):
            kind_of = "reply to " if header.message_type == REPLY else ""
            label = REQUESTS[header.code].label if kind_of else structure.label
            raise NdmpGarbage(f"bad {kind_of}{label} at {name}: {fault.text}") from None
    return structure(**values)


def _structure(header: Header) -> type[Message] | None:
    request: type[Request[Reply]] | None = REQUESTS.get(header.code)
    if header.message_type == REPLY:
        # A code that the version does not have cannot be told from its reply's class.
        return request.reply if request is not None else None
    post: type[Post] | None = POSTS.get(header.code)
    return request if request is not None else post

"""Messages of NDMP as bytes, in every version."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.directtcp import Address
from protocols.ndmp import messages as m
from protocols.ndmp.base import REQUESTS
from protocols.ndmp.codec import (
    HEADER_SIZE,
    REPLY,
    REQUEST,
    Header,
    decode_body,
    decode_header,
    encode,
)
from protocols.ndmp.codes import (
    INFINITY,
    UNKNOWN,
    VERSIONS,
    AddressType,
    ErrorCode,
    HaltReason,
    MoverMode,
    PauseReason,
    ScsiFlags,
    TapeMode,
    error_name,
)
from protocols.ndmp.errors import NdmpGarbage, NdmpInvalid
from tests.protocols.ndmp_values import VARIANTS, label, said, sample, versions

LOCALHOST = "127.0.0.1"


def header_for(code: int, body: m.Message) -> Header:
    return Header(7, 1, REPLY if isinstance(body, m.Reply) else REQUEST, code, 3)


def round_trip(code: int, body: m.Message, version: int) -> m.Message | None:
    record = encode(header_for(code, body), body, version)[4:]
    header = decode_header(record)
    assert header == header_for(code, body)
    return decode_body(header, record, version)


@settings(max_examples=300)
@given(said)
def test_every_message_of_every_version_decodes_to_itself(
    message: tuple[int, int, m.Message],
) -> None:
    """Requests, replies and posts of versions 2, 3 and 4, with all their values."""
    code, version, body = message
    assert round_trip(code, body, version) == body


@pytest.mark.parametrize("variant", VARIANTS, ids=label)
def test_no_message_of_any_version_is_left_out(variant: tuple[int, int, type[m.Message]]) -> None:
    """Each of them, with a value in every field, decodes to itself."""
    code, version, structure = variant
    body = sample(structure, version)
    assert round_trip(code, body, version) == body


@given(versions, st.sampled_from(VARIANTS), st.binary(max_size=120), st.booleans())
def test_any_bytes_decode_or_are_garbage(
    version: int, variant: tuple[int, int, type[m.Message]], body: bytes, is_reply: bool
) -> None:
    """Nothing but the protocol's own error is raised, and what decodes encodes again."""
    header = Header(1, 1, REPLY if is_reply else REQUEST, variant[0])
    record = encode(header, None, version)[4:] + body
    try:
        message = decode_body(header, record, version)
    except NdmpGarbage:
        return
    if message is not None and not isinstance(message, m.TapeOpen):  # RAW is translated
        assert round_trip(header.code, message, version) == message


@given(st.binary(max_size=60))
def test_any_header_decodes_or_is_garbage(data: bytes) -> None:
    """Too short, or a message type that is neither request nor reply."""
    try:
        header = decode_header(data)
    except NdmpGarbage:
        return
    assert header.message_type in (REQUEST, REPLY)


@given(said, st.data())
def test_a_flipped_byte_never_raises_a_foreign_error(
    message: tuple[int, int, m.Message], data: st.DataObject
) -> None:
    """A good message with one byte changed is another message, or garbage."""
    code, version, body = message
    record = bytearray(encode(header_for(code, body), body, version)[4:])
    record[data.draw(st.integers(0, len(record) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        decode_body(decode_header(bytes(record)), bytes(record), version)
    except NdmpGarbage:
        return


@given(said, st.data())
def test_a_truncated_message_is_garbage(
    message: tuple[int, int, m.Message], data: st.DataObject
) -> None:
    """Only a reply that already says why it refuses may be cut."""
    code, version, body = message
    record = encode(header_for(code, body), body, version)[4:]
    if len(record) == HEADER_SIZE:
        return
    cut = record[: data.draw(st.integers(HEADER_SIZE, len(record) - 1))]
    try:
        decoded = decode_body(header_for(code, body), cut, version)
    except NdmpGarbage:
        return
    assert isinstance(decoded, m.Reply)
    assert isinstance(body, m.Reply)
    assert decoded.error == body.error != 0


def test_something_behind_the_end_is_garbage() -> None:
    """A body longer than its version has it was made for another version."""
    record = encode(Header(1, 1, REQUEST, 0x504), m.NotifyMoverPaused(1, 5), 4)[4:] + b"\0\0\0\0"
    with pytest.raises(NdmpGarbage, match="bad NOTIFY_MOVER_PAUSED at the end: 4 bytes behind"):
        decode_body(decode_header(record), record, 4)


CAPTURES = [
    (m.NotifyConnectionStatus(0, 4, "Hello"), 4, "00000000 00000004 00000005 48656c6c6f000000"),
    (m.ConnectOpen(4), 4, "00000004"),
    (m.MoverSetRecordSize(32768), 4, "00008000"),
    (m.MoverSetWindow(0, 0), 4, "00" * 16),
    (m.MoverListen(MoverMode.READ, AddressType.TCP), 4, "00000000 00000001"),
    (
        m.MoverListenReply(address=m.DataAddress(AddressType.TCP, (Address(LOCALHOST, 46917),))),
        4,
        "00000000 00000001 00000001 7f000001 0000b745 00000000",
    ),
    (m.MoverListenReply(ErrorCode.ILLEGAL_ARGS), 4, "00000009 00000000"),
    (
        m.MoverConnect(
            MoverMode.READ, m.DataAddress(AddressType.TCP, (Address(LOCALHOST, 52677),))
        ),
        4,
        "00000000 00000001 00000001 7f000001 0000cdc5 00000000",
    ),
    (
        m.MoverConnect(
            MoverMode.READ, m.DataAddress(AddressType.TCP, (Address(LOCALHOST, 52677),))
        ),
        3,
        "00000000 00000001 7f000001 0000cdc5",
    ),
    (
        m.MoverGetStateReply(record_size=0x2800, window_length=INFINITY),
        4,
        "00000000" * 5 + "00002800" + "00000000" + "00" * 32 + "ff" * 8 + "00000000",
    ),
    (m.NotifyMoverPaused(PauseReason.SEEK, 0), 4, "00000003 0000000000000000"),
    (
        m.ConfigSetExtList((m.ClassVersion(0x2051, 1), m.ClassVersion(0x7FF0, 2))),
        4,
        "00000002 00002051 00000001 00007ff0 00000002",
    ),
    (m.ConfigSetExtList(()), 4, "00000000"),
    (
        m.DataConnect(m.DataAddress(AddressType.TCP_IPV6, (Address("2001:db8::5", 52677),))),
        4,
        "20510004 00000001 20010db8 00000000 00000000 00000005 0000cdc5 00000000",
    ),
    (
        m.DataConnect(m.DataAddress(AddressType.TCP_IPV6, (Address("2001:db8::5", 52677),))),
        3,
        "20510004 20010db8 00000000 00000000 00000005 0000cdc5",
    ),
    (
        m.NotifyMoverHalted(HaltReason.CONNECT_CLOSED, "Whatever"),
        2,
        "00000001 00000008 5768617465766572",
    ),
    (m.NotifyMoverHalted(HaltReason.CONNECT_CLOSED), 4, "00000001"),
    (
        m.TapeGetStateReply(
            ErrorCode.DEV_NOT_OPEN, 0x3F, 0, UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN, INFINITY, INFINITY
        ),
        4,
        "0000003f 00000006 00000000" + "ffffffff" * 8,
    ),
    (
        m.TapeGetStateReply(total_space=INFINITY, space_remain=INFINITY, unsupported=0x30),
        4,
        "00000030" + "00000000" * 6 + "ffffffff" * 4,
    ),
    (
        m.DataGetStateReply(est_bytes_remain=INFINITY, est_time_remain=UNKNOWN),
        4,
        "00000000" * 5 + "00" * 8 + "ff" * 8 + "ffffffff" + "00000000" + "00" * 16,
    ),
    (
        m.LogMessage(1, 0x6B03396D, "mover going active"),
        4,
        "00000001 6b03396d 00000012 6d6f76657220676f696e6720616374697665 0000 00000000 00000000",
    ),
    (
        m.ScsiExecuteCdb(ScsiFlags.NONE, 5000, 0, bytes(6)),
        4,
        "00000000 00001388 00000000 00000006 000000000000 0000 00000000",
    ),
]


@pytest.mark.parametrize(
    ("body", "version", "text"), CAPTURES, ids=lambda x: getattr(x, "label", "")
)
def test_bodies_are_those_captured_on_the_wire(body: m.Message, version: int, text: str) -> None:
    """Captures of the real server and the real client [ndmp 4.5]."""
    code = body.code or next(
        code for code, request in REQUESTS.items() if request.reply is type(body)
    )
    header = header_for(code, body)
    data = encode(header, body, version)
    assert data[4 + HEADER_SIZE :].hex() == text.replace(" ", "")
    assert decode_body(header, data[4:], version) == body


def test_whole_messages_are_those_captured_on_the_wire() -> None:
    """Record mark, header and body in one piece [ndmp 4.3]."""
    stamp = 0x6B03396D
    greeting = encode(Header(1, stamp, 0, 0x502), m.NotifyConnectionStatus(0, 4, "Hello"), 4)
    opening = encode(Header(1, stamp, 0, 0x900), m.ConnectOpen(4), 4)
    opened = encode(Header(2, stamp, 1, 0x900, 1), m.ErrorReply(), 4)
    assert greeting.hex(" ", -4).replace(" ", "") == (
        "8000002c000000016b03396d0000000000000502000000000000000000000000"
        "000000040000000548656c6c6f000000"
    )
    assert opening.hex() == "8000001c000000016b03396d0000000000000900000000000000000000000004"
    assert opened.hex() == "8000001c000000026b03396d0000000100000900000000010000000000000000"


@pytest.mark.parametrize(("version", "mode"), [(2, 1), (3, 1), (4, 2)])
def test_a_raw_open_asks_old_versions_for_reading_and_writing(version: int, mode: int) -> None:
    """RAW came with version 4; the versions before it know read and write only."""
    assert round_trip(0x300, m.TapeOpen("d", TapeMode.RAW), version) == m.TapeOpen("d", mode)


@pytest.mark.parametrize(
    ("body", "version", "text"),
    [
        (m.MoverConnect(0, m.DataAddress()), 2, "MOVER_CONNECT cannot be sent: not in version 2"),
        (m.MoverSetWindow(-1, 0), 4, "MOVER_SET_WINDOW cannot be sent: offset: number -1"),
        (m.TapeWrite(bytes(3 << 20)), 4, "message of 3145756 bytes, expected at most 2101248"),
        (
            m.MoverConnect(0, m.DataAddress(AddressType.TCP, (Address("::1", 5),))),
            4,
            "address: host '::1', NDMP can only say IPv4",
        ),
        (
            m.MoverConnect(0, m.DataAddress(AddressType.TCP_IPV6, (Address(LOCALHOST, 5),))),
            4,
            "address: '127.0.0.1' is not an IPv6 address",
        ),
        (
            m.MoverConnect(0, m.DataAddress(AddressType.TCP, (Address(LOCALHOST, 5),) * 2)),
            3,
            "2 addresses, version 3 can only say 1",
        ),
    ],
    ids=["version", "range", "length", "IPv6", "IPv4", "several"],
)
def test_a_message_that_cannot_be_said_is_refused(body: m.Message, version: int, text: str) -> None:
    """Before anything is sent, with the field and the value."""
    with pytest.raises(NdmpInvalid) as caught:
        encode(Header(1, 1, REQUEST, body.code), body, version)
    assert text in caught.value.text


def test_extensions_are_chosen_in_the_words_of_ndmjob_too() -> None:
    """With an error in front, and several versions of each, of which the first counts."""
    said = "00000000 00000001 00002051 00000002 00000001 00000003"
    record = bytes(HEADER_SIZE) + bytes.fromhex(said)
    header = Header(1, 1, REQUEST, m.ConfigSetExtList.code)
    assert decode_body(header, record, 4) == m.ConfigSetExtList((m.ClassVersion(0x2051, 1),))
    with pytest.raises(NdmpGarbage):
        decode_body(header, record + bytes(4), 4)


def test_passwords_do_not_show() -> None:
    """Error texts and traces print messages."""
    login = m.ConnectClientAuth(m.AuthData(1, "me", "secret", b"0123456789abcdef"))
    assert "me" in repr(login)
    assert "secret" not in repr(login)
    assert "0123" not in repr(login)


def test_errors_are_named_as_stock_names_them() -> None:
    """These names stand in device errors [ndmp 3.2]."""
    assert error_name(ErrorCode.ILLEGAL_STATE) == "NDMP9_ILLEGAL_STATE_ERR"
    assert error_name(ErrorCode.NO_ERR) == "NDMP9_NO_ERR"
    assert error_name(9999) == "error 9999"


def test_versions_hide_what_they_do_not_have() -> None:
    """A request of a later version is unknown to an earlier one."""
    header = Header(1, 1, REQUEST, 0xA09)
    record = encode(header, m.MoverConnect(0, m.DataAddress()), 3)[4:]
    assert [decode_body(header, record, version) is None for version in VERSIONS] == [
        True,
        False,
        False,
    ]

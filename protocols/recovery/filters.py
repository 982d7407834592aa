"""What must be undone on the server before a dump is sent, and the header that says so
[recovery 6.4]."""

from __future__ import annotations

import re

from attrs import evolve, frozen

from protocols.crc import UNKNOWN, Crc
from protocols.header import Header, HeaderError, HeaderType, build_header
from protocols.recovery.features import Feature, Features

HEADER_SIZE = 32768
"""Bytes that a header has at most, and exactly for a peer that is not told its size."""

_COMPRESS = re.compile(r"<compress>\s*([A-Z-]+)")
_ON_SERVER = ("SERVER-FAST", "SERVER-BEST")


@frozen(kw_only=True)
class Undoing:
    """What is undone here.

    :ivar commands: programs, each fed by the one before.
    :ivar header: of what comes out of the last.
    :ivar native: what comes out is what the application had sent.
    """

    commands: tuple[tuple[str, ...], ...]
    header: Header
    native: bool


def undo_for(header: Header, features: Features, uncompress: str) -> Undoing:
    """What must be undone for this peer: what the server has done, or all if it can undo nothing.

    A dump that stays encrypted stays compressed.

    :param uncompress: path of gzip, for what no custom program has compressed
    """
    everything = Feature.RECEIVE_UNFILTERED not in features
    commands = []
    if header.encrypt_suffix and (header.server_encrypt or everything):
        program = header.server_encrypt or header.client_encrypt
        option = header.server_decrypt_option or header.client_decrypt_option
        if program:
            commands.append((program, option) if option else (program,))
            header = evolve(
                header,
                encrypt_suffix="",
                server_encrypt="",
                client_encrypt="",
                server_decrypt_option="",
                client_decrypt_option="",
                decrypt_cmd="",
            )
    if header.comp_suffix and not header.encrypt_suffix and (everything or _on_server(header)):
        custom = header.server_custom_compress or header.client_custom_compress
        commands.append((custom, "-d") if custom else (uncompress, "-dc"))
        header = evolve(
            header,
            comp_suffix="",
            server_custom_compress="",
            client_custom_compress="",
            uncompress_cmd="",
        )
    native = bool(commands) and not header.comp_suffix and not header.encrypt_suffix
    return Undoing(commands=tuple(commands), header=header, native=native)


def _on_server(header: Header) -> bool:
    if header.server_custom_compress:
        return True
    found = _COMPRESS.search(header.dle)
    return found is not None and found.group(1) in _ON_SERVER


def with_sums(header: Header, crcs: tuple[Crc, Crc, Crc]) -> Header:
    """The header with the checksums that it lacks and the catalogue knows.

    :param crcs: native, client, server
    """
    native, client, server = (
        own if own.known else known
        for own, known in zip(
            (header.native_crc, header.client_crc, header.server_crc), crcs, strict=True
        )
    )
    return evolve(header, native_crc=native, client_crc=client, server_crc=server)


def told_header(header: Header, features: Features) -> bytes:
    """The header as this peer can read it.

    :raise HeaderError: it cannot be written
    """
    told = evolve(header, type=HeaderType.DUMPFILE, partnum=0, totalparts=0, cont_filename="")
    if Feature.DLE_IN_HEADER not in features:
        told = evolve(told, dle="")
    if Feature.ORIGSIZE_IN_HEADER not in features:
        told = evolve(told, orig_size=0)
    if Feature.CRC_IN_HEADER not in features:
        told = evolve(told, native_crc=UNKNOWN, client_crc=UNKNOWN, server_crc=UNKNOWN)
    sized = Feature.HEADER_SEND_SIZE in features
    data = build_header(told, 0 if sized else HEADER_SIZE, HEADER_SIZE)
    if len(data) > HEADER_SIZE:
        data = build_header(evolve(told, dle=""), 0, HEADER_SIZE)
    if len(data) > HEADER_SIZE:
        raise HeaderError(f"the header has {len(data)} bytes, over {HEADER_SIZE}", too_large=True)
    return data

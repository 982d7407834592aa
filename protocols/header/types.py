"""What a header says, as a value [volumes 1.2 to 1.5]."""

from __future__ import annotations

import enum

from attrs import frozen

from protocols.crc import UNKNOWN, Crc


class HeaderType(enum.IntEnum):
    """Kinds of header; the numbers appear in changer state [volumes 1.2]."""

    EMPTY = -2
    WEIRD = -1
    UNKNOWN = 0
    TAPESTART = 1
    TAPEEND = 2
    DUMPFILE = 3
    CONT_DUMPFILE = 4
    SPLIT_DUMPFILE = 5
    NOOP = 6


class HeaderError(Exception):
    """A header cannot be written: a field is missing, wrong or too long [volumes 1.9].

    :ivar too_large: the fields are right, but the text is longer than the region.
    """

    taper_code = 4002

    def __init__(self, text: str, too_large: bool = False) -> None:
        super().__init__(text)
        self.text = text
        self.too_large = too_large


@frozen(kw_only=True)
class Header:
    """The header of one file on a volume or of one chunk on a holding disk.

    Empty text, 0 and :data:`~protocols.crc.UNKNOWN` mean "not there".

    :ivar datestamp: ``X``, 8 or 14 digits when written; any word when read.
    :ivar label: of a TAPESTART.
    :ivar totalparts: -1 for "not known", which is what a taper writes.
    :ivar comp_suffix: ``.gz``, ``cust``...; empty: not compressed.
    :ivar encrypt_suffix: ``enc``; empty: not encrypted.
    :ivar cont_filename: path of the next chunk; on holding disks only.
    :ivar orig_size: KiB of native data.
    :ivar dle: XML text of the disk list entry.
    :ivar decrypt_cmd: for people, ends in ``|``; likewise ``uncompress_cmd``.
    """

    type: HeaderType
    datestamp: str = ""
    label: str = ""
    host: str = ""
    disk: str = ""
    level: int = 0
    partnum: int = 0
    totalparts: int = 0
    comp_suffix: str = ""
    program: str = ""
    encrypt_suffix: str = ""
    server_custom_compress: str = ""
    client_custom_compress: str = ""
    server_encrypt: str = ""
    client_encrypt: str = ""
    server_decrypt_option: str = ""
    client_decrypt_option: str = ""
    cont_filename: str = ""
    application: str = ""
    is_partial: bool = False
    orig_size: int = 0
    native_crc: Crc = UNKNOWN
    client_crc: Crc = UNKNOWN
    server_crc: Crc = UNKNOWN
    dle: str = ""
    decrypt_cmd: str = ""
    uncompress_cmd: str = ""
    recover_cmd: str = ""

    @property
    def is_dump(self) -> bool:
        """The file behind this header holds dump data."""
        return self.type in (
            HeaderType.DUMPFILE,
            HeaderType.CONT_DUMPFILE,
            HeaderType.SPLIT_DUMPFILE,
        )

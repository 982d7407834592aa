"""What the server undoes, and the header that it tells [recovery 6.4]."""

from __future__ import annotations

import pytest
from attrs import evolve

from protocols.crc import UNKNOWN, Crc
from protocols.header import Header, HeaderType, parse_header
from protocols.recovery.features import OURS, Feature, Features
from protocols.recovery.filters import HEADER_SIZE, told_header, undo_for, with_sums

PLAIN = Header(
    type=HeaderType.SPLIT_DUMPFILE,
    datestamp="20260101000000",
    host="localhost",
    disk="/srv",
    program="GNUTAR",
    partnum=1,
    totalparts=-1,
    recover_cmd="tar -xpGf - ...",
    orig_size=7,
    server_crc=Crc(1, 2),
    dle="<dle>\n  <compress>FAST</compress>\n</dle>",
)
GZIPPED = evolve(PLAIN, comp_suffix=".gz", uncompress_cmd="gzip -dc |")
ON_SERVER = evolve(GZIPPED, dle=GZIPPED.dle.replace("FAST", "SERVER-FAST"))
CUSTOM = evolve(PLAIN, comp_suffix="cust", server_custom_compress="/bin/xz")
ENCRYPTED = evolve(
    ON_SERVER, encrypt_suffix="enc", server_encrypt="/bin/crypt", server_decrypt_option="-d"
)
BY_CLIENT = evolve(ON_SERVER, encrypt_suffix="enc", client_encrypt="/bin/crypt")
CAN_NOTHING = Features.of(set(Feature) - {Feature.RECEIVE_UNFILTERED})
CRYPT = ("/bin/crypt", "-d")
GZIP = ("/usr/local/bin/gzip", "-dc")


@pytest.mark.parametrize(
    ("header", "commands", "for_old"),
    [
        (PLAIN, (), ()),
        (GZIPPED, (), (GZIP,)),
        (ON_SERVER, (GZIP,), (GZIP,)),
        (CUSTOM, (("/bin/xz", "-d"),), (("/bin/xz", "-d"),)),
        (ENCRYPTED, (CRYPT, GZIP), (CRYPT, GZIP)),
        (BY_CLIENT, (), (("/bin/crypt",), GZIP)),
    ],
)
def test_what_is_undone(header: Header, commands: object, for_old: object) -> None:
    assert undo_for(header, OURS, GZIP[0]).commands == commands
    assert undo_for(header, CAN_NOTHING, GZIP[0]).commands == for_old


def test_the_header_tells_what_is_left() -> None:
    for header in (ON_SERVER, ENCRYPTED):
        undoing = undo_for(header, OURS, GZIP[0])
        assert undoing.native
        assert (undoing.header.comp_suffix, undoing.header.encrypt_suffix) == ("", "")
    left = undo_for(BY_CLIENT, OURS, GZIP[0])
    assert not left.native
    assert left.header == BY_CLIENT


def test_checksums_of_the_catalogue_fill_gaps() -> None:
    found = with_sums(PLAIN, (Crc(3, 4), UNKNOWN, Crc(5, 6)))
    assert (found.native_crc, found.client_crc, found.server_crc) == (Crc(3, 4), UNKNOWN, Crc(1, 2))


def test_a_header_for_everybody() -> None:
    told = told_header(PLAIN, OURS)
    assert len(told) < HEADER_SIZE
    header = parse_header(told)
    assert header.type is HeaderType.DUMPFILE
    assert (header.dle, header.orig_size, header.server_crc) == (PLAIN.dle, 7, Crc(1, 2))
    told = told_header(PLAIN, Features())
    assert len(told) == HEADER_SIZE
    header = parse_header(told)
    assert (header.dle, header.orig_size, header.server_crc) == ("", 0, UNKNOWN)


def test_a_disklist_entry_that_is_too_long_is_left_out() -> None:
    header = parse_header(told_header(evolve(PLAIN, dle="x" * HEADER_SIZE), OURS))
    assert (header.dle, header.disk) == ("", "/srv")

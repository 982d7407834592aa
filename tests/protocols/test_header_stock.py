"""Amanda's own reader and writer of headers as judges of ours."""

from __future__ import annotations

import random
from typing import Any

from attrs import evolve

from protocols.crc import UNKNOWN, Crc
from protocols.header import (
    Header,
    HeaderType,
    build_header,
    parse_header,
)
from tests.protocols.header_examples import REGION, continuation, everything, first_part
from tests.protocols.oracle import ask, from_hex, needs_amanda_perl, to_hex

THEIR_FIELDS = {
    "type": "type",
    "datestamp": "datestamp",
    "disk": "disk",
    "level": "dumplevel",
    "partnum": "partnum",
    "totalparts": "totalparts",
    "comp_suffix": "comp_suffix",
    "program": "program",
    "encrypt_suffix": "encrypt_suffix",
    "server_custom_compress": "srvcompprog",
    "client_custom_compress": "clntcompprog",
    "server_encrypt": "srv_encrypt",
    "client_encrypt": "clnt_encrypt",
    "server_decrypt_option": "srv_decrypt_opt",
    "client_decrypt_option": "clnt_decrypt_opt",
    "cont_filename": "cont_filename",
    "application": "application",
    "is_partial": "is_partial",
    "orig_size": "orig_size",
    "native_crc": "native_crc",
    "client_crc": "client_crc",
    "server_crc": "server_crc",
    "dle": "dle_str",
    "decrypt_cmd": "decrypt_cmd",
    "uncompress_cmd": "uncompress_cmd",
    "recover_cmd": "recover_cmd",
}


def as_theirs(header: Header) -> dict[str, str]:
    """Our header as hex of what the fields of theirs hold."""
    fields: dict[str, Any] = {
        theirs: getattr(header, ours) for ours, theirs in THEIR_FIELDS.items()
    }
    fields["name"] = header.label or header.host
    fields["compressed"] = bool(header.comp_suffix)
    fields["encrypted"] = bool(header.encrypt_suffix)
    texts = {
        name: str(int(value) if isinstance(value, int) else value) for name, value in fields.items()
    }
    return {name: to_hex(text) for name, text in texts.items() if text not in ("", "0")}


def sample_headers() -> list[Header]:
    """Many headers. No disk ends in a backslash: then stock's reader takes the
    last word of the first line for longer than it is."""
    source = random.Random(11)
    samples = [first_part, everything, continuation, evolve(first_part, type=HeaderType.DUMPFILE)]
    for number in range(60):
        crc = Crc(source.randrange(2**32), source.randrange(2**40))
        flag = number % 2 == 0
        samples.append(
            Header(
                type=source.choice(
                    [HeaderType.DUMPFILE, HeaderType.CONT_DUMPFILE, HeaderType.SPLIT_DUMPFILE]
                ),
                datestamp=source.choice(["20240102", "20240102030405", "X"]),
                host="host.example",
                disk="".join(source.choices("ab:/ \"\\'\t\né\udcff", k=source.randrange(9))) + "z",
                level=source.randrange(10),
                partnum=1 + number,
                totalparts=-1,
                comp_suffix=source.choice(["", ".gz"]),
                program=source.choice(["GNUTAR", "DUMP.ExE", "APPLICATION"]),
                encrypt_suffix="enc" if flag else "",
                server_encrypt="/usr/sbin/amcrypt" if flag else "",
                client_decrypt_option="-d" if flag else "",
                server_custom_compress="/bin/pigz" if number % 3 else "",
                application=source.choice(["", "amgtar"]),
                is_partial=number % 5 == 0,
                orig_size=source.choice([0, 12]),
                native_crc=crc,
                server_crc=source.choice([UNKNOWN, crc]),
                dle="\n".join(source.choices(["<dle>", "ENDDLE", " x "], k=source.randrange(4))),
                uncompress_cmd=source.choice(["", " gzip |"]),
                recover_cmd="./recover",
            )
        )
    return samples


@needs_amanda_perl
def test_stock_builds_the_same_bytes() -> None:
    samples = [*sample_headers(), Header(type=HeaderType.TAPESTART, datestamp="X", label="TAPE-01")]
    answers = ask(
        "Amanda::Header",
        """my $h = Amanda::Header->new();
           for my $f (keys %$q) { my $v = from_hex($q->{$f}); $h->{$f} = $v =~ /^-?[0-9]+$/ && $f ne
               'datestamp' ? 0 + $v : $v }
           $h->{blocksize} = 32768;
           return to_hex($h->to_string(32768, 32768))""",
        [as_theirs(header) for header in samples],
    )
    for header, theirs in zip(samples, answers, strict=True):
        assert build_header(header, REGION, REGION) == from_hex(theirs)


@needs_amanda_perl
def test_stock_reads_what_we_write() -> None:
    samples = sample_headers()
    blocks = [build_header(header, REGION, REGION) for header in samples]
    names = ["name", *THEIR_FIELDS.values(), "compressed", "encrypted"]
    fields = ", ".join(f"{name} => to_hex(\"\" . ($h->{{{name}}} || ''))" for name in names)
    answers = ask(
        "Amanda::Header",
        f"my $h = Amanda::Header->from_string(from_hex($q)); return {{ {fields} }}",
        [to_hex(block.rstrip(b"\0") + b"\0junk") for block in blocks],
    )
    for block, theirs in zip(blocks, answers, strict=True):
        ours = parse_header(block)
        assert {name: value for name, value in theirs.items() if value} == as_theirs(ours)

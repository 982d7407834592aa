"""Headers to blocks, byte for byte as Amanda 3.5.1 writes them [volumes 1.3 to 1.9]."""

from __future__ import annotations

from protocols.header.schema import (
    CLAUSES,
    DD_START,
    END,
    FIELD_LIMIT,
    LINES,
    RESTORE_LINE,
    SCHEMAS,
    Schema,
    is_word,
)
from protocols.header.types import Header, HeaderError

_SCHEMAS = {schema.type: schema for schema in SCHEMAS}
_DLE_RESERVE = 2048
"""Bytes of the region that a DLE must leave free."""

_COMMANDS = ("decrypt_cmd", "uncompress_cmd", "recover_cmd")
_SINGLE_LINE = ("disk", "cont_filename", "application", *_COMMANDS)
_LIMITED = (
    "label",
    "host",
    "disk",
    "comp_suffix",
    "cont_filename",
    "application",
    *(clause.attribute for clause in CLAUSES),
)


def build_header(header: Header, region: int, blocksize: int | None) -> bytes:
    """The bytes of a header.

    :param region: size in bytes to which it is padded with NUL, and which limits the DLE: one that
        is not shorter than ``region`` - 2048 is left out. 0: natural length, no limit.
    :param blocksize: bytes, for the ``dd`` line of the restore text; None: leave ``bs=`` out.
    :raise HeaderError: a field cannot be written or would not be read as it is
        [volumes 1.9], or the text does not fit into the region (``too_large``).
    """
    schema = _SCHEMAS.get(header.type)
    if schema is None:
        raise HeaderError(f"a header of type {header.type.name} cannot be written")
    parts = ["AMANDA: ", schema.keyword, *_first_line(schema, header)]
    if schema.is_dump:
        parts.append("\n")
        parts.extend(_lines(header, region))
        parts.append(_restore_text(header, blocksize))
    parts.append(END)
    data = "".join(parts).encode("utf-8", "surrogateescape")
    if not region:
        return data
    if len(data) > region:
        raise HeaderError(
            f"header of {len(data)} bytes does not fit into {region} bytes", too_large=True
        )
    return data.ljust(region, b"\0")


def _first_line(schema: Schema, header: Header) -> list[str]:
    _check_texts(header)
    parts = []
    for word in schema.words:
        wrong = word.check(header)
        if wrong is not None:
            raise HeaderError(f"{schema.keyword} header: {wrong}")
        parts.append(word.prefix + word.write(header))
    return parts + _clauses(header) if schema.is_dump else parts


def _check_texts(header: Header) -> None:
    for attribute in _LIMITED:
        value: str = getattr(header, attribute)
        if len(value.encode("utf-8", "surrogateescape")) > FIELD_LIMIT:
            raise HeaderError(f"{attribute} is {value!r}, expected at most {FIELD_LIMIT} bytes")
    for attribute in _SINGLE_LINE:
        value = getattr(header, attribute)
        # the disk is quoted, so that it may hold a line end
        if "\0" in value or ("\n" in value and attribute != "disk"):
            raise HeaderError(f"{attribute} is {value!r}, expected a single line without NUL")
    if "\0" in header.dle:
        raise HeaderError("dle holds a NUL, expected text")


def _clauses(header: Header) -> list[str]:
    parts = []
    for clause in CLAUSES:
        value: str = getattr(header, clause.attribute)
        if clause.attribute == "program":
            value = _without_exe(value)
        elif not value:
            continue
        if clause.rival and getattr(header, clause.rival):
            raise HeaderError(
                f"both {clause.attribute} and {clause.rival} are set, expected one of them"
            )
        if clause.attribute == "encrypt_suffix" and value == "N":
            raise HeaderError("encrypt_suffix is 'N', which means not encrypted in a header")
        if not is_word(value.replace(" ", "") if clause.blanks else value):
            raise HeaderError(f"{clause.attribute} is {value!r}, expected one word")
        parts.append(f" {clause.keyword} {value}")
    return parts


def _without_exe(program: str) -> str:
    return program[:-4] if program[-4:].lower() == ".exe" else program


def _lines(header: Header, region: int) -> list[str]:
    parts = []
    for line in LINES:
        value = line.write(header)
        if value:
            parts.append(f"{line.key}={value}\n")
    dle = header.dle
    if dle and (not region or len(dle.encode("utf-8", "surrogateescape")) < region - _DLE_RESERVE):
        end = _end_word(dle)
        parts.append(f"DLE=<<{end}\n{dle}\n{end}\n")
    return parts


def _end_word(dle: str) -> str:
    """A word that is no line of the text."""
    lines = set(dle.split("\n"))
    end, number = "ENDDLE", 0
    while end in lines:
        number += 1
        end = f"ENDDLE{number}"
    return end


def _restore_text(header: Header, blocksize: int | None) -> str:
    for attribute in ("decrypt_cmd", "uncompress_cmd"):
        command: str = getattr(header, attribute)
        if command and not (header.recover_cmd and command.endswith("|")):
            raise HeaderError(
                f"{attribute} is {command!r}, expected one that ends in '|', with a recover_cmd"
            )
    block = f"bs={blocksize // 1024}k " if blocksize else ""
    commands = [getattr(header, attribute) for attribute in _COMMANDS]
    pipeline = "".join([f"{command} " for command in commands if command])
    return f"{RESTORE_LINE}{DD_START}{block}skip=1 | {pipeline}"

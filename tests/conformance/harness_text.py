"""What a case knows of Amanda's texts: fields of a line, patterns with holes, CRC-32C.

Nothing here comes from the program under test: a mistake there must not hide itself here.
"""

import random
import re
from collections.abc import Sequence
from functools import lru_cache

ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "f": "\f"}

HOLES = {
    "<f>": r"\d+\.\d{6}",
    "<n>": r"\d+",
    "<crc>": r"[0-9a-f]{8}:\d+",
    "<*>": r".*",
    "<w>": r"\S+",
}


def split_line(line: str) -> list[str]:
    """Cut a line at the spaces outside quotes and unquote each field [protocol 2]."""
    fields = [""]
    quoted = False
    position = 0
    while position < len(line):
        char = line[position]
        if char == "\\" and position + 1 < len(line):
            position += 1
            fields[-1] += ESCAPES.get(line[position], line[position])
        elif char == '"':
            quoted = not quoted
        elif char == " " and not quoted:
            fields.append("")
        else:
            fields[-1] += char
        position += 1
    return fields


def pattern(template: str) -> re.Pattern[str]:
    """Turn a template with holes (``<f> <n> <crc> <w> <*>``) into a pattern for a whole line."""
    pieces = re.split(r"(<(?:f|n|crc|w|\*)>)", template)
    return re.compile("".join(HOLES.get(piece, re.escape(piece)) for piece in pieces), re.DOTALL)


def matches(template: str, line: str) -> bool:
    """Say whether the whole line has the form of the template."""
    return pattern(template).fullmatch(line) is not None


def stats(size: int, orig_kb: int | str | None = None) -> str:
    """Write the template of a stats text for a part or dump of *size* bytes."""
    tail = "" if orig_kb is None else f" orig-kb {orig_kb}"
    return f"[sec <f> bytes {size} kps <f>{tail}]"


def in_order(templates: Sequence[str], lines: Sequence[str]) -> str | None:
    """Look for the templates in the lines, in order, others between allowed.

    Returns the first template that is not found, or None.
    """
    rest = iter(lines)
    for template in templates:
        if not any(matches(template, line) for line in rest):
            return template
    return None


def _crc_table() -> list[int]:
    table = []
    for byte in range(256):
        value = byte
        for _ in range(8):
            value = (value >> 1) ^ (0x82F63B78 if value & 1 else 0)
        table.append(value)
    return table


TABLE = _crc_table()


@lru_cache(maxsize=256)
def crc(data: bytes) -> str:
    """Compute the CRC-32C of the data in Amanda's form, ``xxxxxxxx:size``."""
    value = 0xFFFFFFFF
    table = TABLE
    for byte in data:
        value = table[(value ^ byte) & 0xFF] ^ (value >> 8)
    return f"{value ^ 0xFFFFFFFF:08x}:{len(data)}"


@lru_cache(maxsize=64)
def payload(size: int, seed: int = 1) -> bytes:
    """Make bytes that repeat nowhere, the same for the same size and seed."""
    return random.Random(seed * 1000003 + size).randbytes(size)

"""What a case reads and writes on disk: dump headers, holding files, vtapes, tapelist lines."""

import os
import re
from dataclasses import dataclass
from pathlib import Path

from tests.conformance.harness_text import split_line

BLOCK = 32768
END = "\n\f\n"


@dataclass(frozen=True)
class Dump:
    """Who a dump says it is; the fields of its header's first line [volumes 1.3]."""

    disk: str = "/home"
    host: str = "localhost"
    level: int = 0
    datestamp: str = "20260101000000"


def quote(text: str) -> str:
    """Quote a word as Amanda does [protocol 2]."""
    if text and not re.search(r"[:'\"\\\x00-\x20\x7f]|[^\x00-\x7e]", text):
        return text
    for char, escape in (("\\", "\\\\"), ('"', '\\"'), ("\t", "\\t"), ("\n", "\\n")):
        text = text.replace(char, escape)
    return f'"{text}"'


def dump_header(
    dump: Dump,
    kind: str = "FILE",
    lines: str = "",
    part: str = "",
) -> bytes:
    """Build a 32 KiB dump header; *lines* are the extra ``KEY=value`` lines, each with its LF."""
    text = (
        f"AMANDA: {kind} {dump.datestamp} {dump.host} {quote(dump.disk)} {part} lev {dump.level}"
        f" comp N program /bin/tar\n{lines}"
        "To restore, position tape at start of file and run:\n"
        f"\tdd if=<tape> bs=32k skip=1 | /bin/tar -xpGf - ... {END}"
    )
    return text.encode("utf-8", "surrogateescape").ljust(BLOCK, b"\0")


def label_header(label: str, stamp: str) -> bytes:
    """Build the header of file 0 of a volume."""
    return f"AMANDA: TAPESTART DATE {stamp} TAPE {label}{END}".encode().ljust(BLOCK, b"\0")


@dataclass(frozen=True)
class VolumeFile:
    """One file of a vtape: its number, its name, its header text (no padding) and its payload."""

    number: int
    name: str
    header: str
    data: bytes

    @property
    def first_line(self) -> list[str]:
        """The words of the header's first line; empty fields of double spaces left out."""
        return [word for word in split_line(self.header.split("\n")[0]) if word]


def read_volume(directory: Path, last: int | None = None) -> list[VolumeFile]:
    """Read the numbered files of a vtape, by number; a header block must be padded with NUL.

    *last* is the number of the last file to read, None for all.
    """
    files = []
    for name in sorted(os.listdir(os.fsencode(directory))):
        path = os.fsencode(directory) + b"/" + name
        shown = name.decode("utf-8", "surrogateescape")
        digits = shown.split(".")[0]
        if not digits.isdigit() or not os.path.isfile(path):
            continue
        if last is not None and int(digits) > last:
            continue
        with open(path, "rb") as stream:
            content = stream.read()
        block, data = content[:BLOCK], content[BLOCK:]
        text = block.rstrip(b"\0")
        assert len(block) == BLOCK, f"{shown}: header block of {len(block)} bytes, not {BLOCK}"
        assert b"\0" not in text, f"{shown}: text after the first NUL of its header block"
        files.append(VolumeFile(int(digits), shown, text.decode("utf-8", "surrogateescape"), data))
    return sorted(files, key=lambda file: file.number)


def volume_label(files: list[VolumeFile]) -> tuple[str, str] | None:
    """Return (label, timestamp) of a volume, None when it has no label file."""
    if not files or files[0].number != 0:
        return None
    found = re.match(r"AMANDA: TAPESTART DATE (\S+) TAPE (\S+)\n\f\n$", files[0].header)
    assert found, f"bad label header {files[0].header!r}"
    return found[2], found[1]


def holding_chunks(dump: Dump, data: bytes, chunk: int, name: str, lines: str) -> dict[str, bytes]:
    """Cut a dump into the files of a holding disk [data-plane 4.1].

    Returns path -> content. *name* is the path of the first chunk, the others get .1, .2, ...;
    *chunk* is the payload of one chunk in bytes, 0 for one file.
    """
    pieces = [data]
    if chunk:
        pieces = [data[at : at + chunk] for at in range(0, max(len(data), 1), chunk)]
    files = {}
    for index, piece in enumerate(pieces):
        more = f"CONT_FILENAME={name}.{index + 1}\n" if index + 1 < len(pieces) else ""
        kind = "CONT_FILE" if index else "FILE"
        path = f"{name}.{index}" if index else name
        files[path] = dump_header(dump, kind, more + ("" if index else lines)) + piece
    return files

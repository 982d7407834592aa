"""The volumes in an image, by the facts of [volumes 4] alone."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from attrs import frozen

from protocols.header import Header, HeaderType, parse_header
from tests.crash.disk import Blob, Image
from tests.crash.stage import BLOCK

NUMBERED = re.compile(r"(\d+)\.")
FLAT = "flat/"
"""Where volumes of one file are."""


@frozen
class Stored:
    """A file of a volume.

    :ivar start: of its data in the file that holds it.
    """

    header: Header
    blob: Blob
    start: int

    @property
    def data(self) -> bytes:
        return self.blob.data[self.start :]


@frozen
class Volume:
    """What is in a slot.

    :ivar labels: of its label files, with their datestamps; more than one is a mess.
    :ivar files: by number, from 1 on; of two that share one, both.
    :ivar print: what tells it from every other volume.
    """

    place: str
    labels: tuple[tuple[str, str], ...]
    files: Mapping[int, tuple[Stored, ...]]
    print: tuple[tuple[str, bytes], ...]


_headers: dict[tuple[bytes, int], Header] = {}


def header_of(blob: Blob, start: int = 0) -> Header:
    """The header in a file."""
    key = (blob.digest, start)
    if key not in _headers:
        _headers[key] = parse_header(blob.data[start : start + BLOCK])
    return _headers[key]


def volumes(image: Image) -> Iterator[Volume]:
    """All that may be volumes."""
    directories: dict[str, list[tuple[str, Blob]]] = {}
    for path, node in image.nodes.items():
        if not isinstance(node, Blob):
            continue
        place, _, name = path.rpartition("/")
        if NUMBERED.match(name):
            directories.setdefault(place, []).append((name, node))
        elif path.startswith(FLAT) and header_of(node).type is HeaderType.TAPESTART:
            yield _flat(path, node)
    for place, files in directories.items():
        yield _vtape(place, sorted(files, key=lambda file: file[0]))


def _flat(place: str, blob: Blob) -> Volume:
    label = header_of(blob)
    files = {}
    if len(blob.data) > BLOCK:
        files[1] = (Stored(header_of(blob, BLOCK), blob, 2 * BLOCK),)
    return Volume(place, ((label.label, label.datestamp),), files, (("", blob.digest),))


def _vtape(place: str, names: list[tuple[str, Blob]]) -> Volume:
    labels = []
    files: dict[int, tuple[Stored, ...]] = {}
    for name, blob in names:
        number = int(name.partition(".")[0])
        header = header_of(blob)
        if number:
            files[number] = (*files.get(number, ()), Stored(header, blob, BLOCK))
        elif header.type is HeaderType.TAPESTART:
            labels.append((header.label, header.datestamp))
    prints = tuple((name, blob.digest) for name, blob in names)
    return Volume(place, tuple(labels), files, prints)

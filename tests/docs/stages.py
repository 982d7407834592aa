"""What the sessions of some documents find on their machine, and by which names they call it.

A page says /dev/sg3, or store.example.com; where it is tried these are a simulated robot, or a
real store on this host. Nothing else of the page is another than what is written.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from tests.docs.machine import Machine
from tests.fakes.library import Library
from tests.fakes.weed import running_weed, why_no_weed

TUTORIAL = "/tmp/tutorial"
BUCKET = "vault-of-example"
Names = Mapping[str, str]
"""What a document says, and what is there instead."""


def place_of(machine: Machine, document: str) -> str:
    """The directory that stands for TUTORIAL."""
    return str(machine.base / Path(document).stem)


@contextmanager
def plain(machine: Machine, document: str) -> Iterator[Names]:
    """An empty directory of its own."""
    yield {TUTORIAL: place_of(machine, document)}


@contextmanager
def library(machine: Machine, document: str) -> Iterator[Names]:
    """A library of eight slots and two drives, with cartridges in five of them."""
    place = f"{place_of(machine, document)}-robot"

    def own(path: Path) -> None:
        os.chown(path, machine.user.pw_uid, machine.user.pw_gid, follow_symlinks=False)

    barcodes = {slot: f"A0000{slot}L7" for slot in range(1, 6)}
    made = Library(machine.path(place), barcodes, ports=1, own=own, seen_as=place)
    yield {
        TUTORIAL: place_of(machine, document),
        "/dev/sg3": made.device,
        "/usr/sbin/mtx": made.program,
        "tape:/dev/nst0": f"file:{place}/drive0",
        "tape:/dev/nst1": f"file:{place}/drive1",
    }


@contextmanager
def store(machine: Machine, document: str) -> Iterator[Names]:
    """A bucket with object lock on a real store; boto3 is that of the tests."""
    reason = why_no_weed()
    if reason is not None:
        pytest.skip(reason)
    import boto3

    with machine.lent(Path(boto3.__file__).parents[1]), running_weed() as weed:
        bucket = weed.make_bucket(lock=True)
        properties = weed.properties(weed.taper)
        yield {
            TUTORIAL: place_of(machine, document),
            BUCKET: bucket,
            "store.example.com:8333": properties["S3_HOST"],
            'device-property "S3_SSL" "yes"': 'device-property "S3_SSL" "no"',
            "AKIAIOSFODNN7EXAMPLE": properties["S3_ACCESS_KEY"],
            "a-secret-of-example": properties["S3_SECRET_KEY"],
        }


STAGES: Mapping[str, Callable[[Machine, str], AbstractContextManager[Names]]] = {
    "docs/howto/tape-library.md": library,
    "docs/howto/s3-immutable.md": store,
}
"""For documents whose sessions need more than a directory."""


def acted(names: Names, text: str) -> str:
    """A text of the document, as it is tried."""
    for told, there in names.items():
        text = text.replace(told, there)
    return text


def told(names: Names, text: str) -> str:
    """What was said, as the document has it."""
    for told, there in sorted(names.items(), key=lambda pair: -len(pair[1])):
        text = text.replace(there, told)
    return text

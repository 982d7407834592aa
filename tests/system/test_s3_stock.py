"""Volumes in buckets: Amanda's own S3 device and ours, on a real store.

Stock's device and programs run as they are, but for what keeps their uploads from leaving at all
with the libcurl of today (:mod:`tests.fakes.stock_uploads`).
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from devices.errors import Status
from devices.interfaces import AccessMode, IDevice
from devices.registry import open_blocking_device
from tests.contract.device import STAMP, read_rest, write_part
from tests.devices.test_file_stock import (
    HEADERS,
    PERL_LIBRARY,
    SCRIPT,
    stock_header,
    why_no_perl,
)
from tests.fakes.preloaded import why_no_library
from tests.fakes.stock_uploads import made_library
from tests.fakes.weed import Weed

pytestmark = pytest.mark.system

BLOCK = 32768
PREFIX = "slot-1-"
LAYOUTS: dict[str, dict[str, str]] = {
    "blocks": {"BLOCK_SIZE": str(BLOCK), "NB_THREADS_BACKUP": "3"},
    # no part but the last may be smaller
    "one object": {"S3_MULTI_PART_UPLOAD": "yes", "BLOCK_SIZE": str(5 << 20)},
}
SIZES = {"one object": [0, 5 << 20, 10 << 20], "blocks": [0, BLOCK, 12 * BLOCK]}
"""Whole blocks: the plain device writer of stock's transfers pads the last one."""


@pytest.fixture(scope="module")
def library() -> Iterator[Path]:
    reason = why_no_perl() or why_no_library()
    if reason is not None:
        pytest.skip(reason)
    with made_library() as library:
        yield library


class Both:
    """A volume, and what may be done with it by ours and by stock."""

    def __init__(self, weed: Weed, library: Path, place: Path, layout: str) -> None:
        self.weed = weed
        self.bucket = weed.make_bucket()
        self._library = library
        self._place = place
        self.properties = {**weed.properties(), **LAYOUTS[layout]}
        self.data = [os.urandom(size) for size in SIZES[layout]]
        for number, data in enumerate(self.data):
            (place / f"part{number}").write_bytes(data)

    def ours(self) -> IDevice:
        device = open_blocking_device(f"s3:{self.bucket}/{PREFIX}")
        for name, value in self.properties.items():
            device.properties.set(name, value)
        return device

    def write(self, numbers: slice = slice(None), *, append: bool = False) -> None:
        """Let ours write these parts, on a new volume or behind the others."""
        device = self.ours()
        if append:
            assert device.read_label().label == "S3-01"
            device.start(AccessMode.APPEND)
        else:
            device.start(AccessMode.WRITE, "S3-01", STAMP)
        for header, data in list(zip(HEADERS, self.data, strict=False))[numbers]:
            write_part(device, memoryview(data), header)
        device.finish()

    def stock(self, what: str, **more: Any) -> dict[str, Any]:
        """Let stock's device do something."""
        wish = {"do": what, "scheme": "s3", "dir": f"{self.bucket}/{PREFIX}", **more}
        wish.setdefault("properties", self.properties)
        done = subprocess.run(
            ["perl", "-I", PERL_LIBRARY, "-e", SCRIPT, json.dumps(wish)],
            capture_output=True,
            text=True,
            timeout=240,
            env={"PATH": "/usr/bin:/bin", "LD_PRELOAD": str(self._library), "LC_ALL": "C.UTF-8"},
        )
        assert done.returncode == 0, done.stderr
        answer: dict[str, Any] = json.loads(done.stdout)
        assert "errors" not in answer
        return answer

    def stock_writes(self, numbers: slice = slice(None), *, append: bool = False) -> None:
        """The same as :meth:`write`, by stock."""
        parts = [
            {"header": stock_header(HEADERS[number]), "file": str(self._place / f"part{number}")}
            for number in range(len(self.data))
        ]
        self.stock("write", label="S3-01", stamp=STAMP, parts=parts[numbers], append=append)

    def check(self, wanted: list[int]) -> None:
        """Both read label and files, which are the parts of these numbers, whatever is set."""
        out = self._place / "out"
        out.mkdir(exist_ok=True)
        answer = self.stock("read", out=str(out), properties=dict(self.weed.properties()))
        assert (answer["status"], answer["label"], answer["stamp"]) == ("0", "S3-01", STAMP)
        assert answer["files"] == {
            str(file): f"{HEADERS[part].disk} {HEADERS[part].partnum} {HEADERS[part].level}"
            for file, part in enumerate(wanted, 1)
        }
        for file, part in enumerate(wanted, 1):
            assert (out / str(file)).read_bytes() == self.data[part]
        device = self.ours()
        reading = device.read_label()
        assert (reading.status, reading.label, reading.timestamp) == (0, "S3-01", STAMP)
        device.start(AccessMode.READ)
        for file, part in enumerate(wanted, 1):
            header = device.seek_file(file)
            assert header is not None
            assert (header.disk, header.partnum) == (HEADERS[part].disk, HEADERS[part].partnum)
            assert read_rest(device) == self.data[part]
        device.finish()

    def objects(self) -> dict[str, bytes]:
        """Everything that the volume is made of."""
        keys = self.weed.keys_in(self.bucket, PREFIX)
        return {key: self.weed.content(self.bucket, key) for key in keys}


@pytest.fixture(params=LAYOUTS)
def both(weed: Weed, library: Path, tmp_path: Path, request: pytest.FixtureRequest) -> Both:
    return Both(weed, library, tmp_path, request.param)


def test_the_same_objects(both: Both) -> None:
    """Keys and bytes of label, headers and data; and both read what either wrote."""
    both.stock_writes()
    both.check([0, 1, 2])
    theirs = both.objects()
    both.write()
    assert both.objects() == theirs
    both.check([0, 1, 2])
    assert len(theirs) >= 6


def test_each_appends_to_the_other_and_relabels_it(both: Both) -> None:
    """Of what was there before nothing is left then."""
    both.write(slice(1, 2))
    both.stock_writes(slice(2, 3), append=True)
    both.check([1, 2])
    both.write(slice(0, 1), append=True)
    both.check([1, 2, 0])
    both.stock_writes(slice(2, 3))
    both.check([2])
    both.write(slice(2, 3), append=True)
    both.check([2, 2])
    both.write(slice(0, 2))
    both.check([0, 1])


def test_each_erases_what_the_other_wrote(both: Both) -> None:
    """Nothing of the volume is left, and both say so."""
    both.properties["CREATE_BUCKET"] = "no"  # stock removes what it would make
    both.weed.client().put_object(Bucket=both.bucket, Key="slot-10-x", Body=b"of another volume")
    for ours_writes in (True, False):
        both.write() if ours_writes else both.stock_writes()
        if ours_writes:
            both.stock("erase")
        else:
            device = both.ours()
            device.erase()
            device.finish()
        assert both.weed.keys_in(both.bucket) == ["slot-10-x"]
        assert both.ours().read_label().status & Status.VOLUME_UNLABELED


def test_a_short_last_block(both: Both) -> None:
    """Ours pads nothing, as stock's taper does not either; stock reads it to the byte."""
    both.data = [os.urandom(len(data) + 77) for data in both.data]
    both.write()
    both.check([0, 1, 2])

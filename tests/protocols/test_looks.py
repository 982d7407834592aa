"""What the beginning of a dump's data looks like."""

from __future__ import annotations

import bz2
import functools
import gzip
import io
import lzma
import random
import tarfile
import tracemalloc
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.looks import ENOUGH, Looks, looks_of

RAW = random.Random(0).randbytes(60_000)


def archive(form: int) -> bytes:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w", format=form) as tar:
        info = tarfile.TarInfo("./x")
        info.size = len(RAW)
        tar.addfile(info, io.BytesIO(RAW))
    return target.getvalue()


GNU = archive(tarfile.GNU_FORMAT)
DUMP = bytes(24) + (60012).to_bytes(4, "little") + RAW
XFS = b"xFSdump0" + RAW
ARCHIVES = {"tar": GNU, "dump": DUMP, "xfsdump": XFS, "": RAW}
PACKED: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "xz": functools.partial(lzma.compress, preset=0),
}


@pytest.mark.parametrize("packed", PACKED)
@pytest.mark.parametrize("kind", ARCHIVES)
def test_what_it_is(kind: str, packed: str) -> None:
    head = PACKED[packed](ARCHIVES[kind])[:ENOUGH]
    assert looks_of(head) == Looks(packed, kind)


def test_other_forms() -> None:
    for form in (tarfile.PAX_FORMAT, tarfile.USTAR_FORMAT):
        assert looks_of(archive(form)[:1000]) == Looks("", "tar")
    old = bytes(24) + (60011).to_bytes(4, "big") + bytes(4)
    assert looks_of(old) == Looks("", "dump")
    assert looks_of(b"\x28\xb5\x2f\xfd" + RAW) == Looks("zstd")
    assert looks_of(gzip.compress(GNU)[:40]) == Looks("gzip")


@pytest.mark.parametrize("packed", ["gzip", "bzip2", "xz"])
def test_marks_that_nothing_is_behind(packed: str) -> None:
    """Encrypted data may begin with any bytes."""
    assert looks_of(PACKED[packed](RAW)[:6] + RAW) == Looks()


@given(st.sampled_from([b"", b"\x1f\x8b\x08", b"BZh9", b"\xfd7zXZ\x00"]), st.binary(max_size=600))
def test_any_bytes(mark: bytes, data: bytes) -> None:
    assert isinstance(looks_of(mark + data), Looks)


@pytest.mark.parametrize("packed", ["gzip", "bzip2", "xz"])
def test_what_would_become_very_large(packed: str) -> None:
    """No more of it is made than is looked at."""
    head = PACKED[packed](bytes(8_000_000))[:ENOUGH]
    tracemalloc.start()
    try:
        assert looks_of(head) == Looks(packed)
        assert tracemalloc.get_traced_memory()[1] < 4_000_000
    finally:
        tracemalloc.stop()

"""The disk cache of a part [data-plane 2.3]."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest
from zope.interface.verify import verifyObject

from taper.plane.cache import DiskCache
from taper.plane.interfaces import CacheError, IReplay


def opened(directory: Path) -> DiskCache:
    cache = DiskCache(str(directory))
    cache.open()
    return cache


def test_the_cache_gives_back_the_current_part(tmp_path: Path) -> None:
    cache = opened(tmp_path)
    verifyObject(IReplay, cache)
    buffer = memoryview(bytearray(10))
    cache.append(memoryview(b"first"))
    cache.forget(5)
    cache.append(memoryview(b"second"))
    assert cache.reread(5, buffer) == 6
    assert buffer[:6] == b"second"
    assert cache.reread(8, buffer[:2]) == 2
    assert buffer[:2] == b"on"
    with pytest.raises(ValueError, match="not in the cache"):
        cache.reread(4, buffer)
    cache.close()
    cache.close()


def test_the_file_has_no_name_and_is_nobody_elses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[int, bytes]] = []
    unlink = os.unlink

    def spy(path: bytes) -> None:
        seen.append((stat.S_IMODE(os.stat(path).st_mode), os.path.basename(path)))
        unlink(path)

    monkeypatch.setattr(os, "unlink", spy)
    cache = opened(tmp_path)
    assert not list(tmp_path.iterdir())
    ((mode, name),) = seen
    assert mode == 0o600
    assert name.startswith(b"amanda-split-buffer-")
    cache.close()


def test_the_file_starts_over_with_each_part(tmp_path: Path) -> None:
    """A disk that holds one part is enough."""
    cache = opened(tmp_path)
    for number in range(1, 5):
        cache.append(memoryview(b"x" * 100))
        cache.forget(number * 100)
    assert os.fstat(cache._fd).st_size == 100
    cache.close()


def test_what_follows_the_forgotten_stays(tmp_path: Path) -> None:
    cache = opened(tmp_path)
    cache.append(memoryview(b"abcdef"))
    cache.forget(4)
    cache.append(memoryview(b"gh"))
    buffer = memoryview(bytearray(10))
    assert cache.reread(4, buffer) == 4
    assert buffer[:4] == b"efgh"
    cache.close()


def test_a_directory_that_is_not_there_is_named(tmp_path: Path) -> None:
    name = f"{tmp_path}/none"
    with pytest.raises(CacheError) as caught:
        DiskCache(name).open()
    assert str(caught.value) == f"Error creating cache file in '{name}': No such file or directory"


def test_a_full_disk_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = opened(tmp_path)

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(CacheError) as caught:
        cache.append(memoryview(b"x"))
    assert str(caught.value) == (
        f"Error writing to disk cache file in '{tmp_path}': No space left on device"
    )
    cache.close()


def test_a_cache_cut_short_is_an_error(tmp_path: Path) -> None:
    cache = opened(tmp_path)
    cache.append(memoryview(b"abc"))
    os.ftruncate(cache._fd, 0)
    with pytest.raises(CacheError, match=r"^Error reading disk cache: Unexpected EOF$"):
        cache.reread(0, memoryview(bytearray(3)))
    cache.close()
    with pytest.raises(CacheError, match=r"^Error reading disk cache: Bad file descriptor$"):
        cache.reread(0, memoryview(bytearray(3)))

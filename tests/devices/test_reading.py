"""Files of bounded length: read with no more memory than they need."""

from __future__ import annotations

import io
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices import regular
from devices.changers.state import StateFile
from devices.regular import read_at_most
from devices.tapelist_file import read_tapelist
from taper.run.log_index import load_index, save_index

MOST = 4 << 20


def _state(path: Path) -> None:
    with StateFile(str(path / "state")).locked() as state:
        state["a"] = 1


def _tapelist(path: Path) -> None:
    (path / "tapelist").write_bytes(b"0 A reuse\n")
    assert read_tapelist(str(path / "tapelist")).lookup("A") is not None


def _index(path: Path) -> None:
    save_index(str(path), {}, pytest.fail)
    assert load_index(str(path), {}, pytest.fail) == {}


@pytest.mark.parametrize("read", [_state, _tapelist, _index])
def test_a_small_file_needs_little_memory(tmp_path: Path, read: Callable[[Path], None]) -> None:
    """Though files up to 64 MiB are taken: under ``ulimit -v`` no taper could start else."""
    tracemalloc.start()
    try:
        read(tmp_path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < MOST


@given(st.binary(max_size=40), st.integers(0, 50), st.integers(1, 20))
def test_reading_at_most(data: bytes, limit: int, piece: int) -> None:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(regular, "_PIECE", piece)
        assert read_at_most(io.BytesIO(data), limit) == data[:limit]

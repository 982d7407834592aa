"""What is read before a library is loaded is what the loader then maps."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import crc32c
import posix_ipc
import pytest

from taper.plane.native import libraries, load, warm


@pytest.mark.parametrize("module", [crc32c, posix_ipc])
def test_what_is_read_is_what_is_loaded(module: object) -> None:
    """Each library of those that we use; the kernel tells what is mapped."""
    found = libraries(module.__name__)  # type: ignore[attr-defined]
    assert found
    mapped = Path("/proc/self/maps").read_text()
    assert all(str(Path(path).resolve()) in mapped for path in found)


def test_others_have_none() -> None:
    """A module of Python, a package of Python, and one that is not there."""
    assert [libraries(name) for name in ("colorsys", "json", "no_such_package")] == [[], [], []]


def test_a_library_is_read_whole_and_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before its package is imported, to the last byte; later it is not looked for any more."""
    package = tmp_path / "has_library"
    package.mkdir()
    (package / "__init__.py").touch()
    os.mkfifo(package / "part.abi3.so")
    monkeypatch.syspath_prepend(str(tmp_path))
    writer = threading.Thread(
        target=(package / "part.abi3.so").write_bytes, args=[bytes(3 << 20)], daemon=True
    )
    writer.start()
    warm("has_library")
    writer.join(60)
    assert not writer.is_alive(), "not all of it was read"
    monkeypatch.setitem(sys.modules, "has_library", sys)
    warm("has_library")  # would wait for a writer for ever


def test_what_computes_is_loaded_without_its_package() -> None:
    """No start waits for what the package imports besides; imported later, it has the same."""
    program = (
        "import sys; from taper.plane.crc import prepare, crc32c; prepare()\n"
        "assert 'crc32c' not in sys.modules and 'importlib.metadata' not in sys.modules\n"
        "value = crc32c(memoryview(b'123456789'), 0)\n"
        "import crc32c as package; from taper.plane.native import load\n"
        "assert load('crc32c', '_crc32c') is package\n"
        "assert value == package.crc32c(b'123456789') == 0xe3069283"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_a_package_without_that_module_is_had_as_a_whole() -> None:
    assert load("colorsys", "_no_such_part") is sys.modules["colorsys"]

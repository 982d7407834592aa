"""Small libraries that programs are made to load, so that they meet the world of a test."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def why_no_library() -> str | None:
    """Why none can be made here; None: they can."""
    return None if shutil.which("gcc") is not None else "no gcc here to make a library"


@contextmanager
def made_library(source: Path) -> Iterator[Path]:
    """Compile a library, for everybody to use. :return: its path, for LD_PRELOAD"""
    with tempfile.TemporaryDirectory(prefix=f"{source.stem}.", dir="/tmp") as directory:
        Path(directory).chmod(0o755)
        library = Path(directory) / f"{source.stem}.so"
        command = ["gcc", "-shared", "-fPIC", "-O1", "-Wall", "-o", str(library), str(source)]
        subprocess.run([*command, "-ldl"], check=True, timeout=120)
        library.chmod(0o755)
        yield library

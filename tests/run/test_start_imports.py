"""A start imports only what it needs: the driver waits for it, night after night."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
START = """
import sys
sys.path[:0] = {paths!r}
import taper.cli, taper.run.process
taper.run.process.import_reactor()
import taper.run.stdio, devices.changers.disk, devices.file
print(*sorted(set(sys.modules) & set({unwanted!r})))
"""
UNWANTED = ["OpenSSL", "argparse", "crc32c", "importlib.metadata", "protocols.ndmp"]


def test_a_start_leaves_out_what_only_a_dump_or_nobody_needs(tmp_path: Path) -> None:
    """Not the checksum's package, and not TLS even where it is installed."""
    (tmp_path / "OpenSSL.py").write_text("raise RuntimeError('imported at start')")
    code = START.format(paths=[str(tmp_path), str(ROOT)], unwanted=UNWANTED)
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, timeout=60
    )
    assert (done.stdout, done.stderr) == ("\n", "")

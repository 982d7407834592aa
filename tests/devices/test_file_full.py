"""Vtapes on a file system that is really full: a small tmpfs in a private mount namespace."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.devices.full_file_system import CASES

MOUNT = 'mount -t tmpfs -o size=2m none "$0" && exec "$@"'


@pytest.mark.parametrize("case", CASES)
def test_full(tmp_path: Path, case: str) -> None:
    """The end of the file system loses nothing that was accepted; see full_file_system.py."""
    inside = ["unshare", "-m", "sh", "-c", MOUNT, str(tmp_path)]
    try:
        probe = subprocess.run([*inside, "true"], capture_output=True, text=True)
    except FileNotFoundError:
        pytest.skip("needs unshare")
    if probe.returncode:
        pytest.skip(f"cannot mount a tmpfs in a namespace of its own: {probe.stderr[:200]}")
    done = subprocess.run(
        [*inside, sys.executable, "-m", "tests.devices.full_file_system", case, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr

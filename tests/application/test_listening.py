"""Listening to tar."""

from __future__ import annotations

import subprocess
import sys

import pytest

from taper.application.errors import ApplicationError
from taper.application.listening import listen_to
from tests.fakes.scarce import ScarceThreads


def test_without_a_thread_tar_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody would read what it says, and it would stand for ever."""
    tar = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
    scarce = ScarceThreads(monkeypatch, lambda number: True)
    scarce.begin()
    with pytest.raises(ApplicationError, match="cannot start thread"):
        listen_to(tar, lambda: None)
    assert tar.returncode == -9

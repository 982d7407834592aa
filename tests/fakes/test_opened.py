"""What this process has open is told one by one."""

from __future__ import annotations

import os
import threading
from pathlib import Path

from tests.opened import descriptors, threads


def test_what_is_opened_and_closed(tmp_path: Path) -> None:
    before = descriptors()
    file = os.open(tmp_path / "file", os.O_CREAT | os.O_RDWR)
    assert descriptors() - before == {(file, str(tmp_path / "file"))}
    again = os.dup(file)
    assert {number for number, _ in descriptors() - before} == {file, again}
    os.close(file)
    os.close(again)
    assert descriptors() <= before


def test_threads_of_a_name() -> None:
    go, there = threading.Event(), threading.Event()
    thread = threading.Thread(target=lambda: (there.set(), go.wait()), name="open 1")
    before = threads("open")
    thread.start()
    assert there.wait()
    assert threads("open") - before == {thread}
    go.set()
    thread.join()
    assert threads("open") <= before

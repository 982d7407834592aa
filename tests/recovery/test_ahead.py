"""Chunks that are read while others are sent: all of them, in their order, and none too many."""

from __future__ import annotations

import os
import threading

import pytest

from devices.threads import ThreadRefused
from taper.plane.interfaces import SourceError
from taper.recovery import ahead
from taper.recovery.ahead import Ahead
from tests.opened import threads
from tests.recovery.test_feed import Pieces

DATA = os.urandom(3 << 20)


def test_all_comes_in_its_order() -> None:
    reading = Ahead(Pieces(DATA))
    assert b"".join(map(bytes, reading.chunks())) == DATA
    reading.end()


def test_an_error_comes_behind_what_was_read() -> None:
    reading, got = Ahead(Pieces(DATA, "it broke")), b""

    def take() -> None:
        nonlocal got
        for chunk in reading.chunks():
            got += chunk

    with pytest.raises(SourceError, match="it broke"):
        take()
    assert got == DATA
    reading.end()


class Waiting(Pieces):
    """Gives nothing behind its first bytes before it may."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.may = threading.Event()
        self.asked = 0

    def read_into(self, buffer: memoryview) -> int:
        self.asked += 1
        if self.asked > 1:
            self.may.wait(60)
        return super().read_into(buffer)


def test_who_leaves_early_waits_for_what_is_being_read_and_no_more() -> None:
    """Whoever closes the source finds nobody who reads it."""
    before = threads("recovery reader")
    source = Waiting(DATA)
    reading = Ahead(source)
    chunks = reading.chunks()
    assert bytes(next(chunks)) == DATA[:100_000]
    threading.Timer(0.01, source.may.set).start()
    reading.end()
    asked = source.asked
    assert asked <= 3
    assert source.asked == asked
    assert threads("recovery reader") <= before


def test_without_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(name: str, target: object) -> threading.Thread:
        raise ThreadRefused(name, RuntimeError("can't start new thread"))

    monkeypatch.setattr(ahead, "start_thread", refuse)
    reading = Ahead(Pieces(DATA))
    assert b"".join(map(bytes, reading.chunks())) == DATA
    reading.end()

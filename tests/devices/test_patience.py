"""Waiting for locks, and who may end it."""

from __future__ import annotations

import threading

import pytest

from devices.patience import OwnStop, Patience, StopSet


def test_a_stop_of_ones_own() -> None:
    """It can be set and taken back, and nobody else hears of it."""
    together = threading.Event()
    stop, other = OwnStop(together), OwnStop(together)
    assert not stop.wait(0)
    stop.set()
    assert stop.is_set()
    assert stop.wait(0)
    with pytest.raises(StopSet):
        Patience(stop=stop).pause()
    assert not other.is_set()
    assert not together.is_set()
    stop.clear()
    Patience(stop=stop).pause()


def test_a_stop_for_all() -> None:
    """It stops everybody, and none of them can take it back."""
    together = threading.Event()
    stop = OwnStop(together)
    together.set()
    stop.clear()
    assert stop.is_set()
    assert stop.wait()
    with pytest.raises(StopSet):
        Patience(stop=stop).pause()

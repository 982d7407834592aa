"""The reading thread's way to the clerk, on a real reactor's terms."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from twisted.internet.defer import Deferred, fail, succeed

from taper.core.errors import SourceFault
from taper.flow.volume_change import VolumeChange
from taper.plane.interfaces import SourceError
from taper.plane.volumes import IReader
from tests.core.vaulting import Threads
from tests.fakes.device import FakeDevice


def in_thread(work: Callable[[], object], threads: Threads) -> object:
    """What ``work`` gives or raises in a thread, while the reactor goes on."""
    results: list[object] = []

    def run() -> None:
        try:
            results.append(work())
        except SourceError as error:
            results.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    while thread.is_alive():
        threads.call(0.01)
    return results[0]


def test_the_reader_waits_for_the_clerk() -> None:
    threads, device = Threads(), FakeDevice()
    asked: list[str] = []

    def fetch(label: str) -> Deferred[IReader]:
        asked.append(label)
        return succeed(device)

    change = VolumeChange(threads, fetch, lambda: None)
    assert in_thread(lambda: change.change_to("A"), threads) is device
    assert in_thread(lambda: change.change_to("B"), threads) is device
    assert asked == ["A", "B"]


@pytest.mark.parametrize(
    ("fault", "text"),
    [(SourceFault("not found"), "not found"), (KeyError("x"), "internal error: KeyError('x')")],
)
def test_what_the_clerk_fails_with_is_the_readers_error(fault: Exception, text: str) -> None:
    threads = Threads()
    change = VolumeChange(threads, lambda label: fail(fault), lambda: None)
    error = in_thread(lambda: change.change_to("A"), threads)
    assert isinstance(error, SourceError)
    assert str(error) == text


@pytest.mark.parametrize("before", [True, False])
def test_cancelling_ends_the_wait(before: bool) -> None:
    """Before it began, or in the middle of it; nobody is asked after that."""
    threads = Threads()
    asked: list[Deferred[Any]] = []
    stopped: list[str] = []

    def fetch(label: str) -> Deferred[Any]:
        asked.append(Deferred())
        threads.callFromThread(change.cancel)
        return asked[-1]

    change = VolumeChange(threads, fetch, lambda: stopped.append("reading"))
    if before:
        change.cancel()
    error = in_thread(lambda: change.change_to("A"), threads)
    assert isinstance(error, SourceError)
    assert len(asked) == (0 if before else 1)
    assert stopped == ["reading"]


def test_a_question_that_cannot_even_be_asked_is_answered() -> None:
    """The thread would wait for ever otherwise."""
    threads = Threads()

    def fetch(label: str) -> Deferred[IReader]:
        raise KeyError(label)

    change = VolumeChange(threads, fetch, lambda: None)
    error = in_thread(lambda: change.change_to("A"), threads)
    assert isinstance(error, SourceError)
    assert str(error) == "internal error: KeyError('A')"

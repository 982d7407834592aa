"""Source storages, and the reading thread's way to the clerk, on a real reactor's terms."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from twisted.internet.defer import Deferred, fail, succeed
from zope.interface.verify import verifyObject

from devices.interfaces import IAsyncDevice
from protocols.conf import load
from taper.core.interfaces import FeedError, IVaults
from taper.plane.interfaces import SourceError
from taper.run.setup import SetupFailed
from taper.run.vault_feed import VolumeChange
from taper.run.vaults import Vaults
from tests.core.vaulting import FakeVaults, Threads
from tests.fakes.device import FakeDevice


class Held:
    """As much of an asynchronous device as a reader is given."""

    def __init__(self) -> None:
        self.device = FakeDevice()


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
    threads, held = Threads(), Held()
    asked: list[str] = []

    def fetch(label: str) -> Deferred[IAsyncDevice]:
        asked.append(label)
        return succeed(held)  # type: ignore[arg-type]

    change = VolumeChange(threads, fetch)
    assert in_thread(lambda: change.change_to("A"), threads) is held.device
    assert in_thread(lambda: change.change_to("B"), threads) is held.device
    assert asked == ["A", "B"]


@pytest.mark.parametrize(
    ("fault", "text"),
    [(FeedError("not found"), "not found"), (KeyError("x"), "internal error: KeyError('x')")],
)
def test_what_the_clerk_fails_with_is_the_readers_error(fault: Exception, text: str) -> None:
    threads = Threads()
    change = VolumeChange(threads, lambda label: fail(fault))
    error = in_thread(lambda: change.change_to("A"), threads)
    assert isinstance(error, SourceError)
    assert str(error) == text


@pytest.mark.parametrize("before", [True, False])
def test_cancelling_ends_the_wait(before: bool) -> None:
    """Before it began, or in the middle of it; nobody is asked after that."""
    threads = Threads()
    asked: list[Deferred[Any]] = []

    def fetch(label: str) -> Deferred[Any]:
        asked.append(Deferred())
        threads.callFromThread(change.cancel)
        return asked[-1]

    change = VolumeChange(threads, fetch)
    if before:
        change.cancel()
    error = in_thread(lambda: change.change_to("A"), threads)
    assert isinstance(error, SourceError)
    assert len(asked) == (0 if before else 1)


def test_storages_that_cannot_be_opened() -> None:
    """The texts arrive as input errors."""
    text = b'define storage near {\n  tpchanger "chg-disk:/nowhere"\n}\nstorage "near"\n'
    config = load("CONF", {"/etc/amanda/CONF/amanda.conf": text}.get).config

    def refuse(storage: object) -> Any:
        raise SetupFailed("directory '/nowhere' does not exist")

    vaults = Vaults(None, config, lambda name: None, refuse)  # type: ignore[arg-type, return-value]
    verifyObject(IVaults, vaults)
    verifyObject(IVaults, FakeVaults(None))  # type: ignore[arg-type]
    with pytest.raises(FeedError, match="Storage 'far' not found"):
        vaults.open_changer("far")
    with pytest.raises(FeedError, match="directory '/nowhere' does not exist") as caught:
        vaults.open_changer("near")
    assert not caught.value.device

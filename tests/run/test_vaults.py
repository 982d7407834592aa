"""Source storages, and the reading thread's way to the clerk, on a real reactor's terms."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from twisted.internet.defer import Deferred, fail, succeed
from zope.interface.verify import verifyObject

from protocols.conf import load
from taper.core.interfaces import FeedError, IVaults
from taper.plane.interfaces import SourceError
from taper.plane.volumes import IReader
from taper.run.setup import SetupFailed
from taper.run.vault_feed import VolumeChange
from taper.run.vaults import Vaults
from tests.core.vaulting import FakeVaults, Threads
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
    [(FeedError("not found"), "not found"), (KeyError("x"), "internal error: KeyError('x')")],
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


def test_storages_that_cannot_be_opened() -> None:
    """The texts arrive as input errors."""
    text = b'define storage near {\n  tpchanger "chg-disk:/nowhere"\n}\nstorage "near"\n'
    config = load("CONF", {"/etc/amanda/CONF/amanda.conf": text}.get).config

    def refuse(storage: object) -> Any:
        raise SetupFailed("directory '/nowhere' does not exist")

    own = config.storages()[0]
    vaults = Vaults(None, config, own, lambda name: None, refuse)  # type: ignore[arg-type, return-value]
    verifyObject(IVaults, vaults)
    verifyObject(IVaults, FakeVaults(None))  # type: ignore[arg-type]
    with pytest.raises(FeedError, match="Storage 'far' not found"):
        vaults.open_changer("far")
    with pytest.raises(FeedError, match="directory '/nowhere' does not exist") as caught:
        vaults.open_changer("near")
    assert not caught.value.device


def test_one_drive_for_both() -> None:
    """However it is called: nothing is opened."""
    text = b"""
define device tape {
  tapedev "ndmp:server@d0"
}
define changer lone {
  tpchanger "chg-single:tape"
}
define storage near {
  tpchanger "lone"
}
define storage far {
  tpchanger "ndmp:server@d0"
}
define storage other {
  tpchanger "ndmp:server@d1"
}
storage "near"
"""
    config = load("CONF", {"/etc/amanda/CONF/amanda.conf": text}.get).config
    opened: list[object] = []
    own = config.storages()[0]
    vaults = Vaults(None, config, own, lambda name: None, opened.append)  # type: ignore[arg-type, return-value]
    drive = "far and near have the same single drive 'ndmp:server@d0'"
    with pytest.raises(FeedError, match=drive):
        vaults.open_changer("far")
    assert not opened
    vaults.open_changer("other")
    assert len(opened) == 1

"""A store of objects that falls silent does not hold QUIT, whatever it was asked last."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path

import pytest
from pytest_twisted import ensureDeferred
from twisted.internet import reactor

from devices import s3_asking, s3_link, s3_writing
from tests.fakes.s3_store import MemoryStore
from tests.run.sessions import PATIENCE
from tests.run.silent import SilentRun

FEW = 0.05
"""Seconds that stand for QUIT_GRACE; all other deadlines are as they are, minutes and more."""
BLOCK = 16 * 1024


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[MemoryStore]:
    """In the place of the one that the configuration names."""
    store = MemoryStore()
    terms = functools.partial(s3_asking.Terms, grace=FEW)
    monkeypatch.setattr(s3_asking, "Terms", terms)
    monkeypatch.setattr(s3_writing, "LEAST_PART", 2 * BLOCK)
    monkeypatch.setattr(s3_link.S3Link, "store", store)
    yield store
    store.answer.set()


class Run(SilentRun):
    """One conversation with a taper whose volume is in the store.

    :param nth: number of the request from which on the store is silent
    """

    def __init__(self, root: Path, store: MemoryStore, nth: int, whole: bool) -> None:
        root.mkdir()
        self.store = store
        self._left = nth
        store.objects.clear()
        store.uploads_begun.clear()
        store.hang = self._hang
        own = f'device-property "BLOCK-SIZE" "{BLOCK}"\n'
        own += f'device-property "S3_MULTI_PART_UPLOAD" "{"yes" if whole else "no"}"\n'
        super().__init__(root, "chg-single:s3:bucket/slot-1-", own)

    def _hang(self, operation: str, key: str) -> bool:
        with self.store.lock:
            self._left -= 1
            if self._left == 0:
                reactor.callFromThread(self.silent.callback, None)  # type: ignore[attr-defined]
            return self._left <= 0

    async def quit(self) -> None:
        """All is released before anybody has lost patience."""
        ended = self.session.quit()
        ended.addTimeout(PATIENCE, reactor)  # type: ignore[arg-type]
        await ended


@pytest.mark.parametrize("whole", [False, True])
@ensureDeferred
async def test_quit_does_not_wait_for_the_answer(
    tmp_path: Path, store: MemoryStore, whole: bool
) -> None:
    """Whichever request it was that the store no longer answered."""
    silent = True
    requests = 0
    while silent:
        requests += 1
        run = Run(tmp_path / str(requests), store, requests, whole)
        silent = await run.until_silence(run.from_holding())
        await run.quit()
    assert requests > 10

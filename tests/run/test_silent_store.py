"""A store of objects that falls silent does not hold QUIT, whatever it was asked last."""

from __future__ import annotations

import functools
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest
from pytest_twisted import ensureDeferred
from twisted.internet import reactor
from twisted.internet.defer import Deferred

from devices import s3_asking, s3_link, s3_writing
from tests.fakes.s3_store import MemoryStore
from tests.plane.dumping import write_holding
from tests.run.sessions import HANDLE, PATIENCE, START, WORKER, first, make_place, write_line
from tests.run.test_session import open_session, tell

DATA = bytes(range(256)) * 400
FEW = 0.05
"""Seconds that stand for QUIT_GRACE; all other deadlines are as they are, minutes and more."""
ENDS = ("DONE", "PARTIAL", "FAILED")
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


class Run:
    """One conversation with a taper whose volume is in the store.

    :param nth: number of the request from which on the store is silent
    """

    def __init__(self, root: Path, store: MemoryStore, nth: int, whole: bool) -> None:
        root.mkdir()
        self.store = store
        self.silent: Deferred[None] = Deferred()
        self._left = nth
        store.objects.clear()
        store.uploads_begun.clear()
        store.hang = self._hang
        self.holding = write_holding(str(root), DATA, 100_000)
        place = make_place(root)
        conf = root / "etc/C/amanda.conf"
        text = conf.read_text().replace(f"chg-disk:{root}/vtapes", "chg-single:s3:bucket/slot-1-")
        own = f'device-property "BLOCK-SIZE" "{BLOCK}"\n'
        own += f'device-property "S3_MULTI_PART_UPLOAD" "{"yes" if whole else "no"}"\n'
        conf.write_text(own + text)
        self.session, self.heard = open_session(place)

    def _hang(self, operation: str, key: str) -> bool:
        with self.store.lock:
            self._left -= 1
            if self._left == 0:
                reactor.callFromThread(self.silent.callback, None)  # type: ignore[attr-defined]
            return self._left <= 0

    async def ask(self, line: str, *words: str) -> str:
        """Say a line. :return: the reply that begins with one of the words"""
        reply = first([self.heard.hear(word) for word in words])
        tell(self.session, line)
        return await reply

    def grant_all(self) -> None:
        def granted(_: str) -> None:
            tell(self.session, f"NEW-TAPE {WORKER} {HANDLE}")
            self.grant_all()

        self.heard.hear("REQUEST-NEW-TAPE").addCallbacks(granted, lambda _: None)

    async def night(self) -> None:
        """A volume, a dump, and the volume is given back."""
        await self.ask(START, "TAPER-OK", "TAPE-ERROR")
        self.grant_all()
        assert (await self.ask(write_line(self.holding), *ENDS)).startswith("DONE")
        await self.ask(f"CLOSE-VOLUME {WORKER}", "CLOSED-VOLUME")

    async def until_silence(self, story: Coroutine[Deferred[Any], Any, None]) -> bool:
        """Let the story go on until the store falls silent. :return: it did"""
        over: Deferred[None] = Deferred()
        going = Deferred.fromCoroutine(story)
        for one in (going, self.silent):
            one.addBoth(lambda _: over.called or over.callback(None))
        await over
        if not self.silent.called:
            await going
        return bool(self.silent.called)

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
        silent = await run.until_silence(run.night())
        await run.quit()
    assert requests > 10

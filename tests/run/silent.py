"""Runs of a taper whose device falls silent, as a server or a store may."""

from __future__ import annotations

from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred

from tests.plane.dumping import write_holding
from tests.run.sessions import HANDLE, START, WORKER, first, make_place, write_line
from tests.run.test_session import open_session, tell

DATA = bytes(range(256)) * 400
ENDS = ("DONE", "PARTIAL", "FAILED")


class SilentRun:
    """One conversation with a taper.

    :ivar silent: fires when its device falls silent.
    """

    def __init__(self, root: Path, changer: str, settings: str) -> None:
        """:param settings: more lines of the configuration"""
        self.silent: Deferred[None] = Deferred()
        self.holding = write_holding(str(root), DATA, 100_000)
        place = make_place(root)
        conf = root / "etc/C/amanda.conf"
        conf.write_text(settings + conf.read_text().replace(f"chg-disk:{root}/vtapes", changer))
        self.session, self.heard = open_session(place)

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

    async def from_holding(self) -> None:
        """All of a night: a volume, a dump, and the volume is given back."""
        await self.ask(START, "TAPER-OK", "TAPE-ERROR")
        self.grant_all()
        assert (await self.ask(write_line(self.holding), *ENDS)).startswith("DONE")
        await self.ask(f"CLOSE-VOLUME {WORKER}", "CLOSED-VOLUME")

    async def until_silence(self, story: Coroutine[Deferred[Any], Any, None]) -> bool:
        """Let the story go on until the device falls silent. :return: it did"""
        over: Deferred[None] = Deferred()
        going = Deferred.fromCoroutine(story)
        for one in (going, self.silent):
            one.addBoth(lambda _: over.called or over.callback(None))
        await over
        if not self.silent.called:
            await going
        return self.silent.called

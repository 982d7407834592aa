"""The pages, as the doors ask for them: each is made in a thread, of the books that are there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from twisted.web import http

from devices.lane import Lane
from taper.people.web.asked import Asked
from taper.people.web.doors import PLAIN, Answerer, Reply, make_factory
from taper.people.web.library import Library, Reader
from taper.people.web.live import Live
from taper.people.web.metrics import CONTENT_TYPE, exposition
from taper.people.web.pages import PATHS, NoSuchPage, Room
from taper.people.web.runs import Runs
from taper.people.web.sheets import prepare

if TYPE_CHECKING:
    from twisted.protocols.policies import WrappingFactory

    from protocols.status import Snapshot
    from taper.people.site import Site
    from taper.people.web.books import Books

EVENTS = "/now/events"
"""Where browsers are told what runs now."""


class Pages:
    """All pages of one configuration."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._library = Library(site.reactor, Reader(site).read)
        self._runs = Runs(site.config)
        self._lane = Lane(site.reactor, "pages")
        self._lane.call(prepare)
        self._live = Live(site, self._lane.call)

    async def begin(self) -> None:
        """Read all that there is, so that no browser waits for it."""
        self._live.begin()
        await self._library.books()

    def factory(self, names: Sequence[str]) -> WrappingFactory:
        """What answers connections.

        :param names: see :func:`taper.people.web.doors.is_ours`
        """
        answerers = {path: self._answerer(name) for name, path in PATHS.items()}
        answerers["/metrics"] = self._metrics
        return make_factory(answerers, {EVENTS: self._live.stream}, names, self._site.reactor)

    def _answerer(self, name: str) -> Answerer:
        async def answer(asked: Asked) -> Reply:
            books = await self._library.books()
            if books is None:
                return self._closed()
            return await self._lane.call(self._make, name, books, asked, self._live.snapshots())

        return answer

    def _make(self, name: str, books: Books, asked: Asked, running: list[Snapshot]) -> Reply:
        room = Room(
            books=books,
            runs=self._runs,
            now=self._site.now(),
            trouble=self._library.trouble,
            running=running,
        )
        try:
            return Reply(body=room.page(name, asked).encode())
        except NoSuchPage as fault:
            return Reply(body=room.wrong(str(fault)).encode(), code=http.NOT_FOUND)

    async def _metrics(self, asked: Asked) -> Reply:
        books = await self._library.books()
        if books is None:
            return self._closed()
        trouble = self._library.trouble
        body = await self._lane.call(exposition, books, trouble is None)
        return Reply(body=body, kind=CONTENT_TYPE)

    def _closed(self) -> Reply:
        text = f"The files of {self._site.config.name} cannot be read: {self._library.trouble}\n"
        return Reply(
            body=text.encode("utf-8", "backslashreplace"),
            kind=PLAIN,
            code=http.SERVICE_UNAVAILABLE,
        )

    async def close(self) -> None:
        """Hang up, and end the threads."""
        self._live.close()
        await self._library.close()
        await self._lane.stop()

"""Who reads the books again, and when: never in the reactor's thread, and never for long for
whoever waits."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred

from devices.lane import Lane
from devices.tapelist_file import read_tapelist
from taper.last_words import CannotStart, sentence
from taper.people.catalogue import make_catalogue
from taper.people.doctor.visit import examine
from taper.people.monitor import known_disks, read_disks
from taper.people.reading import lives, read_held
from taper.people.running import EXPECTED, told
from taper.people.volumes import Telling, find
from taper.people.web.books import Books, nights_of
from taper.people.web.logs import Logs, of_volumes

if TYPE_CHECKING:
    from twisted.python.failure import Failure

    from protocols.conf import Config
    from taper.people.last_night import DiskName
    from taper.people.site import Site

FRESH = 5.0
"""Seconds for which what was read counts as new."""
OLD = 60.0
"""Seconds after which it is put together anew though no file has changed: retention depends on the
day, and advice on what no log tells of."""
PATIENCE = 0.05
"""Seconds that a request waits for news, if there is something older to be shown."""


class Reader:
    """Makes books; it blocks, and one thread at a time uses it."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._logs = Logs(site.config)
        self._history = site.history()
        self._last: tuple[object, Books] | None = None

    def read(self) -> Books:
        """The books as they are now.

        :raise OSError: something cannot be read
        :raise TapelistError: the tapelist is damaged
        """
        site, config, now = self._site, self._site.config, self._site.now()
        tapelist = read_tapelist(config.path(config.general.tapelist))
        logs = self._logs.read(tapelist)
        held = read_held(config)
        going = [
            log.path
            for log in logs
            if (run := log.run) and not run.finished and run.pid is not None and lives(run.pid)
        ]
        basis = (tapelist, logs, held, going)
        if self._last is not None and self._last[0] == basis:
            books = self._last[1]
            if 0 <= now - books.read_at < OLD:
                return books
        catalogue = make_catalogue(tapelist, of_volumes(logs, tapelist), held)
        self._history.read()
        retention = self._history.retention_at(tapelist, now)
        storages = site.storages(None)
        telling = Telling(config, catalogue, retention, storages)
        found = find(catalogue, retention, storages, (), all_storages=True)
        books = Books(
            config=config.name,
            read_at=now,
            catalogue=catalogue,
            volumes=tuple(telling.record(one) for one in found),
            nights=nights_of(logs, going),
            disks=known_disks(_disks(config), catalogue),
            advice=tuple(examine(config, storages, catalogue, (), now)),
        )
        self._last = basis, books
        return books


def _disks(config: Config) -> list[DiskName]:
    try:
        return read_disks(config)
    except (CannotStart, OSError):
        return []  # doctor's advice tells of it


class Library:
    """Has the books that were read last.

    :ivar trouble: why they could not be read again; None: they could.
    """

    def __init__(self, reactor: Any, read: Callable[[], Books]) -> None:
        self._reactor = reactor
        self._read = read
        self._lane = Lane(reactor, "books")
        self._books: Books | None = None
        self._asked = float("-inf")
        self._waiting: list[Deferred[None]] = []
        self._reading = False
        self.trouble: str | None = None

    async def books(self) -> Books | None:
        """What there is now, or a moment ago; None: it could never be read, and ``trouble`` says
        why."""
        if not self._reading and self._reactor.seconds() - self._asked >= FRESH:
            self._begin()
        if self._reading:
            await self._news()
        return self._books

    def _begin(self) -> None:
        self._reading = True
        self._asked = self._reactor.seconds()
        self._lane.call(self._read).addCallbacks(self._keep, self._fail).addCallback(self._tell)

    def _keep(self, books: Books) -> None:
        self._books, self.trouble = books, None

    def _fail(self, failure: Failure) -> None:
        fault = failure.value
        if isinstance(fault, EXPECTED):
            self.trouble = told(fault)
        elif isinstance(fault, Exception):
            self.trouble = sentence(fault)
        else:
            failure.raiseException()

    def _tell(self, _: object) -> None:
        self._reading = False
        waiting, self._waiting = self._waiting, []
        for one in waiting:
            one.callback(None)

    async def _news(self) -> None:
        waiting: Deferred[None] = Deferred()
        self._waiting.append(waiting)
        if self._books is None:
            await waiting
            return
        enough = self._reactor.callLater(PATIENCE, self._leave, waiting)
        await waiting
        if enough.active():
            enough.cancel()

    def _leave(self, waiting: Deferred[None]) -> None:
        self._waiting.remove(waiting)
        waiting.callback(None)

    async def close(self) -> None:
        """End the thread."""
        await self._lane.stop()

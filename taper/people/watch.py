"""``taperctl watch``: what all running tapers do, as they do it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import CancelledError, Deferred

from protocols.status import config_of
from taper.last_words import CannotStart
from taper.people.exits import Exit
from taper.people.screen import Style
from taper.people.tapers import ENDED, Taper, Tapers
from taper.people.telling import Answer
from taper.people.watch_view import NOBODY, lines_of, progress_of, view

if TYPE_CHECKING:
    import argparse

    from protocols.status import Event, Snapshot
    from taper.people.site import Station
    from taper.people.telling import Table

REDRAWN = 0.25
"""Seconds between two pictures."""
TOLD = 30.0
"""Seconds between two lines of how far a dump is, where there is no terminal."""


async def watch(site: Station, options: argparse.Namespace) -> Answer:
    """See :mod:`taper.people.commands`."""
    if options.once:
        return await _once(site, options.config)
    kind = {Style.JSON: _Lines, Style.PLAIN: _Words, Style.TERMINAL: _Picture}[site.screen.style]
    watching = kind(site, options.config)
    tapers = _tapers(site, watching.told)
    watching.tapers = tapers
    tapers.begin()
    try:
        await watching.forever()
    except CancelledError:
        pass  # who watches has seen enough, and that is how it ends
    finally:
        watching.close()
        tapers.close()
    site.screen.style = Style.PLAIN  # all was said, and an empty object would be one too many
    return Answer(record={})


def _tapers(site: Station, told: Any) -> Tapers:
    return Tapers(site.reactor, site.paths.tmpdir, site.call, told, site.screen.warn)


def _wanted(taper: Taper, config: str | None) -> Snapshot | None:
    """What a taper has told, if it has, and is one of those that are to be shown."""
    snapshot = taper.snapshot
    if snapshot is None or (config is not None and config_of(snapshot) != config):
        return None
    return snapshot


async def _once(site: Station, config: str | None) -> Answer:
    """:raise CannotStart: nobody can be looked for"""
    silent: dict[str, str] = {}
    troubles: list[str] = []

    def told(taper: Taper, events: list[Event]) -> None:
        if taper.snapshot is None and taper.over not in (None, ENDED):
            silent[taper.path] = str(taper.over)

    tapers = Tapers(site.reactor, site.paths.tmpdir, site.call, told, troubles.append)
    tapers.begin()
    try:
        await tapers.ready
        found = [
            (taper.path, snapshot)
            for taper in tapers.running.values()
            if (snapshot := _wanted(taper, config)) is not None
        ]
    finally:
        tapers.close()
    if troubles:
        raise CannotStart(f"nobody can tell which tapers run: {'; '.join(troubles)}", code=8009)
    for path, why in silent.items():
        site.screen.warn(f"a taper runs, and tells nothing ({path}): {why}")
    shown = view((snapshot for _, snapshot in found), site.now()) if found or not silent else ()
    return Answer(
        record={
            "schema": "taper/watch/1",
            "tapers": [{"socket": path, "snapshot": snapshot} for path, snapshot in found],
        },
        shown=shown,
        exit=Exit.FOUND if silent else Exit.WELL,
    )


class _Watching:
    """Shows what is told, until somebody has seen enough."""

    tapers: Tapers

    def __init__(self, site: Station, config: str | None) -> None:
        self._site = site
        self._config = config
        self._timer: Any = None
        self._over: Deferred[None] = Deferred()

    async def forever(self) -> None:
        """:raise CancelledError: somebody has seen enough
        :raise OSError: nobody reads what we say
        """
        self._again()
        await self._over

    def _again(self) -> None:
        self._timer = self._site.reactor.callLater(self._look(), self._again)

    def close(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()

    def _look(self) -> float:
        """Show how things are now. :return: seconds until it is wanted again"""
        return TOLD

    def told(self, taper: Taper, events: list[Event]) -> None:
        """See :class:`~taper.people.tapers.Tapers`."""

    def _snapshots(self) -> list[Snapshot]:
        found = (_wanted(taper, self._config) for taper in self.tapers.running.values())
        return [snapshot for snapshot in found if snapshot is not None]

    def _say(self, *lines: Table | str) -> None:
        if self._over.called:
            return
        try:
            for line in lines:
                self._site.screen.show(line)
        except OSError as fault:
            self._over.errback(fault)


class _Words(_Watching):
    """Lines, for whatever is no terminal."""

    def __init__(self, site: Station, config: str | None) -> None:
        super().__init__(site, config)
        self._known: set[str] = set()
        self._begun = False

    async def forever(self) -> None:
        await self.tapers.ready
        if not self._snapshots():
            self._say(NOBODY)
        await super().forever()

    def _look(self) -> float:
        for snapshot in self._snapshots() if self._begun else ():
            self._say(*progress_of(snapshot, self._site.now()))
        self._begun = True
        return TOLD

    def told(self, taper: Taper, events: list[Event]) -> None:
        snapshot = _wanted(taper, self._config)
        if snapshot is None:
            return
        if taper.path not in self._known:
            self._known.add(taper.path)
            self._say(*view([snapshot], self._site.now()))
        for event in events:
            self._say(*lines_of(snapshot, event))
        if taper.over is not None:
            self._known.discard(taper.path)
            self._say(f"{taper.path}: {taper.over}")


class _Lines(_Watching):
    """What the tapers tell, as they tell it, for programs."""

    def told(self, taper: Taper, events: list[Event]) -> None:
        snapshot = _wanted(taper, self._config)
        if snapshot is None:
            return
        if taper.over is not None:
            self._tell(taper, over=taper.over)
        elif not events:
            self._tell(taper, snapshot=snapshot)
        for event in events:
            self._tell(taper, event=event)

    def _tell(self, taper: Taper, **more: Any) -> None:
        self._say(json.dumps({"socket": taper.path, **more}))


class _Picture(_Watching):
    """A picture that changes, on a terminal."""

    def __init__(self, site: Station, config: str | None) -> None:
        super().__init__(site, config)
        self._picture = site.screen.picture()

    def _look(self) -> float:
        try:
            self._picture.draw(view(self._snapshots(), self._site.now()))
        except OSError as fault:  # the terminal is gone
            self._over.errback(fault)
        return REDRAWN

    def close(self) -> None:
        super().close()
        self._picture.close()

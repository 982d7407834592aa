"""What stands on which page. Everything here runs in a thread of its own, beside the reactor."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from attrs import frozen

from protocols.stored import BrokenPart
from taper.last_words import CannotStart
from taper.people.catalogue import Copy, HeldDump
from taper.people.last_night import Fate
from taper.people.restore.finding import level_number, lost, restorables
from taper.people.restore.plan import HOLDING, choose, make_plan
from taper.people.watch_view import view
from taper.people.watching import about, seconds_of
from taper.people.web.asked import Asked, address, leaf_of
from taper.people.web.charts import MOST_SEGMENTS, draw, heat_map, segments
from taper.people.web.sheets import ask, of_volume, sheet

if TYPE_CHECKING:
    from protocols.status import Snapshot
    from taper.people.restore.plan import Plan
    from taper.people.web.books import Books, Dump
    from taper.people.web.runs import Runs

VOLUMES, DUMPS, NIGHTS, PARTS, FAILURES = 50, 100, 60, 200, 100
"""Rows of a page."""
_LAST_RUNS = 20
"""Runs whose failures are told of."""
_SEGMENTS_ALONE = 400

REMEDIES = {
    Fate.FAILED: "Nothing of it was stored, and the next run tries again. If the text speaks of "
    "the client, amcheck -c tells more; if of a volume, taperctl check says what is left.",
    Fate.PARTIAL: "What is on the volumes is not whole. If the dump is held, amflush writes it; "
    "else the next run dumps the disk.",
    Fate.MISSING: "The run died before it came to it. See its report; amcleanup puts its log away.",
}


class NoSuchPage(Exception):
    """There is no page of that name, or nothing to be told on it; the text says so."""


@frozen(kw_only=True)
class Room:
    """What the pages are made of.

    :ivar now: seconds since the epoch.
    :ivar trouble: why the books are not those of this moment; None: they are.
    :ivar running: what tapers do at this moment.
    """

    books: Books
    runs: Runs
    now: float
    trouble: str | None
    running: Sequence[Snapshot]

    def page(self, name: str, asked: Asked) -> str:
        """Make a page.

        :raise NoSuchPage: there is none
        """
        return self._sheet(name, **_PAGES[name](self, asked))

    def wrong(self, text: str) -> str:
        """The page that stands in place of one that there is not."""
        return self._sheet("wrong", title="Nothing is here", text=text)

    def _sheet(self, name: str, **values: Any) -> str:
        read_at = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(self.books.read_at))
        return sheet(
            name,
            config=self.books.config,
            known=self.books.by_label,
            read_at=read_at,
            trouble=self.trouble,
            **values,
        )


def _now(room: Room, asked: Asked) -> dict[str, Any]:
    books = room.books
    disks: list[dict[str, Any]] = []
    for disk in books.disks:
        last = disk.last()
        begun = None if last is None else seconds_of(last.datestamp)
        disks.append(
            {
                "host": disk.host,
                "disk": disk.disk,
                "last": last,
                "age": None if begun is None else about(max(int(room.now - begun), 0)),
                "seconds": float("inf") if begun is None else room.now - begun,
            }
        )
    disks.sort(key=lambda one: -one["seconds"])
    volumes = books.volumes
    return {
        "night": books.nights[0] if books.nights else None,
        "disks": leaf_of(disks, asked, DUMPS, "/"),
        "advice": books.advice,
        "total": len(volumes),
        "free": sum(volume["overwritable"] is True for volume in volumes),
        "held": books.catalogue.held,
        "shown": view(room.running, room.now),
    }


def _volumes(room: Room, asked: Asked) -> dict[str, Any]:
    found = ask(asked, "find")
    volumes = [one for one in room.books.volumes if found.lower() in (one["label"] or "").lower()]
    leaf = leaf_of(volumes, asked, VOLUMES, "/volumes", find=found or None)
    bars = {volume["label"]: _bar(room, volume, MOST_SEGMENTS) for volume in leaf.items}
    return {"leaf": leaf, "bars": bars, "find": found, "of_volume": of_volume}


def _bar(room: Room, volume: Mapping[str, Any], most: int) -> list[Any]:
    numbers: dict[int, int] = {}
    parts = [
        (numbers.setdefault(id(copy), len(numbers)), part.about, isinstance(part, BrokenPart))
        for copy, part in room.books.catalogue.parts_on(volume["label"])
    ]
    return segments(parts, volume["capacity"], most)


def _volume(room: Room, asked: Asked) -> dict[str, Any]:
    label = ask(asked, "label")
    volume = room.books.by_label.get(label)
    if volume is None:
        raise NoSuchPage("There is no such volume in the tapelist.")
    parts = room.books.catalogue.parts_on(label)
    return {
        "volume": volume,
        "bar_of_it": _bar(room, volume, _SEGMENTS_ALONE),
        "leaf": leaf_of(parts, asked, PARTS, "/volume", label=label),
        "of_volume": of_volume,
        "dump_address": dump_address,
        "is_broken": _is_broken,
    }


def _dumps(room: Room, asked: Asked) -> dict[str, Any]:
    books, host, disk = room.books, ask(asked, "host"), ask(asked, "disk")
    dumps: Any = books.dumps
    if host or disk:
        dumps = [
            dump
            for name, those in books.by_disk.items()
            if (not host or name[0].lower() == host.lower()) and disk in ("", name[1])
            for dump in those
        ]
    words = {"host": host or None, "disk": disk or None}
    return {
        "leaf": leaf_of(dumps, asked, DUMPS, "/dumps", **words),
        "host": host,
        "disk": disk,
        "dump_address": dump_address,
        "is_held": lambda dump: isinstance(dump, HeldDump),
    }


def _dump(room: Room, asked: Asked) -> dict[str, Any]:
    name = ask(asked, "host"), ask(asked, "disk")
    wanted = address("/dump", **{word: asked.text(word) for word in _OF_A_DUMP})
    those = room.books.by_disk.get(name, ())
    dump = next((one for one in those if dump_address(one) == wanted), None)
    if dump is None:
        raise NoSuchPage("There is no such dump. Its volumes may have been written again since.")
    places: tuple[Any, ...] = () if isinstance(dump, HeldDump) else dump.dump.places
    words = {word: asked.text(word) for word in _OF_A_DUMP}
    return {
        "dump": dump,
        "held": isinstance(dump, HeldDump),
        "host": name[0],
        "disk": name[1],
        "leaf": leaf_of(places, asked, PARTS, "/dump", **words),
        "is_broken": _is_broken,
        **_plan(room, name, dump),
    }


_OF_A_DUMP = ("host", "disk", "at", "level", "storage", "written")


def dump_address(dump: Dump) -> str:
    """The page of a dump."""
    words: tuple[str | None, ...]
    if isinstance(dump, HeldDump):
        words = (dump.host, dump.disk, dump.datestamp, dump.level, HOLDING, None)
    else:
        of = dump.dump.name
        words = (of.host, of.disk, of.datestamp, of.level, of.storage, dump.dump.written)
    return address("/dump", **dict(zip(_OF_A_DUMP, words, strict=True)))


def _is_broken(part: object) -> bool:
    return isinstance(part, BrokenPart)


def _plan(room: Room, name: tuple[str, str], dump: Dump) -> dict[str, Any]:
    """How the disk is restored as it was then."""
    host, disk = name
    stamp = dump.datestamp if isinstance(dump, HeldDump) else dump.dump.name.datestamp
    catalogue = room.books.catalogue
    if not dump.restorable:
        return {"plan": None, "why": None, "command": None}
    level = level_number(dump.level if isinstance(dump, HeldDump) else dump.dump.name.level)
    copies = [one for one in restorables(catalogue, host, disk) if one.key <= (stamp, level)]
    try:
        chain = choose(copies, stamp, None)
        plan: Plan = make_plan(host, disk, chain, {}, {}, lost=lost(catalogue, host, disk))
    except CannotStart as fault:
        return {"plan": None, "why": str(fault), "command": None}
    at = f"{stamp[:4]}-{stamp[4:6]}-{stamp[6:8]} {stamp[8:10]}:{stamp[10:12]}:{stamp[12:14]}"
    words = ("taperctl", "restore", room.books.config, host, disk, at, "--to", "DIRECTORY")
    return {"plan": plan, "why": None, "command": shlex.join(words)}


def _nights(room: Room, asked: Asked) -> dict[str, Any]:
    nights = room.books.nights
    return {
        "leaf": leaf_of(nights, asked, NIGHTS, "/nights"),
        "map": heat_map(nights, room.now),
    }


def _night(room: Room, asked: Asked) -> dict[str, Any]:
    stamp = ask(asked, "run")
    night = room.books.by_stamp.get(stamp)
    if night is None:
        raise NoSuchPage("There is no log of such a run.")
    timeline = room.runs.timeline(stamp)
    copies = [Copy(dump=dump) for dump in night.dumps]
    return {
        "night": night,
        "timeline": timeline,
        "drawing": None if timeline is None else draw(timeline),
        "leaf": leaf_of(copies, asked, DUMPS, "/night", run=stamp),
        "dump_address": dump_address,
    }


def _errors(room: Room, asked: Asked) -> dict[str, Any]:
    runs = [night for night in room.books.nights if night.run is not None][:_LAST_RUNS]
    failures = [(night, failure) for night in runs for failure in night.failures]
    return {
        "advice": room.books.advice,
        "leaf": leaf_of(failures, asked, FAILURES, "/errors"),
        "runs": len(runs),
        "remedies": REMEDIES,
        "dead": [
            night
            for night in runs
            if night.run is not None and not (night.run.finished or night.under_way)
        ],
    }


_PAGES: Mapping[str, Callable[[Room, Asked], dict[str, Any]]] = {
    "now": _now,
    "volumes": _volumes,
    "volume": _volume,
    "dumps": _dumps,
    "dump": _dump,
    "nights": _nights,
    "night": _night,
    "errors": _errors,
}
PATHS = {name: "/" if name == "now" else f"/{name}" for name in _PAGES}
"""Where the pages are."""

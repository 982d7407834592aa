"""One restore, from what is wanted to its verdict; :meth:`Restore.run` reads top to bottom as that
story."""

from __future__ import annotations

import functools
import time
from typing import TYPE_CHECKING, Any

from attrs import evolve
from twisted.internet.defer import CancelledError, Deferred, fail
from twisted.internet.task import LoopingCall, deferLater

from devices.lane import Lane
from taper.core.errors import SourceFault
from taper.people.left_log import keep_what_is_said, may_be_left
from taper.people.read_watch import Telling
from taper.people.reading import read_catalogue
from taper.people.restore import finding
from taper.people.restore.bringing import Bringing
from taper.people.restore.dialogue import REFRESH_SECONDS, Dialogue, rate
from taper.people.restore.header_search import HeaderSearch
from taper.people.restore.looking_on import LookingOn
from taper.people.restore.outcome import Outcome, tell_outcome, tell_step
from taper.people.restore.place import place_of
from taper.people.restore.plan import (
    Contents,
    Lacking,
    NothingToRestore,
    base_of,
    choose,
    coming,
    is_meant,
    make_plan,
    why_not,
)
from taper.people.restore.step import StepAtWork
from taper.people.restore.telling import tell_missing, tell_plan
from taper.people.restore.wish import read_wish
from taper.people.rights import Rights
from taper.people.shelf import content, described, look
from taper.people.telling import printable
from taper.recovery.loading_ahead import LoadingAhead
from taper.recovery.opening import Opener

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Coroutine, Iterable

    from taper.people.catalogue import Catalogue
    from taper.people.read_watch import ReadWatch
    from taper.people.restore.plan import Plan, Restorable, Step
    from taper.people.restore.wish import Wish
    from taper.people.site import Site
    from taper.people.telling import Answer


_DAY = 86400.0
IN_USE_SECONDS = 2.0
"""Until it is looked again whether a volume that somebody else has is free."""


async def restore(site: Site, options: argparse.Namespace) -> Answer:
    """See :mod:`taper.people.commands`."""
    wish = read_wish(options)
    if wish.to_stdout:
        site.screen.use_stderr()
    dialogue = Dialogue(site.screen, functools.partial(Lane, site.reactor))
    telling = Telling(site, "restore")
    watch = telling.watch
    try:
        if not wish.dry_run:
            watch.know(log=keep_what_is_said(site, "restore"))
        answer = await Restore(site, wish, dialogue, watch, telling.settled).run()
    finally:
        await telling.close("the restore has ended")
    head = {"schema": "taper/restore/1", "config": site.config.name, "log": watch.log}
    return evolve(answer, record={**head, **answer.record})


class Restore:
    """One restore."""

    def __init__(
        self,
        site: Site,
        wish: Wish,
        dialogue: Dialogue,
        watch: ReadWatch,
        settled: Callable[[], Coroutine[Deferred[None], Any, None]],
    ) -> None:
        """:param watch: is told what happens
        :param settled: waits until no thread makes a file of the dump user's
        """
        self._watch = watch
        self._settled = settled
        self._reactor = site.reactor
        self._config = site.config
        self._rights = Rights(site.config.general.dumpuser)
        self._wish = wish
        self._place = place_of(wish, self._rights)
        self._dialogue = dialogue
        self._lane = Lane(site.reactor, "restore")
        self._site = site
        self._opener = Opener(site.reactor, site.config, site.shelves, self._lane)
        self._clerks: dict[str, LoadingAhead] = {}
        self._told_in_use: set[str] = set()
        self._bringing = Bringing(site, dialogue, watch)
        self._looking_on = LookingOn(dialogue, watch, self._bringing)
        self._headers = HeaderSearch(
            site.config,
            self._lane,
            self._opener,
            self._looking_on,
            dialogue.say,
            may_infer=wish.partial,
        )

    async def run(self) -> Answer:
        """Do it.

        :raise CannotStart: it cannot be done, or not like that
        """
        try:
            return await self._restore()
        except CancelledError:
            self._dialogue.say("Interrupted: what was restored so far is not whole.")
            raise
        finally:
            self._dialogue.end()
            self._bringing.over()
            if self._place is not None:
                self._place.leave()
            for clerk in self._clerks.values():
                await clerk.quit()
            await self._lane.stop()

    async def _restore(self) -> Answer:
        wish = self._wish
        plan = await self._plan()
        told = tell_plan(plan, wish.to, None if wish.far is None else wish.far.host)
        self._looking_on.planned(plan, wish.to)
        if wish.dry_run:
            return told
        self._dialogue.show(told)
        if plan.missing and not (wish.partial or self._dialogue.interactive):
            return tell_missing(plan, wish.to)
        alone = await self._prepare() if plan.steps else True
        if self._watch.log is not None:
            self._dialogue.say(may_be_left(self._watch.log))
        outcomes: list[Outcome] = []
        for step in plan.steps:
            if self._place is not None and self._place.lost:
                outcomes.append(Outcome(step=step, faults=("it was not begun",)))
                continue
            outcomes.append(await self._one(plan, step, alone))
            if self._site.shelves.stop.is_set():
                raise CancelledError
        left_out = () if plan.alone else _left_out(outcomes)
        return tell_outcome(plan, outcomes, wish.to, self._not_found(outcomes), left_out)

    async def _prepare(self) -> bool:
        """See that there is a directory. :return: nothing else is in it"""
        wish = self._wish
        if self._place is None:
            return True
        if wish.far is not None:
            self._dialogue.say(f"Connecting to {printable(wish.far.host)}")
        await self._settled()
        return await self._place.prepare(self._lane, overwrite=wish.overwrite)

    # what is to be done

    async def _plan(self) -> Plan:
        wish, config, call = self._wish, self._config, self._lane.call
        catalogue, host, disk, chain = await self._choose()
        if wish.to_stdout and len(chain) > 1:
            levels = " or ".join(str(copies[0].level) for copies in chain)
            raise NothingToRestore(
                f"there are {len(chain)} dumps to restore, and standard output takes one: choose "
                f"it with --level {levels}"
            )
        wanted = {}
        for copies in chain if wish.paths and wish.by_index else ():
            its = await call(finding.paths_in, config, host, disk, copies[0], wish.paths)
            if its is not None:
                wanted[copies[0].key] = its
        storages = sorted({copy.storage for copies in chain for copy in copies if copy.dump})
        contents = await self._contents_of(storages)
        self._headers.contents = contents
        self._headers.copies = finding.all_copies(catalogue, host, disk)
        lacking = finding.lacking(catalogue, host, disk)
        alone = wish.level is not None
        stamp = chain[-1][0].datestamp
        newer = tuple(
            one
            for one in await call(finding.newer, config, catalogue, host, disk, stamp)
            if (wish.until is None or one.datestamp <= wish.until)
            and (not alone or one.level == wish.level)
        )
        words = (host, disk, chain, contents, wanted, wish.paths)
        lost = [(one.datestamp, one.level) for one in lacking]
        base = (
            None if alone else base_of(chain, [*lacking, *self._elsewhere(catalogue, host, disk)])
        )
        plan = make_plan(*words, alone=alone, lost=lost, newer=newer, base=base)
        tomorrow = time.strftime("%Y%m%d%H%M%S", time.localtime(self._site.now() + _DAY))
        return plan.evolve(to_come=stamp) if stamp > tomorrow else plan

    async def _choose(self) -> tuple[Catalogue, str, str, list[list[Restorable]]]:
        """The catalogue, host and disk as it spells them, and the dumps. Logs of runs of which the
        tapelist has no volume are read where nothing else will do."""
        wish, config, call = self._wish, self._config, self._lane.call
        catalogue = await call(read_catalogue, config)
        try:
            host, disk = finding.find_disk_name(catalogue, wish.host, wish.disk)
            copies = self._meant(finding.restorables(catalogue, host, disk))
            chain = choose(copies, wish.until, wish.level)
        except NothingToRestore:
            chain = []
        if chain and (chain[0][0].level == 0 or wish.level is not None):
            return catalogue, host, disk, chain
        catalogue = await call(finding.with_past, config, catalogue)
        host, disk = finding.find_disk_name(catalogue, wish.host, wish.disk)
        copies = self._meant(finding.restorables(catalogue, host, disk))
        rest = self._meant(await call(finding.remains, config, catalogue, host, disk))
        try:
            chain = choose(copies, wish.until, wish.level, rest if wish.partial else ())
        except NothingToRestore as fault:
            rest = [one for one in rest if is_meant(one.key, wish.until, wish.level)]
            lost = [
                one
                for one in finding.lacking(catalogue, host, disk)
                if is_meant((one.datestamp, one.level), wish.until, wish.level)
            ]
            elsewhere = [
                copy.storage
                for copy in finding.restorables(catalogue, host, disk)
                if is_meant(copy.key, wish.until, wish.level)
            ]
            told = why_not(str(fault), rest, lost, partial=wish.partial, elsewhere=elsewhere)
            raise NothingToRestore(told) from fault
        return catalogue, host, disk, chain

    def _meant(self, copies: list[Restorable]) -> list[Restorable]:
        """Those of the storage that is wanted."""
        storage = self._wish.storage
        return [copy for copy in copies if storage in (None, copy.storage)]

    def _elsewhere(self, catalogue: Catalogue, host: str, disk: str) -> list[Lacking]:
        """Dumps that are whole, and not on the storage that is wanted."""
        copies = finding.restorables(catalogue, host, disk)
        meant = {copy.key for copy in self._meant(copies)}
        return [
            Lacking(
                datestamp=copy.datestamp, level=copy.level, why=f"it is on {copy.storage} alone"
            )
            for copy in copies
            if copy.key not in meant
        ]

    async def _contents_of(self, names: Iterable[str]) -> dict[str, Contents]:
        """What the changers of storages have, as far as they know."""
        found: dict[str, Contents] = {}
        known = [storage for storage in map(self._config.storage, names) if storage is not None]
        for shelf in await look(self._site, known):
            if shelf.trouble is not None:
                self._dialogue.say(f"Changer {printable(shelf.name)}: {printable(shelf.trouble)}")
            for entry in shelf.entries:
                if content(entry) == "error":
                    where = f"Slot {printable(entry.slot)} of {printable(shelf.name)}"
                    self._dialogue.say(f"{where}: {described(entry)}")
            slots: dict[str, str] = {}
            for entry in shelf.entries:
                if entry.label is not None:
                    slots.setdefault(entry.label, entry.slot)  # changers take the first one, too
            hidden = any(content(entry) == "unknown" for entry in shelf.entries)
            contents = Contents(slots, hidden or shelf.trouble is not None)
            found |= {storage.name: contents for storage in shelf.storages}
        return found

    # one dump

    async def _one(self, plan: Plan, step: Step, alone: bool) -> Outcome:
        """Restore one dump, as far as it can be."""
        at_work = StepAtWork(
            self._reactor,
            self._lane,
            self._config,
            self._rights,
            self._wish,
            self._place,
            step,
            self._ask_trust,
            self._headers,
        )
        self._looking_on.step_begins(plan, step, at_work)
        began = self._reactor.seconds()
        self._dialogue.begin(f"Level {step.copy.level}", step.copy.size, at_work.done)
        refreshing: Any = LoopingCall(self._dialogue.update)
        refreshing.clock = self._reactor
        refreshing.start(REFRESH_SECONDS)
        try:
            clerk = await self._clerk_for(plan, step.copy)
            outcome = await at_work.run(self._opener, clerk, alone=alone)
            if outcome.holes:
                outcome = await self._with_names(plan, outcome)
        finally:
            refreshing.stop()
            self._dialogue.end()
            self._looking_on.step_ends()
        self._dialogue.say(tell_step(outcome, rate(outcome.read, self._reactor.seconds() - began)))
        return outcome

    async def _with_names(self, plan: Plan, outcome: Outcome) -> Outcome:
        """Name the files that are lost."""
        names: tuple[str, ...] = await self._lane.call(
            finding.names_in,
            self._config,
            plan.host,
            plan.disk,
            outcome.step.copy,
            outcome.holes,
        )
        paths = outcome.step.paths
        if paths:
            names = tuple(
                name for name in names if any(finding.covers(path, name) for path in paths)
            )
        return evolve(outcome, names_lost=names)

    async def _clerk_for(self, plan: Plan, copy: Restorable) -> LoadingAhead | None:
        """One for each storage: a volume may serve several dumps. Only the one at work has drives,
        as storages may share a changer."""
        storage = copy.storage
        for other, clerk in self._clerks.items():
            if other != storage or copy.dump is None:
                await clerk.close_volume(tell=False)  # nobody is to wait for what is not needed
        if copy.dump is None:
            return None
        if storage not in self._clerks:
            self._clerks[storage] = LoadingAhead(
                functools.partial(self._opener.clerk, storage),
                self._ask_for_volume,
                self._wish.drives,
                list(coming(plan, storage)),
                self._looking_on,
                None if self._wish.partial else self._in_use,
            )
        return self._clerks[storage]

    def _in_use(self, label: str, why: str) -> Deferred[None]:
        """Somebody else has the volume: a taper, or another restore."""
        text = f"Waiting for volume {printable(label)}, which somebody else has: {printable(why)}"
        if label not in self._told_in_use:
            self._told_in_use.add(label)
            self._dialogue.say(text)
        self._dialogue.waiting(text)
        return deferLater(self._reactor, IN_USE_SECONDS, lambda: None)

    def _not_found(self, outcomes: list[Outcome]) -> tuple[str, ...]:
        seen = frozenset[str]().union(*(outcome.seen for outcome in outcomes))
        unknown = any(outcome.files is None for outcome in outcomes)
        return tuple(path for path in self._wish.paths if path not in seen and not unknown)

    # questions

    def _ask_for_volume(self, label: str, why: str) -> Deferred[str]:
        if self._wish.partial or not (self._dialogue.interactive or self._dialogue.left):
            return fail(SourceFault(f"volume '{label}' is not at hand: {why}"))
        self._looking_on.brought()
        return self._bringing.wait_for(label, why, self._looking_on.storage)

    async def _ask_trust(self, command: tuple[str, ...]) -> bool:
        """Whether a program may be run that only a dump names."""
        if not self._dialogue.interactive:
            return False
        words = " ".join(printable(repr(word)) for word in command)
        try:
            with self._watch.waiting("person", f"an answer on the terminal: may {words} be run?"):
                answer = await self._dialogue.ask(
                    f"The dump says that it is read with {words}.\n"
                    "The configuration does not know this program. Run it? (yes or no) "
                )
        except EOFError:
            return False
        return answer.lower() in ("y", "yes")


def _left_out(outcomes: list[Outcome]) -> tuple[str, ...]:
    """What was there when the last dump was made, and is in no dump by this name, as the directory
    that it is in was renamed; as far as whole archives tell."""
    contents = [outcome.contents for outcome in outcomes if outcome.whole]
    known = [one for one in contents if one is not None and one.names_known]
    if not known or len(known) < len(outcomes):
        return ()
    there = set[str]().union(*(one.members for one in known))
    return tuple(sorted(known[-1].kept - there))

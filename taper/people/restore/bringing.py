"""A volume that is not at hand, and how it comes: a person says that he has loaded it, or where it
is; or the changer has it, which is looked at every so often."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from taper.core.errors import SourceFault
from taper.people.shelf import look
from taper.people.telling import printable

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from devices.interfaces import InventoryEntry
    from taper.people.read_watch import ReadWatch
    from taper.people.restore.dialogue import Dialogue
    from taper.people.site import Site

LOOK_AGAIN = 60.0
"""Seconds between two looks at the changer."""


class Bringing:
    """Waits for one volume after another."""

    def __init__(self, site: Site, dialogue: Dialogue, watch: ReadWatch) -> None:
        self._site = site
        self._dialogue = dialogue
        self._watch = watch
        self._label: str | None = None
        self._seen: frozenset[Any] = frozenset()
        self._question: Deferred[str] | None = None
        self._waiting: Deferred[str] | None = None
        self._line: str | None = None
        self._timer: Any = None
        self._looking: Deferred[None] | None = None
        self._told = ExitStack()

    def wait_for(self, label: str, why: str, storage: str) -> Deferred[str]:
        """Wait until it is worth while to look for it again.

        :param why: it is not at hand
        :param storage: that the dump is of
        :return: fires with the storage or changer that a person has named, or with nothing; fails
            with SourceFault if he goes on without it
        """
        text = f"volume '{label}' is not at hand: {why}"
        if label != self._label:
            self.over()
            self._label = label
            self._watch.asks(text, storage)
            wait = self._watch.waiting("operator", f"somebody has to bring volume {label}")
            self._told.enter_context(wait)
            self._begin(self._remember(storage), storage)
        waiting = self._waiting = Deferred(lambda _: self.over())
        line, self._line = self._line, None
        if line is not None:
            self._take(line, text)  # it was typed while we looked
            return waiting
        self._timer = self._site.reactor.callLater(LOOK_AGAIN, self._look, storage)
        if self._question is None and self._dialogue.interactive:
            self._ask(label, why, text)
        return waiting

    def _ask(self, label: str, why: str, text: str) -> None:
        question = self._question = self._dialogue.ask(
            f"Volume {printable(label)} is not at hand: {printable(why)}\n"
            "Load it and press Enter, or name the storage or changer that has it; "
            f"s goes on without it (the changer is looked at every {LOOK_AGAIN:.0f} s): "
        )

        def answered(line: str) -> None:
            self._question = None
            if self._waiting is None:
                self._line = line
            else:
                self._take(line, text)

        def nobody(failure: Any) -> None:
            self._question = None
            failure.trap(EOFError, CancelledError)
            if failure.check(EOFError) and not self._dialogue.left:
                self._go_on_without(text)
            elif failure.check(EOFError):
                self._dialogue.say(
                    f"{printable(text)}; the changer is looked at every {LOOK_AGAIN:.0f} s"
                )

        question.addCallbacks(answered, nobody)

    def _take(self, line: str, text: str) -> None:
        """A person has typed that."""
        if line == "s":
            self._go_on_without(text)
        else:
            self._answer(line)

    def _go_on_without(self, text: str) -> None:
        waiting = self._waiting
        self.over()
        if waiting is not None:
            waiting.errback(SourceFault(text))

    def _answer(self, line: str) -> None:
        waiting, self._waiting = self._waiting, None
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        if waiting is not None:
            waiting.callback(line)

    def _look(self, storage: str) -> None:
        self._begin(self._look_for(storage), storage)

    def _begin(self, story: Coroutine[Deferred[Any], Any, None], storage: str) -> None:
        if self._looking is not None:
            story.close()  # the look before it takes longer than a minute
            self._again(storage)
            return

        def over(result: Any) -> None:
            self._looking = None
            if isinstance(result, Failure) and not result.check(CancelledError):
                text = f"the changer cannot be looked at: {result.getErrorMessage()}"
                self._site.screen.warn(text, result.value)
                self._again(storage)

        looking = self._looking = Deferred.fromCoroutine(story)
        looking.addBoth(over)

    async def _remember(self, storage: str) -> None:
        self._seen = frozenset(map(_told, await self._entries(storage)))

    async def _entries(self, storage: str) -> list[InventoryEntry]:
        """What the changer has, as it knows."""
        known = self._site.config.storage(storage)
        shelves = [] if known is None else await look(self._site, [known])
        return [entry for shelf in shelves for entry in shelf.entries]

    async def _look_for(self, storage: str) -> None:
        """Where many volumes have unknown content, they are not all loaded again each time, but
        when something is not as it was; a drive that stands alone is always looked into."""
        entries, before = await self._entries(storage), self._seen
        self._seen = frozenset(map(_told, entries))
        there = any(entry.label == self._label for entry in entries)
        if there or len(entries) <= 1 or self._seen != before:
            self._looking = None  # this is over, whatever comes of the answer
            self._answer("")
        else:
            self._again(storage)

    def _again(self, storage: str) -> None:
        timer = self._timer
        if self._waiting is not None and (timer is None or not timer.active()):
            self._timer = self._site.reactor.callLater(LOOK_AGAIN, self._look, storage)

    def came(self, label: str) -> None:
        """A volume is open; perhaps the one that was waited for."""
        if label == self._label:
            self.over()
            self._dialogue.say(f"Volume {printable(label)} has come")

    def over(self) -> None:
        """Nobody need bring anything. Safe to repeat."""
        if self._label is None:
            return
        self._label = self._waiting = self._line = None
        self._seen = frozenset()
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        for one in (self._question, self._looking):
            if one is not None:
                one.cancel()
        self._question = None
        self._told.close()
        self._watch.asks_no_more()


def _told(entry: InventoryEntry) -> tuple[Any, ...]:
    """What people change of a slot."""
    return entry.slot, entry.state, entry.label, entry.barcode

"""One worker: takes the commands meant for it, one dump at a time [protocol 4]."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from automat import NoTransition
from twisted.internet.defer import Deferred, DeferredList

from protocols.driver import commands, replies
from protocols.tracelog import NoTapeError
from taper.core.dump import Dump
from taper.core.errors import TapeTrouble
from taper.core.rules import make_rules, refusal
from taper.core.scribe import Scribe

if TYPE_CHECKING:
    from protocols.driver.messages import Message
    from taper.core.clerk import Clerk
    from taper.core.world import World


class Refused(Exception):
    """A command is not legal now.

    :ivar text: for BAD-COMMAND.
    """

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text


class Worker:
    """A worker, from START-TAPER to QUIT.

    :param taper_name: what the driver calls this process, for the status-file line
    :param timestamp: the run's, written on every volume
    """

    def __init__(self, world: World, name: str, taper_name: str, timestamp: str) -> None:
        self.world = world
        self.name = name
        self.taper_name = taper_name
        self.watch = world.watch.worker(name)
        self.rules = make_rules()
        self.scribe = Scribe(world, timestamp)
        self._dump: Dump | None = None
        self._clerk: Clerk | None = None
        self._running: list[Deferred[None]] = []
        self._quitting = False
        self._withdrawn: str | None = None

    def _spawn(self, story: Coroutine[Deferred[Any], Any, None]) -> None:
        """Let a coroutine run, and remember it until it is over."""
        running = Deferred.fromCoroutine(story).addErrback(self.world.log_failure)
        if not running.called:
            self._running.append(running)
            running.addCallback(lambda _: self._running.remove(running))

    # START-TAPER

    def start(self) -> None:
        """Look for the first volume, then say TAPER-OK or TAPE-ERROR."""
        self._spawn(self._start())

    async def _start(self) -> None:
        try:
            with self.watch.waiting("scan", "the first volume is looked for"):
                found = await self.scribe.find_volume()
        except TapeTrouble as fault:
            if self._quitting:
                # a volume was not missing, so the trace log need not say so
                self.world.driver.send(replies.TapeError(self.name, "taper is quitting"))
                return
            await self.world.note(NoTapeError(fault.text))
            self.rules.scan_failed()
            self.watch.be("failed")
            self.world.driver.send(replies.TapeError(self.name, fault.text))
            return
        self.rules.scan_succeeded()
        self.watch.be("idle")
        allowed = found.reservation.device.facts.allow_take_scribe_from
        word = replies.ALLOW_TAKE_SCRIBE_FROM if allowed else replies.NO_TAKE_SCRIBE_FROM
        self.world.driver.send(replies.TaperOk(self.name, word))

    def give_way(self, command: commands.StartTaper) -> None:
        """START-TAPER again: another worker takes this one's name.

        :raise Refused: this one is of use
        """
        try:
            self.rules.restart()
        except NoTransition as fault:
            text = f"{command.name}: worker '{self.name}' is already started"
            raise Refused(text) from fault

    # Commands

    def _allow(self, event: Callable[[], None], command: Message) -> None:
        """Let the rules judge a command.

        :raise Refused: it is not legal in the present state
        """
        try:
            event()
        except NoTransition as fault:
            raise Refused(refusal(f"{command.name} {self.name}", fault)) from fault

    def write(self, command: commands.WriteCommand) -> None:
        """A write command: start the dump."""
        self._allow(self.rules.write, command)
        origin = self.world.origins.of(command, self._own_clerk)
        self._withdrawn = None
        self.watch.dump_begins(command)
        self._dump = dump = Dump(self, command, origin)
        self._spawn(dump.run())

    def _own_clerk(self) -> Clerk:
        from taper.core.clerk import Clerk  # here, as most tapers never vault

        if self._clerk is None:
            self._clerk = Clerk(self.world, self.name)
        return self._clerk

    def start_scan(self, command: commands.StartScan) -> None:
        """START-SCAN: look for the next volume ahead of the permission."""
        self._allow(self.rules.scan, command)
        self.scribe.begin_scan()

    def new_tape(self, command: commands.NewTape) -> None:
        """NEW-TAPE: the asked-for volume is granted."""
        if self._crossed(command.handle):
            self.world.driver.send(replies.NoNewTape(self.name, command.handle))
            return
        dump = self._asking(command)
        self.rules.answer()
        dump.request.granted()

    def no_new_tape(self, command: commands.NoNewTape) -> None:
        """NO-NEW-TAPE: it is denied."""
        if not self._crossed(command.handle):
            dump = self._asking(command)
            self.rules.answer()
            dump.request.denied(command.reason)

    def _asking(
        self, command: commands.NewTape | commands.NoNewTape | commands.TakeScribeFrom
    ) -> Dump:
        """The dump that a volume answer is for."""
        dump = self._dump
        if dump is not None and dump.request.open and dump.handle != command.handle:
            raise Refused(
                f"{command.name} {self.name}: handle '{command.handle}' is not that of the dump "
                f"being written, '{dump.handle}'"
            )
        self._allow(self.rules.may_answer, command)
        assert dump is not None, "the rules allow an answer only to a dump"
        return dump

    def request_withdrawn(self, handle: str) -> None:
        """The dump ended before its REQUEST-NEW-TAPE was answered; the answer may still come."""
        try:
            self.rules.answer()
        except NoTransition:
            return  # a TAKE-SCRIBE-FROM has answered it, and is being carried out
        self._withdrawn = handle

    def _crossed(self, handle: str) -> bool:
        """An answer crossed the end of the dump on the way; that is nobody's mistake."""
        crossed = self._withdrawn is not None and self._withdrawn == handle
        if crossed:
            self._withdrawn = None
        return crossed

    def take_scribe_from(self, command: commands.TakeScribeFrom, other: Worker) -> None:
        """TAKE-SCRIBE-FROM: go on with another worker's volume or reservation."""
        if other is self:
            raise Refused(f"{command.name} {self.name}: a worker cannot take its own scribe")
        crossed = self._withdrawn is not None and self._withdrawn == command.handle
        dump = None if crossed else self._asking(command)
        other._allow(other.rules.give_away, command)
        if dump is None:
            self._withdrawn = None
        else:
            self.rules.answer()
        mine, self.scribe = self.scribe, other.scribe
        other.scribe = mine
        self.watch.hold(self.scribe.volume)
        self.world.watch.worker_gone(other.name)
        clerk, other._clerk = other._clerk, None
        self._spawn(self._hand_over(mine, dump, clerk))

    async def _hand_over(self, old: Scribe, dump: Dump | None, clerk: Clerk | None) -> None:
        """Our own spare reservation goes back before the dump goes on with the new scribe; and so
        does the source volume of the worker that is no more."""
        if clerk is not None:
            await clerk.quit()
        try:
            await old.quit()
        except TapeTrouble as fault:
            self.world.debug_failure(f"{self.name}: giving up a scribe: {fault.text}")
        if dump is not None and dump.request.open:
            dump.request.scribe_given()

    def dumper_done(self, command: commands.Done) -> None:
        """DONE: the dumper's good result."""
        if self._dump is not None and self._dump.handle == command.handle:
            self._dump.dumper_done(command)

    def dumper_failed(self, command: commands.Failed) -> None:
        """FAILED: the dumper's bad result."""
        if self._dump is not None and self._dump.handle == command.handle:
            self._dump.dumper_failed()

    def close_volume(self, command: commands.CloseVolume) -> None:
        """CLOSE-VOLUME: finish and release a started volume; one only reserved stays ours."""
        self._allow(self.rules.close, command)
        self._spawn(self._close_volume())

    async def _close_volume(self) -> None:
        self.watch.be("closing")
        try:
            await self.scribe.release_volume()
        except TapeTrouble as fault:
            self.world.debug_failure(f"{self.name}: closing a volume: {fault.text}")
        self.rules.closed()
        self.watch.hold(self.scribe.volume)
        self.watch.be("idle")
        self.world.driver.send(replies.ClosedVolume(self.name))

    def close_source_volume(self, command: commands.CloseSourceVolume) -> None:
        """CLOSE-SOURCE-VOLUME: give the source volume back, if one is open."""
        self._allow(self.rules.close, command)
        self._spawn(self._close_source_volume())

    async def _close_source_volume(self) -> None:
        told = self._clerk is not None and await self._clerk.close_volume(tell=False)
        self.rules.closed()
        if not told:
            self.world.driver.send(replies.ClosedSourceVolume(self.name))

    # The end

    def dump_over(self, handle: str) -> None:
        """See :class:`taper.core.host.Host`; this one's only dump is over."""
        if self._dump is not None and self._dump.handle == handle:
            self._dump = None

    async def quit(self) -> None:
        """Stop the dump, release the volumes; the trace log tells what became of it."""
        self._quitting = True
        self.watch.be("quitting")
        if self._dump is not None:
            self._dump.interrupt("taper is quitting")
        self.scribe.stop_scan()
        await DeferredList(list(self._running))
        if self._clerk is not None:
            await self._clerk.quit()
        try:
            await self.scribe.quit()
        except TapeTrouble as fault:
            self.world.debug_failure(f"{self.name}: quit: {fault.text}")

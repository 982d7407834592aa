"""The controller: gives the driver's commands to the workers [protocol 3.1, 4]."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, get_args

from twisted.internet.defer import Deferred, DeferredList

from protocols import tracelog
from protocols.driver import commands, replies
from protocols.errorcode import coded
from taper.core.moment import NotInTime, at_most_a_moment
from taper.core.worker import Refused, Worker

if TYPE_CHECKING:
    from protocols.driver.codec import BadLine
    from protocols.driver.messages import Message
    from taper.core.world import World


MOST_UNLOGGED = 32
"""Lines that are no commands which may wait for the trace log; each has at most 1 MiB."""


class Controller:
    """The conversation with one driver.

    :param world: what the workers work with
    :param quitting: called once, when the end begins: nothing shall wait for long any more
    :param ended: called once, when everything is released after QUIT or the driver's end of file
    """

    def __init__(
        self, world: World, quitting: Callable[[], None], ended: Callable[[], None]
    ) -> None:
        self._world = world
        self._announce_quit = quitting
        self._ended = ended
        self._workers: dict[str, Worker] = {}
        self._quitting = False
        self._unlogged = 0
        self._room: Deferred[None] | None = None
        self._actions: dict[type[Message], Callable[[Any], None]] = {
            commands.StartTaper: self._start_taper,
            **dict.fromkeys(get_args(commands.WriteCommand), self._write),
            commands.StartScan: lambda command: self._worker(command).start_scan(command),
            commands.NewTape: lambda command: self._worker(command).new_tape(command),
            commands.NoNewTape: lambda command: self._worker(command).no_new_tape(command),
            commands.TakeScribeFrom: self._take_scribe_from,
            commands.Done: lambda command: self._worker(command).dumper_done(command),
            commands.Failed: lambda command: self._worker(command).dumper_failed(command),
            commands.CloseVolume: lambda command: self._worker(command).close_volume(command),
            commands.CloseSourceVolume: lambda command: self._worker(command).close_source_volume(
                command
            ),
            commands.Quit: lambda command: self.quit(),
        }

    @property
    def started(self) -> bool:
        """A worker was asked for."""
        return bool(self._workers)

    # What comes from the driver

    def command_received(self, command: Message) -> None:
        """Carry out one command; what cannot be carried out gets a BAD-COMMAND."""
        if self._quitting:
            return
        action = self._actions.get(type(command))
        try:
            if action is None:
                raise Refused(f"{command.name} is not supported by this taper")
            action(command)
        except Refused as fault:
            self._world.debug(coded(fault.text, fault))
            self._world.driver.send(replies.BadCommand(fault.text))

    def bad_line_received(self, line: BadLine) -> Deferred[None] | None:
        """Refuse a line that is no command; it also goes to trace log and stderr.

        Only so many wait for the log at a time. Where it does not take them in a while, those that
        come meanwhile are left out there: rubbish must cost neither our memory nor our ears.

        :return: fires when there is room for the next one; None: there is
        """
        if self._quitting:
            return None
        self._world.console.write_line(line.text)
        if self._unlogged >= MOST_UNLOGGED:
            self._world.debug(f"not in the trace log, where too many wait: {line.text}")
            self._world.driver.send(replies.BadCommand(line.text))
            return None
        self._unlogged += 1
        logged = self._world.trace_log.append(tracelog.Error(line.text))
        logged.addErrback(self._world.log_failure)
        logged.addCallback(self._bad_line_logged, line)
        if self._unlogged < MOST_UNLOGGED:
            return None
        self._room = room = Deferred[None]()
        return at_most_a_moment(self._world.clock, room).addErrback(
            lambda failure: failure.trap(NotInTime) and None
        )

    def _bad_line_logged(self, _: None, line: BadLine) -> None:
        self._unlogged -= 1
        self._world.driver.send(replies.BadCommand(line.text))
        room, self._room = self._room, None
        if room is not None:
            room.callback(None)

    # Commands

    def _worker(self, command: Any) -> Worker:
        return self._named(command, command.worker)

    def _named(self, command: Message, name: str) -> Worker:
        worker = self._workers.get(name)
        if worker is None:
            raise Refused(f"unknown worker '{name}' in {command.name}")
        return worker

    def _start_taper(self, command: commands.StartTaper) -> None:
        old = self._workers.get(command.worker)
        if old is not None:
            old.give_way(command)
        worker = Worker(self._world, command.worker, command.taper, command.timestamp)
        self._workers[command.worker] = worker
        worker.start()

    def _write(self, command: commands.WriteCommand) -> None:
        self._worker(command).write(command)

    def _take_scribe_from(self, command: commands.TakeScribeFrom) -> None:
        worker = self._worker(command)
        other = self._named(command, command.from_worker)
        worker.take_scribe_from(command, other)
        del self._workers[command.from_worker]

    # The end

    def quit(self) -> None:
        """Stop everything cleanly, once."""
        if self._quitting:
            return
        self._quitting = True
        self._announce_quit()
        Deferred.fromCoroutine(self._quit()).addErrback(self._world.log_failure).addBoth(
            lambda _: self._ended()
        )

    async def _quit(self) -> None:
        quits = [Deferred.fromCoroutine(worker.quit()) for worker in self._workers.values()]
        for quitting in quits:
            quitting.addErrback(self._world.log_failure)
        await DeferredList(quits)

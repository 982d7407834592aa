"""The life of one conversation with a driver: how it begins, opens, is quit and closes."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred

from devices.patience import Patience
from protocols.tracelog import Fatal, NoTapeError, PidDone, PidStart
from taper.core.controller import Controller
from taper.core.watch import Watch
from taper.last_words import tell
from taper.run.assembly import Assembly
from taper.run.setup import Setup, StartFailed, check_user
from taper.run.trace_log import append_record

if TYPE_CHECKING:
    from taper.core.interfaces import IDriver

START_PATIENCE = 60.0
"""Seconds to wait for the trace log's lock before the conversation, when nobody can stop us."""


def log_trouble(path: str, fault: OSError) -> str:
    """Why the trace log cannot be used, in words that begin as stock's do."""
    if fault.filename is None:  # it was opened
        return (
            f"could not write log file {path}: {fault.strerror or fault}; "
            "every program of the run writes there and needs room"
        )
    return (
        f"could not open log file {path}: {fault.strerror}; "
        "it must be a file that the dump user may write, in a directory that exists"
    )


class Session:
    """One conversation.

    :param setup: the configuration and where things are
    :param driver: takes our replies
    :param watch: is told what happens
    :ivar controller: takes the driver's commands, once :meth:`open` is over
    :ivar ended: fires when all is released, after QUIT or the driver's end of file
    """

    def __init__(
        self, reactor: Any, setup: Setup, driver: IDriver, watch: Watch | None = None
    ) -> None:
        self._setup = setup
        self._assembly = Assembly(reactor, setup, driver, watch or Watch())
        self.controller: Controller | None = None
        self.ended: Deferred[None] = Deferred()

    def log(self, record: Any) -> None:
        """Write one trace-log record at once; before the conversation only."""
        append_record(self._setup.log_filename, record, Patience(START_PATIENCE))

    def _log_last(self, *records: Any) -> None:
        """Write the last records; a log that cannot be written keeps nothing from ending."""
        try:
            for record in records:
                self.log(record)
        except OSError as fault:
            text = log_trouble(self._setup.log_filename, fault)
            self._setup.debug.write(text)
            tell("taper", text)

    def begin(self) -> None:
        """First line of the trace log.

        :raise StartFailed: there is no log for us, or we are not the dump user. The log tells that
            too if it is there already; one that we made would be ours, and no later program of the
            run could open it.
        """
        try:
            check_user(self._setup.config.general.dumpuser)
        except StartFailed as fault:
            if os.path.exists(self._setup.log_filename):
                self._log_last(PidStart(os.getpid()), Fatal(str(fault)))
            raise
        try:
            self.log(PidStart(os.getpid()))
        except OSError as fault:
            raise StartFailed(log_trouble(self._setup.log_filename, fault)) from fault

    def open(self) -> None:
        """Assemble what the conversation works with, and make the controller.

        :raise StartFailed: the tapelist is unreadable
        :raise SetupFailed: the storage cannot be served
        """
        world = self._assembly.build()
        self.controller = Controller(world, self._assembly.hurry, self._controller_ended)

    def set_up_failed(self, text: str) -> None:
        """Leave the trace-log lines of a storage that cannot be served."""
        self._log_last(NoTapeError(text), PidDone(os.getpid()))

    def start_failed(self, text: str) -> None:
        """Leave the trace-log line of a process that cannot start."""
        self._log_last(Fatal(text))

    # The end

    def quit(self) -> Deferred[None]:
        """Stop everything cleanly, as QUIT does. :return: fires like :attr:`ended`"""
        done: Deferred[None] = Deferred()
        if self.controller is None or self.ended.called:
            done.callback(None)
            return done
        self.ended.addBoth(lambda _: done.callback(None))
        self.controller.quit()
        return done

    def _controller_ended(self) -> None:
        Deferred.fromCoroutine(self._close()).addErrback(self._assembly.world.log_failure).addBoth(
            lambda _: self.ended.callback(None)
        )

    async def _close(self) -> None:
        await self._assembly.close()
        # in its lane: waiting for the log's lock must not hold the reactor
        await self._assembly.world.note(PidDone(os.getpid()))
        await self._assembly.close_log()

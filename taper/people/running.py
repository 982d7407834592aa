"""The life of the process that runs one command for people."""

from __future__ import annotations

import argparse
import gc
import logging
import os
import signal
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import CancelledError, Deferred

from devices.errors import ChangerError, DeviceError
from protocols.errorcode import WRONG_WORDS, code_of
from protocols.tapelist import TapelistError
from taper.core.errors import SourceFault
from taper.core.scan import ScanFailed
from taper.last_words import CannotStart, reason, whole
from taper.people.commands import COMMANDS
from taper.people.exits import Exit, NotAtHand
from taper.people.screen import PROGRAM, Screen, make_screen
from taper.people.site import Site, Station, be_watcher, find_config
from taper.people.telling import printable
from taper.run.paths import paths_from
from taper.run.process import import_reactor
from taper.run.until_over import run_until_over

if TYPE_CHECKING:
    from collections.abc import Callable

    from taper.people.declaring import Command
    from taper.people.telling import Answer


class _Warnings(logging.Handler):
    """What devices and changers warn of."""

    def __init__(self, screen: Screen) -> None:
        super().__init__(logging.WARNING)
        self._screen = screen

    def emit(self, record: logging.LogRecord) -> None:
        said = record.args if isinstance(record.args, tuple) else ()
        faults = [one for one in said if isinstance(one, BaseException)]
        self._screen.warn(record.getMessage(), faults[0] if faults else None)


def run(options: argparse.Namespace) -> int:
    """Run a command.

    :return: the exit status
    :raise CannotStart: it cannot be run
    """
    os.umask(0o077)
    paths = paths_from(os.environ)
    command = COMMANDS[options.command]
    fail: Callable[[str], int] | None = None
    if command.plugin:
        from taper.people.plugin import make_plugin_screen, unknown

        screen, fail = make_plugin_screen(json=options.json), unknown
    else:
        screen = make_screen(json=options.json, plain=options.plain)
    if command.configured:
        config = screen.quietly(
            lambda: find_config(options.config, tuple(options.o), paths, keep_root=command.as_root)
        )
    else:
        config = None
        be_watcher(paths)
    if command.leavable:
        # programs that we start are spared as well: those that decrypt, or carry a volume
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
    logging.getLogger().addHandler(_Warnings(screen))
    import_reactor()
    from twisted.internet import reactor

    if config is None:
        site = Station(reactor, paths, screen)
    else:
        site = Site(reactor, config, paths, screen)
    return run_until_over(PROGRAM, reactor, Work(site, command, options), fail)


class Work:
    """One command, from its beginning to the end of its threads."""

    def __init__(self, site: Station, command: Command, options: argparse.Namespace) -> None:
        self._site = site
        self._command = command
        self._options = options
        self._story: Deferred[Answer] | None = None
        self._interrupted = False

    async def run(self) -> int:
        """Run it, and say what it has found. :return: the exit status"""
        screen = self._site.screen
        try:
            status = await self._run()
        except Exception as fault:
            screen.heard(whole(fault))
            screen.over(Exit.FAILED)
            raise
        screen.over(status)
        return status

    async def _run(self) -> int:
        try:
            answer = await self._answer()
        except CancelledError:
            return Exit.INTERRUPTED
        except NotAtHand as fault:
            self._site.screen.fail(fault.text, fault)
            return Exit.ABSENT
        except EXPECTED as fault:
            self._site.screen.fail(told(fault), fault)
            return Exit.USAGE if code_of(fault) == WRONG_WORDS else Exit.FAILED
        finally:
            await self._site.close()
        return self._say(answer)

    def _say(self, answer: Answer) -> int:
        try:
            self._site.screen.answer(answer)
        except OSError:
            return Exit.FAILED  # the end of the process tries again, and tells why
        return answer.exit

    async def _answer(self) -> Answer:
        command = self._command.load()
        gc.freeze()  # what was made so far stays: no collection need look at it, nor the last one
        gc.enable()
        story: Any = command(self._site, self._options)
        self._story = Deferred.fromCoroutine(story)
        try:
            return await self._story
        except Exception:
            if self._interrupted:
                raise CancelledError from None
            raise
        finally:
            self._story = None

    def leave(self) -> None:
        """A signal: let go of drives and changers, and come to the end. Safe to repeat."""
        self._interrupted = True
        self._site.hurry()
        if self._story is not None:
            self._story.cancel()


EXPECTED = (
    CannotStart,
    ChangerError,
    DeviceError,
    OSError,
    ScanFailed,
    SourceFault,
    TapelistError,
)
"""What may go wrong with what a command works with; all else is a fault of ours."""


def told(fault: BaseException) -> str:
    """What people are told of it."""
    if isinstance(fault, OSError) and fault.strerror:
        return reason(fault)
    return printable(getattr(fault, "text", None) or getattr(fault, "message", None) or str(fault))

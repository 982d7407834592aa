"""The process that the driver starts: one conversation on stdin and stdout [protocol 1]."""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING

from protocols.errorcode import coded
from taper.last_words import guarded, tell, whole
from taper.run.late import without_optional
from taper.run.options import HELP, USAGE, Options, UsageError, parse_options
from taper.run.paths import paths_from

if TYPE_CHECKING:
    from taper.run.debug_log import DebugLog


def main() -> int:
    """Run the stock command line. :return: the exit status"""
    process = _Process()
    return guarded("taper", process.run, process.keep)


class _Process:
    """What is known of this process when something nobody foresaw ends it."""

    def __init__(self) -> None:
        self._debug: DebugLog | None = None

    def keep(self, text: str) -> None:
        """Keep a traceback."""
        if self._debug is not None:
            self._debug.write(text)

    def run(self) -> int:
        """Run the stock command line. :return: the exit status"""
        os.umask(0o077)
        try:
            options = parse_options(sys.argv[1:])
        except UsageError as fault:
            return tell("taper", f"{fault}\n{USAGE.rstrip()}", fault)
        if options.help:
            sys.stdout.write(HELP)
            return 0
        if options.version:
            from taper.version import answer

            sys.stdout.write(answer("taper"))
            return 0
        return self._serve(options)

    def _serve(self, options: Options) -> int:
        from taper.run.debug_log import DebugLog
        from taper.run.setup import StartFailed, make_setup
        from taper.run.title import show

        show(sys.argv[1:])
        paths = paths_from(os.environ)
        debug = self._debug = DebugLog(paths.dbgdir, time.time())
        debug.begin(sys.argv[1:])
        try:
            setup = make_setup(options, paths, debug, options.log_filename)
            if options.log_filename is None:
                raise StartFailed("--log-filename is missing: the trace log of the run", code=1001)
        except StartFailed as fault:
            debug.write(coded(str(fault), fault))
            return tell("taper", str(fault), fault)
        import_reactor()
        from taper.run.stdio import converse

        try:
            return converse(setup)
        except Exception as fault:
            self.keep(whole(fault))  # while there is a log to keep it in
            raise
        finally:
            debug.close(setup.config.general.debug_days, time.time())


def import_reactor() -> None:
    """Import Twisted's reactor, as we want it to be."""
    with without_optional():
        from twisted.internet import reactor
    from taper.run.reactor import settle_reactor

    settle_reactor(reactor)

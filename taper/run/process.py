"""The process that the driver starts: one conversation on stdin and stdout (taper-protocol 1)."""

from __future__ import annotations

import os
import sys
import time

from taper.run.debug_log import DebugLog
from taper.run.options import Options, UsageError, parse_options
from taper.run.paths import paths_from

VERSION = "taper-3.5.1"
"""What programs that look for Amanda's version expect to read."""


def main() -> int:
    """Run the stock command line. :return: the exit status"""
    os.umask(0o077)
    try:
        options = parse_options(sys.argv[1:])
    except UsageError as fault:
        # imported here, since every start would pay for it
        from taper.run.options import USAGE

        sys.stderr.write(f"{fault}\n{USAGE}")
        return 1
    if options.version:
        sys.stdout.write(f"{VERSION}\n")
        return 0
    return _serve(options)


def _serve(options: Options) -> int:
    from taper.run.setup import StartFailed, make_setup

    paths = paths_from(os.environ)
    debug = DebugLog(paths.dbgdir, time.time())
    debug.write(f"Arguments: {' '.join(sys.argv[1:])}")
    try:
        if options.log_filename is None:
            raise StartFailed("no --log-filename was given")
        setup = make_setup(options, paths, debug, options.log_filename)
    except StartFailed as fault:
        sys.stderr.write(f"taper: {fault}\n")
        debug.write(str(fault))
        return 1
    import_reactor()
    from taper.run.stdio import converse

    alarm_file = os.environ.get("TAPER_REACTOR_ALARM")
    if alarm_file:  # for the system tests only
        from twisted.internet import reactor

        from taper.run.alarm import watch

        watch(reactor, alarm_file)
    try:
        return converse(setup)
    finally:
        debug.close(setup.config.general.debug_days, time.time())


def import_reactor() -> None:
    """Import Twisted's reactor without TLS, which no conversation on stdio needs: where pyOpenSSL
    is installed it makes a start some 60 ms longer."""
    assert "OpenSSL" not in sys.modules, "too late to do without"
    sys.modules["OpenSSL"] = None  # type: ignore[assignment]  # as if it was not installed
    try:
        import twisted.internet.reactor  # noqa: F401
    finally:
        # who needs it later can have it
        del sys.modules["OpenSSL"]

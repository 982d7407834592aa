"""The life of the process that serves one recovery."""

from __future__ import annotations

import os
import sys
import time
import traceback

from taper.last_words import CannotStart, tell
from taper.recovery.streams import Streams, open_streams
from taper.run.debug_log import DebugLog
from taper.run.paths import Paths, paths_from
from taper.run.process import import_reactor

KEEP_DAYS = 4
"""How long debug logs are kept; the peer may go before we have read what ``debug-days`` says."""


def serve(program: str, auth: str) -> int:
    """Serve the recovery that amandad asks for. :return: the exit status

    :param auth: by which amandad was reached
    """
    os.umask(0o077)
    paths = paths_from(os.environ)
    debug = DebugLog(paths.dbgdir, time.time(), program)
    debug.begin(sys.argv[1:])
    try:
        return _recover(program, paths, debug, open_streams(auth))
    except CannotStart as fault:
        debug.write(str(fault))
        return tell(program, str(fault))
    except Exception:
        debug.write(traceback.format_exc())
        raise
    finally:
        debug.close(KEEP_DAYS, time.time())


def _recover(program: str, paths: Paths, debug: DebugLog, streams: Streams) -> int:
    import_reactor()
    from twisted.internet import reactor

    from taper.recovery.session import Recovery
    from taper.run.stdio import keep_what_twisted_logs
    from taper.run.until_over import run_until_over

    keep_what_twisted_logs()
    peer = os.environ.get("AMANDA_AUTHENTICATED_PEER", "")
    return run_until_over(program, reactor, Recovery(reactor, paths, debug, streams, peer))

"""The life of the process that serves one recovery."""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING

from taper.last_words import sentence, whole
from taper.recovery.streams import features_in, open_streams, read_packet, refuse
from taper.run.debug_log import DebugLog
from taper.run.paths import Paths, paths_from
from taper.run.process import import_reactor

if TYPE_CHECKING:
    from protocols.recovery.features import Features

KEEP_DAYS = 4
"""How long debug logs are kept; the peer may go before we have read what ``debug-days`` says."""


def serve(program: str, auth: str) -> int:
    """Serve the recovery that amandad asks for. :return: the exit status

    Whatever keeps us from it is told to amandad, and so to the person at amrecover: our stderr
    is nothing that anybody there can read.

    :param auth: by which amandad was reached
    """
    os.umask(0o077)
    try:
        packet = read_packet()
        paths = paths_from(os.environ)
        debug = DebugLog(paths.dbgdir, time.time(), program)
    except Exception as fault:
        refuse(sentence(fault))
        raise
    debug.begin(sys.argv[1:])
    try:
        return _recover(program, paths, debug, features_in(packet, auth))
    except Exception as fault:
        refuse(sentence(fault))
        debug.write(whole(fault))
        raise
    finally:
        debug.close(KEEP_DAYS, time.time())


def _recover(program: str, paths: Paths, debug: DebugLog, features: Features) -> int:
    import_reactor()
    from twisted.internet import reactor

    from taper.recovery.session import Recovery
    from taper.run.stdio import keep_what_twisted_logs
    from taper.run.until_over import run_until_over

    keep_what_twisted_logs()
    peer = os.environ.get("AMANDA_AUTHENTICATED_PEER", "")
    recovery = Recovery(reactor, paths, debug, open_streams(features), peer)
    return run_until_over(program, reactor, recovery)

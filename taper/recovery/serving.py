"""The life of the process that serves one recovery."""

from __future__ import annotations

import os
import sys
import time
import traceback
from typing import TYPE_CHECKING, Any

from taper.last_words import sentence, tell
from taper.recovery.streams import features_in, open_streams, read_packet, refuse
from taper.run.debug_log import DebugLog
from taper.run.paths import Paths, paths_from
from taper.run.process import import_reactor

if TYPE_CHECKING:
    from protocols.recovery.features import Features
    from taper.recovery.session import Recovery

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
        debug.write(traceback.format_exc())
        raise
    finally:
        debug.close(KEEP_DAYS, time.time())


def _recover(program: str, paths: Paths, debug: DebugLog, features: Features) -> int:
    import_reactor()
    from twisted.internet import reactor

    from taper.recovery.session import Recovery
    from taper.run.stdio import keep_what_twisted_logs

    keep_what_twisted_logs()
    peer = os.environ.get("AMANDA_AUTHENTICATED_PEER", "")
    recovery = Recovery(reactor, paths, debug, open_streams(features), peer)
    return _run(program, reactor, recovery, debug)


def _run(program: str, reactor: Any, recovery: Recovery, debug: DebugLog) -> int:
    from twisted.internet.defer import Deferred

    ended: Deferred[None] = Deferred()
    status = 1

    def over(result: Any) -> None:
        nonlocal status
        if isinstance(result, int):
            status = result
        else:
            debug.write(result.getTraceback())
            tell(program, f"internal error: {result.getErrorMessage()}")
        ended.callback(None)
        if reactor.running and not stopping:
            reactor.stop()

    stopping: list[bool] = []

    def before_shutdown() -> Deferred[None]:
        """A signal: let go of drives and changers first."""
        stopping.append(True)
        recovery.stop()
        waiting: Deferred[None] = Deferred()
        ended.addCallback(waiting.callback)
        return waiting

    def begin() -> None:
        Deferred.fromCoroutine(recovery.run()).addBoth(over)

    reactor.addSystemEventTrigger("before", "shutdown", before_shutdown)
    reactor.callWhenRunning(begin)
    reactor.run()
    return status

"""The addresses of a dump's host, from which alone its data may come."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import CancelledError, Deferred

from devices.callers import Callers, plain_host

if TYPE_CHECKING:
    from devices.interfaces import ILane

RESOLVE_PATIENCE = 30.0
"""Seconds for a name to be resolved; a resolver that is down takes about as long."""

MOST_ADDRESSES = 256
"""Addresses of one host that we take."""

_log = logging.getLogger(__name__)


def addresses_of(host: str) -> frozenset[str]:
    """All addresses of a host, without zones; blocks.

    :raise OSError: it cannot be resolved
    """
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except UnicodeError as error:  # no name of a host at all
        raise OSError(f"it is no host name: {error}") from error
    return frozenset(plain_host(str(entry[4][0])) for entry in found[:MOST_ADDRESSES])


async def find_callers(
    reactor: Any,
    host: str,
    lane: ILane,
    warn: Callable[[str], object],
    resolve: Callable[[str], frozenset[str]] = addresses_of,
) -> Callers:
    """Who may connect with the data of a dump of ``host``.

    :param lane: of its own, for resolving; it is stopped, but a resolver that hangs may still be
        at work in it
    :param warn: is told when the host cannot be resolved, and what is done then
    """
    asked: Deferred[frozenset[str]] = lane.call(resolve, host)
    late = reactor.callLater(RESOLVE_PATIENCE, asked.cancel)
    try:
        addresses = await asked
    except (OSError, CancelledError) as fault:
        if isinstance(fault, CancelledError) and late.active():
            raise
        why = (
            getattr(fault, "strerror", None) or str(fault) or f"no answer in {RESOLVE_PATIENCE:g} s"
        )
        text = (
            f"the addresses of {host} are not known ({why}): data of its dump are taken from "
            "this host and from the device's property DIRECTTCP-PEER-ADDRESS only"
        )
        _log.warning("%s", text)
        warn(text)
        return Callers(host)
    finally:
        if late.active():
            late.cancel()
        lane.stop()
    _log.info("data of the dump of %s may come from %s", host, ", ".join(sorted(addresses)))
    return Callers(host, addresses)

"""Who may drive the daemon: it writes and reads as the dump user for whoever does."""

from __future__ import annotations

import os
import re
import socket
import struct
from typing import Any

from taper.run.setup import StartFailed

PRIVATE = "600"
"""Mode of a unix socket, unless the endpoint says ``mode=``."""

HANDSHAKE_PATIENCE = 30.0
"""Seconds from a connection to the certificate that it must show."""

MOST_UNKNOWN = 32
"""Connections at a time that have not shown so far who is there and what he wants."""

DRIVER_PATIENCE = 60.0
"""Seconds for a driver to say its first line, and as many to say START-TAPER."""

REFUSAL_PATIENCE = 5.0
"""Seconds that one who was refused has to hear it and hang up."""

_MODE = re.compile(r"(?:^|[^\\]):mode=")
_PEER = struct.Struct("3i")


def private_endpoint(description: str) -> str:
    """The endpoint to listen on for drivers, as private as it can be made."""
    if description.startswith("unix:") and not _MODE.search(description):
        return f"{description}:mode={PRIVATE}"
    return description


def refuse_unverified(description: str) -> None:
    """:raise StartFailed: an endpoint of Twisted's that asks nobody for a certificate"""
    if description.startswith(("tcp:", "tcp6:", "ssl:", "tls:")):
        raise StartFailed(
            f"--driver {description} would let whoever connects drive the taper: "
            "say unix:PATH for drivers of this host; those of other hosts come by mtls:, "
            "which demands a certificate, or through ssh",
            code=1014,
        )


def opened_to_others(description: str) -> bool:
    """The endpoint is a unix socket with ``mode=``: who may open it may drive us."""
    return description.startswith("unix:") and _MODE.search(description) is not None


def why_not(transport: Any, *, anybody: bool) -> str | None:
    """Why whoever is connected may not drive us, or None.

    :param anybody: who could open the unix socket may
    """
    peer = _peer_of(transport)
    if peer is None:
        return "nobody has shown a certificate, so nobody may drive this taper from there"
    _, uid = peer
    if anybody or uid in (os.getuid(), 0):
        return None
    return f"user {uid} may not drive this taper"


def command_behind(transport: Any) -> int | None:
    """The process that is connected, if it is the dump user's, as the command is that Amanda
    starts; whatever its mode lets others do with the socket."""
    peer = _peer_of(transport)
    if peer is None or peer[0] <= 0 or peer[1] != os.getuid():
        return None
    return peer[0]


def _peer_of(transport: Any) -> tuple[int, int] | None:
    """Process and user at the other end, as the kernel has them; None: of another host, perhaps."""
    connection = transport.getHandle()
    if getattr(connection, "family", None) != socket.AF_UNIX:  # TLS has none
        return None
    packed = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size)
    pid, uid, _ = _PEER.unpack(packed)
    return pid, uid

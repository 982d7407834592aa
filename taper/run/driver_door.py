"""Who may drive the daemon: it writes and reads as the dump user for whoever does."""

from __future__ import annotations

import ipaddress
import os
import re
import socket
import struct
from typing import Any

from devices.callers import Callers, Verdict
from devices.door import judge_addresses
from taper.run.setup import StartFailed
from taper.run.unix_door import endpoint_words

PRIVATE = "600"
"""Mode of a unix socket, unless the endpoint says ``mode=``."""

HANDSHAKE_PATIENCE = 30.0
"""Seconds from a connection to the certificate that it must show."""

MOST_UNKNOWN = 32
"""Connections at a time that have shown no certificate so far."""

DRIVER_PATIENCE = 60.0
"""Seconds for a driver to say START-TAPER; while it does not, no other is served."""

REFUSAL_PATIENCE = 5.0
"""Seconds that one who was refused has to hear it and hang up."""

_MODE = re.compile(r"(?:^|[^\\]):mode=")
_PEER = struct.Struct("3i")


def private_endpoint(description: str) -> str:
    """The endpoint to listen on for drivers, as private as it can be made.

    :raise StartFailed: whoever reaches it could drive us
    """
    kind, _, rest = description.partition(":")
    if kind == "unix":
        return description if _MODE.search(description) else f"{description}:mode={PRIVATE}"
    if kind in ("tcp", "tcp6"):
        words = endpoint_words(rest)
        hosts = [word.removeprefix("interface=") for word in words if word.startswith("interface=")]
        if not hosts or not _is_loopback(hosts[-1].replace("\\:", ":")):
            raise StartFailed(
                f"{description} would let every host drive the taper: say interface=127.0.0.1 "
                "(or unix:PATH); drivers of other hosts come through ssh, or by mtls:",
                code=1014,
            )
    return description


def refuse_unverified(description: str) -> None:
    """:raise StartFailed: an endpoint of Twisted's that asks nobody for a certificate"""
    if description.startswith(("ssl:", "tls:")):
        raise StartFailed(
            f"--driver {description} would let whoever connects drive the taper: "
            "say mtls:, which demands a certificate",
            code=1014,
        )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def opened_to_others(description: str) -> bool:
    """The endpoint is a unix socket with ``mode=``: who may open it may drive us."""
    return description.startswith("unix:") and _MODE.search(description) is not None


def why_not(transport: Any, *, anybody: bool) -> str | None:
    """Why whoever is connected may not drive us, or None.

    :param anybody: who could open the unix socket may
    """
    connection = transport.getHandle()
    if connection.family == socket.AF_UNIX:
        if anybody:
            return None
        packed = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size)
        _, uid, _ = _PEER.unpack(packed)
        if uid in (os.getuid(), 0):
            return None
        return f"user {uid} may not drive this taper"
    peer, ours = connection.getpeername()[:2], connection.getsockname()[:2]
    verdict, who = judge_addresses(Callers(), peer, ours)
    return None if verdict is Verdict.ADMITTED else f"{who}, may not drive this taper"

"""Connecting to where a mover listens."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from protocols.directtcp import Address

CONNECT_PATIENCE = 60.0
"""Seconds for one address of the device to answer."""


def connect_to(addresses: tuple[Address, ...]) -> socket.socket:
    """A connection to the first address that answers; blocks.

    :raise OSError: none does
    """
    complaints: list[str] = []
    for address in addresses:
        try:
            return socket.create_connection((address.host, address.port), CONNECT_PATIENCE)
        except OSError as fault:
            complaints.append(f"{address}: {fault.strerror or os.strerror(fault.errno or 0)}")
    raise OSError("; ".join(complaints))


def drop_socket(connected: socket.socket) -> None:
    """Close a connection that nobody wants any more."""
    connected.close()

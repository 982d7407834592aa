"""Sockets that an application is sent to: those of its rendezvous, and those of its data."""

from __future__ import annotations

import errno
import socket
from collections.abc import Sequence

from protocols.directtcp import Address

BACKLOG = 64
"""Connections that may be there before we look."""


def open_ports(
    hosts: Sequence[str], ports: Sequence[int]
) -> tuple[list[socket.socket], tuple[Address, ...]]:
    """Listen on each of these addresses, on the first of these ports that is free there.

    An address that is not this host's is one of a gateway that leads here: then all addresses of
    this host are listened on, with a port that the gateway must lead on as it is.

    :param ports: 0 stands for any
    :return: also where the peer is to be sent
    :raise OSError: nothing can be listened on
    """
    opened: list[socket.socket] = []
    told: list[Address] = []
    fault: OSError | None = None
    for host in hosts:
        try:
            listener = _open_port(host, ports)
        except OSError as error:
            fault = fault or error
            continue
        opened.append(listener)
        told.append(Address(host, listener.getsockname()[1]))
    if not opened:
        raise fault or OSError(errno.EADDRNOTAVAIL, "no address to listen on")
    return opened, tuple(told)


def _open_port(host: str, ports: Sequence[int]) -> socket.socket:
    ipv6 = ":" in host
    where, fault = host, None
    for port in ports:
        listener = socket.socket(
            socket.AF_INET6 if ipv6 else socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK
        )
        try:
            if ipv6:
                listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            if len(ports) > 1:  # else one that was used a minute ago is not free
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                listener.bind((where, port))
            except OSError as error:
                if error.errno != errno.EADDRNOTAVAIL:
                    raise
                where = "::" if ipv6 else "0.0.0.0"  # of the gateway, and so for all to come
                listener.bind((where, port))
            listener.listen(BACKLOG)
        except OSError as error:
            listener.close()
            fault = error
            if error.errno != errno.EADDRINUSE:
                break
        else:
            return listener
    assert fault is not None, "there is always a port to try"
    raise fault

"""Where an application is sent: this host's addresses, a gateway's, and ports out of a range."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator

import pytest

from devices.directtcp import close_all
from protocols.directtcp import Address
from taper.flow.rendezvous.ports import open_ports

GATEWAY = "192.0.2.55"
"""Of no host."""


@pytest.fixture
def opened() -> Iterator[list[socket.socket]]:
    sockets: list[socket.socket] = []
    yield sockets
    close_all(sockets)


def reach(where: Address) -> None:
    with socket.create_connection((where.host, where.port), 10):
        pass


def test_any_port(opened: list[socket.socket]) -> None:
    listeners, told = open_ports(("127.0.0.1",), range(1))
    opened += listeners
    reach(told[0])


def test_a_gateways_address_is_told_and_all_are_listened_on(opened: list[socket.socket]) -> None:
    listeners, (told,) = open_ports((GATEWAY,), range(1))
    opened += listeners
    assert told.host == GATEWAY
    reach(Address("127.0.0.1", told.port))


def test_the_next_port_of_the_range(opened: list[socket.socket]) -> None:
    """Until none is left, which is told."""
    taken = socket.create_server(("127.0.0.1", 0))
    opened.append(taken)
    port = taken.getsockname()[1]
    ports = [port, 0]  # the second stands for one that is free
    listeners, (told,) = open_ports(("127.0.0.1",), ports)
    opened += listeners
    assert told.port != port
    reach(told)
    with pytest.raises(OSError) as caught:
        open_ports(("127.0.0.1",), [port])
    assert caught.value.errno == errno.EADDRINUSE


def test_one_address_that_cannot_be_had_is_left_out(opened: list[socket.socket]) -> None:
    taken = socket.create_server(("127.0.0.1", 0))
    opened.append(taken)
    port = taken.getsockname()[1]
    listeners, told = open_ports(("127.0.0.1", "127.0.0.2"), [port])
    opened += listeners
    assert told == (Address("127.0.0.2", port),)

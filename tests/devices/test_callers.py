"""Who may connect: verdicts on addresses and users, and how the users are found out."""

from __future__ import annotations

import ipaddress
import os
import socket

import pytest

from devices import socket_owner
from devices.callers import Callers, Kind, Owner, Verdict, plain_host
from devices.door import judge
from devices.socket_owner import find_in_table, owner_of
from tests.fakes.stranger import NOBODY, Stranger, needs_root

OURS, ROOT, OTHER = Owner(Kind.LIVE, 34), Owner(Kind.LIVE, 0), Owner(Kind.LIVE, NOBODY)
GONE, ELSEWHERE = Owner(Kind.GONE), Owner(Kind.ELSEWHERE)
CALLERS = Callers(
    "client.example",
    frozenset({"192.0.2.7", "192.0.2.8", "2001:db8::7", "127.0.0.1", "198.51.100.1"}),
    (ipaddress.ip_network("203.0.113.0/24"), ipaddress.ip_network("2001:db8:1::/48")),
    frozenset({34, 0}),
)
SERVER = "198.51.100.1"


@pytest.mark.parametrize(
    ("peer", "owner", "verdict"),
    [
        ("192.0.2.7", ELSEWHERE, Verdict.ADMITTED),
        ("192.0.2.8", ELSEWHERE, Verdict.ADMITTED),
        ("::ffff:192.0.2.7", ELSEWHERE, Verdict.ADMITTED),
        ("2001:db8::7", ELSEWHERE, Verdict.ADMITTED),
        ("2001:DB8:0::7%eth0", ELSEWHERE, Verdict.ADMITTED),
        ("192.0.2.9", ELSEWHERE, Verdict.REFUSED),
        ("2001:db8::8", ELSEWHERE, Verdict.REFUSED),
        ("203.0.113.200", ELSEWHERE, Verdict.ADMITTED),
        ("2001:db8:1:2::3", ELSEWHERE, Verdict.ADMITTED),
        # of this host, whether the dump's host is this one or not
        ("127.0.0.1", OURS, Verdict.ADMITTED),
        ("::1", ROOT, Verdict.ADMITTED),
        (SERVER, OURS, Verdict.ADMITTED),
        ("192.0.2.99", OURS, Verdict.ADMITTED),
        ("127.0.0.1", OTHER, Verdict.REFUSED),
        ("::ffff:127.0.0.1", OTHER, Verdict.REFUSED),
        (SERVER, OTHER, Verdict.REFUSED),
        ("192.0.2.7", OTHER, Verdict.REFUSED),
        ("127.0.0.1", GONE, Verdict.UNKNOWN),
        (SERVER, GONE, Verdict.UNKNOWN),
        # our own address, from another network namespace
        (SERVER, ELSEWHERE, Verdict.REFUSED),
        ("127.0.0.1", ELSEWHERE, Verdict.REFUSED),
    ],
)
def test_verdicts(peer: str, owner: Owner, verdict: Verdict) -> None:
    assert CALLERS.judge(peer, SERVER, owner, open_still=True)[0] is verdict


def test_a_refusal_says_whose_the_caller_is_not() -> None:
    _, text = CALLERS.judge("192.0.2.9", SERVER, ELSEWHERE, open_still=True)
    assert text == "192.0.2.9, which is no address of client.example"
    assert Callers().judge("192.0.2.9", SERVER, ELSEWHERE, open_still=True)[1] == (
        "192.0.2.9, not of this host"
    )


def test_who_has_hung_up_is_unknown() -> None:
    """The kernel keeps no trace of him for long."""
    verdict, _ = CALLERS.judge("127.0.0.1", SERVER, ELSEWHERE, open_still=False)
    assert verdict is Verdict.UNKNOWN


@pytest.mark.parametrize(
    ("host", "plain"),
    [
        ("::ffff:10.1.2.3", "10.1.2.3"),
        ("fe80::1%eth0", "fe80::1"),
        ("0:0::1", "::1"),
        ("10.1.2.3", "10.1.2.3"),
    ],
)
def test_plain_addresses(host: str, plain: str) -> None:
    assert plain_host(host) == plain


KERNEL, TABLES = "sock_diag", "/proc/net/tcp"


@pytest.fixture(params=[KERNEL, TABLES])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """By which the owner is found out."""

    def cannot(*_: object) -> None:
        raise OSError(93, "Protocol not supported")

    other = "_ask_kernel" if request.param is TABLES else "_look_up"
    monkeypatch.setattr(socket_owner, other, cannot)
    return str(request.param)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "mapped"])
def test_our_own_connection(way: str, host: str) -> None:
    """By IPv4, IPv6, and an IPv6 socket that calls an IPv4 address."""
    where = "127.0.0.1" if host == "mapped" else host
    with socket.create_server(
        (where, 0), family=socket.AF_INET6 if ":" in where else socket.AF_INET
    ) as server:
        port = server.getsockname()[1]
        client = socket.socket(socket.AF_INET if host == "127.0.0.1" else socket.AF_INET6)
        client.connect((f"::ffff:{where}" if host == "mapped" else where, port))
        ours = server.accept()[0]
    peer, own = ours.getpeername()[:2], ours.getsockname()[:2]
    assert owner_of(peer, own) == Owner(Kind.LIVE, os.getuid())
    assert judge(Callers(), ours)[0] is Verdict.ADMITTED
    client.close()
    assert owner_of(peer, own) == Owner(Kind.GONE)
    assert judge(Callers(), ours)[0] is Verdict.UNKNOWN
    ours.close()


@needs_root
def test_a_strangers_connection(way: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, Stranger(server.getsockname()[1]):
        ours = server.accept()[0]
        assert owner_of(ours.getpeername(), ours.getsockname()) == Owner(Kind.LIVE, NOBODY)
        assert judge(Callers(), ours)[0] is Verdict.REFUSED
        ours.close()


def test_a_connection_of_nobody_here() -> None:
    assert owner_of(("192.0.2.1", 7), ("198.51.100.1", 9)).kind is Kind.ELSEWHERE
    assert owner_of(("2001:db8::1", 7), ("2001:db8::2", 9)).kind is Kind.ELSEWHERE


@pytest.mark.parametrize("table", ["", "sl local", "0: A B 01", "0: A B 01 0 0 0 x 0 y", "0: A B"])
def test_tables_that_say_nothing(table: str) -> None:
    assert find_in_table(table, "A", "B") is None


def test_a_table() -> None:
    table = "  sl  local rem st\n 1: A B 01 0:0 0:0 0 34 0 5 1\n 2: B A 01 0:0 0:0 0 7 0 6 1\n"
    assert find_in_table(table, "A", "B") == (34, 5)

"""Whose process holds the other end of a connection within this host.

The kernel is asked by sock_diag (linux/inet_diag.h); where it has no such thing, /proc/net/tcp and
tcp6 are read. Who has hung up already cannot be told any more: the kernel then shows no inode, and
user 0.
"""

from __future__ import annotations

import contextlib
import ipaddress
import socket
import struct
import sys

from devices.callers import Kind, Owner, Where, plain_host

_DIAG_PROTOCOL = 4  # NETLINK_SOCK_DIAG
_BY_FAMILY = 20  # SOCK_DIAG_BY_FAMILY
_ANSWER = struct.Struct("=2B2x48x3I2I")  # inet_diag_msg: family, state, id, ..., uid, inode
_LONGEST_TABLE = 64 << 20


def owner_of(peer: Where, ours: Where) -> Owner:
    """Who holds the socket that is bound to ``peer`` and connected to ``ours``."""
    peer, ours = (plain_host(peer[0]), peer[1]), (plain_host(ours[0]), ours[1])
    found = None
    with contextlib.suppress(OSError):  # no such kernel interface here
        found = _ask_kernel(peer, ours)
    if found is None:
        found = _look_up(peer, ours)
    if found is None:
        return Owner(Kind.ELSEWHERE)
    uid, inode = found
    return Owner(Kind.LIVE, uid) if inode else Owner(Kind.GONE)


def _ask_kernel(peer: Where, ours: Where) -> tuple[int, int] | None:
    """User and inode. :raise OSError: the kernel cannot be asked"""
    family = socket.AF_INET6 if ":" in peer[0] else socket.AF_INET
    hosts = [socket.inet_pton(family, host).ljust(16, b"\0") for host, _ in (peer, ours)]
    identity = struct.pack("!HH16s16s", peer[1], ours[1], *hosts)
    identity += struct.pack("=III", 0, 0xFFFFFFFF, 0xFFFFFFFF)  # any interface, no cookie
    body = struct.pack("=4BI", family, socket.IPPROTO_TCP, 0, 0, 0xFFFFFFFF) + identity
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _DIAG_PROTOCOL) as kernel:
        kernel.settimeout(1)
        kernel.send(struct.pack("=IHHII", 16 + len(body), _BY_FAMILY, 1, 1, 0) + body)
        answer = kernel.recv(8192)
    if len(answer) < 16 + _ANSWER.size or answer[4:6] != struct.pack("=H", _BY_FAMILY):
        return None
    *_, uid, inode = _ANSWER.unpack_from(answer, 16)
    return uid, inode


def _look_up(peer: Where, ours: Where) -> tuple[int, int] | None:
    """The same from the kernel's tables of connections."""
    for name, mapped in (("tcp", False), ("tcp6", True)):
        if ":" in peer[0] and not mapped:
            continue
        wanted = [f"{_in_table(host, mapped)}:{port:04X}" for host, port in (peer, ours)]
        try:
            with open(f"/proc/net/{name}", encoding="ascii") as table:
                found = find_in_table(table.read(_LONGEST_TABLE), *wanted)
        except OSError:
            continue  # a kernel without IPv6, a host without /proc
        if found is not None:
            return found
    return None


def _in_table(host: str, as_ipv6: bool) -> str:
    """An address as /proc/net/tcp (tcp6) writes it: 32-bit words in the host's byte order."""
    address = ipaddress.ip_address(host)
    packed = address.packed
    if as_ipv6 and address.version == 4:
        packed = bytes(10) + b"\xff\xff" + packed
    words = (packed[at : at + 4] for at in range(0, len(packed), 4))
    return "".join(f"{int.from_bytes(word, sys.byteorder):08X}" for word in words)


def find_in_table(table: str, local: str, remote: str) -> tuple[int, int] | None:
    """User and inode of one connection in the text of /proc/net/tcp; None: it is not there."""
    for line in table.splitlines():
        words = line.split()
        if words[1:3] == [local, remote] and len(words) > 9:
            uid, inode = words[7], words[9]
            if uid.isascii() and uid.isdigit() and inode.isascii() and inode.isdigit():
                return int(uid), int(inode)
    return None

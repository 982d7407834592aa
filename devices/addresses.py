"""The addresses of this host that a client may be able to reach."""

from __future__ import annotations

import socket
import struct

# linux/rtnetlink.h, linux/if_addr.h, linux/rtnetlink.h
_RTM_GETADDR = 22
_NLM_F_REQUEST_DUMP = 0x301
_NLMSG_ERROR, _NLMSG_DONE = 2, 3
_IFA_ADDRESS, _IFA_LOCAL = 1, 2
_USELESS = 0x08 | 0x20 | 0x40  # duplicate, deprecated, not yet known to be unique
_SCOPE_UNIVERSE, _SCOPE_SITE = 0, 200

LOOPBACK = "127.0.0.1"
MOST = 16
"""Addresses of one host that are told to a client."""


def reachable_hosts() -> tuple[str, ...]:
    """This host's addresses: IPv4 first, and first of these the one that others see.

    Addresses that hold only within the host or one link are left out; the loopback one stands
    alone when there is no other.
    """
    found = [host for host in _all_hosts() if host != LOOPBACK]
    usual = _usual_source()
    found.sort(key=lambda host: (":" in host, host != usual))
    return tuple(dict.fromkeys(found))[:MOST] or (LOOPBACK,)


def _usual_source() -> str:
    """The IPv4 address from which this host talks to others; nothing is sent to find out."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return ""  # no route leads anywhere
        return str(probe.getsockname()[0])


def _all_hosts() -> list[str]:
    if not hasattr(socket, "AF_NETLINK"):
        return _named_hosts()
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as kernel:
        kernel.bind((0, 0))
        kernel.send(struct.pack("=IHHIIB7x", 24, _RTM_GETADDR, _NLM_F_REQUEST_DUMP, 1, 0, 0))
        found: list[str] = []
        while True:
            data = kernel.recv(65536)
            if _read_answer(data, found):
                return found


def _named_hosts() -> list[str]:
    """Where the kernel cannot be asked: what the host's own name stands for."""
    found = socket.getaddrinfo(socket.gethostname(), None, type=socket.SOCK_STREAM)
    hosts = [str(entry[4][0]) for entry in found]
    return [host for host in hosts if not host.startswith(("127.", "169.254.", "fe80", "::1"))]


def _read_answer(data: bytes, found: list[str]) -> bool:
    """Take the addresses of one bundle of messages. :return: the answer is over"""
    while len(data) >= 16:
        length, kind = struct.unpack_from("=IH", data)
        if kind in (_NLMSG_DONE, _NLMSG_ERROR) or length < 16:
            return True
        host = _read_message(data[16:length])
        if host is not None:
            found.append(host)
        data = data[length + -length % 4 :]
    return False


def _read_message(data: bytes) -> str | None:
    family, _, flags, scope, _ = struct.unpack_from("=BBBBI", data)
    if flags & _USELESS or scope not in (_SCOPE_UNIVERSE, _SCOPE_SITE):
        return None
    values: dict[int, bytes] = {}
    at = 8
    while at + 4 <= len(data):
        length, kind = struct.unpack_from("=HH", data, at)
        if length < 4:
            break
        values[kind] = data[at + 4 : at + length]
        at += length + -length % 4
    raw = values.get(_IFA_LOCAL) or values.get(_IFA_ADDRESS)
    if raw is None or len(raw) != (4 if family == socket.AF_INET else 16):
        return None
    return socket.inet_ntop(family, raw)

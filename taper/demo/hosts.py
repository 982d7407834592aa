"""Three hosts on one machine: network namespaces, each with one cable to the same switch.

Nothing of it is in the machine's own network: the switch is a bridge in a namespace of its own,
and the addresses, of networks kept for documentation, exist in the namespaces only. A namespace
has no name but a process that keeps it, and that ends when we end, however we do; the kernel
then takes everything away.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from contextlib import ExitStack
from typing import Self

from attrs import frozen

SERVER, CLIENT, TAPE = HOSTS = ("server", "client", "tape")
SWITCH = "switch"
_IPV4, _IPV6 = "198.51.100", "2001:db8:"
_CARD = "eth0"
_PATH = os.defpath + ":/usr/sbin:/sbin"
_END_SECONDS = 5.0


class NoHosts(Exception):
    """Such hosts cannot be had on this machine; the text says why."""

    taper_code = 8011


@frozen
class Carried:
    """What went over a host's cable so far, in bytes."""

    received: int
    sent: int

    @property
    def both(self) -> int:
        return self.received + self.sent

    def since(self, before: Carried) -> Carried:
        return Carried(self.received - before.received, self.sent - before.sent)


class Hosts:
    """The three hosts, from entry to exit of the context.

    :param ipv4: they have IPv4 addresses
    :param ipv6: they have IPv6 addresses
    """

    def __init__(self, *, ipv4: bool = True, ipv6: bool = True) -> None:
        self._ipv4 = ipv4
        self._ipv6 = ipv6
        self._keepers: dict[str, subprocess.Popen[bytes]] = {}
        self._cleanup = ExitStack()

    def __enter__(self) -> Self:
        """:raise NoHosts: they cannot be made"""
        with self._cleanup:
            self._build()
            self._cleanup = self._cleanup.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        """Let the hosts go: the kernel keeps one only as long as a program runs on it."""
        self._cleanup.close()

    # what there is

    def address(self, host: str) -> str:
        """Its IPv4 address; the IPv6 one if it has no other."""
        number = HOSTS.index(host) + 1
        return f"{_IPV4}.{number}" if self._ipv4 else f"{_IPV6}:{number}"

    def carried(self, host: str) -> Carried:
        """What the kernel has counted at the host's cable."""
        with open(f"/proc/{self._keepers[host].pid}/net/dev", encoding="ascii") as counters:
            for line in counters:
                card, _, values = line.partition(":")
                if card.strip() == _CARD:
                    columns = values.split()
                    return Carried(int(columns[0]), int(columns[8]))
        raise ValueError(f"the host {host} has no {_CARD}")

    # what is done to it

    def inside(self, host: str) -> list[str]:
        """The words before a command that make it run on a host, and die with us."""
        keeper = self._keepers[host].pid
        return ["nsenter", f"--net=/proc/{keeper}/ns/net", "setpriv", "--pdeathsig", "KILL"]

    def _build(self) -> None:
        for program in ("ip", "unshare", "nsenter", "setpriv"):
            if shutil.which(program, path=_PATH) is None:
                raise NoHosts(f"there is no program {program}")
        if os.geteuid() != 0:
            raise NoHosts("only root can make network namespaces")
        for name in (SWITCH, *HOSTS):
            self._keep(name)
        wiring = ["link add bridge type bridge", "link set bridge up"]
        for host in HOSTS:
            keeper = self._keepers[host].pid
            wiring.append(f"link add {host} type veth peer name {_CARD} netns {keeper}")
            wiring.append(f"link set {host} master bridge up")
        self._ip(SWITCH, *wiring)
        for number, host in enumerate(HOSTS, 1):
            addresses = []
            if self._ipv4:
                addresses.append(f"addr add {_IPV4}.{number}/24 dev {_CARD}")
            if self._ipv6:  # known to be unique, so it need not be tried first
                addresses.append(f"addr add {_IPV6}:{number}/64 dev {_CARD} nodad")
            self._ip(host, "link set lo up", *addresses, f"link set {_CARD} up")

    def _keep(self, name: str) -> None:
        """Make a namespace, and a process that keeps it until our end of a pipe is closed."""
        keeper = subprocess.Popen(
            ["unshare", "--net", "sh", "-c", "echo && exec cat"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        self._keepers[name] = keeper
        self._cleanup.callback(_end, keeper)
        assert keeper.stdout is not None
        if keeper.stdout.readline() != b"\n":
            assert keeper.stderr is not None
            raise NoHosts(_first_line(keeper.stderr.read()))

    def _ip(self, name: str, *lines: str) -> None:
        keeper = self._keepers[name].pid
        done = subprocess.run(
            ["nsenter", f"--net=/proc/{keeper}/ns/net", "ip", "-batch", "-"],
            input="".join(f"{line}\n" for line in lines).encode("ascii"),
            capture_output=True,
            env={**os.environ, "PATH": _PATH},
            check=False,
        )
        if done.returncode:
            raise NoHosts(_first_line(done.stderr))


def _first_line(said: bytes) -> str:
    return said.decode("utf-8", "replace").strip().partition("\n")[0] or "no reason given"


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.communicate()

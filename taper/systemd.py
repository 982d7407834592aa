"""What systemd and a service of ours tell each other: sd_notify(3), sd_listen_fds(3).

All of it stands in the environment, and is taken out of it when it was read: no program that we
start is meant.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import MutableMapping
from typing import Any

from twisted.logger import Logger
from twisted.python.systemd import ListenFDs

from taper.last_words import CannotStart

BEATS = 3
"""How often we say that we live in the time after which we are taken for dead."""

log = Logger()


class Notifier:
    """Tells systemd how it goes; where there is none, nobody.

    :param environment: has ``NOTIFY_SOCKET``, ``WATCHDOG_USEC`` and ``WATCHDOG_PID``, if anybody
        wants to be told
    """

    def __init__(self, reactor: Any, environment: MutableMapping[str, str] | None = None) -> None:
        environment = os.environ if environment is None else environment
        self._reactor = reactor
        self._address = environment.pop("NOTIFY_SOCKET", "")
        if self._address.startswith("@"):
            self._address = f"\0{self._address[1:]}"
        elif not self._address.startswith("/"):
            self._address = ""
        self._pause = _pause_of(environment)
        self._beat: Any = None

    def ready(self, status: str) -> None:
        """We serve, or serve again; from now on the watchdog hears from the reactor."""
        self._say("READY=1", f"STATUS={status}")
        if self._pause is not None and self._beat is None:
            self._live()

    def status(self, text: str) -> None:
        """What we are doing, for ``systemctl status``."""
        self._say(f"STATUS={text}")

    def reloading(self) -> None:
        """The configuration is read again, until :meth:`ready`."""
        self._say("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        """We end; the watchdog hears from us until the reactor does no more."""
        self._say("STOPPING=1", "STATUS=ending")

    def still(self) -> None:
        """Say no more that we live."""
        beat, self._beat = self._beat, None
        if beat is not None and beat.active():
            beat.cancel()

    def _live(self) -> None:
        self._say("WATCHDOG=1")
        self._beat = self._reactor.callLater(self._pause, self._live)

    def _say(self, *words: str) -> None:
        if not self._address:
            return
        data = "\n".join(" ".join(word.split("\n")) for word in words).encode(
            "utf-8", "surrogateescape"
        )
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as link:
                link.setblocking(False)
                link.sendto(data, self._address)
        except OSError as fault:
            log.warn("systemd cannot be told {words}: {fault}", words=words, fault=fault)


def _pause_of(environment: MutableMapping[str, str]) -> float | None:
    """Seconds between two signs of life; None: nobody waits for them."""
    usec = environment.pop("WATCHDOG_USEC", "")
    pid = environment.pop("WATCHDOG_PID", "")
    if not usec.isdecimal() or not int(usec) or pid not in ("", str(os.getpid())):
        return None
    return int(usec) / 1e6 / BEATS


def _environment_at_start() -> dict[str, str]:
    """The environment that this process was given. Of ours Twisted takes the half of what tells of
    sockets, whenever somebody imports its endpoints."""
    try:
        with open("/proc/self/environ", "rb") as file:
            settings = os.fsdecode(file.read()).split("\0")
    except OSError:
        return dict(os.environ)
    return dict(setting.split("=", 1) for setting in settings if "=" in setting)


def inherited_socket(families: tuple[int, ...]) -> socket.socket | None:
    """The listening socket that systemd has opened for us, if it has.

    :param families: of addresses, that it may be of
    :raise CannotStart: it is none of these, or there are several
    """
    found = ListenFDs.fromEnvironment(_environment_at_start()).inheritedDescriptors()
    for name in ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"):
        os.environ.pop(name, None)
    if not found:
        return None
    if len(found) > 1:
        raise CannotStart(f"systemd hands over {len(found)} sockets, expected one")
    try:
        link = socket.socket(fileno=found[0])
    except OSError as fault:
        raise CannotStart(f"what systemd hands over is no socket: {fault.strerror}") from fault
    check_socket(link, families)
    link.set_inheritable(False)
    link.setblocking(False)
    return link


def check_socket(link: socket.socket, families: tuple[int, ...]) -> None:
    """:raise CannotStart: it does not listen, or not on an address of these families"""
    listens = link.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    if listens and link.family in families:
        return
    kind = getattr(link.family, "name", str(link.family))
    kinds = " or ".join(socket.AddressFamily(family).name for family in families)
    raise CannotStart(
        f"systemd hands over a socket of {kind}, expected one that listens, of {kinds}"
    )

"""Which dumps get a rendezvous, and what it is held with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from attrs import frozen

from devices.addresses import MOST, reachable_hosts
from devices.base import split_hosts, split_networks
from devices.key_file import FileRefused, read_key, read_pem
from protocols.conf.grammar import TRUE_WORDS
from protocols.directtcp import is_host
from protocols.rendezvous.keys import KeyRefused
from taper.core.errors import SourceFault
from taper.flow.made_header import NoDumptype, application_of
from taper.tls import Pem, TlsRefused, make_options, require_package

if TYPE_CHECKING:
    from devices.callers import Network
    from protocols.conf import Application, Config
    from protocols.conf.values import Properties
    from protocols.driver.commands import PortWrite

WANTED = "rendezvous"
"""Property of an application that knows what a rendezvous is."""

PEERS = "directtcp-peer-address"
"""A property of devices that the global part may have, too."""

ANY_PORT = range(1)


class NoRendezvous(Exception):
    """A dump that wants one cannot get it; the text says why."""

    taper_code = 6001


@frozen(kw_only=True)
class Terms:
    """What the rendezvous of one dump is held with.

    :ivar key: that the application must know.
    :ivar hosts: addresses that the application is told.
    :ivar ports: to listen on; 0 stands for any.
    :ivar networks: from which anybody may call, besides the addresses of the dump's host.
    :ivar tls: what Twisted makes connections by TLS of; None: there is none on them.
    """

    key: bytes
    hosts: tuple[str, ...]
    ports: Sequence[int] = ANY_PORT
    networks: tuple[Network, ...] = ()
    tls: Any = None


def find_terms(command: PortWrite, config: Config) -> Terms | None:
    """The terms of a dump by data path DIRECTTCP. Blocks.

    :return: None: its application does not ask for a rendezvous
    :raise NoRendezvous: it does, in vain
    """
    application = _application(command, config)
    if application is None or not _is_yes(text(application.property, WANTED)):
        return None
    found = config.general.property
    name = text(found, "rendezvous-key-file")
    if not name:
        raise NoRendezvous(
            f"application '{application.plugin}' asks for a rendezvous, and no property "
            f"rendezvous-key-file names its key"
        )
    try:
        key = read_key(config.path(name))
    except KeyRefused as refusal:
        raise NoRendezvous(f"property rendezvous-key-file: {refusal}") from refusal
    hosts = _hosts(text(found, "rendezvous-address"))
    ports = _ports(text(found, "rendezvous-port-range"))
    try:
        networks = split_networks(text(found, PEERS))
    except ValueError as fault:
        raise NoRendezvous(f"property {PEERS}: {fault}") from fault
    tls = _tls(found, config)
    return Terms(key=key, hosts=hosts, ports=ports, networks=networks, tls=tls)


def _tls(found: Properties, config: Config) -> Any:
    """What Twisted makes connections by TLS of; None: no property asks for it."""
    key, certificate = text(found, "rendezvous-tls-key"), text(found, "rendezvous-tls-certificate")
    if not (key or certificate):
        return None
    if not (key and certificate):
        there, missing = ("key", "certificate") if key else ("certificate", "key")
        raise NoRendezvous(
            f"property rendezvous-tls-{there} needs rendezvous-tls-{missing} beside it"
        )
    try:
        require_package()
        return make_options(
            _pem("rendezvous-tls-key", config.path(key), secret=True),
            _pem("rendezvous-tls-certificate", config.path(certificate), secret=False),
        )
    except TlsRefused as refusal:
        raise NoRendezvous(str(refusal)) from refusal


def _pem(name: str, path: str, *, secret: bool) -> Pem:
    try:
        return Pem(f"property {name}: {path}", path, read_pem(path, secret=secret))
    except FileRefused as refusal:
        raise NoRendezvous(f"property {name}: {refusal}") from refusal


def _application(command: PortWrite, config: Config) -> Application | None:
    """That of the disk, where disk and dumptype are known; whoever makes a header complains."""
    try:
        return application_of(command, config)
    except (SourceFault, NoDumptype):
        return None


def _is_yes(value: str) -> bool:
    """As the application itself takes it."""
    return value.lower() in TRUE_WORDS or value == "1"


def text(properties: Properties, name: str) -> str:
    """The last value of a property; empty: it has none."""
    values = properties.get(name, ())
    return values[-1] if values else ""


def _hosts(value: str) -> tuple[str, ...]:
    hosts = split_hosts(value)
    for host in hosts:
        if not is_host(host):
            raise NoRendezvous(f"property rendezvous-address: '{host}' is not an IP address")
    return hosts[:MOST] or reachable_hosts()


def _ports(value: str) -> Sequence[int]:
    if not value:
        return ANY_PORT
    first, _, last = value.replace(" ", "").partition("-")
    numbers = (first, last or first)
    if all(word.isascii() and word.isdigit() and len(word) < 6 for word in numbers):
        low, high = map(int, numbers)
        if 0 < low <= high < 65536:
            return range(low, high + 1)
    raise NoRendezvous(
        f"property rendezvous-port-range: '{value}' is no range of ports, expected FIRST-LAST"
    )

"""Which dumps get a rendezvous: what the configuration says, and what its words are worth."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from twisted.internet.defer import execute
from twisted.internet.task import Clock

from devices.addresses import reachable_hosts
from protocols.conf import load
from protocols.driver.commands import PortWrite
from protocols.driver.messages import SplitFields
from taper.core.errors import SourceFault
from taper.flow.interfaces import FlowContext
from taper.flow.port import ClientOrigin, UndecidedOrigin, from_port
from taper.flow.rendezvous.origin import RendezvousOrigin
from taper.flow.rendezvous.terms import NoRendezvous, Terms, find_terms
from tests.fakes.certificates import Authority

CONF = """
define application meets {
  plugin "amdirecttar"
  property "RENDEZVOUS" "%(yes)s"
}
define application stays {
  plugin "amdirecttar"
}
define dumptype meeting {
  program "APPLICATION"
  application "meets"
}
define dumptype plain {
  program "APPLICATION"
  application "stays"
}
define dumptype tar {
  program "GNUTAR"
}
%(more)s
"""
DISKS = """
h /meeting meeting
h /plain plain
h /tar tar
h /nowhere nowhere
h /inline {
  tar
  program "APPLICATION"
  application "meets"
}
"""
KEY = b"0123456789abcdef"
BY_TLS = (
    "rendezvous-key-file=key\nrendezvous-tls-key=server.key\nrendezvous-tls-certificate=server.crt"
)


class Place:
    """A configuration, and its key."""

    def __init__(self, directory: Path) -> None:
        self._root = directory
        self._directory = directory / "C"
        self._directory.mkdir()
        (self._directory / "disklist").write_text(DISKS)
        self.key = self._directory / "key"
        self.key.write_bytes(KEY + b"\n")
        self.key.chmod(0o600)

    def certify(self) -> tuple[Path, Path]:
        """Make what TLS needs. :return: key and certificate"""
        return Authority(self._directory).sign("server", address="127.0.0.1")

    def find(self, more: str = "", disk: str = "/meeting", yes: str = "YES") -> Terms | None:
        """With properties ``NAME=VALUE``, one a line."""
        return find_terms(command(disk), self.config(more, yes))

    def config(self, more: str, yes: str = "YES") -> Any:
        pairs = (line.split("=") for line in more.split())
        text = "\n".join(f'property "{name}" "{value}"' for name, value in pairs)
        conf = CONF % {"yes": yes, "more": text}
        (self._directory / "amanda.conf").write_text(conf)

        def read(path: str) -> bytes | None:
            return Path(path).read_bytes() if Path(path).exists() else None

        return load("C", read, config_root=str(self._root)).config


def command(disk: str, path: str = "DIRECTTCP") -> PortWrite:
    return PortWrite("w", "h", "h", disk, "1", "20260101000000", SplitFields(), path)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


@pytest.mark.parametrize("disk", ["/meeting", "/inline"])
@pytest.mark.parametrize("yes", ["YES", "yes", "true", "1"])
def test_where_both_want_it(place: Place, disk: str, yes: str) -> None:
    """By a path from the configuration's directory on, too."""
    found = place.find("rendezvous-key-file=key", disk, yes)
    assert found == Terms(key=KEY, hosts=reachable_hosts())


@pytest.mark.parametrize("disk", ["/plain", "/tar", "/nowhere", "/unknown"])
def test_where_the_disk_does_not(place: Place, disk: str) -> None:
    assert place.find("rendezvous-key-file=key", disk) is None


def test_where_the_application_says_no(place: Place) -> None:
    assert place.find("rendezvous-key-file=key", yes="NO") is None


def test_its_addresses_ports_and_peers(place: Place) -> None:
    found = place.find(
        "rendezvous-key-file=key\nrendezvous-address=192.0.2.1,2001:db8::1\n"
        "rendezvous-port-range=5000-5003\ndirecttcp-peer-address=198.51.100.0/24"
    )
    assert found is not None
    assert found.hosts == ("192.0.2.1", "2001:db8::1")
    assert list(found.ports) == [5000, 5001, 5002, 5003]
    assert [str(network) for network in found.networks] == ["198.51.100.0/24"]
    assert list(place.find("rendezvous-key-file=key rendezvous-port-range=7").ports) == [7]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("more", "text"),
    [
        ("", "no property rendezvous-key-file names its key"),
        ("rendezvous-key-file=none", "/none: No such file or directory"),
        ("rendezvous-key-file=key\nrendezvous-address=here", "'here' is not an IP address"),
        ("rendezvous-key-file=key\nrendezvous-port-range=9-5", "'9-5' is no range of ports"),
        ("rendezvous-key-file=key\nrendezvous-port-range=0-5", "'0-5' is no range of ports"),
        ("rendezvous-key-file=key\nrendezvous-port-range=5-65536", "is no range of ports"),
        ("rendezvous-key-file=key\ndirecttcp-peer-address=x", "property directtcp-peer-address"),
    ],
)
def test_where_it_cannot_be_had(place: Place, more: str, text: str) -> None:
    with pytest.raises(NoRendezvous, match=text):
        place.find(more)


def test_a_key_that_others_may_read(place: Place) -> None:
    place.key.chmod(0o644)
    with pytest.raises(NoRendezvous, match="its mode is 0644"):
        place.find("rendezvous-key-file=key")


def test_by_tls(place: Place) -> None:
    """Behind the certificate may be that of its authority."""
    _, certificate = place.certify()
    authority = certificate.with_name("authority.pem")
    certificate.write_bytes(certificate.read_bytes() + authority.read_bytes())
    found = place.find(BY_TLS)
    assert found is not None
    assert found.tls.getContext() is not None
    assert len(found.tls.extraCertChain) == 1


def test_tls_with_files_that_will_not_do(place: Place, tmp_path: Path) -> None:
    """The key must be as secret as that of the rendezvous."""
    key, certificate = place.certify()
    for more, text in (
        (BY_TLS.replace("server.crt", "none"), "rendezvous-tls-certificate: .*/none: No such file"),
        (BY_TLS.replace("server.key", "key"), "rendezvous-tls-key: .*/key cannot be used: "),
        (BY_TLS.replace("server.crt", "key"), "certificate: .*/key has no certificate in PEM"),
        (BY_TLS.rpartition("\n")[0], "tls-key needs rendezvous-tls-certificate beside it"),
        (BY_TLS.replace("tls-key", "tls-"), "tls-certificate needs rendezvous-tls-key beside it"),
        (BY_TLS.replace("server.crt", "authority.pem"), "does not fit the certificate in .*/auth"),
    ):
        with pytest.raises(NoRendezvous, match=text):
            place.find(more)
    certificate.chmod(0o666)
    with pytest.raises(NoRendezvous, match=r"tls-certificate: .* others can change it: .* 0666"):
        place.find(BY_TLS)
    key.chmod(0o644)
    with pytest.raises(NoRendezvous, match=r"tls-key: .* others can read or change it: .* 0644"):
        place.find(BY_TLS)
    key.chmod(0o600)
    certificate.chmod(0o644)
    key.write_text("-----BEGIN ENCRYPTED PRIVATE KEY-----\n")
    with pytest.raises(NoRendezvous, match="has a passphrase, which nobody could be asked for"):
        place.find(BY_TLS)


def test_tls_without_the_package(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is to be installed is said."""
    place.certify()
    monkeypatch.setitem(sys.modules, "OpenSSL", None)
    with pytest.raises(NoRendezvous, match=r"TLS needs a package .* install twisted-taper\[tls\]"):
        place.find(BY_TLS)


@pytest.mark.parametrize("more", ["rendezvous-key-file=key", ""])
def test_the_origin_that_comes_of_it(place: Place, more: str) -> None:
    """Without a key the dump fails before a volume is spent, and it is said why."""
    context = FlowContext(
        reactor=Clock(),
        make_lane=pytest.fail,
        patience=1.0,
        look=execute,
        search=pytest.fail,
        config=place.config(more),
    )
    origin = from_port(context, command("/meeting"), pytest.fail)
    assert isinstance(origin, UndecidedOrigin)
    decided: list[Any] = []
    origin.decide().addBoth(decided.append)
    if more:
        assert isinstance(decided[0], RendezvousOrigin)
        decided[0].close()
    else:
        assert decided[0].check(SourceFault)
        assert "no property rendezvous-key-file" in decided[0].getErrorMessage()
    assert (
        type(from_port(evolve(context, config=None), command("/tar"), pytest.fail)) is ClientOrigin
    )

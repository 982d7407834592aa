"""Whom the application believes to be the taper."""

from __future__ import annotations

from pathlib import Path

import pytest

from protocols.application import Properties
from taper.application.errors import ApplicationError
from taper.application.rendezvous import trust_of
from taper.application.selfcheck import _check_rendezvous
from tests.application.taper_side import KEY
from tests.fakes.certificates import Authority


@pytest.fixture
def authority(tmp_path: Path) -> Path:
    return Authority(tmp_path).file


def test_without_tls() -> None:
    assert trust_of(Properties()) is None


def test_found_before_the_night(tmp_path: Path, authority: Path) -> None:
    """By selfcheck."""
    key = tmp_path / "key"
    key.touch(0o600)
    key.write_bytes(KEY)
    named = Properties(rendezvous_key_file=str(key), rendezvous_tls_ca=str(authority))
    assert (True, f"{authority} has certificates") in list(_check_rendezvous(named))
    authority.chmod(0o666)
    found = [text for fine, text in _check_rendezvous(named) if not fine]
    assert found == [
        f"property RENDEZVOUS-TLS-CA: {authority}: others can change it: its mode is 0666, not 0644"
    ]


def test_comments_of_any_kind(authority: Path) -> None:
    """Files of authorities have their names, too, and line ends of other systems."""
    authority.write_bytes("Autorité\r\n".encode() + authority.read_bytes().replace(b"\n", b"\r\n"))
    assert trust_of(Properties(rendezvous_tls_ca=str(authority))) is not None


@pytest.mark.parametrize("content", ["", "nothing", "-----BEGIN CERTIFICATE-----\nx\n"])
def test_no_certificates(tmp_path: Path, content: str) -> None:
    path = tmp_path / "ca.pem"
    path.write_text(content)
    text = f"property RENDEZVOUS-TLS-CA: {path}: no certificate in PEM that can be used: "
    with pytest.raises(ApplicationError, match=text):
        trust_of(Properties(rendezvous_tls_ca=str(path)))
    with pytest.raises(ApplicationError, match="/none: No such file or directory"):
        trust_of(Properties(rendezvous_tls_ca=f"{tmp_path}/none"))

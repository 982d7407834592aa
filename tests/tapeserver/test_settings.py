"""What a tape server is told, and how it tells what is wrong with that."""

from __future__ import annotations

import socket
import subprocess
from ipaddress import ip_network
from pathlib import Path

import pytest

from devices.callers import Callers
from protocols.ndmp_server.interfaces import Refused
from taper.tapeserver.listener import DataTerms
from taper.tapeserver.settings import BadSettings, read_accounts, read_settings
from tests.tapeserver.process import ROOT, TAPER, TWISTD, TapeServerProcess

DRIVE = "[drive d]\nvtape = /srv/v\n"


@pytest.fixture
def accounts(tmp_path: Path) -> Path:
    path = tmp_path / "accounts"
    path.write_text("# comment\n\nndmp:pass:word\n")
    path.chmod(0o600)
    return path


def write(tmp_path: Path, text: str, accounts: Path) -> str:
    path = tmp_path / "conf"
    path.write_text(text.replace("ACCOUNTS", f"accounts = {accounts}"))
    return str(path)


def test_it_is_safe_by_default(tmp_path: Path, accounts: Path) -> None:
    """This host only, with a name and a password, and every wait has an end."""
    found = read_settings(write(tmp_path, f"[server]\nACCOUNTS\n{DRIVE}", accounts))
    assert (found.host, found.port) == ("127.0.0.1", 10000)
    assert found.terms.accounts == {"ndmp": "pass:word"}
    assert not found.terms.anybody
    here = (ip_network("127.0.0.0/8"), ip_network("::1/128"))
    assert (found.terms.networks, found.terms.data.networks) == (here, here)
    assert found.terms.data.callers == Callers()
    assert found.terms.login_patience
    assert found.terms.data.listen_patience
    assert found.terms.data.patience


@pytest.mark.parametrize(
    ("server", "drives", "text"),
    [
        ("", DRIVE, "[server] accounts = : a file of names and passwords expected"),
        ("ACCOUNTS\nlisten = here", DRIVE, "listen = here: ADDRESS:PORT"),
        ("ACCOUNTS\nclients = all", DRIVE, "clients = all: networks"),
        ("ACCOUNTS\ndata-ports = 9-1", DRIVE, "data-ports = 9-1: FIRST-LAST expected"),
        ("ACCOUNTS\ndata-address = ::1", DRIVE, "data-address = ::1: an IPv4 address"),
        ("ACCOUNTS\ndata-address = a.b", DRIVE, "data-address = a.b: an IPv4 address of this host"),
        (
            "ACCOUNTS\nipv6 = yes\ndata-address = ::1, 2001:db8::1",
            DRIVE,
            "data-address = ::1, 2001:db8::1: an IPv4 address of this host and an IPv6 one",
        ),
        ("ACCOUNTS\nanonymous = maybe", DRIVE, "anonymous = maybe: yes or no expected"),
        ("ACCOUNTS\nport = 9", DRIVE, "[server] port = 9: one of accounts, anonymous"),
        ("ACCOUNTS\npersonality = odd", DRIVE, "personality = odd: one of conforming, ndmjob"),
        ("ACCOUNTS\nlisten-timeout = 0", DRIVE, "listen-timeout = 0: a number from 1"),
        ("ACCOUNTS", "", "a [drive NAME] or a [library NAME] expected"),
        ("ACCOUNTS", "[drive d]\n", "[drive d] vtape = : one of vtape, file and tape expected"),
        ("ACCOUNTS", f"{DRIVE}limit = 5x\n", "[drive d] limit = 5x: bytes"),
        ("ACCOUNTS", f"{DRIVE}block-size = 512\n", "block-size = 512: a number from 32768"),
        ("ACCOUNTS", "[drive d]\nvtape = here\n", "vtape = here: a path from / on expected"),
        ("ACCOUNTS", "[robot r]\n", "[robot r]: [server], [drive NAME] or [library NAME]"),
        ("ACCOUNTS", f"{DRIVE}[library d]\ndisk = /t\ndrives = x\n", "d: each name once"),
        ("ACCOUNTS", "[library r]\ndisk = /t\n", "[library r] drives = : names of drives"),
        ("ACCOUNTS\nno value", DRIVE, "conf: "),
    ],
)
def test_what_is_wrong_is_named(
    tmp_path: Path, accounts: Path, server: str, drives: str, text: str
) -> None:
    """File, section, setting, value, and what was expected."""
    path = write(tmp_path, f"[server]\n{server}\n{drives}", accounts)
    with pytest.raises(BadSettings) as caught:
        read_settings(path)
    assert text in str(caught.value)
    assert str(caught.value).startswith(path)


def test_addresses_for_data_are_of_both_kinds(tmp_path: Path, accounts: Path) -> None:
    """Only where clients may choose IPv6; nobody is told of another address."""
    text = "[server]\nACCOUNTS\nipv6 = yes\ndata-address = 192.0.2.5 2001:db8::5\n"
    terms = read_settings(write(tmp_path, text + DRIVE, accounts)).terms
    assert terms.ipv6
    for called, ipv6, host in (
        *(("192.0.2.9", False, "192.0.2.5"), ("192.0.2.9", True, "2001:db8::5")),
        *(("::1", False, "192.0.2.5"), ("::1", True, "2001:db8::5")),
    ):
        assert terms.data.listening_host(called, ipv6=ipv6) == host
    unnamed = DataTerms()
    for called, ipv6, host in (
        *(("192.0.2.9", False, "192.0.2.9"), ("2001:db8::9", True, "2001:db8::9")),
        *(("127.0.0.1", True, "::1"), ("::1", False, "127.0.0.1")),
        ("::ffff:192.0.2.9", False, "192.0.2.9"),
    ):
        assert unnamed.listening_host(called, ipv6=ipv6) == host
    with pytest.raises(Refused, match="no IPv4 address to listen on for data; name one"):
        unnamed.listening_host("2001:db8::9", ipv6=False)


@pytest.mark.parametrize(
    ("content", "mode", "text"),
    [
        (b"ndmp:secret\n", 0o640, "mode 0640: 0600 expected"),
        (b"ndmp\n", 0o600, "line 1: NAME:PASSWORD expected"),
        (b"ndmp:\n", 0o600, "line 1: NAME:PASSWORD expected"),
        (b"\xff\n", 0o600, "no text: NAME:PASSWORD"),
    ],
)
def test_passwords_that_others_could_read_are_refused(
    tmp_path: Path, content: bytes, mode: int, text: str
) -> None:
    path = tmp_path / "accounts"
    path.write_bytes(content)
    path.chmod(mode)
    with pytest.raises(BadSettings, match=text):
        read_accounts(str(path))


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ((), "ndmp-tape: --config is required"),
        (("--config", "/none"), "ndmp-tape: /none: No such file or directory"),
    ],
)
@pytest.mark.parametrize("program", [TAPER, TWISTD], ids=["taper", "twistd"])
def test_a_program_that_cannot_start_says_so(
    program: tuple[str, ...], words: tuple[str, ...], text: str
) -> None:
    """A sentence, and a failing status; no traceback."""
    command = [*program, "ndmp-tape", *words]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert done.returncode == 1
    assert text in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("program", [TAPER, TWISTD], ids=["taper", "twistd"])
def test_both_programs_serve_until_they_are_told_to_end(
    tmp_path: Path, program: tuple[str, ...]
) -> None:
    """A client is greeted; a second server at the same place says why it cannot listen."""
    (tmp_path / "v").mkdir()
    drives = f"[drive d]\nvtape = {tmp_path}/v\n"
    with TapeServerProcess(drives, program=program) as server:
        with socket.create_connection(("127.0.0.1", server.port), 60) as client:
            assert len(client.recv(4)) == 4
        conf = server.directory / "conf"
        conf.write_text(conf.read_text().replace(":0", f":{server.port}"))
        command = [*TAPER, "ndmp-tape", "--config", str(conf)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)
        assert done.returncode == 1
        where = f"127.0.0.1:{server.port}"
        assert f"ndmp-tape: cannot listen on {where}: [Errno 98]" in done.stderr
        assert f"listening on {where}" not in server.end()

"""Drivers of other hosts: by TLS, with a certificate."""

from __future__ import annotations

import os
import re
import shutil
import socket
import ssl
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from pytest_twisted import ensureDeferred
from twisted.internet import reactor
from twisted.internet.task import Clock, deferLater
from twisted.internet.threads import deferToThread

from protocols.daemon import render
from protocols.installation import DEBIAN
from taper.run.driver_door import HANDSHAKE_PATIENCE, MOST_UNKNOWN
from taper.run.service import TaperService
from taper.run.setup import StartFailed
from tests.fakes.certificates import DAY, Authority
from tests.plane.dumping import write_holding
from tests.run.sessions import HANDLE, START, WORKER, Place, make_place, write_line

SECONDS = 60


class House:
    """A daemon behind such a door, and who knows whom."""

    def __init__(self, root: Path) -> None:
        self.place: Place = make_place(root)
        self.authority = Authority(root)
        self.key, self.certificate = self.authority.sign("server")
        self.service: TaperService | None = None

    def door(self, **instead: object) -> str:
        named = {
            "privateKey": self.key,
            "certKey": self.certificate,
            "clients": self.authority.file,
            "interface": "127.0.0.1",
            **instead,
        }
        return "mtls:0:" + ":".join(f"{name}={value}" for name, value in named.items() if value)

    def serve(self) -> TaperService:
        self.service = TaperService(reactor, self.place.setup(), self.door())
        self.service.startService()
        return self.service

    @property
    def port(self) -> int:
        assert self.service is not None
        assert self.service._port is not None
        return self.service._port.getHost().port  # type: ignore[attr-defined,no-any-return]

    def call(self, shown: tuple[Path, Path] | None) -> ssl.SSLSocket:
        """Connect, in a thread. :raise OSError: refused"""
        context = ssl.create_default_context(cafile=str(self.authority.file))
        context.check_hostname = False
        if shown is not None:
            key, certificate = shown
            context.load_cert_chain(certificate, key)
        plain = socket.create_connection(("127.0.0.1", self.port), SECONDS)
        return context.wrap_socket(plain)

    def drive(self, shown: tuple[Path, Path] | None) -> str:
        """Say START-TAPER, in a thread. :return: the reply; empty: hung up"""
        try:
            with self.call(shown) as link:
                link.sendall(f"{START}\n".encode())
                return link.makefile().readline()
        except OSError:
            return ""


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    house = House(tmp_path)
    yield house
    assert house.service is None or house.service.conversation is None


@ensureDeferred
async def test_a_driver_with_a_certificate_drives(house: House, tmp_path: Path) -> None:
    """A whole dump."""
    service = house.serve()
    holding = write_holding(str(tmp_path), b"some data" * 10_000, 100_000)
    shown = house.authority.sign("driver")

    def dump() -> list[str]:
        with house.call(shown) as link, link.makefile("rw") as talk:
            heard = []
            for line, word in (
                (START, "TAPER-OK"),
                (write_line(holding), "REQUEST-NEW-TAPE"),
                (f"START-SCAN {WORKER} {HANDLE}\nNEW-TAPE {WORKER} {HANDLE}", "DONE"),
            ):
                talk.write(f"{line}\n")
                talk.flush()
                while not (reply := talk.readline()).startswith(word):
                    assert reply
                heard.append(reply)
            talk.write("QUIT\n")
            talk.flush()
            assert talk.readline() == ""
            return heard

    heard = await deferToThread(dump)
    assert " INPUT-GOOD TAPE-GOOD " in heard[-1]
    assert house.place.logged()[-1] == "INFO taper pid-done"
    await service.stopService()


@ensureDeferred
async def test_who_has_a_certificate_chooses_no_configuration(house: House) -> None:
    """As the dump user's own command may, which Amanda starts on this host."""
    service = house.serve()
    shown = house.authority.sign("driver")
    greeting = render(program="1", record="", directory=b"/", words=[b"C"], environment={})
    assert greeting is not None

    def greet() -> bytes:
        with house.call(shown) as link:
            link.sendall(greeting)
            return link.recv(1000)

    heard = await deferToThread(greet)
    assert heard.startswith(b"REFUSED only the dump user's own command is served")
    assert not house.place.log.exists()
    await service.stopService()


@ensureDeferred
async def test_who_has_none_or_a_wrong_one_is_refused(house: House, tmp_path: Path) -> None:
    """Nothing is begun for him, and the next right one is served."""
    service = house.serve()
    (tmp_path / "elsewhere").mkdir()
    foreign = Authority(tmp_path / "elsewhere").sign("driver")
    right = house.authority.sign("driver")
    for shown in (None, foreign, house.authority.sign("old", -1 * DAY)):
        assert await deferToThread(house.drive, shown) == ""
        assert not house.place.log.exists()
    assert (await deferToThread(house.drive, right)).startswith("TAPER-OK")
    await service.stopService()


@ensureDeferred
async def test_who_shows_nothing_is_let_go(house: House) -> None:
    """After a bounded time, and the first of too many; nor is plain text heard."""
    service = house.serve()
    clock = Clock()
    service.call_later = clock.callLater  # type: ignore[method-assign,assignment]
    silent = []
    door = service._door
    assert door is not None
    for number in range(MOST_UNKNOWN):
        silent.append(socket.create_connection(("127.0.0.1", house.port), SECONDS))
        while len(door.unknown) <= number:
            await deferLater(reactor, 0.01, lambda: None)  # type: ignore[arg-type]
    right = house.authority.sign("driver")
    assert (await deferToThread(house.drive, right)).startswith("TAPER-OK")
    await deferToThread(heard_to_the_end, silent[0])
    assert len(door.unknown) == MOST_UNKNOWN - 1
    while service.conversation is not None:
        await deferLater(reactor, 0.01, lambda: None)  # type: ignore[arg-type]
    house.place.log.unlink()
    silent[1].sendall(f"{START}\n".encode())
    while len(door.unknown) == MOST_UNKNOWN - 1:
        await deferLater(reactor, 0.01, lambda: None)  # type: ignore[arg-type]
    clock.advance(HANDSHAKE_PATIENCE)
    for link in silent[1:]:
        await deferToThread(heard_to_the_end, link)
    assert door.unknown == []
    assert not house.place.log.exists()
    assert (await deferToThread(house.drive, right)).startswith("TAPER-OK")
    await service.stopService()


def heard_to_the_end(link: socket.socket) -> None:
    with link:
        try:
            while link.recv(100):  # a TLS alert may come first
                continue
        except ConnectionResetError:
            return


class Wrong:
    """Files that cannot be used."""

    def __init__(self, house: House, root: Path) -> None:
        self.open_key = root / "open.key"
        self.open_key.write_bytes(house.key.read_bytes())
        self.open_key.chmod(0o604)
        self.changeable = root / "changeable.pem"
        self.changeable.write_bytes(house.authority.file.read_bytes())
        self.changeable.chmod(0o666)
        self.nonsense = root / "nonsense"
        self.nonsense.write_text("-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n")
        self.nonsense.chmod(0o600)
        self.other_key, _ = house.authority.sign("other")


def refusal(house: House, door: str) -> str:
    with pytest.raises(StartFailed) as caught:
        TaperService(reactor, house.place.setup(), door)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_what_cannot_be_used_is_named(house: House, tmp_path: Path) -> None:
    """At start, in one sentence."""
    wrong = Wrong(house, tmp_path)
    for instead, says in (
        ({"privateKey": ""}, "--driver mtls:0 needs privateKey=FILE"),
        ({"clients": ""}, "--driver mtls:0 needs clients=FILE"),
        ({"certKey": "/no/file"}, "certKey=/no/file cannot be read: No such file or directory"),
        ({"clients": tmp_path}, f"clients={tmp_path} cannot be read: Is a directory"),
        ({"privateKey": wrong.open_key}, "may be read by others: its mode is 604; chmod 600"),
        ({"clients": wrong.changeable}, "may be changed by others: its mode is 666"),
        ({"clients": house.key}, f"clients={house.key} has no certificate in PEM"),
        ({"clients": wrong.nonsense}, f"clients={wrong.nonsense} cannot be used: "),
        ({"certKey": wrong.nonsense}, f"certKey={wrong.nonsense} cannot be used: "),
        ({"privateKey": wrong.nonsense}, f"privateKey={wrong.nonsense} cannot be used: "),
        ({"privateKey": wrong.other_key}, f"{wrong.other_key} does not fit the certificate in "),
    ):
        assert says in refusal(house, house.door(**instead))


def test_another_users_key_is_refused(house: House) -> None:
    """The dump user's will do, for root too, who becomes him."""
    if os.geteuid() != 0:
        pytest.skip("only root can give files away")
    os.chown(house.key, 65534, 65534)
    assert f"privateKey={house.key} belongs to user 65534" in refusal(house, house.door())
    shutil.chown(house.key, DEBIAN.client_login)
    TaperService(reactor, house.place.setup(), house.door())


def test_without_the_package(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is to be installed is said."""
    monkeypatch.setitem(sys.modules, "OpenSSL", None)
    text = refusal(house, house.door())
    assert re.search(r"needs a package that is not here .*: install twisted-taper\[tls\]", text)

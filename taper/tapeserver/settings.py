"""The file that says what a tape server serves, and to whom."""

from __future__ import annotations

import configparser
import os
import stat
from collections.abc import Sequence
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING, NoReturn

from attrs import field, frozen

from devices.callers import Callers
from devices.changers.mtx import MTX
from protocols.ndmp_server.profile import CONFORMING, PERSONALITIES, Profile
from taper.last_words import CannotStart
from taper.tapeserver.listener import LOOPBACK, DataTerms
from taper.tapeserver.server import Terms
from taper.tapeserver.vtape_reading import PREFERRED_BLOCK

if TYPE_CHECKING:
    from devices.callers import Network

PORT = 10000
LISTEN_PATIENCE = 1800
DATA_PATIENCE = 7200
LARGEST_BLOCK = 2**21
_LARGEST_FILE = 1 << 20
_UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
_KNOWN = {
    "server": {
        "listen",
        "accounts",
        "anonymous",
        "clients",
        "data-peers",
        "data-address",
        "data-ports",
        "listen-timeout",
        "data-timeout",
        "ipv6",
        "personality",
    },
    "drive": {"vtape", "file", "tape", "block-size", "limit", "write-protected", "direct-io"},
    "library": {
        *("disk", "drives", "state", "block-size", "limit", "write-protected", "direct-io"),
        *("robot", "tapes", "mtx"),
    },
}


class BadSettings(CannotStart):
    """The text names the file, the section, the setting, and what was expected."""

    taper_code = 1012


@frozen
class DriveSettings:
    """A drive with one volume.

    :ivar kind: ``vtape``: a directory; ``file``: a tape in ndmjob's format; ``tape``: the
        device file of a drive.
    :ivar limit: bytes; 0: none.
    :ivar direct: what is written to a directory goes to its disk past the page cache.
    """

    name: str
    kind: str
    path: str
    block: int = PREFERRED_BLOCK
    limit: int = 0
    write_protected: bool = False
    direct: bool = True


@frozen
class LibrarySettings:
    """A tree of chg-disk, its robot and its drives; or a real one.

    :ivar robot: device of a real robot; empty: there is a tree.
    :ivar tapes: device files of its drives, in its order.
    :ivar mtx: the program that moves it.
    """

    name: str
    root: str
    drives: tuple[str, ...]
    state: str
    block: int = PREFERRED_BLOCK
    limit: int = 0
    write_protected: bool = False
    direct: bool = True
    robot: str = ""
    tapes: tuple[str, ...] = ()
    mtx: str = MTX


@frozen
class Settings:
    """All of it."""

    host: str
    port: int
    terms: Terms
    profile: Profile = CONFORMING
    drives: tuple[DriveSettings, ...] = field(default=())
    libraries: tuple[LibrarySettings, ...] = field(default=())


class _Section:
    """One section, and how its mistakes are told."""

    def __init__(self, path: str, name: str, values: configparser.SectionProxy, kind: str) -> None:
        self.name = name
        self._path = path
        self._values = values
        for key in values:
            if key not in _KNOWN[kind]:
                self.refuse(key, values[key], f"one of {', '.join(sorted(_KNOWN[kind]))}")

    def refuse(self, key: str, value: str, expected: str) -> NoReturn:
        raise BadSettings(f"{self._path}: [{self.name}] {key} = {value}: {expected} expected")

    def text(self, key: str, default: str = "") -> str:
        return self._values.get(key, default).strip()

    def number(self, key: str, default: int, least: int, most: int) -> int:
        text = self.text(key, str(default))
        if not (text.isascii() and text.isdigit() and least <= int(text) <= most):
            self.refuse(key, text, f"a number from {least} to {most}")
        return int(text)

    def size(self, key: str) -> int:
        text = self.text(key, "0").lower()
        digits, unit = text.rstrip("kmgt"), text[len(text.rstrip("kmgt")) :]
        if not (digits.isascii() and digits.isdigit() and unit in _UNITS):
            self.refuse(key, text, "bytes, with k, m, g or t behind them if need be,")
        return int(digits) * _UNITS[unit]

    def switch(self, key: str, default: str = "no") -> bool:
        text = self.text(key, default).lower()
        if text not in ("yes", "no"):
            self.refuse(key, text, "yes or no")
        return text == "yes"

    def networks(self, key: str) -> tuple[Network, ...]:
        words = self.text(key).replace(",", " ").split()
        try:
            return tuple(ip_network(word) for word in words)
        except ValueError:
            self.refuse(key, self.text(key), "networks as 192.0.2.0/24, between blanks,")

    def ports(self, key: str) -> Sequence[int]:
        text = self.text(key)
        if not text:
            return ()
        first, _, last = text.partition("-")
        numbers = [word.strip() for word in (first, last or first)]
        good = all(word.isascii() and word.isdigit() and int(word) < 65536 for word in numbers)
        if not good or not 1 <= int(numbers[0]) <= int(numbers[1]):
            self.refuse(key, text, "FIRST-LAST")
        return range(int(numbers[0]), int(numbers[1]) + 1)

    def path(self, key: str) -> str:
        text = self.text(key)
        if not text.startswith("/"):
            self.refuse(key, text, "a path from / on")
        return text.rstrip("/") or "/"

    def block(self) -> int:
        return self.number("block-size", PREFERRED_BLOCK, PREFERRED_BLOCK, LARGEST_BLOCK)


def read_settings(path: str) -> Settings:
    """Read the file.

    :raise BadSettings: it cannot be used
    """
    parser = configparser.ConfigParser(interpolation=None)
    try:
        with open(path, encoding="utf-8") as file:
            parser.read_string(file.read(_LARGEST_FILE), path)
    except OSError as fault:
        raise BadSettings(f"{path}: {fault.strerror}") from fault
    except (configparser.Error, UnicodeDecodeError) as fault:
        raise BadSettings(f"{path}: {str(fault).splitlines()[0]}") from fault
    if "server" not in parser:
        parser.add_section("server")
    drives: list[DriveSettings] = []
    libraries: list[LibrarySettings] = []
    for title in parser.sections():
        kind, _, name = title.partition(" ")
        name = name.strip()
        if kind not in _KNOWN or bool(name) != (kind != "server"):
            raise BadSettings(
                f"{path}: [{title}]: [server], [drive NAME] or [library NAME] expected"
            )
        section = _Section(path, title, parser[title], kind)
        if kind == "drive":
            drives.append(_drive(name, section))
        elif kind == "library":
            libraries.append(_library(name, section))
    server = _Section(path, "server", parser["server"], "server")
    host, port = _address(server)
    settings = Settings(
        host, port, _terms(server), _profile(server), tuple(drives), tuple(libraries)
    )
    _check_names(path, settings)
    return settings


def _check_names(path: str, settings: Settings) -> None:
    names = [drive.name for drive in settings.drives]
    names += [library.name for library in settings.libraries]
    names += [name for library in settings.libraries for name in library.drives]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise BadSettings(f"{path}: {', '.join(twice)}: each name once expected")
    if not names:
        raise BadSettings(f"{path}: a [drive NAME] or a [library NAME] expected")


def _drive(name: str, section: _Section) -> DriveSettings:
    kinds = [kind for kind in ("vtape", "file", "tape") if section.text(kind)]
    if len(kinds) != 1:
        section.refuse("vtape", section.text("vtape"), "one of vtape, file and tape")
    path = section.path(kinds[0])
    return DriveSettings(name, kinds[0], path, *_volumes(section))


def _library(name: str, section: _Section) -> LibrarySettings:
    if section.text("robot"):
        return _real_library(name, section)
    root = section.path("disk")
    drives = tuple(section.text("drives").replace(",", " ").split())
    if not drives:
        section.refuse("drives", "", "names of drives, between blanks,")
    state = section.path("state") if section.text("state") else f"{root}/state"
    return LibrarySettings(name, root, drives, state, *_volumes(section))


def _real_library(name: str, section: _Section) -> LibrarySettings:
    if section.text("disk"):
        section.refuse("disk", section.text("disk"), "one of disk and robot")
    drives = tuple(section.text("drives").replace(",", " ").split())
    tapes = tuple(section.text("tapes").replace(",", " ").split())
    if not drives or len(tapes) != len(drives) or not all(tape.startswith("/") for tape in tapes):
        told = "paths of device files, one for each of the drives, in the robot's order,"
        section.refuse("tapes", section.text("tapes"), told)
    return LibrarySettings(
        name,
        "",
        drives,
        section.path("state") if section.text("state") else "",
        *_volumes(section),
        robot=section.path("robot"),
        tapes=tapes,
        mtx=section.path("mtx") if section.text("mtx") else MTX,
    )


def _volumes(section: _Section) -> tuple[int, int, bool, bool]:
    """What drives and libraries have alike: block, limit, write protection, and whether they write
    past the page cache."""
    protected, direct = section.switch("write-protected"), section.switch("direct-io", "yes")
    return section.block(), section.size("limit"), protected, direct


def _address(server: _Section) -> tuple[str, int]:
    text = server.text("listen", f"127.0.0.1:{PORT}")
    host, colon, port = text.rpartition(":")
    host = host.strip("[]")
    good = port.isascii() and port.isdigit() and int(port) < 65536
    try:
        ip_network(host)
    except ValueError:
        good = False
    if not (good and colon):
        server.refuse("listen", text, "ADDRESS:PORT, an address of this host,")
    return host, int(port)


def _profile(server: _Section) -> Profile:
    name = server.text("personality", CONFORMING.name)
    if name not in PERSONALITIES:
        server.refuse("personality", name, f"one of {', '.join(PERSONALITIES)}")
    return PERSONALITIES[name]


def _terms(server: _Section) -> Terms:
    anybody = server.switch("anonymous")
    accounts = read_accounts(server.path("accounts")) if server.text("accounts") else {}
    if not (accounts or anybody):
        server.refuse("accounts", server.text("accounts"), "a file of names and passwords")
    silence = server.number("data-timeout", DATA_PATIENCE, 0, 10**6)
    ipv6 = server.switch("ipv6")
    hosts = _data_addresses(server, ipv6=ipv6)
    data = DataTerms(
        callers=Callers(networks=server.networks("data-peers")),
        ports=server.ports("data-ports"),
        host=hosts.get(4),
        ipv6_host=hosts.get(6),
        listen_patience=float(server.number("listen-timeout", LISTEN_PATIENCE, 1, 10**6)),
        patience=float(silence) if silence else None,
    )
    return Terms(accounts, anybody, server.networks("clients") or LOOPBACK, data, ipv6)


def _data_addresses(server: _Section, *, ipv6: bool) -> dict[int, str]:
    """Addresses for data connections by version of IP, one of each at most."""
    text = server.text("data-address")
    expected = "an IPv4 address of this host" + (" and an IPv6 one" if ipv6 else "")
    found: dict[int, str] = {}
    try:
        for word in text.replace(",", " ").split():
            address = ip_address(word)
            if address.version in found or (address.version == 6 and not ipv6):
                server.refuse("data-address", text, expected)
            found[address.version] = str(address)
    except ValueError:
        server.refuse("data-address", text, expected)
    return found


def read_accounts(path: str) -> dict[str, str]:
    """Names and passwords, ``NAME:PASSWORD`` a line, of a file that nobody else may read.

    :raise BadSettings: it cannot be used
    """
    try:
        with open(path, encoding="utf-8") as file:
            facts = os.fstat(file.fileno())
            if facts.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
                mode = f"{stat.S_IMODE(facts.st_mode):04o}"
                raise BadSettings(f"{path}: mode {mode}: 0600 expected, for it has passwords")
            if facts.st_uid not in (os.geteuid(), 0):
                raise BadSettings(f"{path}: owner {facts.st_uid}: {os.geteuid()} expected")
            lines = file.read(_LARGEST_FILE).splitlines()
    except OSError as fault:
        raise BadSettings(f"{path}: {fault.strerror}") from fault
    except UnicodeDecodeError as fault:
        raise BadSettings(f"{path}: no text: NAME:PASSWORD in each line expected") from fault
    accounts = {}
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("#"):
            continue
        name, colon, password = line.partition(":")
        if not (name and colon and password):
            raise BadSettings(f"{path}: line {number}: NAME:PASSWORD expected")
        accounts[name] = password
    return accounts

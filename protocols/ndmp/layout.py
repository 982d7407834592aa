"""How fields stand on the wire, derived from the declared records [ndmp 4.2, 4.5].

An annotation names a :class:`Kind`; a record in one version is a row of kinds. Enums are lenient:
a number without a name stays a number, so that a server can refuse it.
"""

from __future__ import annotations

import enum
from typing import Any, NamedTuple, Protocol

from protocols.directtcp import Address, AddressError, ipv6_bytes, ipv6_text
from protocols.ndmp import codes, structs
from protocols.ndmp.base import Reply, Struct
from protocols.ndmp.codes import AddressType, AuthType, TapeMode
from protocols.ndmp.structs import (
    CHALLENGE_SIZE,
    DIGEST_SIZE,
    AuthData,
    Challenge,
    Choices,
    ClassVersion,
    ClassVersions,
    DataAddress,
)
from protocols.xdr import Reader, Writer, XdrError


class Kind(Protocol):
    """How values of one kind are put and got, in a version of the protocol."""

    def put(self, out: Writer, value: Any, version: int) -> None:
        """Append the value; XdrError if it cannot be said."""

    def get(self, data: Reader, version: int) -> Any:
        """Take a value; XdrError if there is none."""


class _Number(NamedTuple):
    bits: int

    def put(self, out: Writer, value: int, version: int) -> None:
        out.uint(value, self.bits)

    def get(self, data: Reader, version: int) -> int:
        return data.uint(self.bits)


class _Quad:
    def put(self, out: Writer, value: int, version: int) -> None:
        out.quad(value)

    def get(self, data: Reader, version: int) -> int:
        return data.quad()


class _Text:
    def put(self, out: Writer, value: str, version: int) -> None:
        out.text(value)

    def get(self, data: Reader, version: int) -> str:
        return data.text()


class _Opaque:
    def put(self, out: Writer, value: bytes | memoryview, version: int) -> None:
        out.opaque(value)

    def get(self, data: Reader, version: int) -> bytes:
        return data.opaque()


class _Enum(NamedTuple):
    names: type[enum.IntEnum]

    def put(self, out: Writer, value: int, version: int) -> None:
        out.uint(value)

    def get(self, data: Reader, version: int) -> int:
        number = data.uint()
        try:
            return self.names(number)
        except ValueError:
            return number


class _TapeMode(_Enum):
    """Versions 2 and 3 have no RAW; RDWR is what comes nearest to it."""

    def put(self, out: Writer, value: int, version: int) -> None:
        out.uint(TapeMode.RDWR if value == TapeMode.RAW and version < 4 else value)


class _Array(NamedTuple):
    kind: Kind

    def put(self, out: Writer, value: tuple[Any, ...], version: int) -> None:
        out.uint(len(value))
        for element in value:
            self.kind.put(out, element, version)

    def get(self, data: Reader, version: int) -> tuple[Any, ...]:
        return tuple(self.kind.get(data, version) for _ in range(data.count()))


class _Struct(NamedTuple):
    structure: type[Struct]

    def put(self, out: Writer, value: Struct, version: int) -> None:
        for name, kind in row(self.structure, version):
            kind.put(out, getattr(value, name), version)

    def get(self, data: Reader, version: int) -> Struct:
        return self.structure(
            **{name: kind.get(data, version) for name, kind in row(self.structure, version)}
        )


class _Address:
    """The union of data connections; a kind unknown to the version has nothing behind it."""

    def put(self, out: Writer, value: DataAddress, version: int) -> None:
        out.uint(value.kind)
        if value.kind in _TCP:
            if version >= 4:
                out.uint(len(value.addresses))
            elif len(value.addresses) != 1:
                raise XdrError(
                    f"{len(value.addresses)} addresses, version {version} can only say 1"
                )
            size = _TCP[value.kind]
            for address in value.addresses:
                out.fixed(_ipv4(address.host) if size == 4 else _ipv6(address.host), size)
                out.uint(address.port, 16)
                if version >= 4:
                    out.uint(0)  # no environment
        elif value.kind == AddressType.FC and version == 3:
            out.uint(value.loop_id)
        elif value.kind == AddressType.IPC and version >= 3:
            out.opaque(value.ipc)

    def get(self, data: Reader, version: int) -> DataAddress:
        kind = _ADDRESS_TYPE.get(data, version)
        if kind in _TCP:
            size = _TCP[kind]
            count = data.count(size + 8) if version >= 4 else 1
            return DataAddress(kind, tuple(self._tcp(data, version, size) for _ in range(count)))
        if kind == AddressType.FC and version == 3:
            return DataAddress(kind, loop_id=data.uint())
        if kind == AddressType.IPC and version >= 3:
            return DataAddress(kind, ipc=data.opaque())
        return DataAddress(kind)

    def _tcp(self, data: Reader, version: int, size: int) -> Address:
        host = data.fixed(size)
        port = data.uint(16)
        if version >= 4:
            for _ in range(data.count(8)):  # its environment says nothing that we need
                data.opaque()
                data.opaque()
        return Address(".".join(map(str, host)) if size == 4 else ipv6_text(host), port)


class _AuthData:
    """The union of logins; an unknown kind has nothing behind it."""

    def put(self, out: Writer, value: AuthData, version: int) -> None:
        out.uint(value.kind)
        if value.kind == AuthType.TEXT:
            out.text(value.name)
            out.text(value.password)
        elif value.kind == AuthType.MD5:
            out.text(value.name)
            out.fixed(value.digest, DIGEST_SIZE)

    def get(self, data: Reader, version: int) -> AuthData:
        kind = _AUTH_TYPE.get(data, version)
        if kind == AuthType.TEXT:
            return AuthData(kind, data.text(), data.text())
        if kind == AuthType.MD5:
            return AuthData(kind, data.text(), digest=data.fixed(DIGEST_SIZE))
        return AuthData(kind)


class _Challenge:
    """The union of what is needed to log in."""

    def put(self, out: Writer, value: Challenge, version: int) -> None:
        out.uint(value.kind)
        if value.kind == AuthType.MD5:
            out.fixed(value.challenge, CHALLENGE_SIZE)

    def get(self, data: Reader, version: int) -> Challenge:
        kind = _AUTH_TYPE.get(data, version)
        if kind == AuthType.MD5:
            return Challenge(kind, data.fixed(CHALLENGE_SIZE))
        return Challenge(kind)


class _Choices:
    """The draft's list; ndmjob's form of it, with an error in front and versions in each, is taken
    too. No list can be read as both [ndmp-server 6.1]."""

    def put(self, out: Writer, value: Choices, version: int) -> None:
        _LIST.put(out, value, version)

    def get(self, data: Reader, version: int) -> Choices:
        left = data.left
        first = data.uint()
        if left == 4 + 8 * first:
            return tuple(ClassVersion(data.uint(16), data.uint(16)) for _ in range(first))
        offered = _OFFERS.get(data, version)
        return tuple(ClassVersion(one.extension, *one.versions[:1]) for one in offered)


def _ipv6(host: str) -> bytes:
    try:
        return ipv6_bytes(host)
    except AddressError as fault:
        raise XdrError(str(fault)) from None


def _ipv4(host: str) -> bytes:
    words = host.split(".")
    good = len(words) == 4 and all(word.isascii() and word.isdigit() for word in words)
    numbers = [int(word) for word in words] if good and len(host) < 16 else []
    if not numbers or max(numbers) > 255:
        raise XdrError(f"host {host!r}, NDMP can only say IPv4 addresses")
    return bytes(numbers)


_TCP: dict[int, int] = {AddressType.TCP: 4, AddressType.TCP_IPV6: 16}
"""Bytes of an address, by its type."""
_LIST = _Array(_Struct(ClassVersion))
_OFFERS = _Array(_Struct(ClassVersions))
_ADDRESS_TYPE = _Enum(AddressType)
_AUTH_TYPE = _Enum(AuthType)
_KINDS: dict[str, Kind] = {
    "Long": _Number(32),
    "Short": _Number(16),
    "Byte": _Number(8),
    "Quad": _Quad(),
    "str": _Text(),
    "Opaque": _Opaque(),
    "DataAddress": _Address(),
    "AuthData": _AuthData(),
    "Challenge": _Challenge(),
    "Choices": _Choices(),
    "TapeMode | int": _TapeMode(TapeMode),
}


def _kind(annotation: str) -> Kind:
    """The kind that an annotation means, made when it is first seen."""
    if annotation not in _KINDS:
        if annotation.startswith("tuple["):
            made: Kind = _Array(_kind(annotation[len("tuple[") : -len(", ...]")]))
        elif annotation.endswith(" | int"):
            made = _Enum(getattr(codes, annotation[: -len(" | int")]))
        else:
            made = _Struct(getattr(structs, annotation))
        _KINDS[annotation] = made
    return _KINDS[annotation]


_rows: dict[tuple[type[Struct], int], tuple[tuple[str, Kind], ...]] = {}


def row(structure: type[Struct], version: int) -> tuple[tuple[str, Kind], ...]:
    """Field names and kinds of a structure in a version, in the order of the wire."""
    key = (structure, version)
    if key not in _rows:
        leading = structure.leading if issubclass(structure, Reply) else ()
        names = (*leading, *(name for name in structure.fields if name not in leading))
        _rows[key] = tuple(
            (name, _kind(structure.kinds[name]))
            for name in names
            if version in structure.only.get(name, codes.VERSIONS)
        )
    return _rows[key]

"""Structures that messages are made of [ndmp 4.5]."""

from __future__ import annotations

from typing import TypeAlias

from protocols.directtcp import Address
from protocols.ndmp.base import Long, Pval, Quad, Short, Struct
from protocols.ndmp.codes import AddressType, AuthType
from protocols.records import Record

CHALLENGE_SIZE = 64
DIGEST_SIZE = 16


class DataAddress(Record):
    """Where a data connection goes; versions 2 and 3 have exactly one TCP address.

    :ivar kind: what else is meant: TCP and TCP_IPV6 ``addresses``, FC ``loop_id``, IPC ``ipc``.
    :ivar addresses: IPv4, as NDMP itself has no other, or all IPv6.
    """

    kind: AddressType | int = AddressType.LOCAL
    addresses: tuple[Address, ...] = ()
    loop_id: int = 0
    ipc: bytes = b""


class AuthData(Record):
    """What a client says to log in; its text form shows no secret.

    :ivar kind: what else is meant: TEXT ``name`` and ``password``, MD5 ``name`` and ``digest``.
    """

    kind: AuthType | int = AuthType.NONE
    name: str = ""
    password: str = ""
    digest: bytes = bytes(DIGEST_SIZE)

    def __repr__(self) -> str:
        return f"AuthData(kind={self.kind!r}, name={self.name!r}, ...)"


class Challenge(Record):
    """What a client needs to log in: for MD5 the bytes to be mixed with the password."""

    kind: AuthType | int = AuthType.NONE
    challenge: bytes = bytes(CHALLENGE_SIZE)


class DeviceCapability(Struct):
    """A tape drive or SCSI device of a server.

    :ivar attributes: of tapes: 1 rewind, 2 unload, 4 raw.
    """

    device: str
    attributes: Long = 0
    capabilities: tuple[Pval, ...] = ()


class DeviceInfo(Struct):
    """A model and the devices that are of it."""

    model: str
    devices: tuple[DeviceCapability, ...] = ()


class ButypeInfo(Struct):
    """A kind of backup that a server can make."""

    name: str
    default_env: tuple[Pval, ...] = ()
    attributes: Long = 0


class FsInfo(Struct):
    """A file system of a server; sizes in bytes.

    :ivar unsupported: bits of the numbers that the server cannot tell.
    """

    unsupported: Long
    kind: str
    logical_device: str
    physical_device: str
    total_size: Quad = 0
    used_size: Quad = 0
    avail_size: Quad = 0
    total_inodes: Quad = 0
    used_inodes: Quad = 0
    env: tuple[Pval, ...] = ()
    status: str = ""


class ClassVersion(Struct):
    """An extension class and the version of it that is wanted."""

    extension: Short
    version: Short = 0


Choices: TypeAlias = tuple[ClassVersion, ...]
"""The extensions that a client wants."""


class ClassVersions(Struct):
    """An extension class and the versions of it."""

    extension: Short
    versions: tuple[Short, ...] = ()


class RecoverName(
    Struct,
    only={"name": (3, 4), "other_name": (3, 4), "node": (3, 4), "ssid": (2,)},
):
    """A file to be recovered."""

    original_path: str
    destination_path: str
    name: str = ""
    other_name: str = ""
    node: Quad = 0
    ssid: Short = 0
    fh_info: Quad = 0

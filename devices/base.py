"""What all devices have in common: names, status, life cycle, the common properties."""

from __future__ import annotations

import ipaddress
import time
from typing import TYPE_CHECKING

from attrs import evolve

from devices.errors import DeviceError, PropertyRefused, Status
from devices.interfaces import AccessMode, Streaming
from devices.properties import (
    READ_ONLY,
    SET_ANY_TIME,
    SET_BEFORE_START,
    Kind,
    Phase,
    Properties,
    Property,
    Source,
    Surety,
    Value,
)
from protocols.directtcp import is_host

if TYPE_CHECKING:
    from devices.callers import Network

HEADER_SIZE = 32768


class BaseDevice:
    """State and properties: :class:`devices.interfaces.IDeviceFacts`; no medium yet.

    :param name: the name as given.
    :param block_sizes: smallest, largest and usual block in bytes.
    """

    allow_take_scribe_from = True
    remark: str | None = None

    def __init__(self, name: str, block_sizes: tuple[int, int, int]) -> None:
        self.name = name
        self.status = Status.SUCCESS
        self.error: str | None = None
        self.access_mode = AccessMode.NULL
        self.file = -1
        self.in_file = False
        self.is_eom = False
        self.label: str | None = None
        self.timestamp: str | None = None
        self._file_bytes = 0
        self._short_block_seen = False
        self.properties = Properties(self._phase, lambda: self.status == Status.DEVICE_ERROR)
        self._declare_common(block_sizes)

    def _declare_common(self, block_sizes: tuple[int, int, int]) -> None:
        smallest, largest, usual = block_sizes

        def check_block_size(value: Value) -> Value:
            if smallest <= int(value) <= largest:
                return value
            raise PropertyRefused(
                f"Error setting BLOCK-SIZE property to '{value}', "
                f"it must be between {smallest} and {largest}"
            )

        add = self.properties.declare
        block_size = Property("block_size", Kind.INT, SET_BEFORE_START, usual, Surety.BAD)
        add(block_size, check_block_size)
        add(Property("min_block_size", Kind.UINT, READ_ONLY, smallest))
        add(Property("max_block_size", Kind.UINT, READ_ONLY, largest))
        add(Property("canonical_name", Kind.STRING, READ_ONLY, self.name))
        add(Property("comment", Kind.STRING, SET_ANY_TIME))
        add(Property("directtcp_address", Kind.STRING, SET_ANY_TIME), check_hosts)
        add(Property("directtcp_peer_address", Kind.STRING, SET_ANY_TIME), check_networks)
        for name, kind, value in (
            ("compression", Kind.BOOL, False),
            ("concurrency", Kind.INT, 2),
            ("streaming", Kind.INT, Streaming.NONE),
            ("medium_access_type", Kind.INT, 2),
            ("appendable", Kind.BOOL, False),
            ("partial_deletion", Kind.BOOL, False),
            ("full_deletion", Kind.BOOL, False),
            ("leom", Kind.BOOL, False),
        ):
            add(Property(name, kind, READ_ONLY, value, source=Source.DETECTED))

    def _fix(self, **values: Value) -> None:
        """Give common properties the values this type of device has."""
        for name, value in values.items():
            self.properties.declare(evolve(self.properties[name], value=value))

    def _phase(self) -> Phase:
        if self.access_mode is AccessMode.NULL:
            return Phase.BEFORE_START
        if self.access_mode is AccessMode.READ:
            return Phase.INSIDE_FILE_READ if self.in_file else Phase.BETWEEN_FILE_READ
        return Phase.INSIDE_FILE_WRITE if self.in_file else Phase.BETWEEN_FILE_WRITE

    @property
    def block_size(self) -> int:
        return self.properties.number("block_size")

    @property
    def leom(self) -> bool:
        return self.properties.flag("leom")

    @property
    def streaming(self) -> Streaming:
        return Streaming(self.properties.number("streaming"))

    @property
    def bytes_written(self) -> int:
        return self._file_bytes if self.in_file else 0

    def eject(self) -> None:
        self._need_mode("eject", AccessMode.NULL)

    def reset(self) -> None:
        self.status, self.error, self.is_eom = Status.SUCCESS, None, False

    def _note(self, text: str, status: Status) -> None:
        """Remember a failure; it replaces the one before [volumes 2.3]."""
        self.status, self.error = status, text

    def _fail(
        self, text: str, status: Status, kind: type[DeviceError] = DeviceError
    ) -> DeviceError:
        """Remember a failure and make the exception to raise for it."""
        self._note(text, status)
        return kind(text, status)

    def _need_mode(self, what: str, *modes: AccessMode) -> None:
        if self.access_mode not in modes:
            wanted = " or ".join(mode.name for mode in modes)
            raise ValueError(
                f"{what} on {self.name} in mode {self.access_mode.name}, expected {wanted}"
            )

    def _need_file(self, what: str, inside: bool) -> None:
        if self.in_file is not inside:
            where = "inside" if self.in_file else "outside"
            raise ValueError(f"{what} on {self.name} {where} a file")

    def _need_writable(self, what: str, inside: bool) -> None:
        self._need_mode(what, AccessMode.WRITE, AccessMode.APPEND)
        self._need_file(what, inside)

    def next_run(self, offered: int) -> int:
        """How many of these bytes may be written at once so that only the last block of them can
        meet the end of the volume; no more than one block where nobody knows."""
        return min(offered, self.block_size)

    def _check_offer(self, size: int) -> None:
        """Refuse what write_blocks must not be given; note a short last block."""
        self._need_writable("write_blocks", True)
        if not size:
            raise ValueError(f"write_blocks on {self.name} without data")
        if self._short_block_seen:
            raise ValueError(f"write_blocks on {self.name} after a short block")

    def _check_buffer(self, size: int) -> None:
        """Refuse what read_blocks must not be given."""
        self._need_mode("read_blocks", AccessMode.READ)
        self._need_file("read_blocks", True)
        if size < self.block_size:
            raise ValueError(
                f"read_blocks on {self.name}: buffer of {size} bytes, "
                f"expected at least {self.block_size}"
            )

    def _check_seek(self, number: int) -> None:
        """Refuse what seek_file must not be given; a label is read in mode NULL, too."""
        if number < 0:
            raise ValueError(f"seek_file on {self.name}: no file has number {number}")
        if number or self.access_mode is not AccessMode.NULL:
            self._need_mode("seek_file", AccessMode.READ)

    def _begin_file(self, number: int) -> None:
        self.file, self.in_file = number, True
        self._file_bytes, self._short_block_seen = 0, False

    def _count(self, size: int) -> None:
        """Payload of the current file grew."""
        self._file_bytes += size
        self._short_block_seen = self._file_bytes % self.block_size != 0


def check_hosts(value: Value) -> Value:
    """A list of IP addresses to listen on, separated by blanks, ``,`` or ``;``."""
    for host in split_hosts(str(value)):
        if not is_host(host):
            text = f"'{host}' is not an IP address, expected some, with blanks or commas between"
            raise PropertyRefused(text)
    return value


def split_hosts(text: str) -> tuple[str, ...]:
    """The addresses in the value of DIRECTTCP-ADDRESS."""
    return tuple(text.replace(",", " ").replace(";", " ").split())


def check_networks(value: Value) -> Value:
    """A list of IP addresses and networks (``10.1.0.0/16``), separated as in check_hosts."""
    try:
        split_networks(str(value))
    except ValueError as error:
        text = f"{error}, expected addresses and networks such as 10.1.0.0/16"
        raise PropertyRefused(text) from error
    return value


def split_networks(text: str) -> tuple[Network, ...]:
    """The networks in the value of DIRECTTCP-PEER-ADDRESS.

    :raise ValueError: something is neither address nor network; it is named
    """
    return tuple(ipaddress.ip_network(word, strict=False) for word in split_hosts(text))


def timestamp_now() -> str:
    """14 digits, local time: what a volume started without a timestamp gets."""
    return time.strftime("%Y%m%d%H%M%S")

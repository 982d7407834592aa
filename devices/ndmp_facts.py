"""State and properties of an ``ndmp:`` device [ndmp 3.11]."""

from __future__ import annotations

from zope.interface import implementer

from devices.base import BaseDevice
from devices.errors import DeviceError, PropertyRefused
from devices.interfaces import (
    AccessMode,
    IDeviceFacts,
    Streaming,
)
from devices.properties import SET_ANY_TIME, SET_BEFORE_START, Kind, Property, Source, Value
from protocols.ndmp.auth import METHODS

SMALLEST_BLOCK = 32768
LARGEST_BLOCK = 2**32 - 1


@implementer(IDeviceFacts)
class NdmpFacts(BaseDevice):
    """What is to be known of the device; what can be asked of it stands in the other modules."""

    allow_take_scribe_from = False
    remark: str | None = None

    def __init__(self, name: str) -> None:
        super().__init__(name, (SMALLEST_BLOCK, LARGEST_BLOCK, 32768))
        self._fix(streaming=Streaming.DESIRED, concurrency=0)
        add = self.properties.declare
        for credential, default in (
            ("ndmp_username", "ndmp"),
            ("ndmp_password", "ndmp"),
            ("ndmp_auth", "md5"),
        ):
            check = self._check_auth if credential == "ndmp_auth" else None
            add(Property(credential, Kind.STRING, SET_BEFORE_START, default), check)
        add(Property("indirect", Kind.BOOL, SET_ANY_TIME, True))
        add(Property("verbose", Kind.BOOL, SET_ANY_TIME, False))
        read_block = Property("read_block_size", Kind.UINT, SET_BEFORE_START, 0)
        add(read_block, self._check_read_block_size)
        leom = Property("leom", Kind.BOOL, SET_BEFORE_START, True, source=Source.DETECTED)
        add(leom, self._check_leom)

    def _check_read_block_size(self, value: Value) -> Value:
        if value == 0 or self.block_size <= int(value) <= LARGEST_BLOCK:
            return value
        raise PropertyRefused(
            f"Error setting READ-BLOCK-SIZE property to '{value}', "
            f"it must be between {self.block_size} and {LARGEST_BLOCK}"
        )

    @staticmethod
    def _check_auth(value: Value) -> Value:
        if str(value).lower() not in METHODS:
            raise PropertyRefused(f"invalid auth type, expected {' or '.join(METHODS)}")
        return value

    @staticmethod
    def _check_leom(value: Value) -> Value:
        if not value:
            raise PropertyRefused("Error setting LEOM property, it must be TRUE")
        return value

    def text(self, name: str) -> str:
        """A string property's value."""
        return str(self.properties[name].value or "")

    @property
    def read_size(self) -> int:
        """Bytes to ask for when reading a record."""
        return self.properties.number("read_block_size") or self.block_size

    # what the parts of the device tell

    def failed(self, error: DeviceError) -> DeviceError:
        """Remember a failure. :return: it, to be raised"""
        self._note(error.text, error.status)
        return error

    def begin(self, mode: AccessMode) -> None:
        self.access_mode, self.file, self.in_file = mode, 0, False

    def begin_file(self, number: int) -> None:
        self._begin_file(number)

    def end(self) -> None:
        self.access_mode, self.in_file = AccessMode.NULL, False

    def count(self, size: int) -> None:
        """Payload of the current file grew by so many bytes."""
        self._count(size)

    def show(self, size: int) -> None:
        """Payload of the current file, while it grows."""
        self._file_bytes = size

    @property
    def file_bytes(self) -> int:
        return self._file_bytes

    def need_mode(self, what: str, *modes: AccessMode) -> None:
        self._need_mode(what, *modes)

    def need_file(self, what: str, inside: bool) -> None:
        self._need_file(what, inside)

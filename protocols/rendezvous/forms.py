"""How single values stand in the body of a frame; every length is bounded, both ways."""

from __future__ import annotations

from enum import IntEnum
from typing import Any, Protocol

from attrs import frozen

from protocols.directtcp import Address
from protocols.rendezvous.errors import RendezvousError

MAX_BODY = 65536
"""Bytes of the body of a frame."""

MAX_ADDRESSES = 16
"""Addresses of a SEND."""

MAX_SIZE = 2**63 - 1
"""The largest number of bytes that is ever spoken of."""

MAX_REMARK = 1024
"""Bytes of a text for people."""

_ADDRESS_SIZE = 64
"""Bytes of ``[IP]:PORT``."""


class BodyReader:
    """Takes bytes from the front of a body. :raise RendezvousError: fewer are there"""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self._at = 0

    def take(self, size: int) -> bytes:
        """The next ``size`` bytes."""
        start = self._at
        if size > len(self._body) - start:
            left = len(self._body) - start
            raise RendezvousError(f"{size} bytes expected, but only {left} are left")
        self._at += size
        return self._body[start : self._at]

    def rest(self) -> bytes:
        """All that is left."""
        return self.take(len(self._body) - self._at)

    def number(self, size: int) -> int:
        """An unsigned number of so many bytes, high one first."""
        return int.from_bytes(self.take(size), "big")

    def sized(self) -> bytes:
        """Length in two bytes, and so many bytes."""
        return self.take(self.number(2))

    def end(self) -> None:
        """Nothing may be left."""
        left = len(self._body) - self._at
        if left:
            raise RendezvousError(f"{left} bytes behind the end, expected none")


class Form(Protocol):
    """How values of one kind are put and got."""

    def put(self, value: Any) -> bytes:
        """:raise ValueError: it cannot be said"""

    def get(self, body: BodyReader) -> Any:
        """:raise RendezvousError: what is there is no such value"""


@frozen
class Number:
    """An unsigned number, high byte first.

    :ivar size: bytes.
    :ivar least: the smallest good value.
    :ivar most: the largest one; 0: what has room.
    """

    size: int
    least: int = 0
    most: int = 0

    def put(self, value: int) -> bytes:
        wrong = self._wrong(value)
        if wrong:
            raise ValueError(wrong)
        return value.to_bytes(self.size, "big")

    def get(self, body: BodyReader) -> int:
        value = body.number(self.size)
        wrong = self._wrong(value)
        if wrong:
            raise RendezvousError(wrong)
        return value

    def _wrong(self, value: int) -> str:
        most = self.most or (1 << 8 * self.size) - 1
        if self.least <= value <= most:
            return ""
        return f"number {value}, expected {self.least} to {most}"


@frozen
class Choice:
    """One byte with a meaning."""

    meanings: type[IntEnum]

    def put(self, value: int) -> bytes:
        return bytes([self.meanings(value)])

    def get(self, body: BodyReader) -> IntEnum:
        value = body.number(1)
        try:
            return self.meanings(value)
        except ValueError:
            known = ", ".join(str(int(meaning)) for meaning in self.meanings)
            raise RendezvousError(f"number {value}, expected one of {known}") from None


class Flag:
    """Yes or no, one byte."""

    def put(self, value: bool) -> bytes:
        return bytes([bool(value)])

    def get(self, body: BodyReader) -> bool:
        value = body.number(1)
        if value > 1:
            raise RendezvousError(f"number {value}, expected 0 or 1")
        return value == 1


@frozen
class Fixed:
    """So many bytes."""

    size: int

    def put(self, value: bytes) -> bytes:
        if len(value) != self.size:
            raise ValueError(f"{len(value)} bytes, expected {self.size}")
        return bytes(value)

    def get(self, body: BodyReader) -> bytes:
        return body.take(self.size)


class Text:
    """A string: what is not UTF-8 travels as it is, and is read with surrogates."""

    def put(self, value: str) -> bytes:
        data = value.encode("utf-8", "surrogateescape")
        if len(data) > MAX_BODY - 1:
            raise ValueError(f"a text of {len(data)} bytes, expected at most {MAX_BODY - 1}")
        return len(data).to_bytes(2, "big") + data

    def get(self, body: BodyReader) -> str:
        return body.sized().decode("utf-8", "surrogateescape")


class Remark(Text):
    """A text for people; a longer one is cut when it is said, and refused when it is heard."""

    def put(self, value: str) -> bytes:
        data = value.encode("utf-8", "replace")
        if len(data) > MAX_REMARK:
            data = data[:MAX_REMARK].decode("utf-8", "ignore").encode()
        return len(data).to_bytes(2, "big") + data

    def get(self, body: BodyReader) -> str:
        data = body.sized()
        if len(data) > MAX_REMARK:
            raise RendezvousError(f"a text of {len(data)} bytes, expected at most {MAX_REMARK}")
        return data.decode("utf-8", "replace")


@frozen
class Rest:
    """All that is left of the body."""

    most: int

    def put(self, value: bytes) -> bytes:
        wrong = self._wrong(value)
        if wrong:
            raise ValueError(wrong)
        return bytes(value)

    def get(self, body: BodyReader) -> bytes:
        value = body.rest()
        wrong = self._wrong(value)
        if wrong:
            raise RendezvousError(wrong)
        return value

    def _wrong(self, value: bytes) -> str:
        if 0 < len(value) <= self.most:
            return ""
        return f"a block of {len(value)} bytes, expected 1 to {self.most}"


class Pairs:
    """A list of pairs of strings."""

    _text = Text()

    def put(self, value: tuple[tuple[str, str], ...]) -> bytes:
        words = [self._text.put(word) for pair in value for word in pair]
        return len(value).to_bytes(2, "big") + b"".join(words)

    def get(self, body: BodyReader) -> tuple[tuple[str, str], ...]:
        count = body.number(2)
        return tuple((self._text.get(body), self._text.get(body)) for _ in range(count))


class Addresses:
    """A list of addresses, as texts ``IP:PORT`` or ``[IP]:PORT``."""

    def put(self, value: tuple[Address, ...]) -> bytes:
        if not 0 < len(value) <= MAX_ADDRESSES:
            raise ValueError(f"{len(value)} addresses, expected 1 to {MAX_ADDRESSES}")
        texts = [str(address).encode("ascii") for address in value]
        sized = [len(text).to_bytes(2, "big") + text for text in texts]
        return len(value).to_bytes(2, "big") + b"".join(sized)

    def get(self, body: BodyReader) -> tuple[Address, ...]:
        count = body.number(2)
        if not 0 < count <= MAX_ADDRESSES:
            raise RendezvousError(f"{count} addresses, expected 1 to {MAX_ADDRESSES}")
        return tuple(self._address(body.sized()) for _ in range(count))

    @staticmethod
    def _address(text: bytes) -> Address:
        if len(text) > _ADDRESS_SIZE:
            raise RendezvousError(f"an address of {len(text)} bytes")
        try:
            address = Address.parse(text.decode("ascii"))
        except ValueError as fault:
            raise RendezvousError(str(fault)) from None
        if address.is_indirect:
            raise RendezvousError(f"{address} is no address to connect to")
        return address

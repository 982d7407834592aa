"""The XDR primitives that NDMP uses, bounded [ndmp 4.2].

Every length is checked against what is there before anything is allocated.
"""

from __future__ import annotations

U64_MAX = 2**64 - 1

_ZEROS = (b"", b"\0\0\0", b"\0\0", b"\0")
"""Padding by length modulo 4."""


class XdrError(Exception):
    """Bytes that are not the XDR expected, or a value that XDR cannot say.

    :ivar text: what was found and what was expected.
    """

    taper_code = 5014

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text


class Writer:
    """Collects encoded values; large opaques are copied once, by :meth:`data`.

    Every method raises :class:`XdrError` for a value out of its range.
    """

    def __init__(self) -> None:
        self._pieces: list[bytes | memoryview] = []

    def data(self) -> bytes:
        """All that was put."""
        return b"".join(self._pieces)

    def uint(self, value: int, bits: int = 32) -> None:
        """An unsigned number of up to 32 bits, or an enum: 4 bytes, high one first."""
        if not 0 <= value < 1 << bits:
            raise XdrError(f"number {value}, expected 0 to {(1 << bits) - 1}")
        self._pieces.append(value.to_bytes(4, "big"))

    def quad(self, value: int) -> None:
        """An unsigned number of 8 bytes, high word first."""
        if not 0 <= value <= U64_MAX:
            raise XdrError(f"number {value}, expected 0 to {U64_MAX}")
        self._pieces.append(value.to_bytes(8, "big"))

    def opaque(self, value: bytes | memoryview) -> None:
        """Length, bytes, padding."""
        view = memoryview(value).cast("B")
        self.uint(view.nbytes)
        self._pieces += (view, _ZEROS[view.nbytes % 4])

    def fixed(self, value: bytes, size: int) -> None:
        """Exactly ``size`` bytes and padding, no length."""
        if len(value) != size:
            raise XdrError(f"opaque of {len(value)} bytes, expected {size}")
        self._pieces += (value, _ZEROS[size % 4])

    def text(self, value: str) -> None:
        """As an opaque, in UTF-8 with surrogateescape."""
        try:
            data = value.encode("utf-8", "surrogateescape")
        except UnicodeEncodeError:
            raise XdrError(f"text {value!r} cannot be encoded") from None
        self.opaque(data)


class Reader:
    """Takes values from the front of ``data``.

    Every method raises :class:`XdrError` if the bytes there are not what it reads. Padding may
    have any value.
    """

    def __init__(self, data: bytes, start: int = 0) -> None:
        self._data = data
        self._at = start

    @property
    def left(self) -> int:
        """Bytes not yet read."""
        return len(self._data) - self._at

    def _take(self, size: int, what: str) -> bytes:
        if size > self.left:
            raise XdrError(f"{what} of {size} bytes, but only {self.left} are left")
        start = self._at
        self._at += size
        return self._data[start : self._at]

    def uint(self, bits: int = 32) -> int:
        """An unsigned number of up to 32 bits, or an enum."""
        value = int.from_bytes(self._take(4, "number"), "big")
        if value >> bits:
            raise XdrError(f"number {value}, expected 0 to {(1 << bits) - 1}")
        return value

    def quad(self) -> int:
        """An unsigned number of 8 bytes."""
        return int.from_bytes(self._take(8, "number"), "big")

    def opaque(self) -> bytes:
        """Length, bytes, padding."""
        return self.fixed(self.uint())

    def fixed(self, size: int) -> bytes:
        """Exactly ``size`` bytes and padding, no length."""
        value = self._take(size, "opaque")
        self._take(-size % 4, "padding")
        return value

    def text(self) -> str:
        """An opaque in UTF-8; what is not UTF-8 survives as surrogates."""
        return self.opaque().decode("utf-8", "surrogateescape")

    def count(self, smallest: int = 4) -> int:
        """The number of an array's elements, none of them below ``smallest`` bytes."""
        count = self.uint()
        if count * smallest > self.left:
            raise XdrError(f"array of {count} elements, but only {self.left} bytes are left")
        return count

    def end(self) -> None:
        """Nothing may be left."""
        if self.left:
            raise XdrError(f"{self.left} bytes behind the end, expected none")

"""CRC-32C of a stream, computed as the bytes go by (data-plane 5.1)."""

from __future__ import annotations

from protocols.crc import Crc

Snapshot = tuple[int, int]
"""CRC so far and bytes so far."""


class RunningCrc:
    """CRC-32C and length of what was given so far.

    One thread updates; any thread may read: value and length change together.
    """

    def __init__(self) -> None:
        self._state: Snapshot = (0, 0)

    @property
    def size(self) -> int:
        """Bytes given so far."""
        return self._state[1]

    def update(self, data: memoryview) -> None:
        """Count ``data``, a view of bytes. Large views let other threads run meanwhile."""
        # here, as the package imports much at its first use, for which no start should wait
        from crc32c import crc32c

        value, size = self._state
        self._state = (crc32c(data, value), size + len(data))

    def snapshot(self) -> Snapshot:
        """The state to come back to with :meth:`restore`."""
        return self._state

    def restore(self, snapshot: Snapshot) -> None:
        self._state = snapshot

    def value(self) -> Crc:
        """The CRC as it travels in messages and headers."""
        value, size = self._state
        return Crc(value, size)

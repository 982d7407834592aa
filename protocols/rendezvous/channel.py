"""Frames on one connection: cut out of the bytes, numbered, and under a key.

length  4 bytes, high one first: bytes that follow
kind    1
number  8: 0, 1, 2 ... in each direction of each connection
body    0 to 65536
mac     32: HMAC-SHA-256 of kind, number and body
"""

from __future__ import annotations

from attrs import frozen

from protocols.rendezvous.errors import RendezvousError
from protocols.rendezvous.forms import MAX_BODY
from protocols.rendezvous.keys import MAC_SIZE, mac, same

_LENGTH_SIZE = 4
_HEAD_SIZE = 9
LEAST_LENGTH = _HEAD_SIZE + MAC_SIZE
"""What the length of a frame without body says."""

_TLS = (b"\x16\x03", b"\x15\x03")
"""How a handshake of TLS begins, and a word that it failed; no frame is so long."""


@frozen
class Sealed:
    """A frame whose mac is good.

    :ivar whole: all bytes of it.
    """

    kind: int
    body: bytes
    whole: bytes


class Channel:
    """Both directions of one connection.

    :ivar outgoing: the key of what is said next.
    :ivar incoming: the key of what is heard next.
    :ivar most: bytes of the longest body that is taken now.
    """

    def __init__(self, outgoing: bytes, incoming: bytes, most: int) -> None:
        self.outgoing = outgoing
        self.incoming = incoming
        self.most = most
        self._unread = bytearray()
        self._output = bytearray()
        self._said = 0
        self._heard = 0

    @property
    def kept(self) -> int:
        """Bytes of a frame that is not complete."""
        return len(self._unread)

    def feed(self, data: bytes) -> None:
        """Bytes have come; :meth:`take` then says what they are."""
        self._unread += data

    def take(self) -> Sealed | None:
        """The next frame; None: it is not complete.

        :raise RendezvousError: it is too long or too short, its mac is wrong, or it is not the next
        """
        unread = self._unread
        if len(unread) < _LENGTH_SIZE:
            return None
        length = int.from_bytes(unread[:_LENGTH_SIZE], "big")
        most = LEAST_LENGTH + self.most
        if not LEAST_LENGTH <= length <= most:
            tls = ": that is TLS" if bytes(unread[:2]) in _TLS else ""
            raise RendezvousError(
                f"a frame of {length} bytes, expected {LEAST_LENGTH} to {most}{tls}"
            )
        end = _LENGTH_SIZE + length
        if len(unread) < end:
            return None
        whole = bytes(unread[:end])
        del unread[:end]
        signed = whole[_LENGTH_SIZE:-MAC_SIZE]
        if not same(mac(self.incoming, signed), whole[-MAC_SIZE:]):
            raise RendezvousError("a frame that was not made with our key for this place")
        number = int.from_bytes(signed[1:_HEAD_SIZE], "big")
        if number != self._heard:
            raise RendezvousError(f"frame {number}, expected frame {self._heard}")
        self._heard += 1
        return Sealed(signed[0], signed[_HEAD_SIZE:], whole)

    def put(self, kind: int, body: bytes) -> bytes:
        """Say a frame. :return: all bytes of it, which :meth:`output` will give as well"""
        signed = bytes([kind]) + self._said.to_bytes(8, "big") + body
        self._said += 1
        length = len(signed) + MAC_SIZE
        whole = length.to_bytes(_LENGTH_SIZE, "big") + signed + mac(self.outgoing, signed)
        self._output += whole
        return whole

    def be_trusting(self) -> None:
        """The other end is known: it may say frames of any good length."""
        self.most = MAX_BODY

    def output(self) -> bytes:
        """What is to be written, once."""
        output = bytes(self._output)
        self._output.clear()
        return output

    def forget(self) -> None:
        """Nothing more is heard, and nothing is kept."""
        self._unread.clear()

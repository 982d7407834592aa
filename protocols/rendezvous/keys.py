"""The key of a rendezvous, and those that are made from it.

Theory of operation. Everything hangs on one secret, which both ends read from a file. From it comes
the *base key*. HELLO is under the base key; the answer to it under a key that only this HELLO can
have, so it is no older answer; all else under two keys, one for each direction, that only these
two nonces can have, so nothing of another connection or of the other direction fits. Keys are made
of texts that begin differently, and no frame begins like one of them.
"""

from __future__ import annotations

import hmac

from attrs import frozen

LEAST_KEY = 16
"""Bytes of the shortest key."""

LARGEST_KEY = 4096
"""Bytes of the longest one, and of the file that it is in."""

MAC_SIZE = 32


class KeyRefused(Exception):
    """A key is not to be used; the text says why."""

    taper_code = 1010


def key_of(content: bytes) -> bytes:
    """The key in a file: all but the white space at its end.

    :raise KeyRefused: it is too short or too long
    """
    key = content.rstrip()
    if len(content) > LARGEST_KEY:
        raise KeyRefused(f"the key is longer than {LARGEST_KEY} bytes")
    if len(key) < LEAST_KEY:
        raise KeyRefused(f"the key has {len(key)} bytes, at least {LEAST_KEY} are needed")
    return key


def base_key(key: bytes) -> bytes:
    """Of the key in the file."""
    return mac(key, b"taper rendezvous 1")


def challenge_key(base: bytes, hello: bytes) -> bytes:
    """Under which the answer to HELLO is.

    :param hello: all bytes of that frame
    """
    return mac(base, hello)


@frozen
class SessionKeys:
    """:ivar application: of what the application says, from PROOF on.
    :ivar taper: of what the taper says behind CHALLENGE.
    """

    application: bytes
    taper: bytes

    @classmethod
    def of(
        cls, base: bytes, hello_nonce: bytes, challenge_nonce: bytes, version: int
    ) -> SessionKeys:
        """Those of one connection."""
        end = hello_nonce + challenge_nonce + bytes([version])
        return cls(mac(base, b"application" + end), mac(base, b"taper" + end))


def mac(key: bytes, data: bytes) -> bytes:
    """HMAC-SHA-256."""
    return hmac.digest(key, data, "sha256")


def same(one: bytes, other: bytes) -> bool:
    """Whether two of them are equal, which takes as long wherever they differ."""
    return hmac.compare_digest(one, other)

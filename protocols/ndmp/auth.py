"""Logging in [ndmp 4.3]."""

from __future__ import annotations

import hashlib

from protocols.ndmp.codes import AuthType
from protocols.ndmp.structs import CHALLENGE_SIZE, AuthData

METHODS = ("md5", "text", "none", "void")
"""The ways of logging in; void: none at all, not even saying so."""

_PASSWORD_LIMIT = 32
_BLOCK_SIZE = 128


def digest(password: str, challenge: bytes) -> bytes:
    """What answers an MD5 challenge of 64 bytes; of the password 32 bytes count."""
    secret = password.encode("utf-8", "surrogateescape")[:_PASSWORD_LIMIT]
    block = bytearray(_BLOCK_SIZE)
    block[: len(secret)] = secret
    start = CHALLENGE_SIZE - len(secret)
    block[start : start + CHALLENGE_SIZE] = challenge
    block[_BLOCK_SIZE - len(secret) :] = secret
    return hashlib.md5(block, usedforsecurity=False).digest()


def auth_data(method: str, username: str, password: str, challenge: bytes = b"") -> AuthData:
    """What to say in CONNECT_CLIENT_AUTH; ``challenge`` for md5."""
    if method == "none":
        return AuthData(AuthType.NONE)
    if method == "text":
        return AuthData(AuthType.TEXT, username, password)
    return AuthData(AuthType.MD5, username, digest=digest(password, challenge))

"""Files that nobody else may change: the key of a rendezvous, and what TLS needs on it."""

from __future__ import annotations

import os
import stat

from devices.regular import open_regular, read_at_most
from protocols.rendezvous.keys import LARGEST_KEY, KeyRefused, key_of

LARGEST_PEM = 1 << 20
"""Bytes of a file with a private key or certificates."""

_MAY_CHANGE = stat.S_IWGRP | stat.S_IWOTH


class FileRefused(Exception):
    """A file is not to be used; the text names it and says why."""

    taper_code = 1010


def read_key(path: str) -> bytes:
    """The key in a file of ours or root's that its owner alone can read and change; where that is
    root, its group may read it. Blocks.

    :raise KeyRefused: it cannot be used; the text names the file and says why
    """
    try:
        return key_of(_read(path, LARGEST_KEY + 1, secret=True))
    except FileRefused as refusal:
        raise KeyRefused(str(refusal)) from refusal
    except KeyRefused as fault:
        raise KeyRefused(f"{path}: {fault}") from None


def read_pem(path: str, *, secret: bool) -> bytes:
    """What is in a file of ours or root's that nobody else can change. Blocks.

    :param secret: nor can anybody else read it, as a key of :func:`read_key`
    :raise FileRefused: it cannot be used
    """
    data = _read(path, LARGEST_PEM + 1, secret)
    if len(data) > LARGEST_PEM:
        raise FileRefused(f"{path}: it is longer than {LARGEST_PEM} bytes")
    return data


def _read(path: str, most: int, secret: bool) -> bytes:
    try:
        with open(open_regular(path, os.O_RDONLY), "rb") as file:
            why = _objection(os.fstat(file.fileno()), secret)
            if why is not None:
                raise FileRefused(f"{path}: {why}")
            return read_at_most(file, most)
    except OSError as fault:
        raise FileRefused(f"{path}: {fault.strerror or fault}") from fault


def _objection(found: os.stat_result, secret: bool) -> str | None:
    if found.st_uid not in (os.geteuid(), 0):
        return f"it belongs to user {found.st_uid}"
    mode = stat.S_IMODE(found.st_mode)
    allowed = stat.S_IRWXU | (stat.S_IRGRP if found.st_uid == 0 else 0)
    if secret and mode & ~allowed:
        return f"others can read or change it: its mode is {mode:04o}, not 0600"
    if mode & _MAY_CHANGE:
        return f"others can change it: its mode is {mode:04o}, not 0644"
    return None

"""A door for drivers of other hosts: TLS, and only for who has a certificate of ours.

``mtls:PORT:privateKey=FILE:certKey=FILE:clients=FILE``, with Twisted's words for what its own
``ssl:`` endpoint has too; ``clients`` names the certificates, in PEM, of the authorities whose
clients may drive us.
"""

from __future__ import annotations

import os
import stat
from typing import Any

from twisted.internet.endpoints import SSL4ServerEndpoint

from devices.key_file import LARGEST_PEM
from devices.regular import open_regular, read_at_most
from taper.ownership import trusted_users
from taper.run.setup import StartFailed
from taper.tls import Pem, TlsRefused, make_options, require_package

_MAY_READ_KEY = stat.S_IRWXO | stat.S_IWGRP
_MAY_CHANGE = stat.S_IWOTH | stat.S_IWGRP


def is_mtls(description: str) -> bool:
    """Whoever gets through this door has shown a certificate, so its transports do TLS."""
    return description.startswith("mtls:")


def tls_endpoint(
    reactor: Any,
    port: str,
    *,
    privateKey: str = "",
    certKey: str = "",
    clients: str = "",
    interface: str = "",
    backlog: str = "50",
) -> SSL4ServerEndpoint:
    """What such a description stands for.

    :raise StartFailed: a file is missing or not private enough, or there is no pyOpenSSL
    """
    named = {"privateKey": privateKey, "certKey": certKey, "clients": clients}
    for word, path in named.items():
        if not path:
            raise StartFailed(f"--driver mtls:{port} needs {word}=FILE", code=1011)
    options = _options(privateKey, certKey, clients)
    return SSL4ServerEndpoint(reactor, int(port), options, int(backlog), interface)


def _options(private_key: str, cert_key: str, clients: str) -> Any:
    """What Twisted makes connections of that demand and verify a client's certificate."""
    try:
        require_package()
        return make_options(
            _read("privateKey", private_key, _MAY_READ_KEY, "read by others"),
            _read("certKey", cert_key, _MAY_CHANGE, "changed by others"),
            _read("clients", clients, _MAY_CHANGE, "changed by others"),
        )
    except TlsRefused as refusal:
        raise StartFailed(f"--driver mtls: {refusal}", code=1011) from refusal


def _read(word: str, path: str, forbidden: int, what: str) -> Pem:
    """A file of root's or the dump user's, whose mode does not let others do ``what``."""
    name = f"--driver mtls: {word}={path}"
    try:
        descriptor = open_regular(path, os.O_RDONLY)
    except OSError as fault:
        raise StartFailed(f"{name} cannot be read: {fault.strerror or fault}", code=1011) from fault
    with open(descriptor, "rb") as file:
        found = os.fstat(descriptor)
        if found.st_uid not in trusted_users():
            raise StartFailed(f"{name} belongs to user {found.st_uid}", code=1011)
        if found.st_mode & forbidden:
            mode = stat.S_IMODE(found.st_mode)
            raise StartFailed(
                f"{name} may be {what}: its mode is {mode:o}; chmod 600 {path}", code=1011
            )
        data = read_at_most(file, LARGEST_PEM + 1)
    if len(data) > LARGEST_PEM:
        raise StartFailed(f"{name} is longer than {LARGEST_PEM} bytes", code=1011)
    return Pem(f"{word}={path}", path, data)

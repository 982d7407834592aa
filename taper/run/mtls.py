"""A door for drivers of other hosts: TLS, and only for who has a certificate of ours.

``mtls:PORT:privateKey=FILE:certKey=FILE:clients=FILE``, with Twisted's words for what its own
``ssl:`` endpoint has too; ``clients`` names the certificates, in PEM, of the authorities whose
clients may drive us. pyOpenSSL is imported when such a door is made, not before.
"""

from __future__ import annotations

import os
import stat
from typing import Any

from twisted.internet.endpoints import SSL4ServerEndpoint

from devices.regular import open_regular, read_at_most
from taper.ownership import trusted_users
from taper.run.setup import StartFailed

LARGEST_FILE = 1 << 20
"""Bytes of a file with a key or certificates."""

_MAY_READ_KEY = stat.S_IRWXO | stat.S_IWGRP
_MAY_CHANGE = stat.S_IWOTH | stat.S_IWGRP
_BEGIN, _END = b"-----BEGIN CERTIFICATE-----\n", b"\n-----END CERTIFICATE-----"


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
            raise StartFailed(f"--driver mtls:{port} needs {word}=FILE")
    options = _options(privateKey, certKey, clients)
    return SSL4ServerEndpoint(reactor, int(port), options, int(backlog), interface)


def _certificates(pem: bytes) -> list[bytes]:
    """Each certificate of a file, with its own first and last line."""
    found = []
    for rest in pem.split(_BEGIN)[1:]:
        body, end, _ = rest.partition(_END)
        if end:
            found.append(_BEGIN + body + end)
    return found


def _options(private_key: str, cert_key: str, clients: str) -> Any:
    """What Twisted makes connections of that demand and verify a client's certificate."""
    try:
        from OpenSSL import SSL, crypto
        from twisted.internet import ssl
    except ImportError as fault:
        raise StartFailed(
            f"--driver mtls needs a package that is not here ({fault}): "
            "install twisted-taper[tls], which brings pyOpenSSL"
        ) from fault
    key = _read("privateKey", private_key, _MAY_READ_KEY, "read by others")
    own = _read("certKey", cert_key, _MAY_CHANGE, "changed by others")
    authorities = _certificates(_read("clients", clients, _MAY_CHANGE, "changed by others"))
    if not authorities:
        raise StartFailed(f"--driver mtls: clients={clients} has no certificate in PEM")
    for word, path, load in (
        ("certKey", cert_key, lambda: ssl.Certificate.loadPEM(own)),
        ("privateKey", private_key, lambda: ssl.KeyPair.load(key, crypto.FILETYPE_PEM)),
        ("clients", clients, lambda: [ssl.Certificate.loadPEM(each) for each in authorities]),
    ):
        try:
            load()
        # what is none is told in more than one way
        except Exception as fault:
            raise StartFailed(f"--driver mtls: {word}={path} cannot be used: {fault}") from fault
    options = ssl.CertificateOptions(
        privateKey=ssl.KeyPair.load(key, crypto.FILETYPE_PEM).original,
        certificate=ssl.Certificate.loadPEM(own).original,
        # who is to be trusted is told, so a certificate is demanded and verified
        trustRoot=ssl.trustRootFromCertificates(
            [ssl.Certificate.loadPEM(each) for each in authorities]
        ),
        raiseMinimumTo=ssl.TLSVersion.TLSv1_2,
    )
    try:
        options.getContext()
    except SSL.Error as fault:
        raise StartFailed(
            f"--driver mtls: the key in {private_key} does not fit the certificate in {cert_key}"
        ) from fault
    return options


def _read(word: str, path: str, forbidden: int, what: str) -> bytes:
    """A file of root's or the dump user's, whose mode does not let others do ``what``."""
    name = f"--driver mtls: {word}={path}"
    try:
        descriptor = open_regular(path, os.O_RDONLY)
    except OSError as fault:
        raise StartFailed(f"{name} cannot be read: {fault.strerror or fault}") from fault
    with open(descriptor, "rb") as file:
        found = os.fstat(descriptor)
        if found.st_uid not in trusted_users():
            raise StartFailed(f"{name} belongs to user {found.st_uid}")
        if found.st_mode & forbidden:
            mode = stat.S_IMODE(found.st_mode)
            raise StartFailed(f"{name} may be {what}: its mode is {mode:o}; chmod 600 {path}")
        data = read_at_most(file, LARGEST_FILE + 1)
    if len(data) > LARGEST_FILE:
        raise StartFailed(f"{name} is longer than {LARGEST_FILE} bytes")
    return data

"""What Twisted makes connections by TLS of: a key, its certificate, and who is trusted.

pyOpenSSL is imported when that is made, not before.
"""

from __future__ import annotations

from typing import Any

from attrs import frozen

from protocols.errorcode import Coded

_BEGIN, _END = b"-----BEGIN CERTIFICATE-----\n", b"\n-----END CERTIFICATE-----"
_LOCKED = b"ENCRYPTED"
"""In the first lines of a key with a passphrase, for which OpenSSL would ask on the terminal."""


class TlsRefused(Coded):
    """TLS is not to be had with these files, or here at all; the text says why."""

    taper_code = 1011


@frozen
class Pem:
    """A file with a key or certificates.

    :ivar name: what people call it, with its path.
    """

    name: str
    path: str
    data: bytes


def require_package() -> None:
    """:raise TlsRefused: it is not installed"""
    try:
        from OpenSSL import SSL  # noqa: F401
        from twisted.internet import ssl  # noqa: F401
    except ImportError as fault:
        raise TlsRefused(
            f"TLS needs a package that is not here ({fault}): "
            "install twisted-taper[tls], which brings pyOpenSSL",
            code=8005,
        ) from fault


def make_options(key: Pem, certificate: Pem, clients: Pem | None = None) -> Any:
    """For a server of TLS 1.2 at least; only after :func:`require_package`.

    :param certificate: the key's, and behind it those that lead to its authority, if any
    :param clients: of the authorities whose clients alone may connect; None: none is demanded
    :raise TlsRefused: they cannot be used
    """
    from OpenSSL import SSL
    from twisted.internet import ssl

    chain = [each.original for each in _load_certificates(certificate)]
    trusted = None
    if clients is not None:
        # who is to be trusted is told, so a certificate is demanded and verified
        trusted = ssl.trustRootFromCertificates(_load_certificates(clients))
    options = ssl.CertificateOptions(
        privateKey=_load_key(key),
        certificate=chain[0],
        extraCertChain=chain[1:],
        trustRoot=trusted,
        raiseMinimumTo=ssl.TLSVersion.TLSv1_2,
    )
    try:
        options.getContext()
    except SSL.Error as fault:
        raise TlsRefused(
            f"the key in {key.path} does not fit the certificate in {certificate.path}"
        ) from fault
    return options


def _load_key(key: Pem) -> Any:
    from OpenSSL import crypto
    from twisted.internet import ssl

    if _LOCKED in key.data:
        raise TlsRefused(f"{key.name} has a passphrase, which nobody could be asked for")
    try:
        return ssl.KeyPair.load(key.data, crypto.FILETYPE_PEM).original
    # what is none is told in more than one way
    except Exception as fault:
        raise TlsRefused(f"{key.name} cannot be used: {fault}") from fault


def _load_certificates(pem: Pem) -> list[Any]:
    from twisted.internet import ssl

    found = _certificates(pem.data.replace(b"\r\n", b"\n"))
    if not found:
        raise TlsRefused(f"{pem.name} has no certificate in PEM")
    try:
        return [ssl.Certificate.loadPEM(each) for each in found]
    except Exception as fault:  # likewise
        raise TlsRefused(f"{pem.name} cannot be used: {fault}") from fault


def _certificates(pem: bytes) -> list[bytes]:
    """Each certificate of a file, with its own first and last line."""
    found = []
    for rest in pem.split(_BEGIN)[1:]:
        body, end, _ = rest.partition(_END)
        if end:
            found.append(_BEGIN + body + end)
    return found

"""TLS on a rendezvous connection, as bytes that come and bytes to be written: it knows no socket,
so whoever does waits as without TLS."""

from __future__ import annotations

import ssl

_READ = 1 << 16


class NoAuthority(Exception):
    """Nobody could be trusted; the text says why."""

    taper_code = 1011


class Trust:
    """Whom we take for the taper."""

    def __init__(self, pem: bytes) -> None:
        """:param pem: certificates of authorities, or the taper's own

        :raise NoAuthority: there is none in it
        """
        # which demands a certificate that is good for the address
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._context.minimum_version = ssl.TLSVersion.TLSv1_2
        # so that a certificate may be trusted whose authority is not
        self._context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        try:
            # comments may be in any language
            self._context.load_verify_locations(cadata=pem.decode("ascii", "ignore"))
        except (ssl.SSLError, ValueError) as fault:
            raise NoAuthority(f"no certificate in PEM that can be used: {_text(fault)}") from None

    def secure(self, host: str) -> Secured:
        """TLS for a new connection.

        :param host: the address that it leads to, for which the certificate must be made
        """
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        return Secured(
            self._context.wrap_bio(incoming, outgoing, server_hostname=host), incoming, outgoing
        )


class Secured:
    """TLS on one connection.

    :ivar proven: the other end has a certificate that we trust
    :ivar ended: it says no more
    """

    def __init__(
        self, tls: ssl.SSLObject, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO
    ) -> None:
        self.proven = False
        self.ended = False
        self._tls = tls
        self._incoming = incoming
        self._outgoing = outgoing
        self._unsaid = bytearray()

    def hear(self, data: bytes) -> bytes:
        """:param data: that has come
        :return: what was said by it
        :raise OSError: it is no TLS, or nobody we trust; the text says so
        """
        self._incoming.write(data)
        heard = bytearray()
        try:
            self._shake_hands()
            while piece := self._tls.read(_READ):
                heard += piece
            self.ended = True
        except ssl.SSLWantReadError:
            pass  # for more
        except ssl.SSLError as fault:
            raise OSError(_text(fault)) from None
        return bytes(heard)

    def say(self, data: bytes) -> bytes:
        """:return: what is to be written for it, for what was said before it, or to be heard at all
        :raise OSError: as :meth:`hear`
        """
        self._unsaid += data
        try:
            self._shake_hands()
            while self._unsaid:
                del self._unsaid[: self._tls.write(self._unsaid)]
        except ssl.SSLWantReadError:
            pass  # it is said when the other end is known
        except ssl.SSLError as fault:
            raise OSError(_text(fault)) from None
        return self.rest()

    def rest(self) -> bytes:
        """What is still to be written, as why we trust nobody."""
        return self._outgoing.read()

    def _shake_hands(self) -> None:
        if not self.proven:
            self._tls.do_handshake()
            self.proven = True


def _text(fault: Exception) -> str:
    if isinstance(fault, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {fault.verify_message}".rstrip(".")
    if isinstance(fault, ssl.SSLError) and fault.reason:
        return fault.reason.lower().replace("_", " ")
    return str(fault)

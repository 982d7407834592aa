"""Where a DirectTCP peer can be reached, and the one-shot IndirectTCP conversation.

Pure. Facts: [ndmp 1.3, 2.2, 2.3]. An IndirectTCP list is one address whose host is
255.255.255.255: its port, on the reader's own localhost, tells the real addresses, separated by
single blanks and ended by the end of the connection.
"""

from __future__ import annotations

from collections.abc import Iterable

from attrs import frozen

INDIRECT_HOST = "255.255.255.255"
"""Host of an address that is to be asked for the real ones."""

MAX_ADDRESSES = 128
"""Addresses of one list that we take."""

ANSWER_LIMIT = 32768
"""Bytes of an IndirectTCP answer that we take; stock readers take no more either."""


class AddressError(ValueError):
    """A text is no address, or no list of addresses; the message says which and why."""

    taper_code = 5004


@frozen(order=True)
class Address:
    """An IP address and a TCP port.

    :ivar host: IPv4 or IPv6 address, without brackets.
    """

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Address:
        """``"1.2.3.4:5"`` or ``"[::1]:5"``.

        :raise AddressError: something else
        """
        host, colon, port = text.rpartition(":")
        if not colon or not (port.isascii() and port.isdigit() and len(port) <= 5):
            raise AddressError(f"{_shown(text)} is not an address of the form IP:PORT")
        number = int(port)
        if not 0 < number < 65536:
            raise AddressError(f"{_shown(text)}: {number} is not a port, 1 to 65535")
        if host.startswith("[") and host.endswith("]"):
            host = host[1:-1]
            good = _is_ipv6(host)
        else:
            good = _is_ipv4(host)
        if not good:
            raise AddressError(f"{_shown(text)}: {_shown(host)} is not an IP address")
        return cls(host, number)

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if self.is_ipv6 else f"{self.host}:{self.port}"

    @property
    def is_ipv6(self) -> bool:
        return ":" in self.host

    @property
    def is_loopback(self) -> bool:
        """Of the host that says it, and of no other."""
        return self.host.startswith("127.") or self.host == "::1"

    @property
    def is_indirect(self) -> bool:
        """To be asked for the real addresses."""
        return self.host == INDIRECT_HOST


def is_indirect(addresses: Iterable[Address]) -> bool:
    """The list stands for another one, which its first address tells."""
    return any(address.is_indirect for address in addresses)


def format_list(addresses: Iterable[Address], separator: str = ";") -> str:
    """The list as one text: ``;`` for the driver, a blank for an IndirectTCP answer."""
    return separator.join(str(address) for address in addresses)


def parse_list(text: str) -> tuple[Address, ...]:
    """A list separated by ``;`` or white space, as any program writes it; perhaps empty.

    :raise AddressError: one of them is no address, or there are too many
    """
    if len(text) > ANSWER_LIMIT:
        raise AddressError(f"a list of addresses is longer than {ANSWER_LIMIT} bytes")
    words = text.replace(";", " ").split()
    if len(words) > MAX_ADDRESSES:
        raise AddressError(f"{len(words)} addresses are more than {MAX_ADDRESSES}")
    return tuple(Address.parse(word) for word in words)


def format_answer(addresses: Iterable[Address]) -> bytes:
    """All bytes of an IndirectTCP answer: no line end, no NUL [ndmp 2.3]."""
    return format_list(addresses, " ").encode("ascii")


class AnswerReader:
    """The consumer's side of the IndirectTCP conversation: bytes in, addresses at their end.

    It says nothing, reads to the end of the connection, and takes what it read for an ordinary
    list, which must not be an indirect one again.
    """

    def __init__(self) -> None:
        self._received = bytearray()

    def feed(self, data: bytes) -> None:
        """Take some bytes.

        :raise AddressError: more than any list has
        """
        self._received += data
        if len(self._received) > ANSWER_LIMIT:
            raise AddressError(f"the IndirectTCP answer is longer than {ANSWER_LIMIT} bytes")

    def finish(self) -> tuple[Address, ...]:
        """The connection is at its end: the real addresses, at least one.

        :raise AddressError: there is none, or something is not an address
        """
        try:
            text = self._received.decode("ascii")
        except UnicodeDecodeError:
            raise AddressError("the IndirectTCP answer is no list of addresses") from None
        addresses = parse_list(text.rstrip("\0"))
        if not addresses:
            raise AddressError("the IndirectTCP answer names no address")
        if is_indirect(addresses):
            raise AddressError("the IndirectTCP answer is itself an IndirectTCP address")
        return addresses


def is_host(text: str) -> bool:
    """An IPv4 or IPv6 address, without brackets."""
    return _is_ipv4(text) or _is_ipv6(text)


def ipv6_bytes(host: str) -> bytes:
    """The 16 bytes of an IPv6 address.

    :raise AddressError: it is none
    """
    import ipaddress

    if not _is_ipv6(host):
        raise AddressError(f"{_shown(host)} is not an IPv6 address")
    return ipaddress.IPv6Address(host).packed


def ipv6_text(data: bytes) -> str:
    """The address of 16 bytes."""
    import ipaddress

    return str(ipaddress.IPv6Address(data))


def _shown(text: str) -> str:
    """The text for an error message, made short."""
    return repr(text if len(text) <= 80 else text[:80] + "...")


def _is_ipv4(text: str) -> bool:
    numbers = text.split(".")
    return len(numbers) == 4 and all(
        number.isascii() and number.isdigit() and len(number) <= 3 and int(number) < 256
        for number in numbers
    )


def _is_ipv6(text: str) -> bool:
    import ipaddress  # only here: a start needs no IPv6 address

    if len(text) > 64:
        return False
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return True

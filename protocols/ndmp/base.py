"""What every NDMP structure and message is: a record whose fields are declared once.

The annotation of a field says how it stands on the wire, and its place in the class is its place
there. ``only`` names the versions of a field that not all have: in the others it is not sent and
reads as its default. :mod:`protocols.ndmp.layout` makes encoders and decoders of this.
"""

from __future__ import annotations

from typing import ClassVar, Generic, TypeAlias, TypeVar

from protocols.ndmp.codes import VERSIONS, ErrorCode
from protocols.records import Record

Long: TypeAlias = int
"""Unsigned, 32 bits."""
Short: TypeAlias = int
"""Unsigned, 16 bits of 32."""
Byte: TypeAlias = int
"""Unsigned, 8 bits of 32."""
Quad: TypeAlias = int
"""Unsigned, 64 bits."""
Opaque: TypeAlias = bytes | memoryview
"""Bytes with their length; decoded as ``bytes``."""


class Struct(Record):
    """A structure on the wire.

    :cvar only: field to the versions that have it.
    """

    only: ClassVar[dict[str, tuple[int, ...]]] = {}

    def __init_subclass__(cls, only: dict[str, tuple[int, ...]] | None = None) -> None:
        super().__init_subclass__()
        cls.only = {**cls.only, **(only or {})}


class Pval(Struct):
    """A name and its value."""

    name: str
    value: str


class Message(Struct):
    """The body of a message.

    :cvar code: message code; 0 for what is shared by several.
    :cvar label: the name of the message in the protocol, e.g. ``TAPE_OPEN``.
    :cvar versions: where it exists.
    """

    code: ClassVar[int] = 0
    label: ClassVar[str] = ""
    versions: ClassVar[tuple[int, ...]] = VERSIONS

    def __init_subclass__(
        cls,
        code: int = 0,
        versions: tuple[int, ...] = VERSIONS,
        only: dict[str, tuple[int, ...]] | None = None,
    ) -> None:
        super().__init_subclass__(only=only)
        cls.code = code
        cls.versions = versions
        letters = ("_" + letter if letter.isupper() else letter for letter in cls.__name__)
        cls.label = "".join(letters).lstrip("_").upper()


class Reply(Message):
    """The body of a reply.

    :cvar leading: fields that stand before the error.
    :ivar error: why the request was refused; the other fields then mean nothing.
    """

    leading: ClassVar[tuple[str, ...]] = ()
    error: ErrorCode | int = ErrorCode.NO_ERR


R_co = TypeVar("R_co", bound=Reply, covariant=True)

REQUESTS: dict[int, type[Request[Reply]]] = {}
"""Every request, by code; each tells its reply."""
POSTS: dict[int, type[Post]] = {}
"""Every post, by code."""


class Request(Generic[R_co], Message):
    """The body of a request; ``Request[X]``: what is answered by an ``X``.

    :cvar reply: class of the answer.
    """

    reply: ClassVar[type[Reply]]

    def __init_subclass__(
        cls,
        code: int = 0,
        versions: tuple[int, ...] = VERSIONS,
        only: dict[str, tuple[int, ...]] | None = None,
    ) -> None:
        super().__init_subclass__(code=code, versions=versions, only=only)
        (base,) = cls.__orig_bases__  # type: ignore[attr-defined]
        (cls.reply,) = base.__args__
        REQUESTS[code] = cls


class Post(Message):
    """The body of a message that the server sends by itself and that nobody answers."""

    def __init_subclass__(
        cls,
        code: int = 0,
        versions: tuple[int, ...] = VERSIONS,
        only: dict[str, tuple[int, ...]] | None = None,
    ) -> None:
        super().__init_subclass__(code=code, versions=versions, only=only)
        POSTS[code] = cls


class ErrorReply(Reply):
    """The answer that says no more than whether it was done."""

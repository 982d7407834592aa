"""What can go wrong in an NDMP session, by what it means for whoever asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from protocols.ndmp.codes import ErrorCode, error_name

if TYPE_CHECKING:
    from protocols.ndmp.base import Message


class NdmpError(Exception):
    """Base of all of them.

    :ivar text: what happened, for people.
    """

    taper_code = 5000

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text


class NdmpRefused(NdmpError):
    """The server answered a request with an error; the session goes on.

    :ivar error: why.
    :ivar message: the request.
    :ivar reply: the answer; None if the error stood in the header.
    """

    taper_code = 5010

    def __init__(
        self, error: ErrorCode | int, message: Message, reply: Message | None = None
    ) -> None:
        where = "" if reply is not None else " in the header"
        super().__init__(f"{message.label} was refused{where}: {error_name(error)}")
        self.error = error
        self.message = message
        self.reply = reply

    @property
    def in_header(self) -> bool:
        """The error stood in the header of the reply: the server did not look at the request."""
        return self.reply is None


class NdmpLoginRefused(NdmpRefused):
    """The server does not accept the account, or the way of saying it."""

    taper_code = 5011


class NdmpTimeout(NdmpError):
    """No answer, or no post, in time. The session goes on, a late answer is ignored."""

    taper_code = 5012


class NdmpLost(NdmpError):
    """The session is over: the connection is gone, or the server or we ended it."""

    taper_code = 5013


class NdmpGarbage(NdmpError):
    """The server sent what no server may send; the session is over."""

    taper_code = 5014


class NdmpInvalid(NdmpError):
    """A message that cannot be sent: not in this version, or a value out of range."""

    taper_code = 5015

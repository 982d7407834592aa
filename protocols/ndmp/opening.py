"""How a session is opened: which request comes next [ndmp 4.3]."""

from __future__ import annotations

from protocols.ndmp.auth import METHODS, auth_data
from protocols.ndmp.codes import VERSIONS, AuthType, ErrorCode
from protocols.ndmp.errors import NdmpGarbage, NdmpInvalid, NdmpLoginRefused, NdmpLost, NdmpRefused
from protocols.ndmp.messages import (
    ConfigGetAuthAttr,
    ConfigGetAuthAttrReply,
    ConnectClientAuth,
    ConnectOpen,
    Reply,
    Request,
)

_OTHER_VERSION = (
    ErrorCode.NOT_SUPPORTED,
    ErrorCode.ILLEGAL_ARGS,
    ErrorCode.VERSION_NOT_SUPPORTED,
)
"""Answers to CONNECT_OPEN after which another version may be tried."""


class Opening:
    """One client's way from the greeting to an open session.

    :param auth: one of :data:`protocols.ndmp.auth.METHODS`.
    :param versions: that may be agreed upon, the best first.
    :raise NdmpInvalid: something else.
    """

    def __init__(
        self, username: str, password: str, auth: str, versions: tuple[int, ...] = (4, 3, 2)
    ) -> None:
        if auth not in METHODS:
            raise NdmpInvalid(f"auth {auth!r}, expected one of {', '.join(METHODS)}")
        if not versions or not set(versions) <= set(VERSIONS):
            raise NdmpInvalid(f"versions {versions}, expected some of {VERSIONS}")
        self._username = username
        self._password = password
        self._auth = auth
        self._versions = versions
        self._untried: list[int] = []

    def greeted(self, offered: int) -> Request[Reply]:
        """The first request to a server whose highest version is ``offered``.

        :raise NdmpLost: it is below all of ours
        """
        self._untried = [version for version in self._versions if version <= offered]
        if not self._untried:
            raise NdmpLost(
                f"the server offers NDMP version {offered}, expected at least {min(self._versions)}"
            )
        return ConnectOpen(self._untried.pop(0))

    def version_refused(self, refusal: NdmpRefused) -> Request[Reply]:
        """The next version to try.

        :raise NdmpRefused: none is left, or the refusal has another reason
        """
        if refusal.error not in _OTHER_VERSION or not self._untried:
            raise refusal
        return ConnectOpen(self._untried.pop(0))

    def version_taken(self) -> Request[Reply] | None:
        """The first request of the login; None: there is none."""
        if self._auth == "void":
            return None
        if self._auth == "md5":
            return ConfigGetAuthAttr(AuthType.MD5)
        return self._login()

    def login_answered(
        self, reply: Reply | None, refusal: NdmpRefused | None
    ) -> Request[Reply] | None:
        """What follows the answer to a request of the login; None: logged in.

        :raise NdmpLoginRefused: the server does not accept it
        :raise NdmpGarbage: the server answers another question
        """
        if refusal is not None:
            raise NdmpLoginRefused(refusal.error, refusal.message, refusal.reply)
        if not isinstance(reply, ConfigGetAuthAttrReply):
            return None
        if reply.challenge.kind != AuthType.MD5:
            raise NdmpGarbage(f"challenge of auth type {reply.challenge.kind}, expected MD5")
        return self._login(reply.challenge.challenge)

    def _login(self, challenge: bytes = b"") -> Request[Reply]:
        return ConnectClientAuth(auth_data(self._auth, self._username, self._password, challenge))

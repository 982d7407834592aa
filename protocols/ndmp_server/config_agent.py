"""The CONNECT and CONFIG requests [ndmp 4.3, 4.5], [ndmp-server 1, 2]."""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING

from protocols.ndmp import messages as m
from protocols.ndmp.auth import digest
from protocols.ndmp.codes import (
    CONNECTION_ADDRESSES,
    AddressType,
    AuthType,
    ErrorCode,
    TapeAttributes,
)
from protocols.ndmp_server.interfaces import Refused

if TYPE_CHECKING:
    from protocols.ndmp_server.session import Session

AUTH_TYPES = (AuthType.TEXT, AuthType.MD5)
MOST_LOGINS = 5
"""Failed logins after which a session is ended."""
_TAPE_ABILITIES = (m.Pval("EXECUTE_CDB", "t"),)
_BEFORE_LOGIN = (
    m.ConnectOpen,
    m.ConnectClientAuth,
    m.ConnectServerAuth,
    m.ConfigGetAuthAttr,
    m.ConfigGetServerInfo,
)


class ConfigAgent:
    """Version, login, and what the server says about itself.

    :ivar logged_in: the client may do what it likes.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._opened = False
        self._served = False
        self.logged_in = False
        self._challenge: bytes | None = None
        self._failures = 0
        self._listed = False
        self._chosen: dict[int, int] | None = None

    def check(self, request: m.Message) -> None:
        """What a client may not ask yet.

        :raise Refused: it must log in first
        """
        self._served |= not isinstance(request, m.ConnectOpen)
        if self.logged_in or isinstance(request, _BEFORE_LOGIN):
            return
        told = self._session.profile.tells_all_before_login
        if not (told and isinstance(request, m.ConfigGetHostInfo)):
            raise Refused(ErrorCode.NOT_AUTHORIZED, in_header=True)

    def connect_open(self, request: m.ConnectOpen) -> m.ErrorReply:
        version, profile = request.protocol_version, self._session.profile
        if self._served and not profile.reopens:
            raise Refused(ErrorCode.ILLEGAL_STATE)
        other = self._opened and version != self._session.version
        if other or version not in profile.versions:
            raise Refused(ErrorCode.ILLEGAL_ARGS)
        self._opened, self._session.version = True, version
        return m.ErrorReply()

    def connect_client_auth(self, request: m.ConnectClientAuth) -> m.ErrorReply:
        house, auth = self._session.house, request.auth
        if auth.kind == AuthType.NONE and house.anybody:
            self.logged_in = True
            return m.ErrorReply()
        if auth.kind not in AUTH_TYPES:
            raise Refused(ErrorCode.ILLEGAL_ARGS)
        if not self._is_good(auth):
            self._failed()
            raise Refused(ErrorCode.NOT_AUTHORIZED)
        self.logged_in = True
        return m.ErrorReply()

    def _is_good(self, auth: m.AuthData) -> bool:
        password = self._session.house.password_of(auth.name)
        challenge, self._challenge = self._challenge, None
        if not password:  # no such user, or nothing that could be known
            return False
        if auth.kind == AuthType.TEXT:
            said, wanted = _bytes(auth.password), _bytes(password)
        elif challenge is None:
            return False
        else:
            said, wanted = auth.digest, digest(password, challenge)
        return hmac.compare_digest(said, wanted)

    def _failed(self) -> None:
        self._failures += 1
        if self._session.profile.forgets_login:
            self.logged_in = False
        if self._failures >= MOST_LOGINS:
            self._session.afterwards(self._session.drop)

    def config_get_auth_attr(self, request: m.ConfigGetAuthAttr) -> m.ConfigGetAuthAttrReply:
        if request.auth_type == AuthType.TEXT:
            return m.ConfigGetAuthAttrReply(challenge=m.Challenge(AuthType.TEXT))
        if request.auth_type != AuthType.MD5:
            raise Refused(ErrorCode.ILLEGAL_ARGS)
        self._challenge = self._session.house.challenge()
        return m.ConfigGetAuthAttrReply(challenge=m.Challenge(AuthType.MD5, self._challenge))

    def config_get_host_info(self, request: m.ConfigGetHostInfo) -> m.ConfigGetHostInfoReply:
        own = self._session.house.identity
        return m.ConfigGetHostInfoReply(
            hostname=own.hostname,
            os_type=own.os_type,
            os_version=own.os_version,
            hostid=own.hostid,
            auth_types=AUTH_TYPES,
        )

    def config_get_server_info(self, request: m.ConfigGetServerInfo) -> m.ConfigGetServerInfoReply:
        told = self._session.profile.tells_all_before_login or self._session.version < 4
        if not (told or self.logged_in):
            return m.ConfigGetServerInfoReply(auth_types=AUTH_TYPES)
        own = self._session.house.identity
        return m.ConfigGetServerInfoReply(
            vendor=own.vendor,
            product=own.product,
            revision=own.revision,
            auth_types=AUTH_TYPES,
        )

    def config_get_connection_type(
        self, request: m.ConfigGetConnectionType
    ) -> m.ConfigGetConnectionTypeReply:
        local = (AddressType.LOCAL,) if self._session.profile.advertises_local else ()
        ipv6 = (AddressType.TCP_IPV6,) if self.knows_ipv6 else ()
        return m.ConfigGetConnectionTypeReply(types=(*local, AddressType.TCP, *ipv6))

    def config_get_tape_info(self, request: m.ConfigGetTapeInfo) -> m.ConfigGetTapeInfoReply:
        attributes = TapeAttributes.RAW if self._session.version >= 4 else 0
        drives = tuple(
            m.DeviceCapability(name, attributes, _TAPE_ABILITIES)
            for name in self._session.house.drives
        )
        return m.ConfigGetTapeInfoReply(models=(m.DeviceInfo(model="drive", devices=drives),))

    def config_get_scsi_info(self, request: m.ConfigGetScsiInfo) -> m.ConfigGetScsiInfoReply:
        robots = tuple(m.DeviceCapability(device=name) for name in self._session.house.robots)
        models = (m.DeviceInfo(model="changer", devices=robots),) if robots else ()
        return m.ConfigGetScsiInfoReply(models=models)

    # extensions [ndmp-server 6.1]

    @property
    def knows_ipv6(self) -> bool:
        """The client has chosen the extension by which data connections have IPv6 addresses."""
        return CONNECTION_ADDRESSES in (self._chosen or {})

    def config_get_ext_list(self, request: m.ConfigGetExtList) -> m.ConfigGetExtListReply:
        self._refuse_second_choice()
        self._listed = True
        offered = self._session.house.extensions.items()
        return m.ConfigGetExtListReply(
            extensions=tuple(m.ClassVersions(number, versions) for number, versions in offered)
        )

    def config_set_ext_list(self, request: m.ConfigSetExtList) -> m.ErrorReply:
        self._refuse_second_choice()
        if not self._listed:
            raise Refused(ErrorCode.PRECONDITION)
        offered, chosen = self._session.house.extensions, dict[int, int]()
        for one in request.extensions:
            if one.extension in chosen:
                raise Refused(ErrorCode.EXT_DUPL_CLASSES)
            if one.extension not in offered:
                raise Refused(ErrorCode.CLASS_NOT_SUPPORTED)
            if one.version not in offered[one.extension]:
                raise Refused(ErrorCode.VERSION_NOT_SUPPORTED)
            chosen[one.extension] = one.version
        self._chosen = chosen
        return m.ErrorReply()

    def _refuse_second_choice(self) -> None:
        if self._chosen is not None:
            raise Refused(ErrorCode.EXT_DN_ILLEGAL)


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")

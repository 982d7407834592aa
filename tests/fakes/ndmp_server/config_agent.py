"""The CONNECT and CONFIG requests [ndmp 4.3, 4.5]."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from protocols.ndmp import messages as m
from protocols.ndmp.auth import digest
from protocols.ndmp.codes import AddressType, AuthType, ErrorCode
from tests.fakes.ndmp_server.drives import Refused

if TYPE_CHECKING:
    from tests.fakes.ndmp_server.session import Session

AUTH_TYPES = (AuthType.TEXT, AuthType.MD5)
BEFORE_LOGIN = (
    m.ConnectOpen,
    m.ConnectClientAuth,
    m.ConnectServerAuth,
    m.ConfigGetAuthAttr,
    m.ConfigGetServerInfo,
    m.ConfigGetHostInfo,
)


class ConfigAgent:
    """Version, login, and what the server says about itself.

    :ivar logged_in: the client may do what it likes.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._opened = False
        self.logged_in = False
        self._challenge: bytes | None = None

    def check(self, request: m.Message) -> None:
        """What a client may not ask yet.

        :raise Refused: it must log in first
        """
        if not isinstance(request, BEFORE_LOGIN) and not self.logged_in:
            raise Refused(ErrorCode.NOT_AUTHORIZED, in_header=True)

    def connect_open(self, request: m.ConnectOpen) -> m.ErrorReply:
        version = request.protocol_version
        other = self._opened and version != self._session.version
        if other or version not in self._session.profile.versions:
            raise Refused(ErrorCode.ILLEGAL_ARGS)
        self._opened, self._session.version = True, version
        return m.ErrorReply()

    def connect_client_auth(self, request: m.ConnectClientAuth) -> m.ErrorReply:
        server, auth = self._session.server, request.auth
        if auth.kind == AuthType.NONE and server.password is None:
            self.logged_in = True
            return m.ErrorReply()
        if auth.kind not in AUTH_TYPES:
            raise Refused(ErrorCode.ILLEGAL_ARGS)
        password = server.password or ""
        good = auth.name == server.username
        if auth.kind == AuthType.TEXT:
            good &= auth.password == password
        else:
            challenge, self._challenge = self._challenge, None
            good &= challenge is not None and auth.digest == digest(password, challenge)
        if not good:
            raise Refused(ErrorCode.NOT_AUTHORIZED)
        self.logged_in = True
        return m.ErrorReply()

    def config_get_auth_attr(self, request: m.ConfigGetAuthAttr) -> m.ConfigGetAuthAttrReply:
        if request.auth_type == AuthType.TEXT:
            return m.ConfigGetAuthAttrReply(challenge=m.Challenge(AuthType.TEXT))
        if request.auth_type != AuthType.MD5:
            raise Refused(ErrorCode.ILLEGAL_ARGS)
        # another one for each session, the same in each run
        self._challenge = hashlib.sha512(str(self._session.number).encode()).digest()
        return m.ConfigGetAuthAttrReply(challenge=m.Challenge(AuthType.MD5, self._challenge))

    def config_get_host_info(self, request: m.ConfigGetHostInfo) -> m.ConfigGetHostInfoReply:
        return m.ConfigGetHostInfoReply(
            hostname="localhost",
            os_type="test",
            os_version="1",
            hostid="0",
            auth_types=AUTH_TYPES,
        )

    def config_get_server_info(self, request: m.ConfigGetServerInfo) -> m.ConfigGetServerInfoReply:
        return m.ConfigGetServerInfoReply(
            vendor="taper tests",
            product=f"{self._session.profile.name} NDMP server",
            revision="1",
            auth_types=AUTH_TYPES,
        )

    def config_get_connection_type(
        self, request: m.ConfigGetConnectionType
    ) -> m.ConfigGetConnectionTypeReply:
        local = (AddressType.LOCAL,) if self._session.profile.advertises_local else ()
        return m.ConfigGetConnectionTypeReply(types=(*local, AddressType.TCP))

    def config_get_tape_info(self, request: m.ConfigGetTapeInfo) -> m.ConfigGetTapeInfoReply:
        drives = tuple(m.DeviceCapability(device=name) for name in self._session.server.drives)
        return m.ConfigGetTapeInfoReply(models=(m.DeviceInfo(model="drive", devices=drives),))

    def config_get_scsi_info(self, request: m.ConfigGetScsiInfo) -> m.ConfigGetScsiInfoReply:
        robots = tuple(m.DeviceCapability(device=name) for name in self._session.server.robots)
        models = (m.DeviceInfo(model="changer", devices=robots),) if robots else ()
        return m.ConfigGetScsiInfoReply(models=models)

    def config_get_butype_info(self, request: m.ConfigGetButypeInfo) -> m.ConfigGetButypeInfoReply:
        return m.ConfigGetButypeInfoReply()

    def config_get_fs_info(self, request: m.ConfigGetFsInfo) -> m.ConfigGetFsInfoReply:
        return m.ConfigGetFsInfoReply()

    def config_get_ext_list(self, request: m.ConfigGetExtList) -> m.ConfigGetExtListReply:
        return m.ConfigGetExtListReply()

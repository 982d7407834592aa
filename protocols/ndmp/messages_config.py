"""Messages of the groups CONNECT and CONFIG [ndmp 4.5]."""

from __future__ import annotations

from protocols.ndmp.base import ErrorReply, Long, Reply, Request, Short
from protocols.ndmp.codes import AddressType, AuthType
from protocols.ndmp.structs import (
    AuthData,
    ButypeInfo,
    Challenge,
    Choices,
    ClassVersions,
    DeviceInfo,
    FsInfo,
)


class ConnectOpen(Request[ErrorReply], code=0x900):
    """Choose the version of the session; the same bytes in every version."""

    protocol_version: Short


class ConnectClientAuth(Request[ErrorReply], code=0x901):
    """Log in."""

    auth: AuthData


class ConnectClose(Request[ErrorReply], code=0x902):
    """End the session. Has no reply; some servers answer with a header alone."""


class ConnectServerAuthReply(Reply):
    """The server's answer to our challenge."""

    auth: AuthData = AuthData()


class ConnectServerAuth(Request[ConnectServerAuthReply], code=0x903):
    """Let the server say who it is."""

    challenge: Challenge


class ConfigGetHostInfoReply(Reply, only={"auth_types": (2,)}):
    """About the server's host."""

    hostname: str = ""
    os_type: str = ""
    os_version: str = ""
    hostid: str = ""
    auth_types: tuple[AuthType | int, ...] = ()


class ConfigGetHostInfo(Request[ConfigGetHostInfoReply], code=0x100):
    """Ask about the server's host."""


class ConfigGetButypeAttrReply(Reply):
    """About a kind of backup."""

    attributes: Long = 0


class ConfigGetButypeAttr(Request[ConfigGetButypeAttrReply], code=0x101, versions=(2,)):
    """Ask about a kind of backup."""

    name: str


class ConfigGetConnectionTypeReply(Reply):
    """What data connections may run over."""

    types: tuple[AddressType | int, ...] = ()


class ConfigGetConnectionType(Request[ConfigGetConnectionTypeReply], code=0x102):
    """Ask what data connections may run over; version 2: GET_MOVER_TYPE."""


class ConfigGetAuthAttrReply(Reply):
    """What is needed to log in."""

    challenge: Challenge = Challenge()


class ConfigGetAuthAttr(Request[ConfigGetAuthAttrReply], code=0x103):
    """Ask for what is needed to log in."""

    auth_type: AuthType | int


class ConfigGetButypeInfoReply(Reply):
    """The kinds of backup."""

    butypes: tuple[ButypeInfo, ...] = ()


class ConfigGetButypeInfo(Request[ConfigGetButypeInfoReply], code=0x104, versions=(3, 4)):
    """Ask for the kinds of backup."""


class ConfigGetFsInfoReply(Reply):
    """The file systems."""

    file_systems: tuple[FsInfo, ...] = ()


class ConfigGetFsInfo(Request[ConfigGetFsInfoReply], code=0x105, versions=(3, 4)):
    """Ask for the file systems."""


class ConfigGetTapeInfoReply(Reply):
    """The tape drives."""

    models: tuple[DeviceInfo, ...] = ()


class ConfigGetTapeInfo(Request[ConfigGetTapeInfoReply], code=0x106, versions=(3, 4)):
    """Ask for the tape drives."""


class ConfigGetScsiInfoReply(Reply):
    """The SCSI devices."""

    models: tuple[DeviceInfo, ...] = ()


class ConfigGetScsiInfo(Request[ConfigGetScsiInfoReply], code=0x107, versions=(3, 4)):
    """Ask for the SCSI devices."""


class ConfigGetServerInfoReply(Reply):
    """What program the server is, and how one may log in."""

    vendor: str = ""
    product: str = ""
    revision: str = ""
    auth_types: tuple[AuthType | int, ...] = ()


class ConfigGetServerInfo(Request[ConfigGetServerInfoReply], code=0x108, versions=(3, 4)):
    """Ask what program the server is."""


class ConfigSetExtList(Request[ErrorReply], code=0x109, versions=(4,)):
    """Choose extensions."""

    extensions: Choices


class ConfigGetExtListReply(Reply):
    """The extensions."""

    extensions: tuple[ClassVersions, ...] = ()


class ConfigGetExtList(Request[ConfigGetExtListReply], code=0x10A, versions=(4,)):
    """Ask for the extensions."""

"""Errors of devices and changers, by what the caller does next.

End of volume is never an error here: it is a result
(:class:`devices.interfaces.WriteEnd`, :class:`devices.interfaces.FileStart`).
"""

from __future__ import annotations

import enum

from protocols import errorcode


class Status(enum.IntFlag):
    """Device status bits [volumes 2.3]. A device is "in error" when exactly 1."""

    SUCCESS = 0
    DEVICE_ERROR = 1
    DEVICE_BUSY = 2
    VOLUME_MISSING = 4
    VOLUME_UNLABELED = 8
    VOLUME_ERROR = 16


STATUS_TEXTS = {
    Status.SUCCESS: "Success",
    Status.DEVICE_ERROR: "Device error",
    Status.DEVICE_BUSY: "Device busy",
    Status.VOLUME_MISSING: "Volume not found",
    Status.VOLUME_UNLABELED: "Volume not labeled",
    Status.VOLUME_ERROR: "Volume error",
}


def describe_status(status: Status) -> str:
    """One flag's text, or ``one of A, B, or C`` [volumes 2.3]."""
    texts = [text for flag, text in STATUS_TEXTS.items() if flag and status & flag]
    if not texts:
        return STATUS_TEXTS[Status.SUCCESS]
    if len(texts) == 1:
        return texts[0]
    if len(texts) == 2:
        return f"one of {texts[0]}, or {texts[1]}"
    return f"one of {', '.join(texts[:-1])}, or {texts[-1]}"


_CODES = {
    Status.DEVICE_BUSY: errorcode.BUSY,
    Status.VOLUME_MISSING: errorcode.NO_VOLUME,
    Status.VOLUME_UNLABELED: errorcode.NOT_LABELLED,
}


class DeviceError(Exception):
    """A device operation failed.

    :ivar text: the text for the log and the driver, exactly as stock words it.
    :ivar status: the device status bits after the failure.
    :ivar taper_code: what kind of trouble it is; where the class does not say, the status does.
    """

    taper_code = errorcode.DEVICE

    def __init__(
        self, text: str, status: Status = Status.DEVICE_ERROR, *, code: int | None = None
    ) -> None:
        super().__init__(text)
        self.text = text
        self.status = status
        if code is not None:
            self.taper_code = code
        elif not self.taper_code % errorcode.GENERAL:
            self.taper_code = _CODES.get(status, self.taper_code)


class DriveFailed(DeviceError):
    """The device itself cannot be used (status 1): try another device."""


class NotOnVolume(DriveFailed):
    """What was reported stored is safe, but not on the volume where it shall be: an operator must
    see to it, so the trace log says so."""

    taper_code = 2008


class VolumeFailed(DeviceError):
    """This volume is bad or unusable (status 16, 17): try another volume."""

    taper_code = 2100


class DeviceBusy(DeviceError):
    """Somebody else uses the device (status 2): wait, or try another."""

    taper_code = 2002


class PropertyRefused(DeviceError):
    """A property value was refused; the text is the reason alone [volumes 3.1]."""

    taper_code = 1005


class ConnectionBroken(DeviceError):
    """The peer of a data connection broke off; device and volume are well. Blame the source."""

    taper_code = 5003


class PeerUnreachable(DeviceError):
    """A device cannot connect to where a peer listens; device and volume are well."""

    taper_code = 5002


class IncompatibleConnection(DeviceError):
    """A device cannot go on with a connection that another device made.

    :ivar device_name: the device that was to use it.
    :ivar connection_name: the device that made it.
    """

    taper_code = 6002

    def __init__(self, device_name: str, connection_name: str) -> None:
        super().__init__(
            "existing DirectTCPConnection is not compatible with this device: "
            f"'{connection_name}' made it, '{device_name}' was to use it"
        )
        self.device_name = device_name
        self.connection_name = connection_name


class ChangerReason(enum.Enum):
    """Why a changer operation failed [changers 0]."""

    NOTFOUND = "notfound"
    INVALID = "invalid"
    NOTIMPL = "notimpl"
    VOLINUSE = "volinuse"
    DRIVEINUSE = "driveinuse"
    UNKNOWN = "unknown"
    DEVICE = "device"
    EMPTY = "empty"


_CODES_BY_REASON = {
    ChangerReason.NOTFOUND: 3001,
    ChangerReason.INVALID: 3002,
    ChangerReason.NOTIMPL: 3003,
    ChangerReason.VOLINUSE: 3004,
    ChangerReason.DRIVEINUSE: 3005,
    ChangerReason.EMPTY: 3006,
    ChangerReason.UNKNOWN: 3100,
    ChangerReason.DEVICE: 3200,
}


class ChangerError(Exception):
    """A changer operation failed [changers 2.5].

    :ivar message: text for log and driver, exactly as stock words it.
    :ivar reason: None for a *fatal* error: the changer cannot be used at all;
        otherwise the reason of a *failed* operation.
    :ivar slot: the slot spoken of, where stock names one.
    :ivar taper_code: what kind of trouble it is; where nobody says, the reason does.
    """

    taper_code = 3000

    def __init__(
        self,
        message: str,
        reason: ChangerReason | None = None,
        slot: str | None = None,
        *,
        code: int | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.reason = reason
        self.slot = slot
        if code is not None:
            self.taper_code = code
        elif reason is not None and not self.taper_code % errorcode.GENERAL:
            self.taper_code = _CODES_BY_REASON[reason]

    @property
    def fatal(self) -> bool:
        return self.reason is None

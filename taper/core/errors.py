"""Why a dump ends early, by who is to blame [protocol 3.4]."""

from __future__ import annotations

from protocols.errorcode import Coded


class VolumeDenied(Exception):
    """The driver refuses a volume: TAPE-CONFIG.

    :ivar reason: the driver's reason.
    """

    taper_code = 2013

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class DumpFault(Coded):
    """A dump cannot be had, or cannot go on.

    :ivar text: what the driver and the trace log are told.
    """

    taper_code = 4000

    def __init__(self, text: str, *, code: int | None = None) -> None:
        super().__init__(text, code=code)
        self.text = text


class SourceFault(DumpFault):
    """The source is to blame: INPUT-ERROR."""


class DeviceFault(DumpFault):
    """The storage side is to blame: TAPE-ERROR."""

    taper_code = 2000


def in_words(fault: BaseException) -> str:
    """What is said of a fault that nobody foresaw, also where it has no text of its own."""
    if isinstance(fault, MemoryError):
        return "not enough memory"
    return str(fault) or type(fault).__name__


class TapeTrouble(Coded):
    """No volume can be had or kept: TAPE-ERROR.

    :ivar text: what the driver and the trace log are told.
    """

    taper_code = 2200

    def __init__(self, text: str, *, code: int | None = None) -> None:
        super().__init__(text, code=code)
        self.text = text


class Interrupted(Exception):
    """The dump is to end now; why is already among its errors."""


class ScribeTaken(Exception):
    """Instead of a volume the driver gave another worker's scribe (TAKE-SCRIBE-FROM)."""

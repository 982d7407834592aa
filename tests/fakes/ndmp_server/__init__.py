"""An NDMP tape server for tests: real TCP, simulated tapes, switchable strictness, faults.

In process::

    server = NdmpServer(reactor, {"tape": Medium(Limits.of_size(1 << 20))}, STRICT)
    server.start()
    server.faults.plant(Drop(), "MOVER_CONTINUE", Phase.REPLY, nth=2)

As a process: ``python -m tests.fakes.ndmp_server --help``. Facts: [ndmp 4, 5].
"""

from __future__ import annotations

from tests.fakes.medium import Limits, Medium, MediumError, TapeEnd
from tests.fakes.ndmp_server.drives import Drive, Robot
from tests.fakes.ndmp_server.faults import (
    Call,
    Delay,
    Drop,
    Fault,
    Flip,
    ForgetRecordSize,
    Halt,
    Hold,
    KillData,
    Pause,
    Phase,
    Reset,
    Say,
    Send,
    Shorten,
    Silence,
    Truncate,
    Wrong,
)
from tests.fakes.ndmp_server.profile import CONFORMING, LENIENT, PROFILES, STRICT, Profile
from tests.fakes.ndmp_server.server import NdmpServer, Noted

__all__ = [
    "CONFORMING",
    "Call",
    "Delay",
    "Drive",
    "Drop",
    "Fault",
    "Flip",
    "ForgetRecordSize",
    "Halt",
    "Hold",
    "KillData",
    "LENIENT",
    "Limits",
    "Medium",
    "MediumError",
    "NdmpServer",
    "Noted",
    "PROFILES",
    "Pause",
    "Phase",
    "Profile",
    "Reset",
    "Robot",
    "STRICT",
    "Say",
    "Send",
    "Shorten",
    "Silence",
    "TapeEnd",
    "Truncate",
    "Wrong",
]

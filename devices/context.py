"""What devices and changers are given to work with."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from protocols.installation import DEBIAN
from protocols.records import Record

if TYPE_CHECKING:
    from devices.interfaces import ILane
    from protocols.twisted_transports.haste import Haste


class DeviceContext(Record):
    """What devices and changers are given to work with.

    :ivar make_lane: makes a lane from a name.
    :ivar patience: seconds to wait for the peer of a data connection.
    :ivar now: seconds since the epoch, for what other programs are told; ``reactor.seconds`` may
        count from anywhere.
    :ivar haste: shortens all deadlines of other machines when all is to end; None: nobody says.
    :ivar statedir: for changer states that no configuration places elsewhere.
    :ivar config_root: holds one directory per configuration.
    :ivar tmpdir: where Amanda's programs work.
    """

    reactor: Any
    make_lane: Callable[[str], ILane]
    patience: float = 1800.0
    statedir: str = DEBIAN.statedir
    haste: Haste | None = None
    now: Callable[[], float] = time.time
    config_root: str = DEBIAN.config_dir
    tmpdir: str = DEBIAN.amanda_tmpdir

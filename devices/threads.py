"""Beginning threads: if the system has none to give (EAGAIN), that must harm one call only."""

from __future__ import annotations

import threading
from collections.abc import Callable

from devices.errors import DriveFailed


class ThreadRefused(DriveFailed, OSError):
    """The system gave us no thread, so what it was for was not begun.

    A DeviceError to those who use a device, and an OSError to those whose file was to be read or
    written in it: both know what a call that fails means for them.
    """

    taper_code = 8004

    def __init__(self, name: str, error: BaseException) -> None:
        super().__init__(f"cannot start thread '{name}': {error or type(error).__name__}")
        self.strerror = self.text


def start_thread(name: str, target: Callable[[], object]) -> threading.Thread:
    """Begin a daemon thread, so that a stuck one cannot keep the process alive.

    Change nothing that supposes the thread before this has returned.

    :raise ThreadRefused: there is none to be had
    """
    thread = threading.Thread(target=target, name=name, daemon=True)
    try:
        thread.start()
    except (RuntimeError, MemoryError) as error:
        raise ThreadRefused(name, error) from error
    return thread

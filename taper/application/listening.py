"""Reading what tar says while something else is done with it."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Callable

from devices.threads import ThreadRefused, start_thread
from taper.application.errors import ApplicationError


def listen_to(tar: subprocess.Popen[bytes], listen: Callable[[], object]) -> threading.Thread:
    """Read what tar says in a thread; without one tar would stand as soon as its pipe is full.

    :raise ApplicationError: there is none to be had; tar has ended
    """
    try:
        return start_thread("tar", listen)
    except ThreadRefused as refusal:
        tar.kill()
        tar.wait()
        raise ApplicationError(f"nobody can listen to tar: {refusal.text}") from None

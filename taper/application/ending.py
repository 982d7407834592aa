"""The end of a process that is waited for while other things go on."""

from __future__ import annotations

import os
from collections.abc import Callable

from devices.threads import ThreadRefused, start_thread
from taper.application.errors import ApplicationError


class Ending:
    """Waits for a process that writes nothing more.

    :ivar descriptor: readable when it has ended
    :ivar over: it has
    """

    def __init__(self, wait: Callable[[], None]) -> None:
        """:raise ApplicationError: there is no thread to wait in"""
        self.over = False
        self.descriptor, told = os.pipe()

        def tell() -> None:
            try:
                wait()
            finally:
                os.close(told)

        try:
            start_thread("ending", tell)
        except ThreadRefused as refusal:
            os.close(told)
            self.close()
            raise ApplicationError(f"nobody can wait for tar: {refusal.text}") from None

    def look(self, _event: int) -> None:
        self.over = True

    def close(self) -> None:
        os.close(self.descriptor)

"""Opening changers again and again, by name, on a reactor that the test turns."""

from __future__ import annotations

import threading
from functools import partial
from pathlib import Path
from typing import Any

from devices.asynchronous import open_changer
from devices.context import DeviceContext
from devices.lane import Lane
from tests.fakes.changers import Waited
from tests.fakes.config import make_config
from tests.fakes.turning import Turning


class Opened(Waited):
    """A changer that knows whether it was closed."""

    closed = False

    def close(self) -> None:
        self.closed = True
        self.wait(self.thing.close())


class Opener:
    """Opens changers by name, and closes what it has opened."""

    def __init__(self, turning: Turning, statedir: Path) -> None:
        self.turning = turning
        self._context = DeviceContext(
            turning.reactor, partial(Lane, turning.reactor), 20, str(statedir)
        )
        self._opened: list[Opened] = []

    def open(
        self,
        name: str,
        *sections: Any,
        stop: threading.Event | None = None,
        directory: str = "/nonexistent",
    ) -> Opened:
        """A changer; ``directory`` is that of the configuration."""
        config = make_config(*sections, directory=directory)
        changer = open_changer(name, config, None, self._context, stop=stop)
        self._opened.append(Opened(changer, self.turning.wait))
        return self._opened[-1]

    def close(self) -> None:
        """Close those that the test did not."""
        for changer in self._opened:
            if not changer.closed:
                changer.close()

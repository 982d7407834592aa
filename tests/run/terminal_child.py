"""A process at a terminal that asks its operator; run by test_interactivity.py under a pty.

Says ``RESULT: ...`` when it has an answer. With ``background`` it first gives its terminal away,
and asks for it back only when it reads the file named by the second argument.
"""

from __future__ import annotations

import os
import sys

from twisted.internet import reactor
from twisted.internet.defer import Deferred

from taper.run import interactivity


def ask() -> Deferred[None]:
    asked = interactivity.ask_at_terminal(reactor, "No acceptable volumes found", "mychanger")

    def tell(result: object) -> None:
        text = result if isinstance(result, str) else result.getErrorMessage()  # type: ignore[attr-defined]
        os.write(1, f"RESULT: {text!r}\n".encode())
        reactor.callLater(0, reactor.stop)  # type: ignore[attr-defined]

    if "cancel" in sys.argv:
        reactor.callLater(0.1, asked.cancel)  # type: ignore[attr-defined]
    return asked.addBoth(tell)


def in_background(gate: str) -> None:
    """The child asks in a process group of its own; the parent reads a line, then lets it."""
    interactivity.BACKGROUND_WAIT = 0.05
    child = os.fork()
    if child == 0:
        os.setpgid(0, 0)
        ask()
        reactor.run()  # type: ignore[attr-defined]
        return
    line = sys.stdin.readline()
    os.write(1, f"PARENT: {line.strip()}\n".encode())
    with open(gate) as stream:
        stream.read()
    os.tcsetpgrp(0, child)
    os.waitpid(child, 0)


if __name__ == "__main__":
    if "background" in sys.argv:
        in_background(sys.argv[2])
    else:
        ask()
        reactor.run()  # type: ignore[attr-defined]

"""Commands of a test to the server's process, on its standard input."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from twisted.internet.protocol import connectionDone
from twisted.protocols.basic import LineOnlyReceiver
from twisted.python.failure import Failure

from protocols.ndmp.codes import HaltReason
from tests.fakes.ndmp_server.faults import ForgetRecordSize, Halt, KillData, parse_fault

if TYPE_CHECKING:
    from tests.fakes.ndmp_server.server import NdmpServer


class Control(LineOnlyReceiver):
    """Does a command a line, answers ``OK`` or ``ERROR why``; its end ends the process."""

    delimiter = b"\n"

    def __init__(self, server: NdmpServer) -> None:
        self._server = server

    def lineReceived(self, line: bytes) -> None:
        try:
            self._do(*line.decode().split(maxsplit=1))
            answer = "OK"
        except (ValueError, KeyError, TypeError) as fault:
            answer = f"ERROR {fault}"
        assert self.transport is not None
        self.transport.write(answer.encode() + b"\n")

    def _do(self, command: str, value: str = "") -> None:
        server = self._server
        if command == "fault":
            server.faults.plant(**parse_fault(value))
        elif command == "clear":
            server.faults.clear()
        elif command == "unlock":
            server.unlock(value)
        elif command == "drop":
            for session in list(server.sessions):
                session.drop()
        else:
            self._do_to_mover(command, value)

    def _do_to_mover(self, command: str, value: str) -> None:
        actions: dict[str, Callable[[], Halt | KillData | ForgetRecordSize]] = {
            "halt": lambda: Halt(HaltReason[value]),
            "kill-data": KillData,
            "end-data": lambda: KillData(quiet=True),
            "forget": ForgetRecordSize,
        }
        if command not in actions:
            raise ValueError(f"unknown command {command!r}")
        session = self._server.mover_session
        if session is None:
            raise ValueError("no mover is at work")
        actions[command]().apply(session, b"")

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._server.reactor.stop()

"""The product's session, with faults in between."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, cast

from twisted.internet.defer import Deferred

from protocols.ndmp.codec import Header
from protocols.ndmp_server.interfaces import Tape
from protocols.ndmp_server.session import Action, Session
from tests.fakes.medium import Medium
from tests.fakes.ndmp_server.data_agent import DataAgent
from tests.fakes.ndmp_server.faults import Phase, Wrong
from tests.fakes.ndmp_server.profile import Profile

if TYPE_CHECKING:
    from tests.fakes.ndmp_server.server import NdmpServer


class FaultySession(Session):
    """A client's control connection, as a test wants it."""

    profile: Profile

    def __init__(self, house: NdmpServer, *arguments: Any, **more: Any) -> None:
        super().__init__(house, *arguments, **more)
        self.server = house
        self.data = DataAgent(self)
        self.agents.append(self.data)
        self._outgoing: deque[tuple[Phase, int, bytes, list[Action]]] = deque()
        self._sending = False

    @property
    def data_is_idle(self) -> bool:
        return self.data.is_idle

    def note(self, what: Any, result: str) -> None:
        self.server.note(self, what, result)

    async def met_early_warning(self) -> None:
        if self.profile.eom_marker:
            await self.tape.opened().do(_mark_end)
            self.log("End of tape reached. Load next tape")

    async def clean_up(self) -> None:
        self.data.drop_connection()
        if not self.profile.frees_drives:
            self.tape.drive = None
        await super().clean_up()

    def drop(self, *, reset: bool = False) -> None:
        self._outgoing.clear()
        super().drop(reset=reset)

    async def handle(self, header: Header, record: bytes) -> None:
        wrong: Wrong | None = None
        for action in self.server.faults.due(Phase.REQUEST, header.code, self.number):
            if isinstance(action, Wrong):
                wrong = action
            elif await self._act(action, b"") is None:
                return
        if self.lost:
            return
        if wrong is None:
            await super().handle(header, record)
        else:
            refusal = self.refusal(header, wrong.error, in_header=wrong.in_header)
            self.deliver(header.code, refusal, is_reply=True)

    def deliver(self, code: int, data: bytes, *, is_reply: bool) -> None:
        """Send, in order, after the faults that wait for it; then what was to be done."""
        phase = Phase.REPLY if is_reply else Phase.POST
        actions = self.take_afterwards() if is_reply else []
        self._outgoing.append((phase, code, data, actions))
        if not self._sending:
            self._sending = True
            self.house.spawn(self._send_all())

    async def _send_all(self) -> None:
        try:
            while self._outgoing and not self.lost:
                phase, code, data, afterwards = self._outgoing.popleft()
                for action in self.server.faults.due(phase, code, self.number):
                    data = await self._act(action, data) or b""
                    if not data:
                        break
                if data and not self.lost:
                    self.write(data)
                    await self._sent(phase, code)
                for done in afterwards if not self.lost else ():
                    done()
        finally:
            self._sending = False

    async def _sent(self, phase: Phase, code: int) -> None:
        if phase is Phase.REPLY:
            for action in self.server.faults.due(Phase.AFTER, code, self.number):
                await self._act(action, b"")

    async def _act(self, action: Any, data: bytes) -> bytes | None:
        """Let a fault happen. :return: the bytes to send; None: this is all"""
        self.server.note(self, "fault", repr(action))
        result: bytes | Deferred[bytes] | None = action.apply(self, data)
        return await result if isinstance(result, Deferred) else result


def _mark_end(tape: Tape) -> None:
    """Leave a marker file behind what is written [ndmp 5.5.14]."""
    medium = cast(Medium, tape)
    limits, medium.limits = medium.limits, type(medium.limits)()
    medium.write_filemark()
    medium.write(b"end of medium".ljust(1024, b"\0"))
    medium.write_filemark()
    medium.back_filemarks(2)
    medium.limits = limits

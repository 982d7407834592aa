"""The life of a client's session, as a state machine [ndmp 4.3].

Theory of operation. The machine only knows how far the session has come; what arrives and what is
sent stands in :mod:`protocols.ndmp.client`. An input that a state does not know is a mistake of
ours and raises ``automat.NoTransition``; ``phase`` and ``die`` are known to all.
"""

from __future__ import annotations

import enum
from typing import Protocol

from automat import TypeMachineBuilder


class Phase(enum.Enum):
    """How far a session has come; the values are for people."""

    GREETING = "waiting for the server's greeting"
    OPENING = "agreeing on a version"
    LOGIN = "logging in"
    OPEN = "open"
    CLOSING = "closing"
    DEAD = "over"


class Life(Protocol):
    """Inputs of the machine."""

    def phase(self) -> Phase:
        """How far it has come."""

    def greeted(self) -> None:
        """The server offered its version."""

    def version_fixed(self) -> None:
        """The server took a version; logging in comes next."""

    def logged_in(self) -> None:
        """The server accepted us, or wants no login."""

    def leave(self) -> None:
        """CONNECT_CLOSE was sent."""

    def die(self) -> None:
        """The session is over."""


class _Nothing:
    """The machine keeps no data."""


def _say(phase: Phase) -> None:
    def tell(life: Life, nothing: _Nothing) -> Phase:
        return phase

    _states[phase].upon(Life.phase).loop()(tell)


_builder = TypeMachineBuilder(Life, _Nothing)
_states = {phase: _builder.state(phase.name) for phase in Phase}
for _phase in Phase:
    _say(_phase)
    _states[_phase].upon(Life.die).to(_states[Phase.DEAD]).returns(None)
_states[Phase.GREETING].upon(Life.greeted).to(_states[Phase.OPENING]).returns(None)
_states[Phase.OPENING].upon(Life.version_fixed).to(_states[Phase.LOGIN]).returns(None)
_states[Phase.LOGIN].upon(Life.logged_in).to(_states[Phase.OPEN]).returns(None)
_states[Phase.OPEN].upon(Life.leave).to(_states[Phase.CLOSING]).returns(None)
_factory = _builder.build()


def make_life() -> Life:
    """A session of which nothing was heard yet."""
    return _factory(_Nothing())

"""Which frame may be said when: a machine for each half.

Theory of operation. Inputs are the frames, whoever says them; a frame that a state does not know is
none that may be said there. Both sides may speak at any time once they know one another, so frames
cross; the taper's half hears some that were said before its RESULT came, and drops them. What
frames say of one another is looked after in :mod:`protocols.rendezvous.orders`.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable
from typing import Protocol

from automat import NoTransition, TypeMachineBuilder

from protocols.rendezvous.frames import Kind


class Phase(enum.Enum):
    """How far a connection has come; the values are for people."""

    NEW = "before the greeting"
    GREETED = "greeted"
    CHALLENGED = "challenged"
    PROVEN = "both have proved who they are"
    ENDED = "the dump is at its end"
    FINISHED = "the result is told"
    OVER = "over"


class States(Protocol):
    """Inputs of both machines."""

    def phase(self) -> Phase:
        """How far it has come."""

    def close(self) -> None:
        """The connection is given up."""

    def hello(self) -> None: ...
    def challenge(self) -> None: ...
    def proof(self) -> None: ...
    def header(self) -> None: ...
    def sending(self) -> None: ...
    def cannot(self) -> None: ...
    def halted(self) -> None: ...
    def broken(self) -> None: ...
    def delivered(self) -> None: ...
    def end(self) -> None: ...
    def alive(self) -> None: ...
    def send(self) -> None: ...
    def halt(self) -> None: ...
    def stored(self) -> None: ...
    def result(self) -> None: ...
    def refused(self) -> None: ...


class _Nothing:
    """The machines keep no data."""


_Arrow = tuple[Phase, Callable[[States], None], Phase]
_NEW, _GREETED, _CHALLENGED = Phase.NEW, Phase.GREETED, Phase.CHALLENGED
_PROVEN, _ENDED, _FINISHED, _OVER = Phase.PROVEN, Phase.ENDED, Phase.FINISHED, Phase.OVER

_BEGINNING: tuple[_Arrow, ...] = (
    (_NEW, States.hello, _GREETED),
    (_GREETED, States.refused, _OVER),
    (_GREETED, States.challenge, _CHALLENGED),
    (_CHALLENGED, States.proof, _PROVEN),
    (_PROVEN, States.header, _PROVEN),
    (_PROVEN, States.end, _ENDED),
)
_LOOPS = (
    States.sending,
    States.cannot,
    States.halted,
    States.broken,
    States.delivered,
    States.alive,
    States.send,
    States.halt,
    States.stored,
)
_CROSSING = (
    States.header,
    States.sending,
    States.cannot,
    States.halted,
    States.broken,
    States.delivered,
    States.end,
    States.alive,
)
"""What an application may have said before it heard the result."""


def _both() -> Iterable[_Arrow]:
    yield from _BEGINNING
    for phase in (_PROVEN, _ENDED):
        yield from ((phase, each, phase) for each in _LOOPS)
        yield (phase, States.result, _FINISHED)
        yield (phase, States.refused, _OVER)


def _tapers() -> Iterable[_Arrow]:
    yield from _both()
    yield from ((_FINISHED, each, _FINISHED) for each in _CROSSING)


def _build(arrows: Iterable[_Arrow]) -> Callable[[_Nothing], States]:
    builder = TypeMachineBuilder(States, _Nothing)
    states = {phase: builder.state(phase.name.lower()) for phase in Phase}
    for phase, state in states.items():
        state.upon(States.phase).loop()(_teller(phase))
        state.upon(States.close).to(states[_OVER]).returns(None)
    for before, symbol, after in arrows:
        states[before].upon(symbol).to(states[after]).returns(None)
    return builder.build()


def _teller(phase: Phase) -> Callable[[States, _Nothing], Phase]:
    def tell(states: States, nothing: _Nothing) -> Phase:
        return phase

    return tell


_application = _build(_both())
_taper = _build(_tapers())


def application_states() -> States:
    """A connection that an application has made."""
    return _application(_Nothing())


def taper_states() -> States:
    """A connection that a taper has got."""
    return _taper(_Nothing())


def allow(states: States, kind: Kind) -> str | None:
    """Let a frame happen. :return: why it may not, and then nothing has happened"""
    try:
        getattr(states, kind.name.lower())()
    except NoTransition:
        return f"{kind.name} has no place where {states.phase().value}"
    return None

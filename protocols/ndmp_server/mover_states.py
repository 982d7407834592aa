"""The states of a mover, as a machine [ndmp 4.7], [ndmp-server 4.1].

Theory of operation. The machine only knows in which state a mover is; what a request is answered
with stands in :mod:`protocols.ndmp_server.mover`, which asks first. An input that a state does not
know is a mistake of ours and raises ``automat.NoTransition``.
"""

from __future__ import annotations

from typing import Protocol

from automat import TypeMachineBuilder

from protocols.ndmp.codes import MoverState


class Life(Protocol):
    """Inputs of the machine."""

    def state(self) -> MoverState:
        """Where it is."""

    def listen(self) -> None:
        """A data connection is awaited."""

    def connect(self) -> None:
        """We have made a data connection."""

    def accept(self) -> None:
        """The awaited data connection is here."""

    def pause(self) -> None:
        """Something is for the client to do first."""

    def go_on(self) -> None:
        """The client has done it."""

    def halt(self) -> None:
        """The data connection is over."""

    def stop(self) -> None:
        """The client has seen how it ended."""

    def abandon(self) -> None:
        """The client is gone."""


class _Nothing:
    """The machine keeps no data."""


def _say(state: MoverState) -> None:
    def tell(life: Life, nothing: _Nothing) -> MoverState:
        return state

    _states[state].upon(Life.state).loop()(tell)


_builder = TypeMachineBuilder(Life, _Nothing)
_states = {state: _builder.state(state.name.lower()) for state in MoverState}
for _state in MoverState:
    _say(_state)
    _states[_state].upon(Life.abandon).to(_states[MoverState.IDLE]).returns(None)
for _before, _input, _after in (
    (MoverState.IDLE, Life.listen, MoverState.LISTEN),
    (MoverState.IDLE, Life.connect, MoverState.ACTIVE),
    (MoverState.LISTEN, Life.accept, MoverState.ACTIVE),
    (MoverState.ACTIVE, Life.pause, MoverState.PAUSED),
    (MoverState.PAUSED, Life.go_on, MoverState.ACTIVE),
    (MoverState.LISTEN, Life.halt, MoverState.HALTED),
    (MoverState.ACTIVE, Life.halt, MoverState.HALTED),
    (MoverState.PAUSED, Life.halt, MoverState.HALTED),
    (MoverState.HALTED, Life.stop, MoverState.IDLE),
):
    _states[_before].upon(_input).to(_states[_after]).returns(None)
_factory = _builder.build()


def make_life() -> Life:
    """A mover of which nothing was asked yet."""
    return _factory(_Nothing())

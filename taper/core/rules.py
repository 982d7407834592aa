"""Which command is legal when: the worker's state machine [protocol 4].

Theory of operation. A worker is in one of eight states. Commands of the driver and events of our
own are inputs; an input that a state does not know raises ``automat.NoTransition``, which
:func:`refusal` turns into the text of a BAD-COMMAND. The machine only says *whether*; what is then
done stands in :mod:`taper.core.worker` and :mod:`taper.core.dump`. Transitions do nothing, so none
can fail halfway.
"""

from __future__ import annotations

from typing import Any, Protocol

from automat import NoTransition, TypeMachineBuilder


class Rules(Protocol):
    """Inputs of the machine."""

    def scan_succeeded(self) -> None:
        """The first scan found a volume."""

    def scan_failed(self) -> None:
        """The first scan found none: the worker is of no further use."""

    def write(self) -> None:
        """A write command came."""

    def header_awaited(self) -> None:
        """The dumper was told where to send the header."""

    def header_accepted(self) -> None:
        """The dump's header is there and fits the command."""

    def volume_requested(self) -> None:
        """REQUEST-NEW-TAPE was sent."""

    def answer(self) -> None:
        """NEW-TAPE, NO-NEW-TAPE or TAKE-SCRIBE-FROM came."""

    def may_answer(self) -> None:
        """An answer would be legal; nothing changes."""

    def scan(self) -> None:
        """START-SCAN came."""

    def restart(self) -> None:
        """START-TAPER came again: another worker takes our name."""

    def dump_ended(self) -> None:
        """The result of the dump is about to be sent."""

    def close(self) -> None:
        """CLOSE-VOLUME or CLOSE-SOURCE-VOLUME came."""

    def closed(self) -> None:
        """What was to be closed is closed."""

    def give_away(self) -> None:
        """Another worker takes our scribe."""


class _Nothing:
    """The machine keeps no data."""


_builder = TypeMachineBuilder(Rules, _Nothing)
_init = _builder.state("init")
_idle = _builder.state("idle")
_making_xfer = _builder.state("making_xfer")
_getting_header = _builder.state("getting_header")
_writing = _builder.state("writing")
_requesting = _builder.state("writing, waiting for a volume")
_closing = _builder.state("closing")
_error = _builder.state("error")
_gone = _builder.state("gone")

_init.upon(Rules.scan_succeeded).to(_idle).returns(None)
_init.upon(Rules.scan_failed).to(_error).returns(None)
_idle.upon(Rules.write).to(_making_xfer).returns(None)
_idle.upon(Rules.close).to(_closing).returns(None)
_idle.upon(Rules.give_away).to(_gone).returns(None)
_closing.upon(Rules.closed).to(_idle).returns(None)
_making_xfer.upon(Rules.header_awaited).to(_getting_header).returns(None)
_making_xfer.upon(Rules.header_accepted).to(_writing).returns(None)
_getting_header.upon(Rules.header_accepted).to(_writing).returns(None)
_writing.upon(Rules.volume_requested).to(_requesting).returns(None)
_requesting.upon(Rules.answer).to(_writing).returns(None)
_requesting.upon(Rules.may_answer).to(_requesting).returns(None)
_error.upon(Rules.restart).to(_gone).returns(None)
for _state in (
    _init,
    _idle,
    _making_xfer,
    _getting_header,
    _writing,
    _requesting,
    _closing,
    _error,
):
    _state.upon(Rules.scan).to(_state).returns(None)
for _state in (_making_xfer, _getting_header, _writing, _requesting):
    _state.upon(Rules.dump_ended).to(_idle).returns(None)

_build = _builder.build()

# The state that each command of the driver needs, in the words that drivers have always read.
_NEEDED = {
    "write": "idle",
    "close": "idle",
    "give_away": "idle",
    "answer": "writing",
    "may_answer": "writing",
}


def make_rules() -> Rules:
    """A new worker's machine, in state ``init``."""
    return _build(_Nothing())


def refusal(command: str, fault: NoTransition[Any, Any]) -> str:
    """The text of a BAD-COMMAND: stock's words, then command and reason [protocol 3.5].

    :param command: the command and the worker it was for, such as ``NEW-TAPE worker0-0``
    """
    state = getattr(fault.state, "name", str(fault.state))
    needed = _NEEDED.get(str(fault.symbol), "idle")
    if needed == "idle":
        reason = f"the worker must be idle and is {state}"
    else:
        reason = "the worker has not asked for a volume"
    shown = state.partition(",")[0]
    return f"command not appropriate in state '{shown}' : '{needed}': {command}: {reason}"

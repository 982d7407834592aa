"""Which command is legal when: every state, every input."""

from __future__ import annotations

from collections import deque

import pytest
from automat import NoTransition

from taper.core.rules import Rules, make_rules, refusal

INPUTS = (
    "scan_succeeded",
    "scan_failed",
    "write",
    "header_awaited",
    "header_accepted",
    "volume_requested",
    "answer",
    "may_answer",
    "scan",
    "restart",
    "dump_ended",
    "close",
    "closed",
    "give_away",
)

# state -> the inputs it knows, and where they lead
TABLE = {
    "init": {"scan_succeeded": "idle", "scan_failed": "error"},
    "idle": {"write": "making_xfer", "close": "closing", "give_away": "gone"},
    "closing": {"closed": "idle"},
    "making_xfer": {
        "header_awaited": "getting_header",
        "header_accepted": "writing",
        "dump_ended": "idle",
    },
    "getting_header": {"header_accepted": "writing", "dump_ended": "idle"},
    "writing": {"volume_requested": "waiting", "dump_ended": "idle"},
    "waiting": {"answer": "writing", "may_answer": "waiting", "dump_ended": "idle"},
    "error": {"restart": "gone"},
    "gone": {},
}
for _state in TABLE.keys() - {"gone"}:
    TABLE[_state]["scan"] = _state
SHOWN = {"waiting": "writing"}


def paths() -> dict[str, tuple[str, ...]]:
    """The shortest way to each state."""
    found: dict[str, tuple[str, ...]] = {"init": ()}
    left = deque(["init"])
    while left:
        state = left.popleft()
        for name, target in TABLE[state].items():
            if target not in found:
                found[target] = (*found[state], name)
                left.append(target)
    return found


def rules_in(state: str) -> Rules:
    rules = make_rules()
    for name in paths()[state]:
        getattr(rules, name)()
    return rules


def test_the_table_reaches_all_its_states() -> None:
    assert set(paths()) == set(TABLE)


@pytest.mark.parametrize("state", TABLE)
@pytest.mark.parametrize("name", INPUTS)
def test_each_input_in_each_state(state: str, name: str) -> None:
    """A known input leads where the table says, as the inputs known there show; others raise."""
    rules = rules_in(state)
    target = TABLE[state].get(name)
    if target is None:
        with pytest.raises(NoTransition) as caught:
            getattr(rules, name)()
        text = refusal(f"COMMAND {name}", caught.value)
        assert f"state '{SHOWN.get(state, state)}' : " in text
        assert f"COMMAND {name}: " in text
        target = state  # and nothing has changed
    else:
        getattr(rules, name)()
    for other in INPUTS:
        again = rules_in(state)
        if TABLE[state].get(name) is not None:
            getattr(again, name)()
        if other in TABLE[target]:
            getattr(again, other)()
        else:
            with pytest.raises(NoTransition):
                getattr(again, other)()


@pytest.mark.parametrize(
    ("state", "name", "text"),
    [
        (
            "error",
            "write",
            "command not appropriate in state 'error' : 'idle': W: "
            "the worker must be idle and is error",
        ),
        (
            "waiting",
            "close",
            "command not appropriate in state 'writing' : 'idle': W: "
            "the worker must be idle and is writing, waiting for a volume",
        ),
        (
            "idle",
            "answer",
            "command not appropriate in state 'idle' : 'writing': W: "
            "the worker has not asked for a volume",
        ),
        (
            "writing",
            "answer",
            "command not appropriate in state 'writing' : 'writing': W: "
            "the worker has not asked for a volume",
        ),
    ],
)
def test_a_refusal_has_stocks_words_and_ours(state: str, name: str, text: str) -> None:
    """Stock's text comes first, then which command it was and why [protocol 3.5]."""
    with pytest.raises(NoTransition) as caught:
        getattr(rules_in(state), name)()
    assert refusal("W", caught.value) == text

"""State machines as diagrams, made from the machines themselves: the worker's, the mover's.

``python -m tests.docs.states --write`` puts them into docs/architecture.md; without ``--write`` the
exit status is 1 if one there is another.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from attrs import frozen

from protocols.ndmp_server import mover_states
from taper.core import rules
from tests.docs.markdown import ROOT

DOCUMENT = ROOT / "docs" / "architecture.md"


@frozen
class Machine:
    """A state machine of ours.

    :ivar whose: for people.
    :ivar first: where it begins.
    :ivar silent: inputs that only ask, or that lead to the first state from everywhere.
    """

    whose: str
    built: Any
    first: str
    silent: frozenset[str] = frozenset()

    @property
    def begin(self) -> str:
        made = "made by `python -m tests.docs.states --write`"
        return f"<!-- the {self.whose}'s states: {made} -->\n"

    @property
    def end(self) -> str:
        return f"<!-- end of the {self.whose}'s states -->\n"

    def transitions(self) -> list[tuple[str, str, str]]:
        """All of the machine, sorted: state, input, next state."""
        automaton = self.built.__automat_automaton__
        return sorted(
            (before.name, str(symbol), after.name)
            for before, symbol, after, _ in automaton.allTransitions()
            if str(symbol) not in self.silent
        )

    def diagram(self) -> str:
        """The machine in the words of Mermaid; inputs between two states share an arrow."""
        arrows: dict[tuple[str, str], list[str]] = {}
        for before, symbol, after in self.transitions():
            arrows.setdefault((before, after), []).append(symbol)
        names = sorted({name for arrow in arrows for name in arrow})
        lines = ["stateDiagram-v2"]
        lines += [f'    state "{name}" as {_key(name)}' for name in names if name != _key(name)]
        lines.append(f"    [*] --> {self.first}")
        for (before, after), symbols in sorted(arrows.items()):
            lines.append(f"    {_key(before)} --> {_key(after)} : {', '.join(symbols)}")
        return "\n".join(["```mermaid", *lines, "```", ""])


WORKER = Machine("worker", rules._build, "init")
MOVER = Machine("mover", mover_states._factory, "idle", frozenset({"state", "abandon"}))
MACHINES = (WORKER, MOVER)


def _key(name: str) -> str:
    return "".join(char if char.isalnum() or char == "_" else "_" for char in name)


def with_diagrams(text: str) -> str:
    """The document with the diagrams as they should be.

    :raise ValueError: it has no place for one
    """
    for machine in MACHINES:
        before, begin, rest = text.partition(machine.begin)
        _, end, after = rest.partition(machine.end)
        if not (begin and end):
            place = machine.begin.strip()
            raise ValueError(f"{DOCUMENT.name} has no place for the diagram: {place}")
        text = before + begin + machine.diagram() + end + after
    return text


def main(arguments: Sequence[str]) -> int:
    """Compare or write. :return: the exit status"""
    text = DOCUMENT.read_text()
    wanted = with_diagrams(text)
    if "--write" in arguments:
        DOCUMENT.write_text(wanted)
    elif text != wanted:
        print("docs/architecture.md does not show all states as they are;")
        print("python -m tests.docs.states --write")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""State machines as diagrams, made from the machines themselves.

``python -m tests.docs.states --write`` puts them into the documents; without ``--write`` the exit
status is 1 if one there is another.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from attrs import frozen

from protocols.ndmp_server import mover_states
from protocols.rendezvous import states as rendezvous_states
from taper.core import rules
from tests.docs.markdown import ROOT

DOCS = ROOT / "docs"


@frozen
class Machine:
    """A state machine of ours.

    :ivar whose: for people: the states of whom.
    :ivar document: where the diagram stands.
    :ivar first: where it begins.
    :ivar silent: inputs that only ask, or that lead to the first state from everywhere.
    """

    whose: str
    document: str
    built: Any
    first: str
    silent: frozenset[str] = frozenset()

    @property
    def begin(self) -> str:
        made = "made by `python -m tests.docs.states --write`"
        return f"<!-- the {self.whose}: {made} -->\n"

    @property
    def end(self) -> str:
        return f"<!-- end of the {self.whose} -->\n"

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


_ASKED = frozenset({"phase", "close"})

WORKER = Machine("worker's states", "architecture.md", rules._build, "init")
MOVER = Machine(
    "mover's states",
    "architecture.md",
    mover_states._factory,
    "idle",
    frozenset({"state", "abandon"}),
)
APPLICATION = Machine(
    "application's states at a rendezvous",
    "rendezvous.md",
    rendezvous_states._application,
    "new",
    _ASKED,
)
TAPER = Machine(
    "taper's states at a rendezvous", "rendezvous.md", rendezvous_states._taper, "new", _ASKED
)
MACHINES = (WORKER, MOVER, APPLICATION, TAPER)
DOCUMENTS = tuple(dict.fromkeys(machine.document for machine in MACHINES))


def _key(name: str) -> str:
    return "".join(char if char.isalnum() or char == "_" else "_" for char in name)


def with_diagrams(document: str, text: str) -> str:
    """A document with its diagrams as they should be.

    :raise ValueError: it has no place for one
    """
    for machine in MACHINES:
        if machine.document != document:
            continue
        before, begin, rest = text.partition(machine.begin)
        _, end, after = rest.partition(machine.end)
        if not (begin and end):
            place = machine.begin.strip()
            raise ValueError(f"{document} has no place for the diagram: {place}")
        text = before + begin + machine.diagram() + end + after
    return text


def main(arguments: Sequence[str]) -> int:
    """Compare or write. :return: the exit status"""
    status = 0
    for document in DOCUMENTS:
        path = DOCS / document
        text = path.read_text()
        wanted = with_diagrams(document, text)
        if "--write" in arguments:
            path.write_text(wanted)
        elif text != wanted:
            print(f"docs/{document} does not show all states as they are;")
            print("python -m tests.docs.states --write")
            status = 1
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

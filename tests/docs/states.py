"""State machines in the documents, made from the machines themselves.

``python -m tests.docs.states --write`` puts their tables into the documents, beside their pictures
(:mod:`tests.docs.pictures`); without ``--write`` the exit status is 1 if one there is another.
"""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Sequence
from typing import Any

from attrs import frozen

from protocols.ndmp_server import mover_states
from protocols.rendezvous import states as rendezvous_states
from taper.core import rules
from tests.docs.markdown import ROOT

DOCS = ROOT / "docs"
_WIDTH = 30
"""Characters of a line beside an arrow."""


@frozen
class Machine:
    """A state machine of ours.

    :ivar whose: for people: the states of whom.
    :ivar document: where it stands.
    :ivar picture: the name of its picture.
    :ivar first: where it begins.
    :ivar silent: inputs that only ask, or that lead to the first state from everywhere.
    """

    whose: str
    document: str
    picture: str
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

    def arrows(self) -> list[tuple[str, str, str]]:
        """State, inputs, next state: inputs between two states share an arrow."""
        shared: dict[tuple[str, str], list[str]] = {}
        for before, symbol, after in self.transitions():
            shared.setdefault((before, after), []).append(symbol)
        return [
            (before, ", ".join(symbols), after)
            for (before, after), symbols in sorted(shared.items())
        ]

    def graph(self) -> str:
        """The source of its picture."""
        lines = [
            "digraph {",
            f'    label="The {self.whose}"',
            '    comment="States, and what leads from one to another; the table below it has all."',
            "    nodesep=0.35",
            '    begin [shape=point, width=0.12, label=""]',
            f'    begin -> "{self.first}"',
        ]
        for before, symbols, after in self.arrows():
            told = "\\n".join(textwrap.wrap(symbols, _WIDTH))
            lines.append(f'    "{before}" -> "{after}" [label="{told}"]')
        return "\n".join([*lines, "}", ""])

    def shown(self) -> str:
        """What stands in the document: the picture, and for all who cannot see it a table."""
        rows = "".join(f"| {' | '.join(arrow)} |\n" for arrow in self.arrows())
        return (
            f"![The {self.whose}, as in the table below](pictures/{self.picture}.svg)\n\n"
            f'<details markdown="1"><summary>The {self.whose} as a table</summary>\n\n'
            "| from | by | to |\n|---|---|---|\n"
            f"| the beginning | | {self.first} |\n{rows}\n</details>\n"
        )


_ASKED = frozenset({"phase", "close"})

WORKER = Machine("worker's states", "architecture.md", "worker-states", rules._build, "init")
MOVER = Machine(
    "mover's states",
    "architecture.md",
    "mover-states",
    mover_states._factory,
    "idle",
    frozenset({"state", "abandon"}),
)
APPLICATION = Machine(
    "application's states at a rendezvous",
    "rendezvous.md",
    "rendezvous-application",
    rendezvous_states._application,
    "new",
    _ASKED,
)
TAPER = Machine(
    "taper's states at a rendezvous",
    "rendezvous.md",
    "rendezvous-taper",
    rendezvous_states._taper,
    "new",
    _ASKED,
)
MACHINES = (WORKER, MOVER, APPLICATION, TAPER)
DOCUMENTS = tuple(dict.fromkeys(machine.document for machine in MACHINES))


def with_tables(document: str, text: str) -> str:
    """A document with its machines as they should be.

    :raise ValueError: it has no place for one
    """
    for machine in MACHINES:
        if machine.document != document:
            continue
        before, begin, rest = text.partition(machine.begin)
        _, end, after = rest.partition(machine.end)
        if not (begin and end):
            place = machine.begin.strip()
            raise ValueError(f"{document} has no place for: {place}")
        text = before + begin + machine.shown() + end + after
    return text


def main(arguments: Sequence[str]) -> int:
    """Compare or write. :return: the exit status"""
    status = 0
    for document in DOCUMENTS:
        path = DOCS / document
        text = path.read_text()
        wanted = with_tables(document, text)
        if "--write" in arguments:
            path.write_text(wanted)
        elif text != wanted:
            print(f"docs/{document} does not show all states as they are;")
            print("python -m tests.docs.states --write")
            status = 1
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

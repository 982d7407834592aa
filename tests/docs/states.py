"""The worker's states as a diagram, made from the rules themselves.

``python -m tests.docs.states --write`` puts it into docs/architecture.md; without ``--write`` the
exit status is 1 if the one there is another.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from taper.core import rules
from tests.docs.markdown import ROOT

DOCUMENT = ROOT / "docs" / "architecture.md"
BEGIN = "<!-- the worker's states: made by `python -m tests.docs.states --write` -->\n"
END = "<!-- end of the worker's states -->\n"


def transitions() -> list[tuple[str, str, str]]:
    """All of the machine, sorted: state, input, next state."""
    automaton = rules._build.__automat_automaton__
    return sorted(
        (before.name, str(symbol), after.name)
        for before, symbol, after, _ in automaton.allTransitions()
    )


def diagram() -> str:
    """The machine in the words of Mermaid; inputs between the same two states share an arrow."""
    arrows: dict[tuple[str, str], list[str]] = {}
    for before, symbol, after in transitions():
        arrows.setdefault((before, after), []).append(symbol)
    names = sorted({name for arrow in arrows for name in arrow})
    lines = ["stateDiagram-v2"]
    lines += [f'    state "{name}" as {_key(name)}' for name in names if name != _key(name)]
    lines.append("    [*] --> init")
    for (before, after), symbols in sorted(arrows.items()):
        lines.append(f"    {_key(before)} --> {_key(after)} : {', '.join(symbols)}")
    return "\n".join(["```mermaid", *lines, "```", ""])


def _key(name: str) -> str:
    return "".join(char if char.isalnum() or char == "_" else "_" for char in name)


def with_diagram(text: str) -> str:
    """The document with the diagram as it should be. :raise ValueError: it has no place for it"""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"{DOCUMENT.name} has no place for the diagram: {BEGIN.strip()}")
    return before + begin + diagram() + end + after


def main(arguments: Sequence[str]) -> int:
    """Compare or write. :return: the exit status"""
    text = DOCUMENT.read_text()
    wanted = with_diagram(text)
    if "--write" in arguments:
        DOCUMENT.write_text(wanted)
    elif text != wanted:
        print("docs/architecture.md does not show the worker's states as they are;")
        print("python -m tests.docs.states --write")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

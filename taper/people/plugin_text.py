"""What a plugin of Nagios and Icinga says: one line with performance data, longer text in the lines
after it. Pure.

Names of hosts and disks may be any bytes. What would divide a line is told by its number:
``\\x7c`` for the bar before the performance data, in labels the quote and the equals sign besides.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from attrs import field, frozen

from taper.people.exits import State
from taper.people.telling import printable

SERVICE = "TAPER"
_MOST_TOLD = 3
"""Things that the first line names."""
_MOST_LETTERS = 300
"""Of one thing."""
_MARKS = {ord(mark): f"\\x{ord(mark):02x}" for mark in "'=|"}


@frozen(kw_only=True)
class Datum:
    """One number for a graph.

    :ivar unit: ``s``, ``B``, or "" for a count.
    :ivar warning: the range in which it is none, as ``3600`` (not more) or ``2:`` (not less); "":
        it never is.
    :ivar critical: likewise.
    :ivar most: the largest number that there may be.
    """

    label: str
    value: int
    unit: str = ""
    warning: str = ""
    critical: str = ""
    most: str = ""

    def __str__(self) -> str:
        rest = ";".join((self.warning, self.critical, "0", self.most)).rstrip(";")
        return f"'{label_of(self.label)}'={self.value}{self.unit};{rest}"


@frozen(kw_only=True)
class Finding:
    """One thing that was looked at.

    :ivar text: what it is like, as a clause.
    """

    state: State
    text: str
    data: tuple[Datum, ...] = field(factory=tuple)


def label_of(name: str) -> str:
    """A label as it may stand between quotes; no two names have the same."""
    return printable(name.replace("\\", "\\x5c")).translate(_MARKS)


def in_line(text: str) -> str:
    """A text that stays where it stands."""
    text = printable(text)
    if len(text) > _MOST_LETTERS:
        text = f"{text[:_MOST_LETTERS]}..."
    return text.replace("|", "\\x7c")


def worst(findings: Iterable[Finding]) -> State:
    """The state of all together."""
    states = (finding.state for finding in findings)
    return max(states, key=lambda state: state.badness, default=State.OK)


def report(findings: Sequence[Finding], summary: Sequence[str]) -> list[str]:
    """The lines.

    :param findings: in the order in which they are told, where they are equally bad
    :param summary: what the first line says when nothing is wrong, as clauses
    """
    ordered = sorted(findings, key=lambda finding: -finding.state.badness)
    wrong = [finding.text for finding in ordered if finding.state is not State.OK]
    clauses = [in_line(text) for text in wrong[:_MOST_TOLD] or summary]
    if len(wrong) > _MOST_TOLD:
        clauses.append(f"and {len(wrong) - _MOST_TOLD} more")
    first = f"{SERVICE} {worst(findings).name}: {'; '.join(clauses)}"
    data = " ".join(str(datum) for finding in findings for datum in finding.data)
    return [
        f"{first} | {data}" if data else first,
        *(f"[{finding.state.name}] {in_line(finding.text)}" for finding in ordered),
    ]

"""The values of parameters that are more than a number or a text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set
from types import MappingProxyType

from protocols.records import Record


class Properties(Mapping[str, tuple[str, ...]]):
    """Values by folded name: lower case, ``-`` for ``_`` [config 1.8].

    :ivar priority: names of those that were set with the word ``priority``.
    :ivar places: where each was last set, for texts: ``'FILE', line N``. Two that differ in nothing
        else are equal.
    """

    __slots__ = ("_values", "places", "priority")

    def __init__(
        self,
        values: Mapping[str, tuple[str, ...]],
        priority: Set[str] = frozenset(),
        places: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self._values = dict(values)
        self.priority = frozenset(priority)
        self.places = places

    def __getitem__(self, name: str) -> tuple[str, ...]:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Properties) and other.priority != self.priority:
            return False
        return super().__eq__(other)

    __hash__ = None  # type: ignore[assignment]  # as of any mapping

    def __repr__(self) -> str:
        told = f", {set(self.priority)!r}" if self.priority else ""
        return f"Properties({self._values!r}{told})"


Version = tuple[int, ...]
"""Of Amanda, such as ``(3, 5, 1)``."""

NO_PROPERTIES = Properties({})

Selection = Mapping[str, tuple[str, ...]]
"""What ``exclude`` or ``include`` say: names under ``file`` and ``list``; the key ``optional`` is
there if the last of these lines said so."""

NO_SELECTION: Selection = MappingProxyType({})


def fold(name: str) -> str:
    """The one spelling of a keyword or property name: lower case, ``-`` for ``_``."""
    return name.lower().replace("_", "-")


class LabelStr(Record):
    """Which labels a storage calls its own [config 4.1].

    With ``match_autolabel``, ``template`` is the autolabel template and a label must match it
    as a whole; otherwise it is the labelstr template and may match anywhere.
    """

    template: str = ".*"
    match_autolabel: bool = False


class AutoLabel(Record):
    """How to label new volumes, and which volumes count as new [config 4.2].

    ``template`` None means that nothing may be labelled.
    """

    template: str | None = None
    empty: bool = False
    non_amanda: bool = False
    volume_error: bool = False
    other_config: bool = False

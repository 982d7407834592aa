"""The values of parameters that are more than a number or a text."""

from collections.abc import Mapping
from types import MappingProxyType

from attrs import frozen

Properties = Mapping[str, tuple[str, ...]]
"""Values by folded name: lower case, ``-`` for ``_`` (config-and-state 1.8)."""

NO_PROPERTIES: Properties = MappingProxyType({})


def fold(name: str) -> str:
    """The one spelling of a keyword or property name: lower case, ``-`` for ``_``."""
    return name.lower().replace("_", "-")


@frozen
class LabelStr:
    """Which labels a storage calls its own (config-and-state 4.1).

    With ``match_autolabel``, ``template`` is the autolabel template and a label must match it
    as a whole; otherwise it is the labelstr template and may match anywhere.
    """

    template: str = ".*"
    match_autolabel: bool = False


@frozen
class AutoLabel:
    """How to label new volumes, and which volumes count as new (config-and-state 4.2).

    ``template`` None means that nothing may be labelled.
    """

    template: str | None = None
    empty: bool = False
    non_amanda: bool = False
    volume_error: bool = False
    other_config: bool = False

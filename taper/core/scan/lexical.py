"""The scan named ``lexical``: labels in their order, beginning after the last one written.

[changers 1.6]
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from taper.core.scan.inventory import InventoryScan
from taper.core.scan.sorting import sort_out

if TYPE_CHECKING:
    from devices.interfaces import InventoryEntry
    from taper.core.scan.judging import Judge


class LexicalScan(InventoryScan):
    """Blank, newly labelled and reusable volumes in one row of labels; then unknown, then bad."""

    def order(self, judge: Judge, entries: Sequence[InventoryEntry]) -> list[InventoryEntry]:
        kinds = sort_out(judge, entries)
        row = sorted(
            kinds.newly_labelled + kinds.new_volume + kinds.reusable, key=lambda one: one.key
        )
        last = _last_written(judge)
        after = [one.entry for one in row if last is not None and one.key > last]
        before = [one.entry for one in row if last is None or one.key <= last]
        return after + before + kinds.unknown + kinds.error


def _last_written(judge: Judge) -> bytes | None:
    """The newest label of our pool that was ever written, as a sort key."""
    for entry in judge.tapelist.entries:
        if entry.datestamp.strip("0") and entry.pool in (None, judge.storage.tapepool):
            return entry.label.encode("utf-8", "surrogateescape")
    return None

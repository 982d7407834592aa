"""The scan named ``oldest``: new volumes first, then those written longest ago.

[changers 1.7]
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from taper.core.scan.inventory import InventoryScan
from taper.core.scan.sorting import Labelled, sort_out

if TYPE_CHECKING:
    from devices.interfaces import InventoryEntry
    from taper.core.scan.judging import Judge


class OldestScan(InventoryScan):
    """Newly labelled, blank, reusable by age, unknown; slots in error are never tried."""

    def order(self, judge: Judge, entries: Sequence[InventoryEntry]) -> list[InventoryEntry]:
        def by_age(one: Labelled) -> tuple[str, bytes]:
            known = judge.tapelist.lookup(one.label)
            return ("" if known is None else known.datestamp, one.key)

        kinds = sort_out(judge, entries)
        row = sorted(kinds.newly_labelled, key=lambda one: one.key)
        row += sorted(kinds.new_volume, key=lambda one: one.key)
        row += sorted(kinds.reusable, key=by_age)
        return [one.entry for one in row] + kinds.unknown

"""What kinds of slots an inventory shows, as lexical and oldest tell them apart.

[changers 1.6]
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from attrs import field, frozen

from devices.errors import Status
from devices.interfaces import SlotState
from protocols.labels import LabelError
from taper.core.scan.judging import Judge, SeenVolume

if TYPE_CHECKING:
    from devices.interfaces import InventoryEntry


@frozen
class Labelled:
    """A slot with the label its volume has, or would get."""

    label: str
    entry: InventoryEntry

    @property
    def key(self) -> bytes:
        """Labels are compared byte by byte."""
        return self.label.encode("utf-8", "surrogateescape")


@frozen
class Kinds:
    """The slots of an inventory by kind, each in the inventory's order; the rest is left out."""

    newly_labelled: list[Labelled] = field(factory=list)
    new_volume: list[Labelled] = field(factory=list)
    reusable: list[Labelled] = field(factory=list)
    unknown: list[InventoryEntry] = field(factory=list)
    error: list[InventoryEntry] = field(factory=list)


def sort_out(judge: Judge, entries: Sequence[InventoryEntry]) -> Kinds:
    """Tell the slots apart by what the changer says of them."""
    kinds = Kinds()
    for entry in entries:
        if entry.state is None or entry.state == SlotState.UNKNOWN:
            kinds.unknown.append(entry)
        elif entry.state == SlotState.FULL:
            _sort_full(kinds, judge, entry)
    return kinds


def _sort_full(kinds: Kinds, judge: Judge, entry: InventoryEntry) -> None:
    volume, status = SeenVolume.listed(entry), entry.device_status
    # A label without a status is known by its barcode.
    if entry.label is not None and not status:
        if judge.is_reusable(entry.label, new_label_ok=False):
            kinds.reusable.append(Labelled(entry.label, entry))
        elif judge.tapelist.lookup(entry.label) is not None:
            if judge.is_newly_labelled(entry.label):
                kinds.newly_labelled.append(Labelled(entry.label, entry))
        elif judge.is_labelable(volume):
            kinds.new_volume.append(Labelled(_candidate_label(judge, volume), entry))
    elif judge.is_labelable(volume):
        kinds.new_volume.append(Labelled(_candidate_label(judge, volume), entry))
    elif status is None:
        kinds.unknown.append(entry)
    elif status & (Status.DEVICE_ERROR | Status.VOLUME_ERROR):
        kinds.error.append(entry)


def _candidate_label(judge: Judge, volume: SeenVolume) -> str:
    """What a blank volume is sorted by; without a label to give, the reason stands for it."""
    try:
        return judge.new_label(volume)
    except LabelError as fault:
        return str(fault)

"""The last look before a volume's data dies: a volume that is still active is never overwritten.

The scan has judged the volume before, perhaps hours ago. This judges again, under the tapelist's
lock and right at labelling, from what the tapelist says now and from what is on the medium.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from devices.errors import Status
from protocols.header import HeaderType
from protocols.labels import LabelScheme, match_labelstr

if TYPE_CHECKING:
    from collections.abc import Container

    from devices.interfaces import VolumeReading
    from protocols.conf import Storage
    from protocols.tapelist import Tapelist
    from taper.core.retention import Retention


class VolumeStillActive(Exception):
    """The volume must not be written.

    :ivar label: of the volume.
    :ivar reason: why, as a clause.
    :ivar text: which volume, and why; one line for the trace log.
    """

    taper_code = 2006

    def __init__(self, label: str, reason: str) -> None:
        self.label = label
        self.reason = reason
        self.text = f"Volume '{label}' must not be overwritten: {reason}"
        super().__init__(self.text)


def refuse_overwrite(
    tapelist: Tapelist,
    retention: Retention,
    storage: Storage,
    reading: VolumeReading,
    write_timestamp: str,
    *,
    barcode: str | None = None,
    scanned: Tapelist | None = None,
    written: Container[str] = (),
    given_up: Container[str] = (),
) -> None:
    """Raise :class:`VolumeStillActive` unless ``storage`` may write over the volume.

    Refused is every volume that is active by any rule of any storage, that this run wrote, that
    another config or pool owns, and that has another tapelist entry than when the scan looked.

    :param tapelist: as read under its lock; ``retention`` must be of this very list.
    :param reading: what is on the medium now.
    :param write_timestamp: this run's.
    :param barcode: the changer's; tells whose a volume is that cannot be read.
    :param scanned: the tapelist by which the scan chose the volume.
    :param written: labels that this process has written, whatever the tapelist says of them now:
        another volume that bears one of them must not become a second one.
    :param given_up: labels of active volumes that a person has named to be lost; they may be
        written over all the same, but not if anything has changed since that person looked.
    """
    if retention.tapelist is not tapelist:
        raise ValueError("retention was computed for another tapelist than the one to judge by")
    label = reading.label if reading.status == Status.SUCCESS else None
    if label is None:
        _refuse_by_barcode(retention, storage, reading, write_timestamp, barcode, given_up)
        return
    if label in written:
        raise VolumeStillActive(label, "this taper has written a volume of that label in this run")
    if reading.timestamp == write_timestamp:
        raise VolumeStillActive(
            label, f"its header says that this run ({write_timestamp}) wrote it"
        )
    entry = tapelist.lookup(label)
    if scanned is not None and scanned.lookup(label) != entry:
        raise VolumeStillActive(label, "its tapelist entry changed since the scan looked at it")
    if label in given_up:
        return
    if entry is None:
        _refuse_unlisted(retention, storage, label, barcode)
        return
    reason = retention.why_not_reusable(
        label, storage, new_label_ok=True, write_timestamp=write_timestamp
    )
    if reason is not None:
        raise VolumeStillActive(label, reason)


def _names_a_volume(barcode: str | None) -> bool:
    """chg-rait makes up ``{,,}`` for volumes without barcodes: that names nobody."""
    return barcode is not None and any(char.isalnum() for char in barcode)


def dead_claims(
    tapelist: Tapelist, config: str, reading: VolumeReading, barcode: str | None
) -> list[str]:
    """Labels that were claimed for this volume by a taper that died before it wrote them.

    The volume is the proof: it bears the barcode of the claim, is in our hands, and blank.
    """
    blank = reading.status & Status.VOLUME_UNLABELED and reading.header_type is HeaderType.EMPTY
    if not blank or not _names_a_volume(barcode):
        return []
    return [
        entry.label
        for entry in tapelist.entries
        if (entry.datestamp, entry.reuse, entry.barcode) == ("1", False, barcode)
        and entry.config == config
    ]


def _refuse_by_barcode(
    retention: Retention,
    storage: Storage,
    reading: VolumeReading,
    write_timestamp: str,
    barcode: str | None,
    given_up: Container[str],
) -> None:
    """A volume without readable label may still be one we know."""
    if not _names_a_volume(barcode):
        return
    tapelist = retention.tapelist
    dead = dead_claims(tapelist, retention.config.name, reading, barcode)
    for entry in tapelist.entries:
        if entry.barcode != barcode or entry.label in dead or entry.label in given_up:
            continue
        reason = retention.why_not_reusable(
            entry.label, storage, new_label_ok=True, write_timestamp=write_timestamp
        )
        if reason is not None:
            raise VolumeStillActive(entry.label, f"{reason} (known by its barcode '{barcode}')")


def _refuse_unlisted(
    retention: Retention, storage: Storage, label: str, barcode: str | None
) -> None:
    """An Amanda label that our tapelist does not know [config 4.2]."""
    if match_labelstr(LabelScheme.of(retention.config, storage).evolve(barcode=barcode), label):
        raise VolumeStillActive(
            label, "its label is one of this storage's, but not in the tapelist"
        )
    if not storage.autolabel.other_config:
        raise VolumeStillActive(
            label, "it may belong to another config, and autolabel has no other-config"
        )

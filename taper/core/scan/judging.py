"""Which volumes a scan may take, and why not the others [changers 1.2, 1.4].

Every answer rests on one reading of the tapelist and on the retention rules over it. Nothing here
waits or changes anything.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING

from attrs import frozen

from devices.errors import Status, describe_status
from protocols.header import HeaderType
from protocols.labels import LabelScheme, make_fitting_label, make_meta_label, match_labelstr
from protocols.records import Record
from taper.core.scan import texts

if TYPE_CHECKING:
    from devices.interfaces import IAsyncReservation, InventoryEntry
    from protocols.conf import Config, Storage
    from protocols.tapelist import Tapelist, TapelistEntry
    from taper.core.retention import Retention


@frozen(kw_only=True)
class SeenVolume:
    """What is known of the volume in a slot, from its label or from an inventory.

    :ivar status: None: the changer does not know.
    :ivar label: in a loaded volume only believed when ``status`` is SUCCESS.
    """

    slot: str
    status: Status | None = None
    header_type: HeaderType | None = None
    label: str | None = None
    error: str = ""
    barcode: str | None = None
    meta: str | None = None

    @classmethod
    def loaded(cls, held: IAsyncReservation) -> SeenVolume:
        """The volume in a reservation."""
        reading = held.reading
        good = reading.status == Status.SUCCESS
        return cls(
            slot=held.slot,
            status=reading.status,
            header_type=reading.header_type,
            label=reading.label if good else None,
            error=reading.error or describe_status(reading.status),
            barcode=held.barcode,
            meta=held.meta,
        )

    @classmethod
    def listed(cls, entry: InventoryEntry) -> SeenVolume:
        """The volume an inventory tells of; its word is not proof."""
        return cls(
            slot=entry.slot,
            status=entry.device_status,
            header_type=entry.header_type,
            label=entry.label,
            error=entry.device_error or "",
            barcode=entry.barcode,
        )


class Fate(enum.Enum):
    """What becomes of a loaded volume."""

    REUSE = "write on it under its own label"
    LABEL = "give it a new label"
    REFUSE = "leave it alone"


class Judgement(Record):
    """A fate, and the text that tells it."""

    fate: Fate
    text: str


class Judge:
    """The rules of one scan.

    :param stays: volumes never leave their slots.
    """

    def __init__(
        self,
        config: Config,
        storage: Storage,
        tapelist: Tapelist,
        retention: Retention,
        write_timestamp: str,
        stays: bool = False,
    ) -> None:
        self.tapelist = tapelist
        self.storage = storage
        self._scheme = LabelScheme.of(config, storage).evolve(stays=stays)
        self._retention = retention
        self.write_timestamp = write_timestamp

    def oldest_reusable(self) -> str | None:
        """The label traditional looks for first: never one of this run, never a retained one."""
        label = self._retention.oldest_reusable(self.storage, self.write_timestamp)
        if label is None or not self.is_reusable(label, new_label_ok=False):
            return None
        return label

    def matches_labelstr(self, volume: SeenVolume, label: str) -> bool:
        """``label``, on that volume, is one this storage would give [config 4.1]."""
        scheme = self._scheme.evolve(barcode=volume.barcode, meta=volume.meta)
        return match_labelstr(scheme, label)

    def is_reusable(self, label: str, *, new_label_ok: bool) -> bool:
        """The volume may be overwritten (R of [changers 1.2]).

        :param new_label_ok: so may a volume that was labelled and never written.
        """
        return self._retention.is_reusable(
            label,
            self.storage,
            new_label_ok=new_label_ok,
            write_timestamp=self.write_timestamp,
        )

    def described(self, volume: SeenVolume) -> str:
        """What is in a slot, and what the tapelist and the rules of retention say of it."""
        if volume.label is None:
            return f"slot {volume.slot}: no label: {volume.error or volume.status}"
        reason = self._retention.why_not_reusable(
            volume.label,
            self.storage,
            new_label_ok=True,
            write_timestamp=self.write_timestamp,
        )
        fate = "may be written over" if reason is None else f"may not be written over: {reason}"
        return f"slot {volume.slot}: volume {volume.label} {fate}"

    def is_newly_labelled(self, label: str) -> bool:
        """The volume was labelled for us and never written (N of [changers 1.2])."""
        return self._retention.is_newly_labelled(label, self.storage)

    def is_labelable(self, volume: SeenVolume) -> bool:
        """Autolabel allows to label the volume (L of [changers 1.2])."""
        autolabel = self.storage.autolabel
        status = volume.status
        if status is None:
            return False
        if status == Status.SUCCESS:
            if volume.header_type != HeaderType.TAPESTART or volume.label is None:
                return False
            if self.matches_labelstr(volume, volume.label):
                return self.tapelist.lookup(volume.label) is not None
            return autolabel.other_config
        if status & Status.VOLUME_UNLABELED and volume.header_type == HeaderType.EMPTY:
            return autolabel.empty
        if status & Status.VOLUME_UNLABELED and volume.header_type == HeaderType.WEIRD:
            return autolabel.non_amanda
        if status & Status.VOLUME_ERROR:
            return autolabel.volume_error
        return False

    def accepts(self, volume: SeenVolume) -> bool:
        """The inventory scans may take this loaded volume ([changers 1.5] step 4).

        Another configuration's too, where autolabel has ``other-config``: as Amanda has it from
        3.5.2 on, and as traditional always had it.
        """
        if volume.status != Status.SUCCESS:
            return self.is_labelable(volume)
        if volume.label is None:
            return False
        if self.tapelist.lookup(volume.label) is None:
            return bool(self.storage.autolabel.template) and self.is_labelable(volume)
        return self.is_reusable(volume.label, new_label_ok=True) or self.is_newly_labelled(
            volume.label
        )

    def verdict(self, volume: SeenVolume) -> Judgement:
        """What traditional does with a loaded volume ([changers 1.4] step 5)."""
        if volume.status == Status.SUCCESS and volume.label is not None:
            entry = self.tapelist.lookup(volume.label)
            if entry is not None:
                return self._verdict_on_known(volume, volume.label, entry)
            if self.matches_labelstr(volume, volume.label):
                return Judgement(Fate.REFUSE, texts.not_in_tapelist(volume.slot, volume.label))
            if not self.storage.autolabel.other_config:
                return Judgement(Fate.REFUSE, texts.no_labelstr_match(volume.slot, volume.label))
        return self._verdict_on_unknown(volume)

    def _verdict_on_known(self, volume: SeenVolume, label: str, entry: TapelistEntry) -> Judgement:
        slot = volume.slot
        if entry.config and entry.config != self._scheme.config:
            return Judgement(Fate.REFUSE, texts.other_config(slot, label, entry.config))
        if entry.pool and entry.pool != self.storage.tapepool:
            return Judgement(Fate.REFUSE, texts.other_pool(slot, label, entry.pool))
        if not entry.pool and not self.matches_labelstr(volume, label):
            return Judgement(Fate.REFUSE, texts.no_labelstr_match(slot, label))
        if not self.is_reusable(label, new_label_ok=True):
            return Judgement(Fate.REFUSE, texts.not_reusable(slot, label))
        return Judgement(Fate.REUSE, texts.usable(slot, label))

    def _verdict_on_unknown(self, volume: SeenVolume) -> Judgement:
        """Blank, foreign or bad volumes, and labels of nobody we know."""
        slot, status, autolabel = volume.slot, volume.status, self.storage.autolabel
        if status == Status.SUCCESS or status is None:
            if autolabel.template and volume.label is not None:
                return Judgement(Fate.LABEL, texts.can_be_labeled(slot))
            return Judgement(Fate.REFUSE, texts.not_labelable(slot, volume.label))
        unlabeled = bool(status & Status.VOLUME_UNLABELED)
        if unlabeled and volume.header_type in (None, HeaderType.EMPTY):
            allowed, kind = autolabel.empty, texts.EMPTY
        elif unlabeled and volume.header_type == HeaderType.WEIRD:
            allowed, kind = autolabel.non_amanda, texts.NON_AMANDA
        elif status & Status.VOLUME_ERROR:
            allowed, kind = autolabel.volume_error, texts.volume_in_error(volume.error)
        else:
            allowed, kind = False, texts.device_in_error(volume.error)
        template_set = bool(autolabel.template)
        if allowed and template_set:
            return Judgement(Fate.LABEL, texts.can_be_labeled(slot))
        return Judgement(
            Fate.REFUSE, texts.refused_unlabeled(slot, kind, autolabel_set=template_set)
        )

    def new_label(self, volume: SeenVolume, meta: str | None = None) -> str:
        """A label for the volume, not in the tapelist now [config 4.3].

        :param meta: the changer's meta label; None: one is made where the storage wants them.
        :raise LabelError: none can be made; with ``exists``, another volume has it
        :raise LabelUnfit: later scans would not take it for ours
        """
        storage, known = self.storage, self.tapelist.entries
        if not meta and storage.meta_autolabel:
            meta = make_meta_label(
                storage.meta_autolabel, known, config=self._scheme.config, org=self._scheme.org
            )
        scheme = self._scheme.evolve(barcode=volume.barcode, meta=meta, slot=volume.slot)
        return make_fitting_label(scheme, known)

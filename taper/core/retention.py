"""Which volumes are still needed, and so must not be written again [config 3.5].

A :class:`Retention` answers for one tapelist, the facts read with it and one moment. It is made
afresh for every question that matters, and every rule is evaluated on its own: stock skips in
one rule what another one protects at that moment, and so loses volumes when that other one lets
go of them in the middle of a run.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING

from protocols.labels import labelstr_template, match_template
from protocols.records import Record

if TYPE_CHECKING:
    from protocols.catalog import Disk, DumpCopy
    from protocols.commandfile import Command
    from protocols.conf import Config, Policy, Storage
    from protocols.tapelist import Tapelist, TapelistEntry

_FULL_LEVEL = 0
_ABOVE_ALL_LEVELS = 1000

_log = logging.getLogger(__name__)


def _tell(reasons: Mapping[str, str], volumes: int) -> None:
    """What the rules decided: how many volumes each retains, and at length which."""
    if not _log.isEnabledFor(logging.INFO):
        return
    counted = ", ".join(f"{count} by {name}" for name, count in Counter(reasons.values()).items())
    _log.info("of %d volumes %d are retained: %s", volumes, len(reasons), counted or "none")
    if _log.isEnabledFor(logging.DEBUG):
        for label, name in reasons.items():
            _log.debug("volume %s is retained by %s", label, name)


class Kept(Record):
    """One rule by which one storage retains a volume.

    :ivar rule: as ``amadmin retention`` names it.
    :ivar storage: whose policy it is.
    :ivar days: the rule lets go so many days after the volume was written; None: it is not days
        alone that decide.
    :ivar volumes: the rule lets go when so many other volumes of the storage have been written;
        None: it does not count volumes.
    """

    rule: str
    storage: str
    days: int | None = None
    volumes: int | None = None


class Retention:
    """The retention rules of all defined storages over one tapelist.

    :param stamp_days_ago: the local time so many days of 86400 s ago, as 14 digits.
    :param dumps: what the trace logs and holding disks tell, of each disk the newest first,
        higher levels first; needed where a policy has retention-recover or retention-full.
    :param commands: the unfinished ones of the command file.
    :param unread: labels of volumes whose logs, though needed, were not read yet; retained.
    :param reading: labels of volumes that this very process reads from; never reusable.
    """

    def __init__(
        self,
        config: Config,
        tapelist: Tapelist,
        *,
        stamp_days_ago: Callable[[int], str],
        dumps: Mapping[Disk, Sequence[DumpCopy]] = MappingProxyType({}),
        commands: Iterable[Command] = (),
        unread: Iterable[str] = (),
        reading: Iterable[str] = (),
    ) -> None:
        self.config = config
        self.tapelist = tapelist
        self._stamp_days_ago = stamp_days_ago
        self._dumps = dumps
        self._commands = tuple(commands)
        self._unread = frozenset(unread)
        self._reading = frozenset(reading)
        self._reasons: dict[str, str] | None = None
        self._rulings: list[tuple[str, Storage, Iterable[str]]] = []
        self._kept: dict[str, list[Kept]] | None = None

    # Questions

    def retained_by(self, label: str) -> str | None:
        """The name of a rule that retains the volume, as ``amadmin retention`` names it."""
        return self._retained().get(label)

    def kept_by(self, label: str) -> tuple[Kept, ...]:
        """All rules that retain the volume, each with its storage; none for a volume that is not
        ours to write, which no rule need retain."""
        self._retained()
        if self._kept is None:
            self._kept = self._all_kept()
        return tuple(self._kept.get(label, ()))

    def is_reusable(
        self, label: str, storage: Storage, *, new_label_ok: bool, write_timestamp: str | None
    ) -> bool:
        """May ``storage`` write over the volume of this label?

        :param new_label_ok: so it may over one that was labelled and never written.
        :param write_timestamp: this run's; volumes that bear it are never reusable.
        """
        reason = self.why_not_reusable(
            label, storage, new_label_ok=new_label_ok, write_timestamp=write_timestamp
        )
        return reason is None

    def why_not_reusable(
        self, label: str, storage: Storage, *, new_label_ok: bool, write_timestamp: str | None
    ) -> str | None:
        """The first reason against writing over the volume, or None (parameters as above)."""
        entry = self.tapelist.lookup(label)
        if entry is None:
            return "it is not in the tapelist"
        if label in self._reading:
            return "a dump is being vaulted from it"
        if not entry.reuse:
            return "it is marked no-reuse"
        if not self._is_our_config(entry):
            return f"it belongs to config {entry.config}"
        if not self._is_of_pool(entry, storage):
            if entry.pool is not None:
                return f"it is in pool {entry.pool}, not in {storage.tapepool}"
            return f"it is in no pool, and its label does not match that of storage {storage.name}"
        if entry.datestamp == "0":
            return None if new_label_ok else "it was labelled but never written"
        if entry.datestamp == write_timestamp:
            return f"it was written in this run ({write_timestamp})"
        rule = self.retained_by(label)
        return None if rule is None else f"it is retained by {rule}"

    def oldest_reusable(self, storage: Storage, write_timestamp: str | None) -> str | None:
        """The volume to overwrite first, if more than retention-tapes could be.

        Only labels that match the storage's template are looked at, even in its own pool. Unlike
        stock's choice it is really reusable: never of this run, never retained by any rule.
        """
        keep = self._retention_tapes(storage)
        candidates = [
            entry
            for entry in self.tapelist.entries
            if entry.reuse
            and entry.datestamp != "0"
            and self._is_ours(entry, storage)
            and self._matches_template(entry, storage)
            and self.retained_by(entry.label) in (None, "retention-tapes")
        ]
        for entry in reversed(candidates[keep:]):
            if self.is_reusable(
                entry.label, storage, new_label_ok=False, write_timestamp=write_timestamp
            ):
                return entry.label
        return None

    def is_newly_labelled(self, label: str, storage: Storage) -> bool:
        """Was the volume labelled for ``storage`` and never written? [changers 1.2]"""
        entry = self.tapelist.lookup(label)
        return (
            entry is not None
            and entry.reuse
            and entry.datestamp == "0"
            and self._is_of_pool(entry, storage)
        )

    # Whose volume it is

    def belongs_to(self, entry: TapelistEntry, storage: Storage) -> bool:
        """It is a volume of this configuration that the storage could use."""
        return self._is_ours(entry, storage)

    def _is_our_config(self, entry: TapelistEntry) -> bool:
        return entry.config is None or entry.config == self.config.name

    def _is_of_pool(self, entry: TapelistEntry, storage: Storage) -> bool:
        if entry.pool is not None:
            return entry.pool == storage.tapepool
        return self._matches_template(entry, storage)

    def _is_ours(self, entry: TapelistEntry, storage: Storage) -> bool:
        return (
            self._is_our_config(entry)
            and entry.storage in (None, storage.name)
            and self._is_of_pool(entry, storage)
        )

    def _matches_template(self, entry: TapelistEntry, storage: Storage) -> bool:
        """The labelstr template, never anchored, with what the tapelist knows of the volume."""
        return match_template(
            labelstr_template(storage.labelstr, storage.autolabel),
            entry.label,
            config=self.config.name,
            org=self.config.general.org,
            storage=entry.storage,
            barcode=entry.barcode,
            meta=entry.meta,
        )

    # The rules

    def _retained(self) -> dict[str, str]:
        """Label to the first rule that retains it, in stock's order of rules."""
        if self._reasons is None:
            reasons: dict[str, str] = {}
            for entry in self.tapelist.entries:
                if not entry.reuse:
                    reasons[entry.label] = "no-reuse"
                elif not self._is_our_config(entry):
                    reasons[entry.label] = "other config"
            ours = [(storage, self._usable_by(storage)) for storage in self.config.storages()]
            for name, rule in (
                ("retention-tapes", self._newest),
                ("retention-days", self._young),
                ("retention-recover", self._needed_to_recover),
                ("retention-full", self._with_fulls),
                ("command-copy", self._to_be_copied),
                ("command-restore", self._to_be_restored),
            ):
                for storage, entries in ours:
                    retained = dict.fromkeys(rule(storage, entries, reasons), name)
                    self._rulings.append((name, storage, retained))
                    reasons = retained | reasons
            for label in self._unread:
                reasons.setdefault(label, "logs not read yet")
            _tell(reasons, len(self.tapelist.entries))
            self._reasons = reasons
        return self._reasons

    def _all_kept(self) -> dict[str, list[Kept]]:
        """What the rules gave, by label. Of the newest, which are given in their order, the first
        one leaves last."""
        kept: dict[str, list[Kept]] = {}
        for rule, storage, labels in self._rulings:
            policy, days = self._policy(storage), None
            if rule == "retention-days" and policy is not None:
                days = policy.retention_days
            for place, label in enumerate(labels):
                volumes = None
                if rule == "retention-tapes":
                    volumes = self._retention_tapes(storage) - place
                kept.setdefault(label, []).append(Kept(rule, storage.name, days, volumes))
        return kept

    def _usable_by(self, storage: Storage) -> list[TapelistEntry]:
        return [
            entry
            for entry in self.tapelist.entries
            if entry.reuse and self._is_ours(entry, storage)
        ]

    def _policy(self, storage: Storage) -> Policy | None:
        return self.config.policy(storage.policy) if storage.policy else None

    def _retention_tapes(self, storage: Storage) -> int:
        policy = self._policy(storage)
        if policy is not None and policy.is_set("retention_tapes"):
            return max(policy.retention_tapes, 0)
        return max(self.config.general.tapecycle - 1, 0)

    # Each rule gives labels among ``ours``, the volumes that the storage may use. ``reasons`` is
    # what the rules before it retain.

    def _newest(
        self, storage: Storage, ours: list[TapelistEntry], reasons: dict[str, str]
    ) -> list[str]:
        written = [entry.label for entry in ours if entry.datestamp != "0"]
        return written[: self._retention_tapes(storage)]

    def _young(
        self, storage: Storage, ours: list[TapelistEntry], reasons: dict[str, str]
    ) -> list[str]:
        policy = self._policy(storage)
        if policy is None or policy.retention_days <= 0:
            return []
        since = self._stamp_days_ago(policy.retention_days)
        return [entry.label for entry in ours if entry.datestamp > since]

    def _to_be_copied(
        self, storage: Storage, ours: list[TapelistEntry], reasons: dict[str, str]
    ) -> list[str]:
        return self._sources("COPY", storage, ours)

    def _to_be_restored(
        self, storage: Storage, ours: list[TapelistEntry], reasons: dict[str, str]
    ) -> list[str]:
        return self._sources("RESTORE", storage, ours)

    def _sources(self, operation: str, storage: Storage, ours: list[TapelistEntry]) -> list[str]:
        """Volumes that unfinished commands will read [config 3.6]."""
        labels = {entry.label for entry in ours}
        return [
            label
            for command in self._commands
            if command.operation == operation
            and (command.src_storage, command.src_pool) == (storage.name, storage.tapepool)
            for label in command.source_labels
            if label in labels
        ]

    # The rules that look into the catalogue

    @staticmethod
    def _volumes(dump: DumpCopy, ours: dict[str, str]) -> list[str]:
        """The volumes of the dump that are ours and were not written again since."""
        return [label for label, written in dump.volumes if ours.get(label) == written]

    def _needed_to_recover(
        self, storage: Storage, ours: list[TapelistEntry], reasons: dict[str, str]
    ) -> Iterator[str]:
        """Volumes to restore any state of the policy's last days, of disks dumped since then.

        These are all dumps since then, and of those before what the first of them builds on:
        the last dump, and before it each of a lower level. Stock keeps less: only the first
        volume of an older dump, and nothing that failed dumps or other storages hide.
        """
        policy = self._policy(storage)
        if policy is None or policy.retention_recover <= 0:
            return
        since = self._stamp_days_ago(policy.retention_recover)
        stamps = {entry.label: entry.datestamp for entry in ours}
        for dumps in self._dumps.values():
            if dumps[0].timestamp <= since:
                continue
            level_seen = _ABOVE_ALL_LEVELS
            for timestamp, level, labels, done in self._dumps_on(dumps, stamps):
                if timestamp > since:
                    yield from labels
                elif level < level_seen:
                    yield from labels
                    if done:
                        level_seen = level
                        if level == _FULL_LEVEL:
                            break  # nothing older is needed

    def _with_fulls(
        self, storage: Storage, ours: list[TapelistEntry], reasons: dict[str, str]
    ) -> Iterator[str]:
        """Volumes of the last full dumps of each disk, as many as the policy says.

        As in stock, a dump on volumes that are retained already, by other rules or for another
        disk, does not count. Unlike there, a dump counts once however many volumes it has, and
        all of them are kept.
        """
        policy = self._policy(storage)
        if policy is None or policy.retention_full <= 0:
            return
        stamps = {entry.label: entry.datestamp for entry in ours}
        retained = set(reasons)
        for dumps in self._dumps.values():
            missing = policy.retention_full
            for _, level, labels, done in self._dumps_on(dumps, stamps):
                if level != _FULL_LEVEL:
                    continue
                new = not retained.issuperset(labels)
                retained.update(labels)
                yield from labels
                missing -= done and new
                if missing == 0:
                    break

    def _dumps_on(
        self, dumps: Sequence[DumpCopy], stamps: dict[str, str]
    ) -> Iterator[tuple[str, int, list[str], bool]]:
        """Timestamp, level, volumes and completeness of the dumps that these volumes hold."""
        for dump in dumps:
            labels = self._volumes(dump, stamps)
            if labels:
                # A copy that lost a volume to overwriting is no whole dump any more.
                yield (
                    dump.timestamp,
                    dump.level,
                    labels,
                    dump.done and len(labels) == len(dump.volumes),
                )

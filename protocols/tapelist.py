"""The tapelist: which volumes there are, when each was written, and who may use it.

Pure text handling; the file with its lock lives in :mod:`taper.run.tapelist_store`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from attrs import evolve, frozen

MAX_BYTES = 64 << 20
"""Largest tapelist taken for one (bytes): far over a hundred thousand volumes."""


class TapelistError(Exception):
    """The list, or one entry, is not well formed. The text names file, line and what is there."""

    taper_code = 2014


@frozen(kw_only=True)
class TapelistEntry:
    """One volume [config 3.1]. None means that the field is absent.

    :ivar datestamp: digits; ``0`` = labelled and never written, ``1`` = being labelled,
        else the timestamp of the run that wrote it.
    :ivar reuse: False for ``no-reuse``.
    :ivar blocksize: KiB of the device's block size when labelled.
    :ivar comment: everything after ``#``, to the end of the line.
    """

    datestamp: str
    label: str
    reuse: bool = True
    barcode: str | None = None
    meta: str | None = None
    blocksize: int | None = None
    pool: str | None = None
    storage: str | None = None
    config: str | None = None
    comment: str | None = None

    def no_reuse(self) -> TapelistEntry:
        """The same volume, never to be written again."""
        return evolve(self, reuse=False)


# The strict order of fields; all but the first two may be absent [config 3.1].
_LINE = re.compile(
    r"[ \t]*([0-9]{1,32})[ \t]+([^ \t\r\f\v]+)"
    r"(?:[ \t]+(reuse|no-reuse)(?=[ \t\r#]|$))?"
    r"(?:[ \t]+BARCODE:([^ \t\r\f\v]*))?"
    r"(?:[ \t]+META:([^ \t\r\f\v]*))?"
    r"(?:[ \t]+BLOCKSIZE:([0-9]{1,12}))?"
    r"(?:[ \t]+POOL:([^ \t\r\f\v]*))?"
    r"(?:[ \t]+STORAGE:([^ \t\r\f\v]*))?"
    r"(?:[ \t]+CONFIG:([^ \t\r\f\v]*))?"
    r"[ \t\r\f\v]*(?:#(.*))?"
)


_BLANKS = " \t\r\n\f\v"
"""What ends a field, for every reader."""


class Tapelist:
    """All volumes, newest first [config 3.2]. Immutable: changes make a new list.

    Build one with :func:`parse_tapelist` or :meth:`of`, which sort.
    """

    __slots__ = ("_by_label", "entries")

    def __init__(self, entries: tuple[TapelistEntry, ...] = ()) -> None:
        self.entries: Final = entries
        self._by_label: dict[str, TapelistEntry] = {}
        for entry in entries:
            self._by_label.setdefault(entry.label, entry)

    def __repr__(self) -> str:
        return f"Tapelist({self.entries!r})"

    @classmethod
    def of(cls, entries: Iterable[TapelistEntry]) -> Tapelist:
        """Sort by datestamp, newest first, as strings; equals keep their order."""
        return cls(tuple(sorted(entries, key=lambda entry: entry.datestamp, reverse=True)))

    def __eq__(self, other: object) -> bool:
        return self.entries == other.entries if isinstance(other, Tapelist) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.entries)

    def lookup(self, label: str) -> TapelistEntry | None:
        """The entry of this label."""
        return self._by_label.get(label)

    def adding(self, entry: TapelistEntry) -> Tapelist:
        """With ``entry`` before the first one whose datestamp is not newer (3.2).

        Raises :class:`TapelistError` when its label is taken or a field cannot be written.
        """
        if entry.label in self._by_label:
            raise TapelistError(f"label {entry.label!r} is already in the tapelist")
        _check(entry)
        at = next(
            (i for i, old in enumerate(self.entries) if old.datestamp <= entry.datestamp),
            len(self.entries),
        )
        return Tapelist((*self.entries[:at], entry, *self.entries[at:]))

    def removing(self, label: str) -> Tapelist:
        """Without the volume ``label``; the same list if it is not there."""
        if label not in self._by_label:
            return self
        return Tapelist(tuple(entry for entry in self.entries if entry.label != label))

    def replacing(self, entry: TapelistEntry) -> Tapelist:
        """With ``entry`` in place of the one of its label; it moves to the front of its equals."""
        return self.removing(entry.label).adding(entry)

    def format(self) -> bytes:
        """The whole file, one line a volume, in order."""
        text = "".join(format_entry(entry) for entry in self.entries)
        return text.encode("utf-8", "surrogateescape")


def format_entry(entry: TapelistEntry) -> str:
    """One line with its LF, fields in the fixed order [config 3.1]."""
    fields = [entry.datestamp, entry.label, "reuse" if entry.reuse else "no-reuse"]
    named = (
        ("BARCODE", entry.barcode),
        ("META", entry.meta),
        ("BLOCKSIZE", entry.blocksize),
        ("POOL", entry.pool),
        ("STORAGE", entry.storage),
        ("CONFIG", entry.config),
    )
    fields += [f"{name}:{value}" for name, value in named if value is not None]
    if entry.comment is not None:
        fields.append(f"#{entry.comment}")
    return " ".join(fields) + "\n"


def parse_tapelist(data: bytes, name: str = "tapelist") -> Tapelist:
    """Read a whole file; ``name`` is only for the error texts.

    Stricter than either stock reader where they differ, since one that refuses a line stops
    every stock program; only blank lines are forgiven. Raises :class:`TapelistError` for a line
    out of grammar and for a label that stands twice.
    """
    if len(data) > MAX_BYTES:
        raise TapelistError(f"tapelist file '{name}' has {len(data)} bytes, over {MAX_BYTES}")
    entries = []
    seen = set()
    for number, line in enumerate(data.decode("utf-8", "surrogateescape").split("\n"), 1):
        if not line.strip(" \t\r"):
            continue
        match = _LINE.fullmatch(line)
        if match is None:
            raise TapelistError(
                f"Failed to read tapelist file '{name}' on line {number}: {line[:500]}"
            )
        entry = _entry(match)
        if entry.label in seen:
            raise TapelistError(f"duplicate label '{entry.label}' in tapelist file '{name}'")
        seen.add(entry.label)
        entries.append(entry)
    return Tapelist.of(entries)


def _entry(match: re.Match[str]) -> TapelistEntry:
    datestamp, label, flag, barcode, meta, blocksize, pool, storage, config, comment = (
        match.groups()
    )
    return TapelistEntry(
        datestamp=datestamp,
        label=label,
        reuse=flag != "no-reuse",
        barcode=barcode,
        meta=meta,
        blocksize=None if blocksize is None else int(blocksize),
        pool=pool,
        storage=storage,
        config=config,
        comment=comment,
    )


def check_name(what: str, name: str) -> None:
    """Refuse a name that would come back from the file as something else.

    :param what: what it is the name of, for the text
    :raise TapelistError: it holds a blank or a line end
    """
    bad = next((char for char in name if char in _BLANKS), None)
    if bad is not None:
        raise TapelistError(
            f"{what} {name!r} cannot be written to the tapelist: it holds {bad!r}, "
            "expected a name without blanks"
        )


def _check(entry: TapelistEntry) -> None:
    """Refuse what would come back from the file as something else."""
    for what in ("label", "barcode", "meta", "pool", "storage", "config"):
        check_name(f"{what} of volume {entry.label!r}:", getattr(entry, what) or "")
    line = format_entry(entry)
    match = _LINE.fullmatch(line[:-1])
    if "\n" in line[:-1] or match is None or _entry(match) != entry:
        raise TapelistError(f"cannot be written to the tapelist: {entry!r}")

"""How one dump is cut into parts, and where a part is kept for a second try [data-plane 1].

Pure: the command's fields and facts about the first device go in, a frozen :class:`SplitPlan`
comes out. Whoever calls looks at the cache directory first (:func:`cache_directory`).
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING

from attrs import frozen

from protocols.records import Record

if TYPE_CHECKING:
    from protocols.driver.messages import SplitFields

FALLBACK_SPLITSIZE = 10 * 1024 * 1024
"""Part limit of a memory cache asked for by the dumptype without a size [data-plane 1.2]."""

MAX_SLAB = 10 * 1024 * 1024
SLAB_BLOCKS = 16
MIN_BUFFER_BLOCKS = 4


class Mode(enum.Enum):
    """Who writes the parts; the value is stock's word for it [data-plane 1.3]."""

    DIRECTTCP = "directtcp"
    SPLITTER = "splitter"
    CACHER = "cacher"


class CacheKind(enum.Enum):
    """Where the bytes of the part being written are kept; the value is the configuration's word."""

    NONE = "none"
    MEMORY = "memory"
    DISK = "disk"


class DeviceFacts(Record):
    """What matters of the dump's first device. ``block_size`` in bytes."""

    leom: bool
    directtcp: bool
    block_size: int


class DirectoryFacts(Record):
    """What was found of the cache directory: is it one, and bytes free for ordinary users.

    :ivar free: None when the file system would not tell; counts as no room at all.
    """

    exists: bool
    free: int | None = None

    def has_room(self, size: int) -> bool:
        return self.free is not None and self.free >= size


@frozen(kw_only=True)
class SplitPlan:
    """How to write one dump.

    :ivar part_size: bytes of a full part, a multiple of ``block_size``; 0: one part without limit.
    :ivar block_size: bytes; every device that writes this dump must have the same.
    :ivar buffer_size: bytes to keep between source and device, a multiple of ``block_size``.
    :ivar cache: what makes a failed part repeatable, in mode ``CACHER``; otherwise ``NONE``.
    :ivar cache_dir: directory of a ``DISK`` cache.
    :ivar allow_split: the dump may go on on another volume.
    :ivar retry: a part that failed at the end of a volume is to be repeated on the next one, if
        its bytes can be had again.
    :ivar holding_is_cache: the source's own files serve for a second try.
    :ivar pause_at_space: a part that meets the end of shared space stays open and asks first.
    :ivar warnings: texts for the trace log, in stock's words.
    :ivar debug_text: line for the debug log.
    """

    part_size: int
    block_size: int
    buffer_size: int
    mode: Mode
    cache: CacheKind = CacheKind.NONE
    cache_dir: str | None = None
    allow_split: bool
    retry: bool
    holding_is_cache: bool = False
    pause_at_space: bool = False
    warnings: tuple[str, ...] = ()
    debug_text: str


class _Wanted(Record, kw_only=True):
    """The command's fields made one set of values [data-plane 1.2]."""

    part_size: int = 0
    cache: CacheKind = CacheKind.NONE
    cache_dir: str | None = None
    cache_max: int = 0
    allow_split: bool = False
    warnings: tuple[str, ...] = ()


def cache_directory(split: SplitFields) -> str | None:
    """The directory whose facts :func:`plan` needs, or None if it needs none."""
    if split.dle_allow_split is False:
        return None
    if _dumptype_decides(split):
        return split.dle_split_diskbuffer if split.dle_tape_splitsize else None
    return split.part_cache_dir if split.part_cache_type == CacheKind.DISK.value else None


def plan(
    split: SplitFields,
    device: DeviceFacts,
    *,
    file_write: bool,
    buffer_size: int,
    buffer_size_set: bool,
    directory: DirectoryFacts | None = None,
) -> SplitPlan:
    """Decide how to cut and cache a dump [data-plane 1.2 to 1.4].

    :param file_write: the source is a holding file, which can be read again.
    :param buffer_size: the storage's ``device_output_buffer_size``, bytes.
    :param buffer_size_set: it stands in the configuration; else it grows to four blocks.
    :param directory: facts about :func:`cache_directory`; None counts as no directory.
    """
    wanted = _from_fields(split, device, directory or DirectoryFacts(exists=False))
    holding_is_cache = file_write and wanted.allow_split
    mode, cache, text = _choose_mode(wanted, device, holding_is_cache)
    part_size = wanted.part_size
    if mode is Mode.CACHER and wanted.cache_max:
        part_size = min(part_size, wanted.cache_max)
    # a cache that cannot serve is no reason to change volumes
    repeatable = holding_is_cache or device.leom or _usable_cache(wanted) is not CacheKind.NONE
    allow_split = wanted.allow_split and repeatable
    retry = allow_split and (mode is not Mode.SPLITTER or device.leom or holding_is_cache)
    block = device.block_size
    memory = buffer_size if buffer_size_set else max(buffer_size, MIN_BUFFER_BLOCKS * block)
    leom_text = "(LEOM supported)" if device.leom else "(no LEOM)"
    rounded = _round_part(part_size, mode, cache, block, memory)
    return SplitPlan(
        part_size=rounded,
        block_size=block,
        buffer_size=_round_up(memory, block),
        mode=mode,
        cache=cache,
        cache_dir=wanted.cache_dir if cache is CacheKind.DISK else None,
        allow_split=allow_split,
        retry=retry,
        holding_is_cache=holding_is_cache,
        warnings=wanted.warnings,
        debug_text=f"preparing to write, part size {part_size}, {text} ({mode.value})  {leom_text}",
    )


def _dumptype_decides(split: SplitFields) -> bool:
    fields = (split.dle_tape_splitsize, split.dle_split_diskbuffer, split.dle_fallback_splitsize)
    return any(value is not None for value in fields)


def _from_fields(split: SplitFields, device: DeviceFacts, directory: DirectoryFacts) -> _Wanted:
    if split.dle_allow_split is False:
        return _Wanted()
    if _dumptype_decides(split):
        return _from_dumptype(split, directory)
    return _from_tapetype(split, device, directory)


def _from_dumptype(split: SplitFields, directory: DirectoryFacts) -> _Wanted:
    size = split.dle_tape_splitsize or 0
    if size <= 0:
        return _Wanted()
    warnings: tuple[str, ...] = ()
    if split.dle_split_diskbuffer and directory.exists:
        if directory.has_room(size):
            return _Wanted(
                part_size=size,
                cache=CacheKind.DISK,
                cache_dir=split.dle_split_diskbuffer,
                allow_split=True,
            )
        warnings = (
            "falling back to memory buffer for splitting: "
            "insufficient space in disk cache directory",
        )
    return _Wanted(
        part_size=size,
        cache=CacheKind.MEMORY,
        cache_max=max(split.dle_fallback_splitsize or 0, 0) or FALLBACK_SPLITSIZE,
        allow_split=True,
        warnings=warnings,
    )


def _from_tapetype(split: SplitFields, device: DeviceFacts, directory: DirectoryFacts) -> _Wanted:
    given = [size for size in (split.part_size, split.part_cache_max_size) if size is not None]
    smallest = min(given, default=0)
    cache = CacheKind.NONE
    cache_dir = None
    warning = None
    if split.part_cache_type == CacheKind.MEMORY.value:
        cache = CacheKind.MEMORY
    elif split.part_cache_type == CacheKind.DISK.value:
        cache_dir = split.part_cache_dir
        warning = _disk_cache_warning(cache_dir, directory, smallest)
        cache = CacheKind.DISK if warning is None else CacheKind.NONE
    return _Wanted(
        part_size=max(split.part_size or 0, 0),
        cache=cache,
        cache_dir=cache_dir,
        cache_max=max(split.part_cache_max_size or 0, 0),
        allow_split=smallest > 0 or device.leom,
        warnings=() if warning is None else (warning,),
    )


def _disk_cache_warning(name: str | None, directory: DirectoryFacts, size: int) -> str | None:
    """Why a disk cache cannot be used; the missing closing quote is stock's [data-plane 1.2]."""
    if not name:
        return "no part-cache-dir specified; using part cache type 'none'"
    if not directory.exists:
        return f"part-cache-dir '{name} does not exist; using part cache type 'none'"
    if not directory.has_room(size):
        return f"part-cache-dir '{name} has insufficient space; using part cache type 'none'"
    return None


def _usable_cache(wanted: _Wanted) -> CacheKind:
    """A cache without a part size has nothing to hold, so it is none [data-plane Q1]."""
    return wanted.cache if wanted.part_size else CacheKind.NONE


def _choose_mode(
    wanted: _Wanted, device: DeviceFacts, holding_is_cache: bool
) -> tuple[Mode, CacheKind, str]:
    """First match of the table in [data-plane 1.3], and its words for the debug log."""
    cache = _usable_cache(wanted)
    if device.directtcp:
        return Mode.DIRECTTCP, CacheKind.NONE, "using DirectTCP"
    if device.leom:
        text = "detection (no caching)"
        if holding_is_cache:
            text = "(falling back to holding disk as cache)"
        return Mode.SPLITTER, CacheKind.NONE, f"using LEOM {text}"
    if holding_is_cache:
        return Mode.SPLITTER, CacheKind.NONE, "using cache_inform"
    if cache is not CacheKind.NONE:
        return Mode.CACHER, cache, f"using cache type '{cache.value}'"
    return Mode.SPLITTER, CacheKind.NONE, "using no cache (PEOM will be fatal)"


def _round_part(part_size: int, mode: Mode, cache: CacheKind, block: int, memory: int) -> int:
    """Round as stock does, since part ends are visible on the volume [data-plane 1.4]."""
    if mode is not Mode.CACHER or not part_size:
        return _round_up(part_size, block)
    slab = min(SLAB_BLOCKS * block, part_size // 4, MAX_SLAB)
    if cache is not CacheKind.MEMORY:
        slab = min(slab, memory // 4)
    return _round_up(part_size, _round_up(max(slab, 1), block))


def _round_up(size: int, unit: int) -> int:
    return -(-size // unit) * unit

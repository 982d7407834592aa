"""Parts, caches and modes come out as stock chooses them [data-plane 1]."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.driver.messages import SplitFields
from taper.core.splitting import (
    CacheKind,
    DeviceFacts,
    DirectoryFacts,
    Mode,
    SplitPlan,
    cache_directory,
    plan,
)

MIB = 1024 * 1024
BUFFER = 1310720
ROOMY = DirectoryFacts(exists=True, free=1 << 40)
NARROW = DirectoryFacts(exists=True, free=1000)
LEOM = DeviceFacts(leom=True, directtcp=False, block_size=32768)
NO_LEOM = DeviceFacts(leom=False, directtcp=False, block_size=32768)
MOVER = DeviceFacts(leom=True, directtcp=True, block_size=32768)


def decide(
    device: DeviceFacts = NO_LEOM,
    *,
    file_write: bool = False,
    directory: DirectoryFacts | None = None,
    buffer_size: int = BUFFER,
    buffer_size_set: bool = False,
    **fields: Any,
) -> SplitPlan:
    return plan(
        SplitFields(**fields),
        device,
        file_write=file_write,
        buffer_size=buffer_size,
        buffer_size_set=buffer_size_set,
        directory=directory,
    )


def test_a_dumptype_that_forbids_splitting_overrules_everything() -> None:
    """allow_split 0: one part, one volume, though the tapetype says otherwise."""
    made = decide(
        LEOM, file_write=True, dle_allow_split=False, part_size=MIB, part_cache_type="memory"
    )
    assert (made.part_size, made.allow_split, made.retry) == (0, False, False)
    assert made.debug_text == (
        "preparing to write, part size 0, using LEOM detection (no caching) (splitter)"
        "  (LEOM supported)"
    )


def test_old_dumptype_fields_without_a_size_mean_no_splitting() -> None:
    """A fallback size alone does not split, and hides the tapetype's part size."""
    made = decide(LEOM, dle_fallback_splitsize=MIB, part_size=MIB)
    assert (made.part_size, made.allow_split, made.cache) == (0, False, CacheKind.NONE)


def test_a_split_diskbuffer_with_room_is_a_disk_cache() -> None:
    made = decide(
        dle_tape_splitsize=8 * MIB,
        dle_split_diskbuffer="/buffer",
        directory=ROOMY,
        part_size=1,
    )
    assert (made.mode, made.cache, made.cache_dir) == (Mode.CACHER, CacheKind.DISK, "/buffer")
    assert (made.part_size, made.allow_split, made.retry) == (26 * 327680, True, True)
    assert made.warnings == ()


def test_a_split_diskbuffer_without_room_falls_back_to_memory_and_warns() -> None:
    made = decide(dle_tape_splitsize=100 * MIB, dle_split_diskbuffer="/buffer", directory=NARROW)
    assert (made.mode, made.cache, made.cache_dir) == (Mode.CACHER, CacheKind.MEMORY, None)
    assert made.part_size == 10 * MIB
    assert made.warnings == (
        "falling back to memory buffer for splitting: insufficient space in disk cache directory",
    )


def test_a_missing_split_diskbuffer_falls_back_to_memory_without_a_word() -> None:
    made = decide(
        dle_tape_splitsize=4 * MIB, dle_split_diskbuffer="/none", dle_fallback_splitsize=2 * MIB
    )
    assert (made.cache, made.part_size, made.warnings) == (CacheKind.MEMORY, 2 * MIB, ())
    assert made.debug_text == (
        "preparing to write, part size 2097152, using cache type 'memory' (cacher)  (no LEOM)"
    )


@pytest.mark.parametrize(
    ("directory", "name", "warning"),
    [
        (None, None, "no part-cache-dir specified; using part cache type 'none'"),
        (
            DirectoryFacts(exists=False),
            "/c",
            "part-cache-dir '/c does not exist; using part cache type 'none'",
        ),
        (NARROW, "/c", "part-cache-dir '/c has insufficient space; using part cache type 'none'"),
        (
            DirectoryFacts(exists=True, free=None),
            "/c",
            "part-cache-dir '/c has insufficient space; using part cache type 'none'",
        ),
    ],
)
def test_an_unusable_part_cache_dir_means_no_cache(
    directory: DirectoryFacts | None, name: str | None, warning: str
) -> None:
    """Parts are still cut, but the end of the volume is the end of the dump."""
    made = decide(part_size=MIB, part_cache_type="disk", part_cache_dir=name, directory=directory)
    assert made.warnings == (warning,)
    assert (made.mode, made.cache, made.cache_dir) == (Mode.SPLITTER, CacheKind.NONE, None)
    assert (made.part_size, made.allow_split, made.retry) == (MIB, False, False)


def test_room_for_the_smaller_of_part_and_cache_maximum_is_enough() -> None:
    made = decide(
        part_size=100 * MIB,
        part_cache_type="disk",
        part_cache_dir="/c",
        part_cache_max_size=1000,
        directory=NARROW,
    )
    assert (made.mode, made.cache) == (Mode.CACHER, CacheKind.DISK)
    assert made.part_size == 32768


@pytest.mark.parametrize(
    ("device", "file_write", "cache", "mode", "text", "retry"),
    [
        (MOVER, True, "memory", Mode.DIRECTTCP, "using DirectTCP", True),
        (
            LEOM,
            True,
            "memory",
            Mode.SPLITTER,
            "using LEOM (falling back to holding disk as cache)",
            True,
        ),
        (LEOM, False, "memory", Mode.SPLITTER, "using LEOM detection (no caching)", True),
        (NO_LEOM, True, "memory", Mode.SPLITTER, "using cache_inform", True),
        (NO_LEOM, False, "memory", Mode.CACHER, "using cache type 'memory'", True),
        (NO_LEOM, False, "disk", Mode.CACHER, "using cache type 'disk'", True),
        (NO_LEOM, False, "none", Mode.SPLITTER, "using no cache (PEOM will be fatal)", False),
        (NO_LEOM, False, "odd", Mode.SPLITTER, "using no cache (PEOM will be fatal)", False),
    ],
)
def test_the_mode_is_the_first_that_fits(
    device: DeviceFacts, file_write: bool, cache: str, mode: Mode, text: str, retry: bool
) -> None:
    made = decide(
        device,
        file_write=file_write,
        part_size=MIB,
        part_cache_type=cache,
        part_cache_dir="/c",
        directory=ROOMY,
    )
    assert made.mode is mode
    assert text in made.debug_text
    assert (made.allow_split, made.retry) == (retry, retry)
    if mode is not Mode.CACHER:
        assert made.cache is CacheKind.NONE


def test_leom_alone_lets_a_dump_span_volumes() -> None:
    made = decide(LEOM)
    assert (made.part_size, made.allow_split, made.retry) == (0, True, True)


def test_without_part_size_and_leom_even_a_holding_file_stays_on_one_volume() -> None:
    made = decide(file_write=True)
    assert (made.allow_split, made.holding_is_cache, made.retry) == (False, False, False)
    assert "PEOM will be fatal" in made.debug_text


def test_a_cache_maximum_of_zero_cuts_parts_on_one_volume() -> None:
    """The odd case of the facts: splitting is off, but parts are cut."""
    made = decide(part_size=MIB, part_cache_max_size=0, part_cache_type="memory")
    assert (made.part_size, made.allow_split, made.mode) == (MIB, False, Mode.CACHER)


@pytest.mark.parametrize("cache", ["memory", "disk"])
def test_a_cache_without_part_size_is_none(cache: str) -> None:
    """Stock aborts here; ours writes one part."""
    made = decide(
        part_cache_type=cache, part_cache_dir="/c", part_cache_max_size=MIB, directory=ROOMY
    )
    assert (made.mode, made.cache, made.part_size) == (Mode.SPLITTER, CacheKind.NONE, 0)
    assert (made.allow_split, made.retry, made.warnings) == (False, False, ())


def test_parts_are_rounded_up_to_blocks() -> None:
    """1 MiB at 48 KiB blocks, as seen on the stock taper."""
    device = DeviceFacts(leom=True, directtcp=False, block_size=49152)
    made = decide(device, part_size=MIB)
    assert (made.part_size, made.buffer_size) == (1081344, 1327104)


def test_the_buffer_grows_to_four_blocks_unless_it_was_configured() -> None:
    device = DeviceFacts(leom=True, directtcp=False, block_size=MIB)
    assert decide(device).buffer_size == 4 * MIB
    assert decide(device, buffer_size_set=True).buffer_size == 2 * MIB


@pytest.mark.parametrize(
    ("cache", "part_size", "buffer_size", "rounded"),
    [
        # slab 16 blocks: 21 slabs
        ("memory", 21 * 524288 - 5, BUFFER, 21 * 524288),
        # slab a quarter of the part, in blocks: 9 * 32768
        ("memory", MIB + 4, BUFFER, 4 * 9 * 32768),
        # the disk cache's slab is also at most a quarter of the buffer: 10 blocks
        ("disk", 10 * MIB, BUFFER, 32 * 327680),
        ("memory", 10 * MIB, BUFFER, 20 * 524288),
        ("memory", 1, BUFFER, 32768),
        ("disk", 10 * MIB, 1, 10 * MIB),
    ],
)
def test_a_cached_part_is_rounded_up_to_slabs(
    cache: str, part_size: int, buffer_size: int, rounded: int
) -> None:
    made = decide(
        part_size=part_size,
        part_cache_type=cache,
        part_cache_dir="/c",
        directory=ROOMY,
        buffer_size=buffer_size,
        buffer_size_set=True,
    )
    assert made.mode is Mode.CACHER
    assert made.part_size == rounded


def test_only_a_directory_that_matters_is_looked_at() -> None:
    assert cache_directory(SplitFields(part_cache_type="disk", part_cache_dir="/c")) == "/c"
    assert cache_directory(SplitFields(part_cache_type="memory", part_cache_dir="/c")) is None
    old = SplitFields(dle_tape_splitsize=1, dle_split_diskbuffer="/d", part_cache_dir="/c")
    assert cache_directory(old) == "/d"
    assert cache_directory(SplitFields(dle_split_diskbuffer="/d")) is None
    forbidden = SplitFields(dle_allow_split=False, part_cache_type="disk", part_cache_dir="/c")
    assert cache_directory(forbidden) is None


SIZES = st.none() | st.integers(-1, 1 << 45)


@given(
    leom=st.booleans(),
    block=st.integers(1, 1 << 24),
    file_write=st.booleans(),
    buffer_size=st.integers(1, 1 << 30),
    fields=st.fixed_dictionaries(
        {
            "dle_tape_splitsize": SIZES,
            "dle_split_diskbuffer": st.sampled_from([None, "/d"]),
            "dle_fallback_splitsize": SIZES,
            "dle_allow_split": st.sampled_from([None, True, False]),
            "part_size": SIZES,
            "part_cache_type": st.sampled_from([None, "none", "memory", "disk", "x"]),
            "part_cache_dir": st.sampled_from([None, "/c"]),
            "part_cache_max_size": SIZES,
        }
    ),
    directory=st.none()
    | st.builds(DirectoryFacts, exists=st.booleans(), free=st.none() | st.integers(0, 1 << 45)),
)
def test_every_plan_can_be_carried_out(
    leom: bool,
    block: int,
    file_write: bool,
    buffer_size: int,
    fields: dict[str, Any],
    directory: DirectoryFacts | None,
) -> None:
    """Whatever the driver sends: whole blocks, a cache only with a part size, no false promise."""
    device = DeviceFacts(leom=leom, directtcp=False, block_size=block)
    made = decide(
        device, file_write=file_write, directory=directory, buffer_size=buffer_size, **fields
    )
    assert made.part_size % block == 0
    assert made.part_size >= 0
    assert made.buffer_size % block == 0
    assert made.buffer_size >= 4 * block
    assert (made.mode is Mode.CACHER) == (made.cache is not CacheKind.NONE)
    if made.cache is not CacheKind.NONE:
        assert made.part_size
        assert (made.cache_dir is not None) == (made.cache is CacheKind.DISK)
    assert made.allow_split or not made.retry

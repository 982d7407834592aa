"""Parts, caches and the end of a volume: every way a dump is cut, and what a full volume does."""

import pytest

from tests.conformance.harness import STAMP, Options, World
from tests.conformance.harness_files import Dump, dump_header
from tests.conformance.harness_talk import HANDLE, NO_SPLIT, PLAIN, WORKER, Conversation, split_by
from tests.conformance.harness_talk import split_by_dle as by_dle
from tests.conformance.harness_text import crc, payload, stats
from tests.conformance.kinds import AT_ONCE, EXACT

DATA = payload(1_000_000)
HALF = payload(524_288)
MILL = payload(1_575_936)
H2 = "00-00002"
POOL = '"ST:PROTO" "POOL:PROTO"'
HOME = f"localhost /home {STAMP}"
BLOCKS = "another number of blocks fits"
Parts = list[tuple[str, int, int]]


def started(world: World, usage_kib: int, leom: bool) -> Conversation:
    """Start a taper with volumes of this size."""
    world.configure(Options(usage_kib=usage_kib, leom=leom, slots=6))
    talk = world.start()
    talk.start_taper()
    return talk


def follow(talk: Conversation, parts: Parts, orig: str | None, handle: str = HANDLE) -> None:
    """Expect these parts (label, file, bytes), granting each new volume as it is asked for."""
    label = ""
    for part, fileno, size in parts:
        if part != label:
            talk.grant(part, handle)
            if not label:
                talk.ready(handle)
            label = part
        talk.part(part, fileno, size, orig, handle)


def write(
    world: World, talk: Conversation, split: str, parts: Parts, data: bytes, handle: str = HANDLE
) -> None:
    """Write a holding file in these parts, DONE at the end, every byte on the volumes."""
    talk.file_write(world.holding(data), split, handle)
    follow(talk, parts, "64", handle)
    talk.done(crc(data), handle=handle)
    world.check_dump(handle, data)


def dump(
    world: World, talk: Conversation, split: str, parts: Parts, data: bytes, handle: str = HANDLE
) -> None:
    """The same from a dumper."""
    dumper = talk.port_write(split, handle)
    dumper.header(world_header())
    sender = dumper.data(data)
    follow(talk, parts, None, handle)
    sender.join(60)
    talk.dumper_done(handle)
    talk.done(crc(data), handle=handle)
    world.check_dump(handle, data)


def world_header() -> bytes:
    """The header a dumper sends for the plain dump."""
    return dump_header(Dump())


@pytest.mark.parametrize(
    ("split", "sizes"),
    [
        (by_dle(262144), [262144, 262144, 262144, 213568]),
        (split_by(262144), [262144, 262144, 262144, 213568]),
        (split_by(500_000), [524288, 475712]),
        (split_by(1), [32768] * 30 + [16960]),
        (split_by(10_000_000), [1_000_000]),
        (split_by(262144, "memory"), [262144, 262144, 262144, 213568]),
        (NO_SPLIT, [1_000_000]),
        ('262144 "" "" 0 "" "" "" ""', [1_000_000]),
        ('"" "" "" 0 262144 memory "" ""', [1_000_000]),
        ('"" "" 262144 1 262144 memory "" ""', [1_000_000]),
        ('0 "" 65536 1 262144 memory "" ""', [1_000_000]),
        ('524288 "" "" 1 262144 none "" 131072', [524288, 475712]),
        (split_by(0), [1_000_000]),
        (PLAIN, [1_000_000]),
    ],
    ids=[
        "dle-splitsize", "part-size", "rounded-to-blocks", "one-block", "larger-than-dump",
        "file-write-needs-no-cache", "not-allowed", "not-allowed-dle", "not-allowed-tapetype",
        "fallback-alone-means-whole", "dle-zero", "dle-wins", "part-size-zero", "nothing-given",
    ],
)  # fmt: skip
def test_how_a_holding_file_is_cut(world: World, split: str, sizes: list[int]) -> None:
    """Part sizes from the eight fields of the command [data-plane 1.2, 1.4]."""
    talk = started(world, 4096, leom=False)
    parts = [("PROTO01", number, size) for number, size in enumerate(sizes, 1)]
    write(world, talk, split, parts, DATA)


@pytest.mark.parametrize(
    ("split", "sizes"),
    [
        (split_by(262144, "memory"), [262144, 262144, 262144, 213568]),
        (split_by(524288, "memory", '""', "262144"), [262144, 262144, 262144, 213568]),
        (split_by(524288, "disk", "/var/lib/amanda/cache"), [524288, 475712]),
        (split_by(524288, "disk", "/var/lib/amanda/cache", "262144"), [262144] * 3 + [213568]),
        (split_by(262144, "none"), [262144, 262144, 262144, 213568]),
        (split_by(262144), [262144, 262144, 262144, 213568]),
        (by_dle(524288, '""', "393216"), [393216, 393216, 213568]),
        (by_dle(524288, "/var/lib/amanda/cache", "393216"), [524288, 475712]),
        (NO_SPLIT, [1_000_000]),
    ],
    ids=["memory", "memory-limit", "disk", "disk-limit", "none", "no-type", "dle-fallback",
         "dle-diskbuffer", "not-allowed"],
)  # fmt: skip
def test_how_a_dumpers_data_is_cut(world: World, split: str, sizes: list[int]) -> None:
    """Part sizes of a PORT-WRITE: the cache bounds them [data-plane 1.3]."""
    world.mkdir("/var/lib/amanda/cache")
    talk = started(world, 4096, leom=False)
    parts = [("PROTO01", number, size) for number, size in enumerate(sizes, 1)]
    dump(world, talk, split, parts, DATA)
    assert list(world.path("/var/lib/amanda/cache").iterdir()) == []


@pytest.mark.only_on(*AT_ONCE, why="a tape waits for more")
@pytest.mark.parametrize("cache", ["none", "memory"])
@pytest.mark.parametrize("leom", [False, True])
def test_a_part_is_reported_as_soon_as_its_bytes_are_there(
    world: World, cache: str, leom: bool
) -> None:
    """A slow dumper: each full part is on the volume while the dumper still thinks."""
    talk = started(world, 4096, leom)
    dumper = talk.port_write(split_by(65_536, cache))
    dumper.header(world_header())
    talk.grant("PROTO01")
    talk.ready()
    with dumper.connect() as data:
        for fileno in (1, 2, 3):
            data.sendall(DATA[(fileno - 1) * 65_536 : fileno * 65_536])
            talk.part("PROTO01", fileno, 65_536, None)
            assert len(world.volume("PROTO01", last=fileno)[fileno].data) == 65_536
        data.sendall(DATA[196_608:200_000])
    talk.part("PROTO01", 4, 3_392, None)
    talk.dumper_done()
    talk.done(crc(DATA[:200_000]))


@pytest.mark.parametrize("way", ["file", "port"])
def test_an_exact_multiple_ends_with_an_empty_part(world: World, way: str) -> None:
    """Two full parts and a third of zero bytes, with header and file number [protocol T2]."""
    talk = started(world, 4096, leom=False)
    parts = [("PROTO01", 1, 262144), ("PROTO01", 2, 262144), ("PROTO01", 3, 0)]
    if way == "file":
        write(world, talk, split_by(262144), parts, HALF)
    else:
        dump(world, talk, split_by(262144, "memory"), parts, HALF)
    world.check_logged(f"PART taper {POOL} PROTO01 3 {HOME} 3/-1 0 [sec <f> bytes 0 <*>")
    world.check_logged(f"DONE taper {POOL} {HOME} 3 0 <*>")


@pytest.mark.every_kind
def test_a_part_that_does_not_fit_is_written_again(world: World) -> None:
    """No LEOM: the cut part counts for nothing and comes again from the holding file
    [protocol T3]."""
    talk = started(world, 1024, leom=False)
    parts = [("PROTO01", 1, 786432), ("PROTO02", 1, 786432), ("PROTO02", 2, 3072)]
    write(world, talk, split_by(786432), parts, MILL)
    talk.quit()
    part = f"PART taper {POOL}"
    whole = stats(786432, 64)
    world.check_log(
        "INFO taper Slot 1 without label can be labeled",
        f"START taper datestamp {STAMP} {POOL} label PROTO01 tape 1",
        f"{part} PROTO01 1 {HOME} 1/-1 0 {whole}",
        f'PARTPARTIAL taper {POOL} PROTO01 2 {HOME} 2/-1 0 {stats(163840, 64)} "<*>"',
        "INFO taper Will request retry of failed split part.",
        "INFO taper tape PROTO01 kb 768 fm 2 [OK]",
        "INFO taper Slot 2 without label can be labeled",
        f"START taper datestamp {STAMP} {POOL} label PROTO02 tape 2",
        f"{part} PROTO02 1 {HOME} 2/-1 0 {whole}",
        f"{part} PROTO02 2 {HOME} 3/-1 0 {stats(3072, 64)}",
        f"DONE taper {POOL} {HOME} 3 0 00000000:0 00000000:0 {crc(MILL)} {stats(1575936, 64)}",
        "INFO taper tape PROTO02 kb 771 fm 2 [OK]",
    )


@pytest.mark.every_kind
@pytest.mark.parametrize("chunk", [0, 300_000])
def test_a_part_cut_short_by_leom_is_good(world: World, chunk: int) -> None:
    """LEOM: the part ends early and the dump goes on behind it, nothing is repeated
    [protocol T4]."""
    talk = started(world, 1024, leom=True)
    talk.file_write(world.holding(MILL, chunk=chunk), split_by(786432))
    parts = [("PROTO01", 1, 786432), ("PROTO01", 2, 65536), ("PROTO02", 1, 723968)]
    follow(talk, parts, "64")
    talk.done(crc(MILL))
    world.check_dump(HANDLE, MILL)
    world.check_not_logged("PARTPARTIAL <*>")
    world.check_logged("INFO taper tape PROTO01 kb 832 fm 2 [OK]")


@pytest.mark.only_on(*EXACT, why=BLOCKS)
def test_leom_splits_even_without_a_part_size(world: World) -> None:
    """With LEOM a dump may span although no part size is given [data-plane 1.2.5]."""
    talk = started(world, 1024, leom=True)
    parts = [("PROTO01", 1, 884736), ("PROTO02", 1, 691200)]
    write(world, talk, PLAIN, parts, MILL)


@pytest.mark.only_on(*EXACT, why=BLOCKS)
def test_leom_on_the_last_block_asks_for_another_volume(world: World) -> None:
    """The data end exactly where LEOM comes: the empty last part goes to a new volume."""
    data = payload(884736)
    talk = started(world, 1024, leom=True)
    write(world, talk, PLAIN, [("PROTO01", 1, 884736), ("PROTO02", 1, 0)], data)


@pytest.mark.parametrize(
    "split",
    [
        split_by(262144, "memory"),
        split_by(262144, "disk", "/var/lib/amanda/cache"),
        by_dle(262144, "/var/lib/amanda/cache"),
        by_dle(262144),
    ],
    ids=["memory", "disk", "dle-diskbuffer", "dle-memory"],
)
def test_a_dumpers_part_comes_again_from_the_cache(world: World, split: str) -> None:
    """No LEOM, PORT-WRITE: the part that failed is rewritten from memory or disk."""
    world.mkdir("/var/lib/amanda/cache")
    talk = started(world, 768, leom=False)
    parts = [("PROTO01", 1, 262144), ("PROTO01", 2, 262144)]
    parts += [("PROTO02", 1, 262144), ("PROTO02", 2, 213568)]
    dump(world, talk, split, parts, DATA)
    world.check_logged(
        f'PARTPARTIAL taper {POOL} PROTO01 3 {HOME} 3/-1 0 <*> "<*>"',
        "INFO taper Will request retry of failed split part.",
        "INFO taper tape PROTO01 kb 512 fm 3 [OK]",
        f"START taper datestamp {STAMP} {POOL} label PROTO02 tape 2",
        f"PART taper {POOL} PROTO02 1 {HOME} 3/-1 0 {stats(262144)}",
        f"DONE taper {POOL} {HOME} 4 0 aaaaaaaa:1 bbbbbbbb:2 {crc(DATA)} {stats(1_000_000, 64)}",
    )


@pytest.mark.only_on(*EXACT, why=BLOCKS)
def test_a_dumpers_data_spans_with_leom_and_no_cache(world: World) -> None:
    """LEOM, PORT-WRITE: parts cut short are good, no cache is needed."""
    talk = started(world, 512, leom=True)
    parts = [("PROTO01", 1, 360448), ("PROTO02", 1, 360448), ("PROTO03", 1, 279104)]
    dump(world, talk, PLAIN, parts, DATA)


@pytest.mark.only_on(*EXACT, why=BLOCKS)
@pytest.mark.parametrize(("leom", "kept"), [(False, 0), (True, 360448)])
def test_a_dump_that_may_not_be_split_and_does_not_fit(world: World, leom: bool, kept: int) -> None:
    """PARTIAL TAPE-ERROR 'splitting not enabled'; the next dump gets a new volume
    [protocol T12]."""
    talk = started(world, 512, leom=leom)
    talk.file_write(world.holding(DATA), NO_SPLIT)
    talk.grant("PROTO01")
    talk.ready()
    if kept:
        talk.part("PROTO01", 1, kept)
    text = f"{'No space left on device' if leom else world.kind.full}, splitting not enabled"
    good = crc(DATA[:kept])
    tail = f'"{good}" "{stats(kept, 64)}" "" "{text}"'
    talk.expect(f"PARTIAL {WORKER} {HANDLE} INPUT-GOOD TAPE-ERROR {tail}")
    world.check_logged(
        f'PARTIAL taper {POOL} {HOME} 1 0 00000000:0 00000000:0 <crc> {stats(kept, 64)} "{text}"'
    )
    small = payload(65536)
    write(world, talk, PLAIN, [("PROTO02", 1, 65536)], small, H2)
    world.check_logged(f"INFO taper tape PROTO01 kb {kept // 1024} fm 1 [OK]")


@pytest.mark.only_on(*EXACT, why=BLOCKS)
def test_a_dumper_without_cache_cannot_span(world: World) -> None:
    """PORT-WRITE, no LEOM, cache none: the end of the volume ends the dump; good parts stay."""
    talk = started(world, 512, leom=False)
    dumper = talk.port_write(split_by(262144, "none"))
    dumper.header(world_header())
    sender = dumper.data(DATA)
    talk.grant("PROTO01")
    talk.ready()
    talk.part("PROTO01", 1, 262144, None)
    sender.join(60)
    text = f"{world.kind.full}, splitting not enabled"
    tail = f'"{crc(DATA[:262144])}" "{stats(262144)}" "" "{text}"'
    talk.expect(f"PARTIAL {WORKER} {HANDLE} INPUT-GOOD TAPE-ERROR {tail}")
    world.check_dump(HANDLE, DATA[:262144])


def test_a_further_volume_is_denied(world: World) -> None:
    """NO-NEW-TAPE after one part: PARTIAL TAPE-CONFIG with the reason, no NO-NEW-TAPE
    [protocol T7]."""
    talk = started(world, 512, leom=False)
    talk.file_write(world.holding(HALF), split_by(262144, "none", '""', "10240000"))
    talk.grant("PROTO01")
    talk.ready()
    talk.part("PROTO01", 1, 262144)
    reason = "1 tapes filled; runtapes=1 does not allow additional tapes"
    talk.deny(reason)
    tail = f'"{crc(HALF[:262144])}" "{stats(262144, 64)}" "" "{reason}"'
    talk.expect(f"PARTIAL {WORKER} {HANDLE} INPUT-GOOD TAPE-CONFIG {tail}")
    talk.quit()
    world.check_logged(
        f'PARTPARTIAL taper {POOL} PROTO01 2 {HOME} 2/-1 0 {stats(163840, 64)} "<*>"',
        "INFO taper Will request retry of failed split part.",
        "INFO taper tape PROTO01 kb 256 fm 2 [OK]",
        f"ERROR taper no-tape config [{reason}]",
        f'PARTIAL taper {POOL} {HOME} 2 0 00000000:0 00000000:0 <crc> <*> "{reason}"',
    )
    world.check_dump(HANDLE, HALF[:262144])


def test_no_further_volume_can_be_found(world: World) -> None:
    """The scan for the second volume fails: NO-NEW-TAPE, then PARTIAL TAPE-ERROR [protocol T9]."""
    world.configure(Options(usage_kib=512, slots=1))
    talk = world.start()
    talk.start_taper()
    talk.file_write(world.holding(HALF), split_by(262144))
    talk.grant("PROTO01")
    talk.ready()
    talk.part("PROTO01", 1, 262144)
    talk.expect(f"REQUEST-NEW-TAPE {WORKER} {HANDLE}")
    talk.send(f"START-SCAN {WORKER} {HANDLE}", f"NEW-TAPE {WORKER} {HANDLE}")
    talk.expect(f"NO-NEW-TAPE {WORKER} {HANDLE}")
    text = "No acceptable volumes found"
    tail = f'"{crc(HALF[:262144])}" "{stats(262144, 64)}" "" "{text}"'
    talk.expect(f"PARTIAL {WORKER} {HANDLE} INPUT-GOOD TAPE-ERROR {tail}")
    world.check_logged(
        "INFO taper all slots have been loaded",
        f"INFO taper {text}",
        f'PARTIAL taper {POOL} {HOME} 2 0 <*> "{text}"',
    )


def warned(world: World, split: str, text: str, sizes: list[int]) -> None:
    """Check that a PORT-WRITE warns in the log and goes on in these parts."""
    talk = started(world, 4096, leom=False)
    parts = [("PROTO01", number, size) for number, size in enumerate(sizes, 1)]
    dump(world, talk, split, parts, HALF)
    world.check_logged(f"WARNING taper localhost:/home: {text}")


def test_warning_when_no_cache_directory_is_given(world: World) -> None:
    """part_cache_type disk without a directory means none."""
    text = "no part-cache-dir specified; using part cache type 'none'"
    warned(world, split_by(393216, "disk"), text, [393216, 131072])


def test_warning_when_the_cache_directory_is_missing(world: World) -> None:
    """part_cache_type disk with a directory that is not there means none."""
    text = "part-cache-dir '/nosuch<*> does not exist; using part cache type 'none'"
    warned(world, split_by(393216, "disk", "/nosuch"), text, [393216, 131072])


def test_warning_about_a_dump_that_never_comes(world: World) -> None:
    """What is wrong with the command is told, whatever becomes of the dump."""
    talk = world.start()
    talk.start_taper()
    talk.port_write(split_by(393216, "disk", "/nosuch"))
    talk.send(f"FAILED {WORKER} {HANDLE}")
    talk.expect(f'FAILED {WORKER} {HANDLE} INPUT-ERROR TAPE-GOOD "Got empty header" ""')
    world.check_logged(
        "WARNING taper localhost:/home: part-cache-dir '/nosuch<*>", "FAIL taper <*>"
    )


def test_warning_when_the_cache_directory_is_too_small(world: World) -> None:
    """part_cache_type disk where a part does not fit means none."""
    world.mount_small("/var/lib/amanda/cache", 128)
    text = "part-cache-dir '/var/lib/amanda/cache<*> has insufficient space; <*>"
    warned(world, split_by(393216, "disk", "/var/lib/amanda/cache"), text, [393216, 131072])


def test_warning_when_the_split_buffer_is_too_small(world: World) -> None:
    """dle_split_diskbuffer too small: memory with the fallback size."""
    world.mount_small("/var/lib/amanda/cache", 128)
    text = "falling back to memory buffer for splitting: insufficient space in disk cache directory"
    split = by_dle(393216, "/var/lib/amanda/cache", "262144")
    warned(world, split, text, [262144, 262144, 0])

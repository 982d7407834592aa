"""What the trace logs tell of dumps and volumes."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.catalog import CataloguedPart, DumpCopy, copies_of_dumps, parts_of_log

TS = "20261122190855"
STATS = "[sec 0.100000 bytes 1048576 kps 10240.000000 orig-kb 2940]"
CRC = "6689cf21:3010560"
LOG = f"""\
INFO amdump amdump pid 1
START planner date {TS}
START taper datestamp {TS} "ST:near" "POOL:p" label V-1 tape 1
PART taper "ST:near" "POOL:p" V-1 1 localhost "/a b" {TS} 1/-1 0 {STATS}
PARTPARTIAL taper "ST:near" "POOL:p" V-1 2 localhost "/a b" {TS} 2/-1 0 {STATS} "No space"
START taper datestamp {TS} "ST:near" "POOL:p" label V-2 tape 2
PART taper "ST:near" "POOL:p" V-2 1 localhost "/a b" {TS} 2/-1 0 {STATS}
DONE taper "ST:near" "POOL:p" localhost "/a b" {TS} 2 0 {CRC} {CRC} {CRC} {STATS}
PART taper "ST:near" "POOL:p" V-2 2 other / {TS} 1/-1 1 {STATS}
PARTIAL taper "ST:near" "POOL:p" other / {TS} 1 1 {CRC} {CRC} {CRC} {STATS} "error"
DONE dumper localhost "/a b" {TS} 0 {STATS}
"""


def test_parts_and_the_volumes_they_lie_on() -> None:
    """Each part with its volume, and whether the dump came to its end."""
    parts = parts_of_log(LOG.splitlines(keepends=True), TS)
    assert [(part.label, part.fileno, part.partnum, part.good) for part in parts] == [
        ("V-1", 1, 1, True),
        ("V-1", 2, 2, False),
        ("V-2", 1, 2, True),
        ("V-2", 2, 1, True),
    ]
    assert [part.dump_done for part in parts] == [True, True, True, False]
    assert parts[0] == CataloguedPart(
        label="V-1",
        written=TS,
        fileno=1,
        storage="near",
        pool="p",
        host="localhost",
        disk="/a b",
        timestamp=TS,
        level=0,
        partnum=1,
        good=True,
        dump_done=True,
    )


def test_dumps_and_all_their_volumes() -> None:
    """One value per dump, over all volumes it spans."""
    assert copies_of_dumps(parts_of_log(LOG.splitlines(), TS)) == [
        DumpCopy(
            host="localhost",
            disk="/a b",
            timestamp=TS,
            level=0,
            volumes=frozenset({("V-1", TS), ("V-2", TS)}),
        ),
        DumpCopy(
            host="other",
            disk="/",
            timestamp=TS,
            level=1,
            volumes=frozenset({("V-2", TS)}),
            done=False,
        ),
    ]


def test_logs_of_old_versions() -> None:
    """Before 3.5 there were no storages, and a volume's START may stand in another log."""
    line = f"PART taper V-9 1 host disk {TS} 1/3 0 {STATS}\n"
    (part,) = parts_of_log([line], "20200101000000")
    assert (part.label, part.written, part.storage) == ("V-9", "20200101000000", "")


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.sampled_from(["START taper ", "PART taper ", "DONE taper ", "PART x ", ""]).flatmap(
            lambda head: st.text(max_size=30).map(lambda text: head + text)
        )
    )
)
def test_any_lines_are_survived(lines: list[str]) -> None:
    """A damaged log tells less, and never stops a run."""
    assert copies_of_dumps(parts_of_log(lines, TS)) == []

"""What the trace logs tell of dumps and volumes."""

from __future__ import annotations

from unittest.mock import patch

from hypothesis import given, settings
from hypothesis import strategies as st

from protocols import catalog
from protocols.catalog import Disk, DumpCopy, DumpsTold, by_disk, dumps_of_log
from protocols.crc import Crc
from protocols.tracelog import Done, Part, PartPartial, Start, encode

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
TOLD = {
    DumpCopy(TS, 0, frozenset({("V-1", TS), ("V-2", TS)})): (("localhost", "/a b"),),
    DumpCopy(TS, 1, frozenset({("V-2", TS)}), False): (("other", "/"),),
}


def told(text: str, stamp: str = TS) -> DumpsTold:
    return dumps_of_log([text], stamp, {})


def test_dumps_and_all_their_volumes() -> None:
    """One dump over all volumes it spans, and whether it came to its end."""
    assert told(LOG) == TOLD
    lines = LOG.splitlines(keepends=True)
    assert dumps_of_log(lines, TS, {}) == TOLD
    assert dumps_of_log(["".join(lines[:5]), "".join(lines[5:])], TS, {}) == TOLD


def test_what_dumps_have_in_common_is_told_once() -> None:
    """A night of a hundred disks on one volume is one copy, and a disk is known once."""
    names = [f"/{number}" for number in range(100)]
    text = "".join(
        f'PART taper "ST:S" "POOL:P" V 1 h {name} {TS} 1/-1 0 {STATS}\n'
        f'DONE taper "ST:S" "POOL:P" h {name} {TS} 1 0 {CRC} {CRC} {CRC} {STATS}\n'
        for name in names
    )
    known: dict[Disk, Disk] = {}
    first, second = (dumps_of_log([text], TS, known) for _ in range(2))
    assert first == {DumpCopy(TS, 0, frozenset({("V", TS)})): tuple(("h", name) for name in names)}
    (disks,), (again,) = first.values(), second.values()
    assert all(one is other for one, other in zip(disks, again, strict=True))


def test_logs_of_old_versions() -> None:
    """Before 3.5 there were no storages, and a volume's START may stand in another log."""
    line = f"PART taper V-9 1 host disk {TS} 1/3 0 {STATS}\n"
    copy = DumpCopy(TS, 0, frozenset({("V-9", "20200101000000")}), False)
    assert told(line, "20200101000000") == {copy: (("host", "disk"),)}


def test_copies_of_amvault() -> None:
    """It writes as taper does, with fewer words."""
    assert told(LOG.replace(f"{CRC} {CRC} {CRC} ", "").replace('"POOL:p" ', "")) == TOLD


def test_other_line_ends_change_nothing() -> None:
    """A log that went through another system, and one whose last line has no end."""
    assert told(LOG.replace("\n", "\r\n")) == TOLD
    assert told(LOG.replace("DONE dumper", "WHAT dumper").rstrip("\n")) == TOLD


def test_the_newest_dump_of_a_disk_comes_first() -> None:
    """Of the same time the one of the higher level; the disks in order, whatever the logs' is."""
    a, b = ("a", "/"), ("b", "/")
    old, full, higher = DumpCopy("1", 0), DumpCopy("2", 0), DumpCopy("2", 1)
    logs: list[DumpsTold] = [{old: (b, a), full: (b,)}, {higher: (b,)}]
    for order in (logs, logs[::-1]):
        assert list(by_disk(order).items()) == [(a, [old]), (b, [higher, full, old])]


@settings(max_examples=100)
@given(
    st.lists(
        st.sampled_from(["START taper ", "PART taper ", "DONE taper ", "PART x ", ""]).flatmap(
            lambda head: st.text(max_size=30).map(lambda text: head + text)
        )
    )
)
def test_any_lines_are_survived(lines: list[str]) -> None:
    """A damaged log tells less, and never stops a run."""
    assert told("\n".join(lines)) == {}


names = st.sampled_from(
    ["a", "b c", 'q"t', "b\\s", "\udce9", "", "ST:x", "x]", "[sec", "a\tb", "1"]
)
crcs = st.just(Crc(0x6689CF21, 3010560))
counts = st.integers(-1, 3)
pool = {"storage": names, "pool": names}
dump = {"host": names, "disk": names, "datestamp": names, "level": st.sampled_from("012")}
part = {"label": names, "fileno": counts, "partnum": counts, "stats": st.just(STATS)}
records = st.one_of(
    st.builds(Start, datestamp=names, label=names, tape=counts, **pool),
    st.builds(Part, **pool, **dump, **part),
    st.builds(PartPartial, **pool, **dump, **part, text=names),
    st.builds(
        Done,
        **pool,
        **dump,
        parts=counts,
        native_crc=crcs,
        client_crc=crcs,
        server_crc=crcs,
        stats=st.just(STATS),
    ),
)


@settings(max_examples=300)
@given(st.data(), st.lists(records, max_size=6))
def test_the_usual_form_is_read_as_word_by_word(data: st.DataObject, lines: list[object]) -> None:
    """However a line is spoiled: the quick way through it finds what the slow one does."""
    text = b"".join(map(encode, lines)).decode("utf-8", "surrogateescape")  # type: ignore[arg-type]
    for _ in range(data.draw(st.integers(0, 3), label="faults")):
        at = data.draw(st.integers(0, len(text)), label="at")
        new = data.draw(st.sampled_from(["", " ", '"', "\\", "0", "]", "\r", "\n"]), label="new")
        text = text[:at] + new + text[at + data.draw(st.integers(0, 2), label="gone") :]
    quick = told(text)
    with patch.object(catalog, "_read_usual", lambda type_, text: None):
        assert told(text) == quick

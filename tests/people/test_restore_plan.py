"""Which dumps are restored, in which order, and from which copies."""

from __future__ import annotations

import gzip
from itertools import pairwise
from pathlib import Path

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from protocols.conf.sections import Application, Dumptype
from protocols.crc import Crc
from protocols.header import Header, HeaderType
from protocols.stored import BrokenPart, DumpName, End, StoredDump, StoredPart, ToldDump
from protocols.tararchive import Hole
from taper.people.catalogue import Copy
from taper.people.restore.finding import as_remains, names_in, paths_in, plain_path
from taper.people.restore.plan import (
    Contents,
    Lacking,
    NothingToRestore,
    Plan,
    Restorable,
    base_of,
    choose,
    latest,
    make_plan,
    why_not,
)
from taper.people.restore.telling import tell_plan
from taper.people.restore.trust import (
    application_is_known,
    is_plain_name,
    is_tar,
    known_filters,
    unknown_filters,
)
from tests.fakes.config import make_config

STAMPS = tuple(f"202601{day:02}000000" for day in range(1, 9))


def held(day: int, level: int) -> Restorable:
    return Restorable(datestamp=STAMPS[day], level=level, size=10, holding="/hold/x")


def stored(day: int, level: int, *labels: str, storage: str = "near") -> Restorable:
    name = DumpName(storage=storage, host="h", disk="/d", datestamp=STAMPS[day], level=str(level))
    parts = tuple(
        StoredPart(label=label, fileno=1, number=number, size=5)
        for number, label in enumerate(labels, 1)
    )
    dump = StoredDump(name=name, written=STAMPS[day], parts=parts, crc=None)  # type: ignore[arg-type]
    return Restorable(datestamp=STAMPS[day], level=level, size=5 * len(labels), dump=dump)


def levels(chain: list[list[Restorable]]) -> list[tuple[int, int]]:
    return [(STAMPS.index(copies[0].datestamp), copies[0].level) for copies in chain]


def test_each_dump_builds_on_the_last_of_a_lower_level() -> None:
    copies = [held(0, 0), held(1, 1), held(2, 2), held(3, 1), held(4, 2), held(5, 2), held(6, 3)]
    assert levels(choose(copies, None, None)) == [(0, 0), (3, 1), (5, 2), (6, 3)]
    assert levels(choose(copies, latest("2026-01-03"), None)) == [(0, 0), (1, 1), (2, 2)]
    assert levels(choose(copies, latest("20260104"), None)) == [(0, 0), (3, 1)]
    assert levels(choose(copies, None, 2)) == [(5, 2)]


@given(st.lists(st.tuples(st.integers(0, 7), st.integers(0, 3)), min_size=1, unique=True))
def test_a_chain_is_what_retention_keeps_too(dumps: list[tuple[int, int]]) -> None:
    chain = levels(choose([held(*dump) for dump in dumps], None, None))
    assert chain[-1] == max(dumps)
    for (day, level), (later, higher) in pairwise(chain):
        assert level < higher
        assert not any((day, level) < dump < (later, higher) and dump[1] < higher for dump in dumps)
    assert not any(dump < chain[0] and dump[1] < chain[0][1] for dump in dumps)


def test_what_there_is_instead() -> None:
    with pytest.raises(NothingToRestore, match="no complete dump"):
        choose([], None, None)
    with pytest.raises(
        NothingToRestore,
        match=r"of 2026-01-01 or before; there are those of 2026-01-02 \(level 1\)",
    ):
        choose([held(1, 1)], latest("2026-01-01"), None)
    with pytest.raises(NothingToRestore, match="no dump of level 0; "):
        choose([held(1, 1)], None, 0)


# dumps that are not whole


def told(
    day: int,
    *parts: StoredPart,
    end: End = End.DONE,
    count: int = 3,
    size: int = 30,
) -> ToldDump:
    name = DumpName(storage="near", host="h", disk="/d", datestamp=STAMPS[day], level="0")
    crc = Crc(value=1, size=size)
    return ToldDump(
        name=name,
        pool="P",
        written=STAMPS[day],
        end=end,
        parts=parts,
        count=count,
        crc=crc,
        why="x",
    )


def one_part(number: int, label: str = "N1", size: int | None = 10) -> StoredPart:
    return StoredPart(label=label, fileno=number, number=number, size=size, about=size or 10)


def rest(dump: ToldDump, *labels: str, forgotten: tuple[str, ...] = ()) -> Restorable:
    return as_remains(Copy(dump=dump, gone=(*labels, *forgotten), forgotten=forgotten))


def test_what_there_is_of_a_dump_that_is_not_whole() -> None:
    """A part that stands for those that are nowhere has their size, where that is known."""

    def row(dump: ToldDump) -> list[tuple[str, int, int | None]]:
        return [(part.label, part.number, part.size) for part in dump.as_remains().parts]

    first, second, third = (one_part(number) for number in (1, 2, 3))
    assert row(told(0, first, third)) == [("N1", 1, 10), ("", 2, 10), ("N1", 3, 10)]
    assert row(told(0, second, size=44, count=2)) == [("", 1, 34), ("N1", 2, 10)]
    assert row(told(0, first, count=4, size=40)) == [("N1", 1, 10), ("", 2, 30)]
    assert row(told(0, second)) == [("", 1, None), ("N1", 2, 10), ("", 3, None)]
    assert row(told(0, first, one_part(3, size=None)))[1] == ("", 2, None)
    broken = BrokenPart(label="N2", fileno=1, number=2, about=4, why="no space")
    assert row(evolve(told(0, first, end=End.OPEN, count=0), broken=(broken,))) == [
        *(("N1", 1, 10), ("N2", 2, None))
    ]
    assert row(told(0, first, one_part(1 << 40), end=End.OPEN, count=0))[-1] == ("", 2, None)


@given(st.sets(st.integers(1, 9)), st.integers(0, 9), st.sampled_from(End))
def test_no_part_is_left_out(numbers: set[int], count: int, end: End) -> None:
    """Those that the log tells of are there, and where one is not, something stands for it."""
    dump = told(0, *map(one_part, sorted(numbers)), end=end, count=count, size=1000)
    parts = dump.as_remains().parts
    last = count if count and end is End.DONE else max([count, *numbers])
    assert {part.number for part in parts if part.label} == {n for n in numbers if n <= last}
    stands = {part.number for part in parts if not part.label}
    assert stands == {n for n in {*range(1, last + 1)} - numbers if n == 1 or n - 1 in numbers}
    assert [part.number for part in parts] == sorted(part.number for part in parts)


def test_volumes_that_were_forgotten_are_read_and_those_written_again_are_not() -> None:
    dump = told(0, one_part(1, "N1"), one_part(2, "N2"), one_part(3, "N3"))
    copy = rest(dump, "N1", forgotten=("N3",))
    assert (copy.labels, copy.size, copy.unfinished) == (("N2", "N3"), 20, False)
    assert copy.lacks == "volume N1 written again; volume N3 forgotten (not in the tapelist)"
    plan = make_plan("h", "/d", [[copy]], {"near": Contents({"N3": "1"})}, {})
    assert plan.missing == ("N2",)
    assert [need.label for need in plan.steps[0].needs] == ["N2", "N3"]


def test_whole_dumps_are_taken_before_others() -> None:
    """Of those that are not whole, what a chain begins with, or all of it where there is none."""

    def part_of(day: int, level: int) -> Restorable:
        return evolve(held(day, level), lacks="something", unfinished=True)

    assert levels(choose([held(0, 0)], None, None, [part_of(1, 0), part_of(2, 1)])) == [(0, 0)]
    several = [part_of(0, 0), part_of(1, 0), part_of(4, 0), part_of(2, 1)]
    assert levels(choose([held(3, 2)], None, None, several)) == [(1, 0), (2, 1), (3, 2)]
    assert levels(choose([held(3, 1)], None, None, several)) == [(1, 0), (3, 1)]
    assert levels(choose([held(5, 0)], latest("2026-01-03"), None, several)) == [(1, 0), (2, 1)]
    assert levels(choose([held(3, 2)], None, 1, several)) == [(2, 1)]
    ((copy,),) = choose([held(0, 0)], None, None, [part_of(0, 0)])
    assert copy.lacks is None


def test_of_copies_that_are_not_whole_the_one_that_has_most() -> None:
    less, more = rest(told(0, one_part(1))), rest(told(0, one_part(1, "N2"), one_part(2, "N2")))
    assert make_plan("h", "/d", [[less, more]], {}, {}).steps[0].copy is less  # none is at hand
    there = {"near": Contents({"N1": "1", "N2": "2"})}
    assert make_plan("h", "/d", [[less, more]], there, {}).steps[0].copy is more


def test_why_there_is_nothing_to_restore() -> None:
    copy = rest(told(0, one_part(1), end=End.PARTIAL))
    lost = [
        Lacking(datestamp=STAMPS[day], level=0, why=f"volume N{day} written again")
        for day in (7, 6, 5, 4, 3, 2)
    ]
    assert why_not("there is none", [copy], lost, partial=False) == (
        "there is none. Not whole: level 0 of 2026-01-01 on near (partial: x). Say --partial to "
        "restore what there is of it"
    )
    said = why_not("there is no complete dump of it", [], lost, partial=True)
    assert "Not whole: level 0 of 2026-01-08 (volume N7 written again), " in said
    assert said.endswith(", and 1 more")
    assert why_not("no", [], [], partial=False) == "no"
    said = why_not("no", [copy], lost, partial=False, elsewhere=["far", "far"])
    assert said == "no; without --storage, there is one on far"


def test_what_the_first_dump_builds_on() -> None:
    """Only what is known to be overwritten is called that."""
    lost = [
        Lacking(datestamp=STAMPS[day], level=level, why=f"why {day}", left=True)
        for day, level in ((6, 0), (5, 1), (3, 0), (2, 0))
    ]
    base = base_of([[held(5, 1)]], lost)
    assert base == lost[2]
    assert base_of([[held(1, 1)]], lost) is None

    def said(base: Lacking | None) -> str:
        plan = make_plan("h", "/d", [[held(5, 1)]], {}, {}, base=base)
        return str(tell_plan(plan, "/to").shown[-1])

    assert (
        "level 1 builds on level 0 of 2026-01-04, which cannot be restored as a whole: why 3."
        in said(base)
    )
    assert said(base).endswith("With --partial, what there is of that one is restored first.")
    assert "builds on one that no log tells of any more" in said(None)
    assert "overwritten" not in said(base) + said(None)


@pytest.mark.parametrize(
    ("date", "until"),
    [
        ("2026-01-02", "20260102999999"),
        ("20260102", "20260102999999"),
        ("2026-01-02 03:04", "20260102030499"),
        ("2026-01-02T03:04:05", "20260102030405"),
        ("20260102030405", "20260102030405"),
    ],
)
def test_dates(date: str, until: str) -> None:
    assert latest(date) == until


@pytest.mark.parametrize("date", ["yesterday", "2026", "2026-1-2", "2026-01-02 03", ""])
def test_what_is_no_date(date: str) -> None:
    with pytest.raises(ValueError, match="is no date: expected YYYY-MM-DD"):
        latest(date)


def test_the_copy_that_costs_least() -> None:
    """A held one before all; then the one whose volumes are there."""
    near, far = stored(0, 0, "N1", "N2"), stored(0, 0, "F1", "F2", "F3", storage="far")
    there = {"near": Contents({"N1": "1"}), "far": Contents({"F1": "1", "F2": "2", "F3": "3"})}
    plan = make_plan("h", "/d", [[near, far]], there, {})
    assert plan.steps[0].copy is far
    assert (plan.missing, plan.steps[0].others, plan.size) == ((), ("near",), 15)
    plan = make_plan("h", "/d", [[near, far]], {"near": there["near"]}, {})
    assert plan.steps[0].copy is near
    assert plan.missing == ("N2",)
    hidden = {"near": Contents({"N1": "1"}, hidden=True)}
    assert make_plan("h", "/d", [[near]], hidden, {}).missing == ()
    both = [near, Restorable(datestamp=near.datestamp, level=0, size=1, holding="/hold/x")]
    assert make_plan("h", "/d", [both], there, {}).steps[0].copy.holding == "/hold/x"


def test_dumps_without_what_is_wanted() -> None:
    """An index tells; without one the dump is read."""
    chain = [[held(0, 0)], [held(1, 1)], [held(2, 2)]]
    wanted: dict[tuple[str, int], tuple[str, ...]] = {chain[0][0].key: ("a",), chain[1][0].key: ()}
    plan = make_plan("h", "/d", chain, {}, wanted, ("a", "b"))
    assert [(step.copy.level, step.paths) for step in plan.steps] == [(0, ("a",)), (2, ("a", "b"))]
    assert [copy.level for copy in plan.passed_over] == [1]


def test_a_full_dump_that_is_gone() -> None:
    assert make_plan("h", "/d", [[held(1, 1)]], {}, {}).base_missing
    assert not make_plan("h", "/d", [[held(1, 1)]], {}, {}, alone=True).base_missing


def test_a_level_in_between_that_is_gone() -> None:
    """It is said, whether anything tells of the lost one or not; one that nothing builds on is no
    matter."""
    chain = [[held(0, 0)], [held(2, 1)], [held(6, 2)]]

    def plan(*lost: tuple[int, int]) -> Plan:
        return make_plan("h", "/d", chain, {}, {}, lost=[held(*one).key for one in lost])

    assert plan().complete
    assert plan((1, 1), (3, 2), (7, 1)).complete
    assert plan((4, 1), (1, 0)).lost == (held(1, 0).key, held(4, 1).key)
    assert not plan((4, 1)).complete
    assert make_plan("h", "/d", [[held(0, 0)], [held(6, 2)]], {}, {}).gap


# the index


@pytest.mark.parametrize("ending", [".gz", "-unsorted.gz", ""])
def test_an_index(tmp_path: Path, ending: str) -> None:
    """Names as tar lists them, in the order of the archive."""
    text = b"/\n/a/\n/a/x\n/b\\303\\274\\\\\\n/\n/b\\303\\274\\\\\\n/y\n/z z\n"
    place = tmp_path / "h" / "_d"
    place.mkdir(parents=True)
    data = gzip.compress(text) if ending.endswith(".gz") else text
    (place / f"{STAMPS[0]}_0{ending}").write_bytes(data)
    config = make_config(indexdir=str(tmp_path))
    wanted = ("a", "bü\\\n/y", "z", "z z")
    assert paths_in(config, "h", "/d", held(0, 0), wanted) == ("a", "bü\\\n/y", "z z")
    assert paths_in(config, "h", "/d", held(1, 0), wanted) is None

    def lost(*holes: tuple[str, str]) -> tuple[str, ...]:
        places = [Hole(start=0, size=1, before=before, after=after) for before, after in holes]
        return names_in(config, "h", "/d", held(0, 0), places)

    assert lost(("./a/", "./z z")) == ("a/x", "bü\\\n/y")
    assert lost(("./", "./a/x"), ("./a/x", "")) == ("bü\\\n/y", "z z")
    assert lost(("", "./bü\\\n/")) == ("a/x",)
    assert lost(("./nowhere", "")) == ()


@pytest.mark.parametrize("damage", [b"\x1f\x8b rubbish", gzip.compress(b"/a\n" * 99)[:-20]])
def test_a_damaged_index_is_none(tmp_path: Path, damage: bytes) -> None:
    place = tmp_path / "h" / "_d"
    place.mkdir(parents=True)
    (place / f"{STAMPS[0]}_0.gz").write_bytes(damage)
    config = make_config(indexdir=str(tmp_path))
    assert paths_in(config, "h", "/d", held(0, 0), ("b",)) is None
    assert names_in(config, "h", "/d", held(0, 0), [Hole(0, 1, "./b", "")]) == ()


@pytest.mark.parametrize("path", ["a/b", "/a/b", "./a//b/", "a/./b"])
def test_paths(path: str) -> None:
    assert plain_path(path) == "a/b"


@pytest.mark.parametrize("path", ["../a", "a/../../b", "/", ".", ""])
def test_what_is_no_path(path: str) -> None:
    with pytest.raises(ValueError, match="is no path below"):
        plain_path(path)


# what may be run


def test_programs_that_the_configuration_knows(tmp_path: Path) -> None:
    (tmp_path / "disklist").write_text('h /d {\n client-encrypt "/bin/own"\n}\n')
    (tmp_path / "amanda.conf").write_text("")
    config = make_config(
        Dumptype("one", server_encrypt="/bin/lock", server_decrypt_option="-k"),
        Dumptype("two", client_custom_compress="/bin/pack"),
        Application("app", plugin="amthing"),
        directory=str(tmp_path),
        diskfile="disklist",
    )
    known = known_filters(config, "H", "/d")
    assert {("/bin/lock", "-k"), ("/bin/pack", "-d"), ("/bin/own", "-d")} <= known
    commands = [
        *(("/bin/lock", "-k"), ("/bin/pack", "-d"), ("/bin/gzip", "-dc"), ("/bin/own", "-d")),
        *(("/bin/lock", "--other"), ("/bin/gzip", "-x"), ("/bin/evil", "-d"), ("/bin/mine", "-d")),
    ]
    assert unknown_filters(commands, known, ("/bin/mine",), "/bin/gzip") == commands[4:7]
    assert application_is_known(config, "amthing", ())
    assert not application_is_known(config, "amother", ())
    assert application_is_known(config, "amother", ("amother",))


def test_names_of_applications() -> None:
    assert all(map(is_plain_name, ("amgtar", "am-x_1")))
    assert not any(map(is_plain_name, ("", "../x", "a/b", "a b", ".", "ü", "a;b")))


@pytest.mark.parametrize(
    ("program", "application", "good"),
    [
        *(("GNUTAR", "", True), ("/bin/tar", "", True), ("DUMP", "", False)),
        *(("APPLICATION", "amgtar", True), ("APPLICATION", "amzfs-sendrecv", False)),
    ],
)
def test_what_tar_unpacks(program: str, application: str, good: bool) -> None:
    header = Header(type=HeaderType.DUMPFILE, program=program, application=application)
    assert is_tar(header) is good

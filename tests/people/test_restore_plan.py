"""Which dumps are restored, in which order, and from which copies."""

from __future__ import annotations

import gzip
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.conf.sections import Application, Dumptype
from protocols.header import Header, HeaderType
from protocols.stored import DumpName, StoredDump, StoredPart
from protocols.tararchive import Hole
from taper.people.restore.finding import names_in, paths_in, plain_path
from taper.people.restore.plan import (
    Contents,
    NothingToRestore,
    Plan,
    Restorable,
    choose,
    latest,
    make_plan,
)
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

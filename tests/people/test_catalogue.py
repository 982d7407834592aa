"""Which dumps there are, and what of them can be had."""

from __future__ import annotations

from pathlib import Path

import pytest

from protocols.conf import Config, Holdingdisk
from protocols.header import Header, HeaderType, build_header
from protocols.stored import BrokenPart, End, told_dumps
from protocols.tapelist import parse_tapelist
from taper.people.catalogue import Catalogue, Copy, HeldDump, Use, make_catalogue
from taper.people.reading import read_catalogue
from taper.run.log_catalog import HistoryError
from tests.fakes.config import make_config

STAMP = "20260102000000"
TAPELIST = b"20260102000000 D02 reuse\n20260102000000 D01 reuse\n20260101000000 D00 reuse\n"
PLACE = '"ST:near" "POOL:near"'
STATS = "[sec 2 bytes {} kps 1 orig-kb 9]"


def start(label: str, stamp: str = STAMP) -> str:
    return f"START taper datestamp {stamp} {PLACE} label {label} tape 1\n"


def part(label: str, fileno: int, number: int, size: int = 10, disk: str = "/srv") -> str:
    words = f"{label} {fileno} localhost {disk} {STAMP} {number}/-1 0 {STATS.format(size)}"
    return f"PART taper {PLACE} {words}\n"


def broken(label: str, fileno: int, number: int, size: int = 10) -> str:
    words = f"{label} {fileno} localhost /srv {STAMP} {number}/-1 0 {STATS.format(size)}"
    return f'PARTPARTIAL taper {PLACE} {words} "No space left on device"\n'


def end(parts: int, word: str = "DONE", disk: str = "/srv", more: str = "") -> str:
    words = f"localhost {disk} {STAMP} {parts} 0 1:1 2:2 a:20 {STATS.format(20)}"
    return f"{word} taper {PLACE} {words}{more}\n"


def catalogue(*lines: str, stamp: str = STAMP, tapelist: bytes = TAPELIST) -> Catalogue:
    told = told_dumps(lines, stamp, default_storage="C")
    return make_catalogue(parse_tapelist(tapelist), told)


def only(found: Catalogue) -> Copy:
    (copy,) = found.copies
    return copy


def test_a_dump_over_two_volumes() -> None:
    found = catalogue(start("D01"), part("D01", 1, 1), start("D02"), part("D02", 1, 2), end(2))
    copy = only(found)
    assert copy.restorable
    assert copy.lacks is None
    assert (copy.dump.size, copy.dump.orig_kb, copy.dump.seconds) == (20, 9, 2.0)
    assert copy.dump.labels == ("D01", "D02")
    assert found.use_of("D01") == Use(size=10, parts=1, dumps=1)
    assert found.use_of("D00") == Use()
    assert list(found.of("LOCALHOST", "/srv")) == [copy]
    assert list(found.of("localhost", "/")) == list(found.of("elsewhere")) == []


def test_the_part_that_met_the_end_of_a_volume_is_there_but_not_good() -> None:
    lines = (start("D01"), broken("D01", 3, 1, 7), start("D02"), part("D02", 1, 1), end(1))
    found = catalogue(*lines)
    copy = only(found)
    assert copy.restorable
    assert copy.dump.labels == ("D02",)
    ((there, piece),) = found.parts_on("D01")
    assert there is copy
    assert piece == BrokenPart(
        label="D01", fileno=3, number=1, about=7, why="No space left on device"
    )
    assert found.use_of("D01") == Use(size=7, parts=1, broken=1, dumps=1)


@pytest.mark.parametrize(
    ("lines", "lacks"),
    [
        ([part("D01", 1, 1), end(1, "PARTIAL", more=' "out of tape"')], "partial: out of tape"),
        ([part("D01", 1, 1), end(1, "PARTIAL")], "partial: its dumper failed"),
        ([part("D01", 1, 1)], "open: the trace log does not tell how it ended"),
        ([part("D01", 1, 2), end(3)], "the log does not tell of parts 1, 3"),
        ([part("D01", 1, 9), end(9)], "the log does not tell of parts 1, 2, 3, 4, 5, ..."),
        ([end(0)], "the log tells of 0 parts"),
        (
            [part("D01", 1, 1), f'FAIL taper {PLACE} localhost /srv {STAMP} 0 error "no more"'],
            "failed: no more",
        ),
    ],
)
def test_what_a_dump_lacks(lines: list[str], lacks: str) -> None:
    copy = only(catalogue(start("D01"), *lines))
    assert not copy.restorable
    assert copy.lacks == lacks


def test_a_dump_of_which_nothing_is_on_volumes_is_none() -> None:
    lines = (start("D01"), f'FAIL taper {PLACE} localhost /srv {STAMP} 0 config "none"')
    assert catalogue(*lines).copies == ()


def test_a_volume_that_was_written_again() -> None:
    lines = (start("D01"), part("D01", 1, 1), start("D02"), part("D02", 1, 2), end(2))
    later = TAPELIST.replace(b"20260102000000 D02", b"20260103000000 D02")
    found = catalogue(*lines, tapelist=later)
    copy = only(found)
    assert copy.gone == ("D02",)
    assert copy.lacks == "volume D02 written again"
    assert found.on("D02") == ()
    assert found.on("D01") == (copy,)
    forgotten = TAPELIST.replace(b"20260102000000 D02 reuse\n", b"")
    copy = only(catalogue(*lines, tapelist=forgotten))
    assert (copy.gone, copy.overwritten) == (("D02",), ())
    assert copy.lacks == "volume D02 forgotten (not in the tapelist)"


def test_a_dump_that_was_begun_anew() -> None:
    """What was written for the first attempt counts for that one alone."""
    lines = (
        *(start("D01"), part("D01", 1, 1), end(1, "PARTIAL")),
        *(part("D01", 2, 1), part("D01", 3, 2), end(2)),
    )
    found = catalogue(*lines)
    first, second = found.copies
    assert [(copy.dump.end, copy.restorable) for copy in (first, second)] == [
        (End.PARTIAL, False),
        (End.DONE, True),
    ]
    assert [piece.fileno for _, piece in found.parts_on("D01")] == [1, 2, 3]


# From files


@pytest.fixture
def config(tmp_path: Path) -> Config:
    (tmp_path / "log").mkdir()
    (tmp_path / "log" / f"log.{STAMP}.0").write_text(start("D01") + part("D01", 1, 1) + end(1))
    (tmp_path / "log" / f"log.{STAMP}.1").write_text(
        start("D02") + part("D02", 1, 1, disk="/home") + end(1, disk="/home")
    )
    (tmp_path / "log" / "log.20250101000000.0").write_text("no volume is of this day\n")
    (tmp_path / "tapelist").write_bytes(TAPELIST)
    (tmp_path / "hold" / STAMP).mkdir(parents=True)
    return make_config(
        Holdingdisk("hd", directory=str(tmp_path / "hold")),
        directory=str(tmp_path),
        tapelist="tapelist",
        logdir="log",
        holdingdisk=("hd",),
    )


def hold(path: Path, size: int, following: str = "", *, partial: bool = False) -> None:
    kind = HeaderType.CONT_DUMPFILE if path.name.endswith(".1") else HeaderType.DUMPFILE
    header = Header(
        type=kind,
        datestamp="20260103",
        host="localhost",
        disk="/srv",
        level=0,
        program="GNUTAR",
        recover_cmd="tar",
        cont_filename=following,
        is_partial=partial,
    )
    path.write_bytes(build_header(header, 32768, 32768) + b"x" * size)


def test_all_logs_of_the_volumes_that_there_are(config: Config) -> None:
    found = read_catalogue(config)
    assert [copy.dump.name.disk for copy in found.copies] == ["/srv", "/home"]
    assert all(copy.restorable for copy in found.copies)
    assert found.held == ()


def test_dumps_on_holding_disks(config: Config, tmp_path: Path) -> None:
    """The size of a chain of files is that of all of them."""
    first = tmp_path / "hold" / STAMP / "localhost._srv.0"
    hold(first, 100, f"{first}.1")
    hold(first.with_name(f"{first.name}.1"), 23)
    (tmp_path / "hold" / STAMP / "pid").write_text("1\n")
    held = read_catalogue(config).held
    assert held == (
        HeldDump(
            path=str(first),
            host="localhost",
            disk="/srv",
            datestamp="20260103000000",
            level="0",
            size=123,
        ),
    )
    assert next(read_catalogue(config).of("localhost")) == held[0]


@pytest.mark.parametrize(
    ("following", "partial", "lacks"),
    [
        ("/elsewhere/gone", False, "its file /elsewhere/gone is missing"),
        ("", True, "the dump was not finished"),
    ],
)
def test_what_a_dump_on_a_holding_disk_lacks(
    config: Config, tmp_path: Path, following: str, partial: bool, lacks: str
) -> None:
    hold(tmp_path / "hold" / STAMP / "localhost._srv.0", 5, following, partial=partial)
    (held,) = read_catalogue(config).held
    assert (held.restorable, held.lacks) == (False, lacks)


def test_a_chain_that_comes_back_to_itself(config: Config, tmp_path: Path) -> None:
    path = tmp_path / "hold" / STAMP / "localhost._srv.0"
    hold(path, 5, str(path))
    (held,) = read_catalogue(config).held
    assert held.lacks == f"its file {path} is missing"


def test_a_log_that_cannot_be_read(config: Config, tmp_path: Path) -> None:
    log = tmp_path / "log" / f"log.{STAMP}.0"
    log.unlink()
    log.mkdir()
    with pytest.raises(HistoryError, match=f"cannot read the trace log {log}"):
        read_catalogue(config)

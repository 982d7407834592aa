"""An archive as a stream of members, whole and with holes."""

from __future__ import annotations

import io
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest
from attrs import frozen
from hypothesis import given
from hypothesis import strategies as st

from protocols.tararchive import BLOCK, ArchiveScanner, Member

NAMES = st.one_of(
    st.text("abc/ü ", min_size=1, max_size=12),
    st.integers(90, 130).map(lambda size: "n" * size),
    st.integers(101, 300).map(lambda size: ("d" * 50 + "/") * (size // 51) + "x"),
)
FORMATS = (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT, tarfile.USTAR_FORMAT)


@frozen
class Place:
    """Where a member lies: all its headers, and its data without the padding."""

    name: str
    start: int
    header: int
    end: int


def archive(files: list[tuple[str, int]], form: int) -> tuple[bytes, list[Place]]:
    """An archive of these names and sizes, each name once."""
    target = io.BytesIO()
    places = []
    with tarfile.open(fileobj=target, mode="w", format=form) as tar:
        for number, (name, size) in enumerate(files):
            info = tarfile.TarInfo(f"{number}/{name.strip('/')}")
            info.size = size
            start = target.tell()
            try:
                tar.addfile(info, io.BytesIO(b"\xff" * size))
            except ValueError:  # too long for this format
                continue
            padded = size + -size % BLOCK
            header = target.tell() - padded - BLOCK
            places.append(Place(info.name, start, header, header + BLOCK + size))
    return target.getvalue(), places


def scan(
    data: bytes, cuts: list[int], hole: tuple[int, int] | None = None
) -> tuple[list[Member], ArchiveScanner]:
    """Feed an archive in pieces, a stretch of it as lost."""
    found: list[Member] = []
    scanner = ArchiveScanner(found.append)
    start, end = hole or (len(data), len(data))
    at = 0
    for cut in sorted({*(cut for cut in cuts if cut < len(data)), start, end, len(data)}):
        piece = data[at:cut]
        if start <= at < end:
            scanner.lose(len(piece))
        else:
            scanner.feed(memoryview(piece))
        at = cut
        assert scanner.position == at
    scanner.end()
    return found, scanner


@given(
    st.lists(st.tuples(NAMES, st.integers(0, 3000)), max_size=8),
    st.sampled_from(FORMATS),
    st.lists(st.integers(0, 20_000), max_size=6),
)
def test_every_member_is_told(files: list[tuple[str, int]], form: int, cuts: list[int]) -> None:
    data, places = archive(files, form)
    found, scanner = scan(data, cuts)
    assert [member.name for member in found] == [place.name for place in places]
    assert not any(member.damaged for member in found)
    assert scanner.whole
    assert scanner.members == len(places)


@given(
    st.lists(st.tuples(NAMES, st.integers(0, 3000)), min_size=1, max_size=8),
    st.sampled_from(FORMATS),
    st.lists(st.integers(0, 20_000), max_size=6),
    st.data(),
)
def test_what_a_hole_costs(
    files: list[tuple[str, int]], form: int, cuts: list[int], draw: st.DataObject
) -> None:
    """Members that it does not touch are whole, those that it touches are told as damaged, or
    cannot be named, and then a hole is told."""
    data, places = archive(files, form)
    start = draw.draw(st.integers(0, max(len(data) - 1, 0)))
    end = draw.draw(st.integers(start + 1, len(data)))
    found, scanner = scan(data, cuts, (start, end))
    whole = [member.name for member in found if not member.damaged]
    damaged = [member.name for member in found if member.damaged]
    for place in places:
        touched = place.start < end and start < place.end
        if not touched:
            doubted = len(place.name.encode()) == 100 and place.name in damaged
            assert place.name in whole or doubted
            continue
        assert place.name not in whole or place.header >= end  # only its name was in danger
        assert place.name in whole + damaged or scanner.holes
    assert len(found) <= len(places)


def test_garbage_is_one_hole() -> None:
    """A header that is none costs no member but its own."""
    data, places = archive([("a", 700), ("b", 700), ("c", 700)], tarfile.GNU_FORMAT)
    spoiled = bytearray(data)
    spoiled[places[1].start] ^= 1
    found, scanner = scan(bytes(spoiled), [])
    assert [member.name for member in found] == ["0/a", "2/c"]
    ((hole),) = scanner.holes
    assert (hole.start, hole.before, hole.after) == (places[1].start, "0/a", "2/c")
    assert hole.size == places[2].start - places[1].start


def test_an_archive_that_is_cut() -> None:
    data, places = archive([("a", 700), ("b", 2000)], tarfile.GNU_FORMAT)
    found, scanner = scan(data[: places[1].start + BLOCK + 100], [])
    assert [(member.name, member.damaged) for member in found] == [("0/a", False), ("1/b", True)]
    assert not scanner.whole


@given(st.binary(max_size=5000))
def test_any_bytes(data: bytes) -> None:
    found, _ = scan(data, [100, 600])
    assert len(found) <= len(data) // BLOCK + 1


@pytest.mark.skipif(shutil.which("tar") is None, reason="there is no tar")
@pytest.mark.parametrize("form", ["gnu", "posix"])
def test_what_gnu_tar_writes(tmp_path: Path, form: str) -> None:
    """An incremental archive with sparse files, links and long names."""
    source = tmp_path / "source"
    deep = source / ("x" * 120) / ("y" * 120)
    deep.mkdir(parents=True)
    (deep / "file").write_bytes(b"1" * 1000)
    (source / "link").symlink_to("t" * 150)
    (source / "empty").touch()
    (source / "hard").hardlink_to(source / "empty")
    with open(source / "sparse", "wb") as file:
        for number in range(60):
            file.seek(number * 100_000)
            file.write(b"data" * 100)
    done = subprocess.run(
        [
            *("tar", "--create", f"--format={form}", "--sparse", "--file=-", "-C", str(source)),
            *(f"--listed-incremental={tmp_path}/list", "."),
        ],
        stdout=subprocess.PIPE,
        check=True,
    )
    listed = subprocess.run(
        ["tar", "--list", "--file=-"], input=done.stdout, stdout=subprocess.PIPE, check=True
    )
    found, scanner = scan(done.stdout, [1, 511, 513, 5000])
    assert [member.name for member in found] == listed.stdout.decode().splitlines()
    assert [m.name for m in found if m.is_directory] == [
        name for name in listed.stdout.decode().splitlines() if name.endswith("/")
    ]
    assert scanner.whole


@pytest.mark.skipif(shutil.which("tar") is None, reason="there is no tar")
@pytest.mark.parametrize("form", ["gnu", "posix"])
def test_what_an_incremental_archive_lists(tmp_path: Path, form: str) -> None:
    """However it is cut; what is lost in a listing is not made up."""
    root = tmp_path / "root"
    (root / "old").mkdir(parents=True)
    for number in range(60):
        (root / "old" / f"f{number:02}").write_text("x")
    command = [
        *("tar", "--create", "--file=-", f"--format={form}", f"--directory={root}"),
        *(f"--listed-incremental={tmp_path}/known", "."),
    ]
    subprocess.run(command, check=True, capture_output=True)
    (root / "old").rename(root / "new")
    data = subprocess.run(command, check=True, capture_output=True).stdout

    def listed(*pieces: bytes | int) -> list[tuple[str, str, str]]:
        told: list[tuple[str, str, str]] = []
        scanner = ArchiveScanner(lambda _: None, lambda *entry: told.append(entry))
        for piece in pieces:
            if isinstance(piece, int):
                scanner.lose(piece)
            else:
                scanner.feed(memoryview(piece))
        scanner.end()
        return told

    whole = listed(data)
    assert ("./", "R", "./old") in whole
    assert ("./", "T", "./new") in whole
    assert {("./new/", "N", f"f{number:02}") for number in range(60)} <= {*whole}
    assert listed(*(data[at : at + 7] for at in range(0, len(data), 7))) == whole
    at = data.index(b"f30\0")
    assert {*listed(data[: at + 1], 30, data[at + 31 :])} < {*whole}

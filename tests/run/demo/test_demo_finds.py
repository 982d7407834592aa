"""What is wrong with the dumps of a demonstration is found."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from protocols.crc import Crc
from taper.demo.compare import Comparison, compare
from taper.demo.driver import Dump
from taper.demo.play import Restored
from taper.demo.restore import read_shelf
from taper.demo.screen import Screen
from taper.demo.stage import Stage, remove_tree
from taper.demo.survey import SPECIAL, UNREADABLE, Survey, survey
from taper.demo.tar import find_tar
from taper.demo.write import Written
from tests.run.demo.playing import headers, make_source, patched, play, quiet, stage_at


@pytest.fixture
def volumes(played: tuple[Path, str], tmp_path: Path) -> Path:
    """A copy of what was kept, to be damaged; nothing restored yet."""
    copy = tmp_path / "kept"
    for name in ("vtapes", "log"):
        shutil.copytree(played[0] / name, copy / name)
    (copy / "restored").mkdir()
    return copy


@pytest.fixture
def check(
    volumes: Path, source: Path, capsys: pytest.CaptureFixture[str]
) -> Iterator[Callable[[], list[str]]]:
    """Restores the first dump from the volumes. :return: what is wrong with it"""
    crc = whole_crc(stage_at(volumes))

    def restore() -> list[str]:
        stage = stage_at(volumes)
        shelf = read_shelf(stage)
        header = headers(shelf)[0]
        dump = Dump("FILE-WRITE", "", header)  # type: ignore[arg-type]
        found = survey(str(source), [], quiet)
        back = Restored(Screen(), stage, found, shelf, Written(dump, crc))
        back.run(find_tar(), owners=False)
        return shelf.troubles + back.troubles

    yield restore
    remove_tree(str(volumes / "restored"))


def whole_crc(stage: Stage) -> Crc:
    """The checksum in the headers of the first dump."""
    crc: Crc = headers(read_shelf(stage))[0].server_crc  # type: ignore[attr-defined]
    assert crc.known
    return crc


def part_file(volumes: Path, number: int) -> Path:
    """The file of a volume that holds a part of the first dump."""
    shelf = read_shelf(stage_at(volumes))
    part = shelf.parts_of(headers(shelf)[0])[number - 1]  # type: ignore[arg-type]
    (path,) = Path(part.slot).glob(f"{part.fileno:05d}.*")
    return path


def test_volumes_as_they_are(check: Callable[[], list[str]]) -> None:
    """Nothing is found where nothing is wrong."""
    assert check() == []


def test_damaged_data(volumes: Path, check: Callable[[], list[str]]) -> None:
    """One flipped byte on a volume is found by the checksum and by the comparison."""
    with open(part_file(volumes, 2), "r+b") as file:
        file.seek(32768 + 100_000)
        (byte,) = file.read(1)
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte ^ 1]))
    troubles = check()
    assert any("checksum is" in trouble for trouble in troubles)
    assert any("has other contents, from byte" in trouble for trouble in troubles)


def test_missing_part(volumes: Path, check: Callable[[], list[str]]) -> None:
    """A part that is gone is named."""
    part_file(volumes, 3).unlink()
    assert "FILE-WRITE: part 3 is not on the volumes" in check()


def test_damaged_header(volumes: Path, check: Callable[[], list[str]]) -> None:
    """A header that cannot be read is told with volume and file."""
    path = part_file(volumes, 1)
    with open(path, "r+b") as file:
        file.write(b"XXXX")
    troubles = check()
    assert troubles[0].startswith("DEMO-01, file 1: ")
    assert "FILE-WRITE: part 1 is not on the volumes" in troubles


def test_shortened_part(volumes: Path, check: Callable[[], list[str]]) -> None:
    """The last part cut off: tar does not care for every byte, the checksum does."""
    shelf = read_shelf(stage_at(volumes))
    last = len(shelf.parts_of(headers(shelf)[0]))  # type: ignore[arg-type]
    path = part_file(volumes, last)
    os.truncate(path, path.stat().st_size - 1)
    assert any("checksum is" in trouble for trouble in check())


def _append(path: Path) -> None:
    with open(path, "ab") as file:
        file.write(b"x")


def _retime(path: Path) -> None:
    facts = path.stat()
    os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns + 1000))


def _relink(path: Path) -> None:
    facts = path.lstat()
    path.unlink()
    path.symlink_to("file1")
    os.utime(path, ns=(facts.st_mtime_ns, facts.st_mtime_ns), follow_symlinks=False)


def _copy_link(path: Path) -> None:
    shutil.copy2(path, path.with_name("copy"))
    os.rename(path.with_name("copy"), path)


def _replace(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize(
    ("name", "spoil", "expected"),
    [
        ("file0", Path.unlink, "was not restored"),
        ("file0", _append, "time is"),
        ("nothing", _replace, "has another type"),
        ("deep/run", lambda path: path.chmod(0o751), "mode is -rwxr-x--x, not -rwsr-x--x"),
        ("file2", _retime, "time is 1234567890.123457789, not 1234567890.123456789"),
        ("link", _relink, "links to b'file1', not to b'file0'"),
        ("file1", _copy_link, "is no hard link any more"),
        ("extra", Path.touch, "was restored, but was not dumped"),
    ],
)
def test_differences(
    tmp_path: Path, name: str, spoil: Callable[[Path], object], expected: str
) -> None:
    """Every kind of difference is found and named."""
    source, copy = make_source(tmp_path), tmp_path / "copy"
    subprocess.run(["cp", "-a", str(source), str(copy)], check=True)
    found = survey(str(source), [], quiet)
    clean = compare(found, str(copy), owners=True, tell=quiet)
    assert clean.differences == []
    spoil(copy / name)
    spoilt = compare(found, str(copy), owners=True, tell=quiet)
    told = {os.fsdecode(which): text for which, text in spoilt.differences}
    texts = [told.get(name, ""), told.get("deep/hard", "")]
    assert any(text.startswith(expected) for text in texts)
    (source / "deep" / "er").chmod(0o755)
    (copy / "deep" / "er").chmod(0o755)


def test_source_that_changes(tmp_path: Path) -> None:
    """What differs because the source has changed since is told apart from what is wrong."""
    (tmp_path / "source").mkdir()
    for name in ("calm", "busy", "gone"):
        (tmp_path / "source" / name).write_text(name)
    found = survey(str(tmp_path / "source"), [], quiet)
    subprocess.run(["cp", "-a", tmp_path / "source", tmp_path / "copy"], check=True)
    _append(tmp_path / "source" / "busy")
    (tmp_path / "source" / "gone").unlink()
    result = compare(found, str(tmp_path / "copy"), owners=True, tell=quiet)
    assert result == Comparison(equal=[b".", b"calm"], changed=[b"busy", b"gone"])


def test_source_changes_in_a_demonstration(top: Path, source: Path) -> None:
    """A file that changes while it is dumped gives exit status 3 and is named."""
    tmp = Path(tempfile.mkdtemp(dir=top))
    busy = tmp / "busy"
    shutil.copytree(source, busy, symlinks=True, ignore=lambda *_: ["fifo"])
    patch = (
        "import taper.demo.play as p; old = p.run_reactor\n"
        "def write(work):\n"
        "    result = old(work)\n"
        f"    open({str(busy / 'file0')!r}, 'ab').write(b'more')\n"
        "    return result\n"
        "p.run_reactor = write"
    )
    program = patched(patch)
    status, said = play("--source", str(busy), tmp=tmp, program=program)
    assert status == 3, said
    assert "so that 1 name cannot be judged:\n  file0\n" in said


def test_what_is_left_out(tmp_path: Path) -> None:
    """Sockets and our own directory are not dumped; what is left out is known."""
    import socket

    (tmp_path / "own").mkdir()
    (tmp_path / "file").touch()
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket"))
        found = survey(str(tmp_path), [str(tmp_path / "own")], quiet)
    assert [entry.name for entry in found.entries] == [b".", b"file"]
    assert found.left_out == {SPECIAL: [b"socket"]}


def test_unreadable() -> None:
    """What cannot be read is left out and said; root, who can read all, looks as somebody else."""
    # a directory that somebody else can enter
    with tempfile.TemporaryDirectory(prefix="demo.") as name:
        directory = Path(name)
        directory.chmod(0o755)
        (directory / "open").touch()
        (directory / "closed").touch(mode=0)
        (directory / "locked").mkdir(mode=0)
        before = os.geteuid()
        try:
            if before == 0:
                os.seteuid(65534)
            found: Survey = survey(name, [], quiet)
        finally:
            os.seteuid(before)
        (directory / "locked").chmod(0o700)
    assert [entry.name for entry in found.entries] == [b".", b"locked", b"open"]
    assert found.left_out == {UNREADABLE: [b"closed", b"locked"]}

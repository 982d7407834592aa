"""``taperctl demo``: both kinds of dump onto volumes and back, and nothing wrong goes unnoticed."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from attrs import evolve

from protocols.crc import Crc
from taper.demo.compare import Comparison, compare
from taper.demo.driver import Dump
from taper.demo.play import Restored
from taper.demo.restore import Shelf, read_shelf
from taper.demo.screen import Screen
from taper.demo.stage import Stage, remove_tree, stage_for
from taper.demo.survey import SPECIAL, UNREADABLE, Survey, survey
from taper.demo.tar import find_tar
from taper.demo.write import Written
from tests.system.hosts import missing_hosts

SIZE = 4_000_000
COMMAND = [sys.executable, "-m", "taper.ctl", "demo"]
needs_hosts = pytest.mark.skipif(missing_hosts() is not None, reason=str(missing_hosts()))


def quiet(_: int) -> None:
    """Nobody to tell how far it is."""


def make_source(top: Path) -> Path:
    """A small tree with everything that can go wrong on the way."""
    source = top / "source"
    (source / "deep" / "er").mkdir(parents=True)
    (source / "empty").mkdir()
    for number in range(4):
        (source / f"file{number}").write_bytes(bytes([number]) + os.urandom(SIZE // 4))
    (source / "nothing").touch()
    (source / "-option\nline").write_text("a name that nobody likes")
    with open(os.path.join(os.fsencode(source), b"not\xffutf-8"), "wb") as file:
        file.write(b"bytes")
    (source / "link").symlink_to("file0")
    (source / "dangling").symlink_to("no/such/\nfile")
    os.link(source / "file1", source / "deep" / "hard")
    os.mkfifo(source / "fifo")
    (source / "deep" / "run").write_text("#!/bin/sh\n")
    (source / "deep" / "run").chmod(0o4751)
    os.utime(source / "file2", ns=(1, 1_234_567_890_123_456_789))
    (source / "deep" / "er" / "inside").write_text("of a directory that must not be written to")
    (source / "deep" / "er").chmod(0o555)
    return source


def play(*arguments: str, tmp: Path, program: list[str] | None = None) -> tuple[int, str]:
    """Run the demonstration. :return: exit status and all that it said"""
    done = subprocess.run(
        [*(program or COMMAND), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, "TMPDIR": str(tmp)},
        cwd=tmp,
        encoding="utf-8",
    )
    return done.returncode, done.stdout


@pytest.fixture(scope="module")
def top() -> Iterator[Path]:
    # not pytest's own directory, whose rules for old ones stumble over read-only directories
    directory = tempfile.mkdtemp(prefix="demo.")
    yield Path(directory)
    remove_tree(directory)


@pytest.fixture(scope="module")
def source(top: Path) -> Path:
    return make_source(top)


@pytest.fixture(scope="module")
def played(top: Path, source: Path) -> tuple[Path, str]:
    """A demonstration that was kept: where, and what it said."""
    kept = top / "kept"
    status, said = play("--source", str(source), "--keep", str(kept), tmp=top)
    assert status == 0, said
    return kept, said


def test_all_is_well(played: tuple[Path, str], source: Path) -> None:
    """Both dumps span volumes, are restored, and every name is equal."""
    kept, said = played
    names = len(survey(str(source), [], quiet).entries)
    assert names > 10
    for kind in ("FILE-WRITE", "PORT-WRITE"):
        assert f"  {kind}  {names} of {names} names equal" in said
    assert "Every file is as it was, and the taper ended cleanly." in said
    assert "too small to span" not in said
    assert "\x1b" not in said
    shelf = read_shelf(stage_at(kept))
    assert shelf.troubles == []
    for header in headers(shelf):
        parts = shelf.parts_of(header)
        assert len({part.label for part in parts}) > 1
        assert [part.header.partnum for part in parts] == list(range(1, len(parts) + 1))


def test_fits_a_terminal(played: tuple[Path, str]) -> None:
    """No line is wider than 80 columns, but for names of places."""
    kept, said = played
    places = (str(kept), str(kept.parent))
    assert [
        line for line in said.split("\n") if len(line) > 80 and not any(p in line for p in places)
    ] == []


def test_says_what_is_kept(played: tuple[Path, str]) -> None:
    """With --keep, volumes and restored files stay."""
    kept, said = played
    assert said.endswith(f"Kept in {kept}: vtapes, restored, log, debug, etc\n")
    assert (kept / "restored" / "PORT-WRITE" / "deep" / "hard").exists()
    assert list((kept / "holding").iterdir()) == []


def test_clears_away(top: Path, source: Path) -> None:
    """Without --keep nothing stays."""
    tmp = top / "clean"
    tmp.mkdir()
    status, said = play("--source", str(source), tmp=tmp)
    assert status == 0, said
    assert list(tmp.iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize(
    "moment",
    ["Taper", "PORT-WRITE", pytest.param("  server: driver", marks=needs_hosts), "Restored"],
)
def test_interrupted(top: Path, source: Path, number: signal.Signals, moment: str) -> None:
    """A signal ends it early, and nothing stays: no file and no process."""
    tmp = Path(tempfile.mkdtemp(dir=top))
    running = subprocess.Popen(
        # one who was started in the background passes an ignored SIGINT on
        ["env", "--default-signal", *COMMAND, "--source", str(source)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, "TMPDIR": str(tmp), "PYTHONUNBUFFERED": "1"},
        encoding="utf-8",
    )
    assert running.stdout is not None
    for line in running.stdout:
        if line.startswith(moment):
            running.send_signal(number)
            break
    rest = running.stdout.read()
    if running.wait() == 0 and moment == "Restored":
        assert rest.endswith(" s in all.\n")  # it was quicker than the signal
    else:
        assert running.wait() == 130
        assert rest.endswith("\nInterrupted.\n")
    assert list(tmp.iterdir()) == []
    assert not any(str(tmp) in command for command in commands())


@needs_hosts
def test_three_hosts(played: tuple[Path, str]) -> None:
    """The act between three hosts: whose cable carried what; it keeps nothing."""
    kept, said = played
    found = re.search(r"^  server interfaces carried ([\d,]+) KiB = (\d+\.\d\d) %$", said, re.M)
    assert found is not None, said
    assert 0 < float(found[2]) < 1
    assert not (kept / "hosts").exists()


def test_no_three_hosts(top: Path, source: Path) -> None:
    """What an ordinary user cannot see is named, and all is well."""
    tmp = Path(tempfile.mkdtemp(dir=top))
    program = [sys.executable, "-c", PATCHED.format(patch="import os; os.geteuid = lambda: 1")]
    status, said = play("--source", str(source), tmp=tmp, program=program)
    assert status == 0, said
    only = "only root can make network namespaces"
    assert f"\nLeft out: DirectTCP between three hosts ({only})\n" in said
    assert "\nLeft out: owners of files are not restored (only root can do that)\n" in said
    assert list(tmp.iterdir()) == []


@needs_hosts
def test_three_hosts_and_a_bad_dump(top: Path, source: Path) -> None:
    """A dump between the hosts that is not good fails the demonstration."""
    tmp = Path(tempfile.mkdtemp(dir=top))
    patch = (
        "import taper.demo.hosts_act as act; make_there = act.stage_for\n"
        "act.stage_for = lambda *a: evolve(make_there(*a), volumes=1)"
    )
    program = [sys.executable, "-c", PATCHED.format(patch=patch)]
    status, said = play("--source", str(source), tmp=tmp, program=program)
    assert status == 1, said
    assert "Failed: DirectTCP: the taper said PARTIAL: " in said
    assert list(tmp.iterdir()) == []


def commands() -> list[str]:
    """The command lines of all processes."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found.append(entry.read_bytes().decode("utf-8", "replace"))
        except OSError:
            continue  # it ended
    return found


PATCHED = """
import taper.demo.stage, taper.demo.play, sys
from attrs import evolve
make = taper.demo.play.stage_for
{patch}
sys.argv[1:] = ["demo", *sys.argv[1:]]
import taper.ctl
taper.ctl.main()
"""


@pytest.mark.parametrize(
    ("patch", "expected"),
    [
        (
            "taper.demo.play.stage_for = lambda *a: evolve(make(*a), volumes=1)",
            "Failed: FILE-WRITE: the taper said PARTIAL INPUT-GOOD TAPE-ERROR: ",
        ),
        (
            "taper.demo.stage.AMANDA_CONF = 'labelstr MATCH-AUTOLABEL'",
            "Failed: the taper ",
        ),
        (
            "taper.demo.stage.AMANDA_CONF += 'nonsense\\n'",
            "stderr of the taper:\n",
        ),
    ],
    ids=["no volume left", "no changer", "bad configuration"],
)
def test_taper_fails(top: Path, source: Path, patch: str, expected: str) -> None:
    """What goes wrong with the taper is shown, and nothing stays."""
    tmp = Path(tempfile.mkdtemp(dir=top))
    program = [sys.executable, "-c", PATCHED.format(patch=patch)]
    status, said = play("--source", str(source), tmp=tmp, program=program)
    assert status == 1
    assert expected in said
    assert "Traceback" not in said
    assert list(tmp.iterdir()) == []


def test_taper_that_dies(top: Path, source: Path) -> None:
    """A taper that is killed midway is noticed."""
    tmp = Path(tempfile.mkdtemp(dir=top))
    patch = (
        "import taper.demo.driver as d; old = d.Driver._reply\n"
        "async def reply(self):\n"
        "    message = await old(self)\n"
        "    if message.name == 'PARTDONE': self._process.kill()\n"
        "    return message\n"
        "d.Driver._reply = reply"
    )
    program = [sys.executable, "-c", PATCHED.format(patch=patch)]
    status, said = play("--source", str(source), tmp=tmp, program=program)
    assert status == 1
    assert "Failed: the taper ended when an answer to FILE-WRITE was expected" in said
    assert list(tmp.iterdir()) == []


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        ("self._tar._command = ['sh', '-c', 'echo woe >&2; exit 5']", "tar ended with status 5"),
        ("raise ConnectionRefusedError(111, 'refused')", "[Errno 111] refused"),
    ],
    ids=["tar fails", "no connection"],
)
def test_dumper_fails(top: Path, source: Path, spoil: str, expected: str) -> None:
    """A dump whose data does not come whole is told to the taper, and its reason to people."""
    tmp = Path(tempfile.mkdtemp(dir=top))
    patch = (
        "import taper.demo.dumper as d; old = d.TarDumper._send_data\n"
        "def send(self, addresses):\n"
        f"    {spoil}\n"
        "    return old(self, addresses)\n"
        "d.TarDumper._send_data = send"
    )
    program = [sys.executable, "-c", PATCHED.format(patch=patch)]
    status, said = play("--source", str(source), tmp=tmp, program=program)
    assert status == 1
    assert f"Failed: PORT-WRITE: the data could not be sent: {expected} [TAPER-8011]\n" in said
    assert ("  woe\n" in said) is ("woe" in spoil)
    assert "Traceback" not in said
    assert list(tmp.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--source", "/no/such/place"], "cannot read the source /no/such/place: No such file"),
        (["--source", "/etc/passwd"], "cannot read the source /etc/passwd: Not a directory"),
        (["--keep", "/etc"], "--keep /etc: the directory is not empty"),
    ],
)
def test_bad_arguments(top: Path, arguments: list[str], expected: str) -> None:
    """A place that cannot be used is refused with the reason."""
    status, said = play(*arguments, tmp=top)
    assert status == 1
    assert f"Failed: {expected}" in said


def test_small_source(top: Path) -> None:
    """A source too small to span is dumped as well, and the difference told."""
    small = top / "small"
    small.mkdir()
    (small / "file").write_text("hello")
    status, said = play("--source", str(small), tmp=top)
    assert status == 0, said
    assert "too small to span" in said


# -- what is wrong is found ---------------------------------------------------------------------


def stage_at(kept: Path) -> Stage:
    """The stage that was kept in a directory."""
    return evolve(stage_for(str(kept), 1), volumes=len([*(kept / "vtapes").glob("slot*")]))


def headers(shelf: Shelf) -> list[object]:
    """The first header of each dump."""
    found = {p.header.datestamp: p.header for v in reversed(shelf.volumes) for p in v.parts[::-1]}
    assert len(found) == 2
    return [found[stamp] for stamp in sorted(found)]


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
    program = [sys.executable, "-c", PATCHED.format(patch=patch)]
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


def test_taper_imports_none_of_it() -> None:
    """A start of the taper pays nothing for demonstration and installation."""
    code = (
        "import sys, taper.cli, taper.run.process, taper.run.stdio\n"
        "ours = ('taper.demo.', 'taper.install.', 'taper.ctl.')\n"
        "bad = [name for name in sys.modules if f'{name}.'.startswith(ours)]\n"
        "sys.exit(', '.join(bad) or 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)

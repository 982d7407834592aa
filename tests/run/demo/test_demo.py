"""``taperctl demo``: both kinds of dump onto volumes and back, and nothing wrong goes unnoticed."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from taper.demo.restore import read_shelf
from taper.demo.survey import survey
from tests.run.demo.playing import COMMAND, headers, needs_hosts, patched, play, quiet, stage_at


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
    program = patched("import os; os.geteuid = lambda: 1")
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
    program = patched(patch)
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
    program = patched(patch)
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
    program = patched(patch)
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
    program = patched(patch)
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


def test_taper_imports_none_of_it() -> None:
    """A start of the taper pays nothing for demonstration and installation."""
    code = (
        "import sys, taper.cli, taper.run.process, taper.run.stdio\n"
        "ours = ('taper.demo.', 'taper.install.', 'taper.ctl.')\n"
        "bad = [name for name in sys.modules if f'{name}.'.startswith(ours)]\n"
        "sys.exit(', '.join(bad) or 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)

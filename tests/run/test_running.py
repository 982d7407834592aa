"""Which tapers run."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from taper.running import is_taper, running_tapers


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("taper C --log-filename /l", True),
        ("/usr/lib/amanda/taper C", True),
        ("/usr/bin/perl /usr/lib/amanda/taper C --storage C", True),
        ("/usr/bin/perl -w /usr/lib/amanda/taper C", True),
        ("/opt/taper/bin/python -I -m taper.cli C", True),
        ("/opt/taper/bin/python3.11 /opt/taper/bin/taper C", True),
        ("/opt/taper/bin/python3.11 /opt/taper/bin/taperctl install", False),
        ("vi taper", False),
        ("/usr/bin/perl", False),
        ("", False),
    ],
)
def test_what_is_a_taper(line: str, expected: bool) -> None:
    assert is_taper(line.split()) is expected


@contextmanager
def shown() -> Iterator[subprocess.Popen[bytes]]:
    """A process that shows itself as a taper, until it is told to end."""
    code = "from taper.run.title import show; show(['C']); print('shown', flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"shown\n"
        yield process


def test_a_process_that_shows_itself_as_one() -> None:
    """It is found as long as it lives, and by its title."""
    with shown() as process:
        assert process.pid in running_tapers()
        process.communicate(b"\n")
    assert process.pid not in running_tapers()


def test_where_there_is_no_proc_of_linuxs_kind(tmp_path: Path) -> None:
    """As with BSD: ps tells, of all processes."""
    with shown() as process:
        assert process.pid in running_tapers(str(tmp_path))
        process.communicate(b"\n")
    assert process.pid not in running_tapers(str(tmp_path / "none"))


def test_other_installations_do_not_count(tmp_path: Path) -> None:
    """Those of another mount namespace; and what cannot be looked at is none."""
    for name, namespace in (("self", "mnt:[1]"), ("7", "mnt:[1]"), ("8", "mnt:[2]"), ("9", "")):
        (tmp_path / name / "ns").mkdir(parents=True)
        if namespace:
            (tmp_path / name / "ns/mnt").symlink_to(namespace)
            (tmp_path / name / "cmdline").write_bytes(b"taper\0C\0")
    (tmp_path / "version").write_text("")
    (tmp_path / "self" / "cmdline").touch()
    assert running_tapers(str(tmp_path)) == [7]

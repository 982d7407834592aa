"""Playing demonstrations, and looking at what is kept of them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from attrs import evolve

from taper.demo.restore import Shelf
from taper.demo.stage import Stage, stage_for
from tests.system.hosts import missing_hosts

SIZE = 4_000_000
COMMAND = [sys.executable, "-m", "taper.ctl", "demo"]
_PATCHED = """
import taper.demo.stage, taper.demo.play, sys
from attrs import evolve
make = taper.demo.play.stage_for
{patch}
sys.argv[1:] = ["demo", *sys.argv[1:]]
import taper.ctl
taper.ctl.main()
"""
needs_hosts = pytest.mark.skipif(missing_hosts() is not None, reason=str(missing_hosts()))


def patched(patch: str) -> list[str]:
    """A demonstration in which something is changed before it begins."""
    return [sys.executable, "-c", _PATCHED.format(patch=patch)]


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


def stage_at(kept: Path) -> Stage:
    """The stage that was kept in a directory."""
    return evolve(stage_for(str(kept), 1), volumes=len([*(kept / "vtapes").glob("slot*")]))


def headers(shelf: Shelf) -> list[object]:
    """The first header of each dump."""
    found = {p.header.datestamp: p.header for v in reversed(shelf.volumes) for p in v.parts[::-1]}
    assert len(found) == 2
    return [found[stamp] for stamp in sorted(found)]

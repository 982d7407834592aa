"""Amanda's ``amcleanup`` finds a taper of ours whose driver is gone, and can end it."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

import pytest

from tests.system.amanda import CONFIG, LOGS, TAPER, Amanda
from tests.system.conftest import MakeAmanda

pytestmark = pytest.mark.system

STAMP = "20260101000000"
WORKER = "worker0-0"
LOG = f"{LOGS}/log.{STAMP}.0"


def gone() -> int:
    """The pid of a process that has ended."""
    with subprocess.Popen(["true"]) as process:
        process.wait()
    return process.pid


@contextmanager
def writing(amanda: Amanda) -> Iterator[subprocess.Popen[str]]:
    """A taper in the middle of a dump, in a run whose other programs died."""
    head = [f"INFO {name} {name} pid {gone()}\n" for name in ("amdump", "driver")]
    amanda.write(LOG, "".join(head))
    amanda.path(f"{LOGS}/log").symlink_to(f"log.{STAMP}.0")
    with subprocess.Popen(
        amanda.command(TAPER, CONFIG, "--log-filename", LOG),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=amanda.environment,
    ) as taper:
        assert taper.stdin is not None
        assert taper.stdout is not None
        try:
            say(taper.stdin, f"START-TAPER taper0 {WORKER} {CONFIG} {STAMP}")
            hear(taper.stdout, "TAPER-OK")
            what = f"{WORKER} 00-00001 localhost /srv 0 {STAMP}"
            say(taper.stdin, f'PORT-WRITE {what} "" "" "" "" "" "" "" "" AMANDA')
            hear(taper.stdout, "PORT")
            yield taper
        finally:
            taper.kill()


def say(pipe: IO[str], line: str) -> None:
    pipe.write(f"{line}\n")
    pipe.flush()


def hear(pipe: IO[str], word: str) -> None:
    """Read until a reply begins with this word."""
    said = []
    for line in pipe:
        said.append(line)
        if line.startswith(word):
            return
    raise AssertionError(f"no {word}: {said}")


def test_it_does_not_go_to_work_beside_a_taper(make_amanda: MakeAmanda) -> None:
    """It says that the run goes on, and leaves its log alone."""
    amanda = make_amanda()
    with writing(amanda) as taper:
        said = amanda.run("amcleanup", "-v", CONFIG).stdout
        assert "Process is running" in said, said
        assert amanda.path(f"{LOGS}/log").is_symlink()
        assert taper.poll() is None


def test_it_ends_a_taper(make_amanda: MakeAmanda) -> None:
    """With -k, by a signal that the taper takes for QUIT: its log tells the end."""
    amanda = make_amanda()
    with writing(amanda) as taper:
        said = amanda.run("amcleanup", "-k", "-v", CONFIG).stdout
        assert "SIGTERM" in said, said
        assert taper.wait(timeout=600) == 0, said
    lines = amanda.read(LOG).splitlines()
    assert any(line.startswith("INFO taper pid-done") for line in lines)

"""Measures cases: what is needed for it, and who runs how often."""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import venv
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from taper.install import LAUNCHER, MARK
from tests.bench import buckets, changes, grounds, pages, readers, servers, tapes
from tests.bench.axes import AXES, Axis
from tests.bench.cases import CASES, KIB, MIB, SMALL, Case, Ground, Way
from tests.bench.figures import Measured
from tests.bench.machine import available_memory
from tests.bench.runs import round_of
from tests.bench.serving import daemon_for
from tests.bench.straight import unserved
from tests.conformance.harness import Program
from tests.installation import installed, unreadable_python

START_TIMES = 4
"""So many more rounds where only the start is measured: it is short, and so is easily disturbed."""
SPARE = 512
"""MiB for all else."""

Point = tuple[Axis | None, int, Case]
"""What is measured; of an axis of growth: which, and where on it."""


def chosen(options: argparse.Namespace) -> list[Point]:
    """What the command line asks for, cases first, each with its sizes."""
    points: list[Point] = []
    for case in CASES:
        if case.name in options.only or (not options.only and (case.quick or not options.quick)):
            size = options.size * MIB if case.large else case.mib * MIB
            many = 0
            if case.grown:
                many = options.parts if case.grown == "parts" else options.many
            points.append((None, 0, replace(case, size=size, many=many)))
    for axis in AXES:
        if axis.name in options.only or (not options.only and options.growth):
            values = [value for value in axis.values if not options.to or value <= options.to]
            points += [(axis, value, axis.case(value, options.size * MIB)) for value in values]
    return points


def obstacle(options: argparse.Namespace) -> str | None:
    """Why nothing can be measured here; None: it can."""
    if os.geteuid() != 0:
        return "needs root for a private mount namespace"
    if not os.path.exists(options.stock):
        return f"no taper to compare with at {options.stock}"
    for program in ("unshare", "nsenter", "findmnt"):
        if not shutil.which(program):
            return f"needs {program}"
    return unreadable_python() if options.taper is None else None


def unmeasurable(case: Case) -> str | None:
    """Why this case alone cannot be measured here; None: it can."""
    if reason := grounds.obstacle(case.ground):
        return reason
    if case.way is Way.DIRECT and (reason := unserved(case.block)):
        return reason
    if case.way is Way.MOVER and (reason := unserved(servers.stock_block(case))):
        return reason
    if case.bucket and (reason := buckets.unserved()):
        return reason
    if case.restored and not shutil.which("amrestore"):
        return "needs amrestore"
    if program := readers.lacking(case):
        return f"needs {program}"
    need = (3 if case.restored or case.read else 2) * case.size // MIB + SPARE
    if case.ground is Ground.TMPFS:
        what, have = "memory for a file system in it", available_memory()
    else:
        what, have = "disk", shutil.disk_usage(tempfile.gettempdir()).free // MIB
    return f"needs {need} MiB of {what}, {have} are available" if need > have else None


@contextmanager
def our_taper(path: str | None) -> Iterator[str]:
    """The taper to be measured, as people run it: a venv of its own, and the launcher that
    ``taperctl`` puts in Amanda's place; beside it one of ``taperctl`` itself."""
    if path is not None:
        yield os.path.abspath(path)
        return
    with installed() as plain:
        before = os.umask(0o022)  # the dump user runs it
        home = plain.parent / "venv"
        venv.create(home, symlinks=True)
        site = sysconfig.get_path("purelib", "venv", {"base": str(home)})
        os.rmdir(site)
        os.symlink(plain.parent / "packages", site)
        python = home / "bin" / "python"
        ask = "from taper.install.standin import TAPER; print(TAPER.command(''))"
        taper = subprocess.check_output([python, "-I", "-c", ask], text=True).strip()
        for name, command in (("taper", taper), ("taperctl", "-m taper.ctl")):
            launcher = home / "bin" / name
            launcher.write_text(LAUNCHER.format(mark=MARK, python=python, command=command))
            launcher.chmod(0o755)
        os.umask(before)
        yield str(home / "bin" / "taper")


def title(case: Case) -> str:
    """A case in words, with all that was chosen."""
    if case.grown:
        each = f" of {SMALL // KIB} KiB" if case.way is Way.FILE else ""
        return f"{case.text}, {case.many} {case.grown}{each}"
    return f"{case.text}, {case.size // MIB} MiB, {case.ground.value}" if case.size else case.text


def measure(programs: Sequence[Program], point: Point, rounds: int) -> Measured:
    """Run the rounds of a case, each in the opposite order of the one before; the first warms the
    caches and does not count."""
    axis, value, case = point
    if case.way is Way.IDLE and not case.grown:
        rounds *= START_TIMES
    name = axis.name if axis else case.name
    found = Measured(name, title(case), value)
    if case.way is Way.TAPE:
        found.rounds.extend(tapes.round_of(number) for number in range(rounds))
        return found
    if case.way.changes:
        found.rounds.extend(changes.round_of(programs[0], case) for _ in range(rounds))
        return found
    if case.way is Way.PAGE:
        found.rounds.extend(pages.round_of(number) for number in range(rounds))
        return found
    with grounds.stage(case) as world, daemon_for(world, programs[0], case):
        for number in range(rounds + 1):
            one = round_of(world, programs, case, back=number % 2 == 0)
            show(f"{name}: round {number} of {rounds}" if number else f"{name}: warm-up")
            if number:
                found.rounds.append(one)
    show("")
    return found


def show(text: str) -> None:
    """Tell how far we are, to a person only."""
    if sys.stderr.isatty():
        print(f"{text:40}", end="\r", file=sys.stderr, flush=True)

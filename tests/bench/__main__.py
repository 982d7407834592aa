"""``python -m tests.bench``: see ``--help``. Exit status 1: a bound is broken; 2: cannot run."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import sysconfig
import venv
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from taper.install import LAUNCHER, MARK
from tests.bench.growth import SMALL
from tests.bench.runs import CASES, MIB, Case, run, stage
from tests.bench.table import (
    DUMP_ROWS,
    GROWN_ROWS,
    MEMORY,
    SMALL_ROWS,
    START_ROWS,
    STRAIGHT_ROWS,
    Pair,
    Row,
    judge,
    render,
)
from tests.conformance.harness import Program
from tests.installation import installed, unreadable_python

STOCK = "/usr/lib/amanda/taper"
LARGE = 3 * 1024
START_TIMES = 4
"""So many more pairs where only the start is measured: it is short, and so is easily disturbed."""


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench",
        description="Compare our taper with Amanda's: interleaved pairs after a warm-up pair, "
        "medians of the pairwise ratios. Only the ratios mean something on a machine "
        "that does other work.",
    )
    add = parser.add_argument
    add("--pairs", type=int, default=5, metavar="N", help="pairs of runs (default 5)")
    add("--size", type=int, default=1024, metavar="MIB", help="size of the dump (default 1024)")
    add("--many", type=int, default=3000, metavar="N", help="logs, slots, dumps (default 3000)")
    add("--only", action="append", choices=[case.name for case in CASES], help="this case only")
    add("--large", action="store_true", help="one pair of 3 GiB too, of which memory is judged")
    add("--taper", metavar="PATH", help="our taper; default: a fresh copy of the working tree")
    add("--stock", metavar="PATH", default=STOCK, help=f"the other taper; default: {STOCK}")
    options = parser.parse_args(arguments)
    if options.pairs < 1 or options.size < 1 or options.many < 2:
        parser.error("--pairs and --size are at least 1, --many is at least 2")
    return options


def obstacle(options: argparse.Namespace) -> str | None:
    """Why nothing can be measured here; None: it can."""
    if os.geteuid() != 0:
        return "needs root for a private mount namespace"
    if not os.path.exists(options.stock):
        return f"no taper to compare with at {options.stock}"
    if not shutil.which("unshare") or not shutil.which("nsenter"):
        return "needs unshare and nsenter"
    if options.taper is None and (reason := unreadable_python()):
        return reason
    largest = max(options.size, LARGE if options.large else 0)
    need, have = 3 * largest + 512, available_memory()
    if need > have:
        return f"holding disk and vtapes on tmpfs need {need} MiB of memory, {have} are available"
    return None


def available_memory() -> int:
    """MiB that can be had without swapping."""
    with open("/proc/meminfo") as file:
        return next(int(line.split()[1]) // 1024 for line in file if "MemAvailable" in line)


@contextmanager
def our_taper(path: str | None) -> Iterator[str]:
    """The taper to be measured, as people run it: a venv of its own, and the launcher that
    ``taperctl`` puts in Amanda's place."""
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
        launcher = plain.parent / "launcher"
        launcher.write_text(LAUNCHER.format(mark=MARK, python=home / "bin" / "python"))
        launcher.chmod(0o755)
        os.umask(before)
        yield str(launcher)


def measure(ours: str, stock: str, case: Case, size: int, pairs: int, many: int) -> list[Pair]:
    """Run the pairs of a case: ours, stock, ours, stock, ...

    :param size: bytes
    :param many: of what there is much of
    """
    if case.idle and not case.grown:
        pairs *= START_TIMES
    found = []
    with stage(case, size, many) as world:
        programs = (Program(ours, "ours", False), Program(stock, "stock", True))
        for number in range(-1, pairs):
            first, second = (run(world, program, case, size, many) for program in programs)
            assert first.crc == second.crc, f"CRCs differ: {first.crc}, {second.crc}"
            show("warm-up" if number < 0 else f"{case.name}: pair {number + 1} of {pairs}")
            if number >= 0:
                found.append((first, second))
    show("")
    return found


def show(text: str) -> None:
    """Tell how far we are, to a person only."""
    if sys.stderr.isatty():
        print(f"{text:40}", end="\r", file=sys.stderr, flush=True)


def report(
    case: Case, size: int, pairs: Sequence[Pair], rows: Sequence[Row], many: int = 0
) -> bool:
    """Print a case's table. :return: all bounds hold"""
    verdicts = [judge(row, pairs) for row in rows]
    what = case.text if case.idle else f"{case.text}, {size // MIB} MiB"
    if case.grown:
        what = f"{case.text}, {many} {case.grown}"
    count = f"{len(pairs)} pair{'s' if len(pairs) > 1 else ''}"
    print(render(f"{case.name}: {what}, {count}", verdicts), end="\n\n")
    return all(verdict.holds is not False for verdict in verdicts)


def rows_of(case: Case) -> Sequence[Row]:
    """What is judged of a case."""
    if case.grown == "dumps":
        return SMALL_ROWS
    if case.idle:
        # what is read for the first time is written down, too
        return GROWN_ROWS if case.grown and not case.anew else START_ROWS
    return STRAIGHT_ROWS if case.block else DUMP_ROWS


def main(arguments: Sequence[str]) -> int:
    """Measure, print, judge. :return: the exit status"""
    options = parse(arguments)
    reason = obstacle(options)
    if reason:
        print(f"bench: {reason}", file=sys.stderr)
        return 2
    cases = [case for case in CASES if not options.only or case.name in options.only]
    good = True
    print("medians, in brackets least and greatest; holding disk and vtapes on tmpfs\n")
    with our_taper(options.taper) as ours:
        for case in cases:
            size = SMALL if case.grown else options.size * MIB
            pairs = measure(ours, options.stock, case, size, options.pairs, options.many)
            good &= report(case, size, pairs, rows_of(case), options.many)
        for case in cases:
            if options.large and not case.idle and not case.block and not case.grown:
                pairs = measure(ours, options.stock, case, LARGE * MIB, 1, 0)
                good &= report(case, LARGE * MIB, pairs, [MEMORY])
    print("all bounds hold" if good else "a bound is BROKEN")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

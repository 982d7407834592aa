"""``python -m tests.bench``: see ``--help``.

Exit status 1: a bound is broken; 2: nothing can be measured; 3: measured, but not judged.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.bench.axes import AXES, BY_NAME, memory_bounds
from tests.bench.bounds import Bound, Row, bounds, judge, judgeable, rows
from tests.bench.cases import CASES, MIB
from tests.bench.documents import write_documents
from tests.bench.figures import Measured
from tests.bench.machine import Spent, describe, head
from tests.bench.measuring import chosen, measure, obstacle, our_taper, unmeasurable
from tests.bench.plots import write_plots
from tests.bench.results import NotOneRun, Results, beside, together
from tests.bench.table import render
from tests.conformance.harness import Program

STOCK = "/usr/lib/amanda/taper"
GOOD, BROKEN, IMPOSSIBLE, UNJUDGED = range(4)
OTHERS = "others meanwhile"
EXPLAINED = """\
ours, stock: medians, in brackets least and greatest; limit: the kernel alone moves the data, no
checksum; loop: read or receive, sum and write in Python; ours/stock, share of limit: medians of the
rounds' ratios; MB are 10^6 bytes
"""


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench",
        description="Compare our taper with Amanda's, and with what the kernel alone does: rounds "
        "of one run of each, in alternating order, after one that warms the caches; medians of the "
        "rounds' ratios. It is judged only what was measured on an idle machine.",
    )
    add = parser.add_argument
    names = [*(case.name for case in CASES), *(axis.name for axis in AXES)]
    add("--pairs", type=int, default=5, metavar="N", help="rounds of each case (default 5)")
    add("--size", type=int, default=1024, metavar="MIB", help="size of the dump (default 1024)")
    add("--many", type=int, default=3000, metavar="N", help="logs, slots, dumps (default 3000)")
    add("--only", action="append", default=[], choices=names, help="this alone; can be repeated")
    add("--parts", type=int, default=10000, metavar="N", help="on 100 vtapes (default 10000)")
    add("--quick", action="store_true", help="only the cases that say most")
    add("--growth", action="store_true", help="also how cost grows with sizes and numbers")
    add("--to", type=int, default=0, metavar="N", help="no more than so many of what grows")
    add("--taper", metavar="PATH", help="our taper; default: a fresh copy of the working tree")
    add("--stock", metavar="PATH", default=STOCK, help=f"the other taper; default: {STOCK}")
    add("--judge-anyway", action="store_true", help="judge though the machine is busy")
    add("--json", type=Path, metavar="FILE", help="keep every single figure")
    kept = "measure nothing: report what was kept in these files"
    add("--from", dest="stored", type=Path, nargs="+", default=[], metavar="FILE", help=kept)
    kept = "put what is measured beside what this file keeps, of an earlier version of ours"
    add("--beside", type=Path, metavar="FILE", help=kept)
    add("--plots", type=Path, metavar="DIR", help="draw plots (SVG)")
    add("--write-docs", action="store_true", help="put figures and plots into docs/performance.md")
    options = parser.parse_args(arguments)
    if min(options.pairs, options.size, options.parts) < 1 or options.many < 2:
        parser.error("--pairs, --size and --parts are at least 1, --many is at least 2")
    return options


def measured(options: argparse.Namespace, kept: Results | None) -> Results:
    """Measure all that is asked for, and tell of each case when it is done.

    :param kept: what it is put beside
    :raise NotOneRun: it could not be put beside that, and nothing was measured
    """
    points = chosen(options)
    about = describe(options.taper, options.stock, [case for _, _, case in points])
    results = Results(about)
    if kept is not None:
        beside(kept, results)
    began = Spent.now()
    print(f"{head(about)}\n\n{EXPLAINED}")
    with our_taper(options.taper) as ours:
        programs = (Program(ours, "ours", False), Program(options.stock, "stock", True))
        for point in points:
            axis, _, case = point
            if reason := unmeasurable(case):
                print(f"{axis.name if axis else case.name} left out: {reason}\n", flush=True)
                continue
            found = measure(programs, point, options.pairs)
            (results.growth if axis else results.cases).append(found)
            about[OTHERS] = f"{100 * Spent.now().by_others(began):.0f} % of all cores in use"
            if options.json:  # what comes may fail
                results.save(options.json)
            print(told(found, judged=results.idle or options.judge_anyway), end="\n\n", flush=True)
    print(f"{OTHERS}: {about.get(OTHERS, 'nothing was measured')}\n")
    return results if kept is None else beside(kept, results)


def kept_in(path: Path | None) -> Results | None:
    """What new figures are put beside, if that is wanted.

    :raise NotOneRun: there is nothing of the kind
    """
    try:
        return None if path is None else Results.load(path)
    except (OSError, ValueError) as error:
        raise NotOneRun(str(error)) from error


def told(found: Measured, *, judged: bool) -> str:
    """The table of a case, or of a point on an axis of growth."""
    shown, demands = demanded(found)
    return render(found, shown, [judge(bound, found.rounds) for bound in demands], judged=judged)


def demanded(found: Measured) -> tuple[Sequence[Row], Sequence[Bound]]:
    """What is shown of it, and what must hold."""
    case = BY_NAME.get(found.name)
    if case is not None:
        return rows(case), judgeable(bounds(case), found.rounds)
    axis = next(axis for axis in AXES if axis.name == found.name)
    case = axis.case(found.value, MIB)
    return rows(case), memory_bounds(case)


def main(arguments: Sequence[str]) -> int:
    """Measure, print, judge, draw. :return: the exit status"""
    options = parse(arguments)
    if options.stored:
        try:
            results = together([Results.load(path) for path in options.stored])
        except (OSError, ValueError) as error:
            print(f"bench: {error}", file=sys.stderr)
            return IMPOSSIBLE
        print(f"{head(results.about)}\n\n{EXPLAINED}")
        for found in (*results.cases, *results.growth):
            judged = results.idle or options.judge_anyway
            print(told(found, judged=judged), end="\n\n")
    elif reason := obstacle(options):
        print(f"bench: {reason}", file=sys.stderr)
        return IMPOSSIBLE
    else:
        try:
            kept = kept_in(options.beside)
            results = measured(options, kept)
        except NotOneRun as error:
            print(f"bench: {error}", file=sys.stderr)
            return IMPOSSIBLE
    if options.json:
        results.save(options.json)
    if options.plots:
        write_plots(results, options.plots)
    if options.write_docs:
        write_documents(results)
    return sentence(results, anyway=options.judge_anyway)


def sentence(results: Results, *, anyway: bool) -> int:
    """Print whether all holds. :return: the exit status"""
    if not results.idle and not anyway:
        busy = results.about["load at start"]
        print(f"not judged: the machine was busy at the start (load average {busy});")
        print("try again a minute after all others have ended, or with --judge-anyway")
        return UNJUDGED
    broken = [
        f"{found.name}: {verdict.bound.text}: {verdict.value:.3g}"
        for found in (*results.cases, *results.growth)
        for verdict in (judge(bound, found.rounds) for bound in demanded(found)[1])
        if not verdict.holds
    ]
    print("\n".join(["broken:", *broken]) if broken else "all bounds hold")
    return BROKEN if broken else GOOD


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

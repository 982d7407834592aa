"""One scene played twice at the same time, with our taper and with Amanda's own, and what Amanda's
programs say of it afterwards, times aside."""

from __future__ import annotations

import re
from collections.abc import Callable
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field

from tests.system.amanda import CONFIG, ETC, Amanda, Options, report_lines
from tests.system.conftest import MakeAmanda

STAMP = re.compile(r"\b20\d{12}\b")
CLOCK = re.compile(r"\d+:\d\d( +\d+\.\d)?")
"""A time, and the rate behind it in a dump summary."""

# gzip makes more or less of a dump, as the times of day in it are
NEAR_SHARE = 0.15
"""By how much a share in % or a size in MiB may differ."""
NEAR_KIB = 2
LEAST_SIZE = 100
"""Whole numbers below it are counts, levels or files, and must be equal."""


@dataclass
class Account:
    """What Amanda's programs say: lines of words.

    :ivar reports: of amreport, one of each run, its exit status first; in any order
    :ivar found: by amadmin find, without file numbers; in any order
    :ivar tapelist: in the order of labels; a timestamp is the number of its run
    """

    reports: list[list[list[str]]] = field(default_factory=list)
    found: list[list[str]] = field(default_factory=list)
    tapelist: list[list[str]] = field(default_factory=list)

    def reported(self, amanda: Amanda) -> None:
        """Add amreport's words on the run that has just ended."""
        done = amanda.run("amreport", CONFIG)
        self.reports.append([["exit", str(done.returncode)], *words_of(done.stdout)])

    def closed(self, amanda: Amanda) -> None:
        """Look at catalogue and tapelist."""
        lines = [line.split() for line in amanda.ask("amadmin", "find").splitlines()]
        dumps = [line for line in lines if line and line[0][:2] == "20"]
        self.found = sorted([STAMP.sub("*", w) for w in (*d[2:8], *d[9:])] for d in dumps)
        text = amanda.read(f"{ETC}/tapelist")
        runs = sorted(set(STAMP.findall(text)))
        numbered = STAMP.sub(lambda found: f"run{runs.index(found[0])}", text)
        self.tapelist = sorted((line.split() for line in numbered.splitlines()), key=lambda w: w[1])


def words_of(report: str) -> list[list[str]]:
    """Words of the lines of a report, without times and rates, in an order that is none of time."""
    lines = []
    for line in report_lines(report):
        if line.startswith("Date "):
            continue
        line = CLOCK.sub("*", STAMP.sub("*", line))
        if " Rate (k/s)" in line:
            line = re.sub(r"\d+\.\d", "*", line)
        lines.append(line)
    return [line.split() for line in sorted(lines, key=lambda li: (re.sub(r"[\d.]+", "#", li), li))]


def alike(one: str, other: str) -> bool:
    """The same word, or nearly the same number."""
    if one == other:
        return True
    numbers = [word.rstrip("K") for word in (one, other)]
    if not all(re.fullmatch(r"\d+(\.\d)?", number) for number in numbers):
        return False
    apart = abs(float(numbers[0]) - float(numbers[1]))
    if "." in one:
        return apart <= NEAR_SHARE
    return apart <= NEAR_KIB and min(map(int, numbers)) >= LEAST_SIZE


def check_alike(ours: list[list[str]], stock: list[list[str]]) -> None:
    """Line by line, word by word."""
    shown = "\n".join(" ".join(words) for words in (*ours, ["stock:"], *stock))
    assert len(ours) == len(stock), shown
    for one, other in zip(ours, stock, strict=True):
        assert len(one) == len(other), (one, other, shown)
        assert all(map(alike, one, other)), (one, other, shown)


@dataclass
class Played:
    """One scene, going on with both tapers."""

    amanda: Amanda
    ours: Future[Account]
    stock: Future[Account]

    def agree(self) -> Amanda:
        """Wait for the end of both; reports, catalogue and tapelist are alike. :return: ours"""
        ours, stock = self.ours.result(), self.stock.result()
        for one, other in zip(ours.reports, stock.reports, strict=True):
            check_alike(one, other)
        assert ours.reports[-1][0] == ["exit", "0"]
        check_alike(ours.found, stock.found)
        check_alike(ours.tapelist, stock.tapelist)
        return self.amanda


def play(
    pool: Executor, make_amanda: MakeAmanda, options: Options, scene: Callable[[Amanda], Account]
) -> Played:
    """Begin a scene with both."""
    ours, stock = (make_amanda(options, ours=which) for which in (True, False))
    return Played(ours, pool.submit(scene, ours), pool.submit(scene, stock))

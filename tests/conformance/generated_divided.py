"""The step at which two generated conversations part, and what a rule says of it."""

import re
from collections.abc import Callable
from dataclasses import dataclass

from tests.conformance.generated import Player
from tests.conformance.generated_listener import PROBE, PROBED
from tests.conformance.harness_text import split_line

MOVING = re.compile(r"< (OPENED|CLOSED)-SOURCE-VOLUME ")
PROBE_LOGGED = "ERROR taper unhandled command 'TAPER-OK'"


@dataclass(frozen=True)
class Divided:
    """The step at which two conversations part: tags, what was said and logged by each."""

    tags: frozenset[str]
    stock: list[str]
    ours: list[str]
    stock_log: list[str]
    ours_log: list[str]
    stock_before: list[str]
    log_before: list[str]
    stock_ended: str
    stock_status: int | None
    last: bool
    usage: int

    @property
    def stock_gone(self) -> bool:
        """Stock died or hung in this step."""
        return self.last and self.stock_ended in ("died", "hung")

    @property
    def alike_so_far(self) -> bool:
        """Up to its end stock said what ours did."""
        told = [line for line in self.stock if not MOVING.match(line)]
        ours = [line for line in self.ours if not MOVING.match(line)]
        while told and told[-1].startswith(("! ", "< (eof)")):
            del told[-1]
        return ours[: len(told)] == told

    @property
    def denied(self) -> bool:
        """The last that stock heard was a denial."""
        heard = [line for line in self.stock if line.startswith("> ")]
        return bool(heard) and heard[-1].startswith("> NO-NEW-TAPE ")

    def first(self) -> tuple[str, str]:
        """The first reply that differs, stock's and ours."""
        for stock, ours in zip([*self.stock, ""], [*self.ours, ""], strict=False):
            if stock != ours:
                return stock, ours
        return "", ""

    def first_log(self) -> str:
        """The first line of stock's log that is not in ours at that place."""
        ours = [*self.ours_log, *[""] * len(self.stock_log)]
        pairs = zip(self.stock_log, ours, strict=False)
        return next((line for line, other in pairs if line != other), "")


Says = Callable[[Divided], bool]


@dataclass(frozen=True)
class Rule:
    """A meant difference: when it applies, and (part of) its row in docs/differences.md.

    :ivar goes_on: what comes after it must be alike again
    """

    row: str
    applies: Says
    goes_on: bool = False


def said(lines: list[str], word: str) -> list[list[str]]:
    """The replies that begin with a word, as fields."""
    return [split_line(line)[1:] for line in lines if line.startswith(f"< {word} ")]


def ending(lines: list[str]) -> str:
    """The last result of a dump in a step."""
    results = ("< DONE ", "< PARTIAL ", "< FAILED ")
    return next((line for line in reversed(lines) if line.startswith(results)), "")


def gone_with(*tags: str) -> Says:
    """Stock is gone at a step with one of these tags, and had not said anything else before."""
    return lambda at: at.stock_gone and at.alike_so_far and any(tag in at.tags for tag in tags)


def heard(lines: list[str]) -> list[str]:
    """What was said, in an order that is promised: source volumes come and go as data are read,
    which is ahead of what is written; and nothing about probes."""
    lines = [line for line in lines if line not in (f"> {PROBE}", f"< {PROBED}")]
    return sorted(lines, key=lambda line: MOVING.match(line) is not None)


def divided(
    number: int,
    stock: Player,
    ours: Player,
    said_by: tuple[list[str], list[str]],
    logged_by: tuple[list[str], list[str]],
) -> Divided:
    """Cut one step out of both conversations."""
    cuts = []
    for player, lines, logged in zip((stock, ours), said_by, logged_by, strict=True):
        start = player.marks[number - 1] if number else None
        end = player.marks[number]
        said_from, logged_from = (start.said, start.logged) if start else (0, 0)
        cuts.append(
            (
                heard(lines[said_from : end.said]),
                [line for line in logged[logged_from : end.logged] if line != PROBE_LOGGED],
                said_from,
                logged[:logged_from],
            )
        )
    return Divided(
        tags=stock.marks[number].tags | ours.marks[number].tags,
        stock=cuts[0][0],
        ours=cuts[1][0],
        stock_log=cuts[0][1],
        ours_log=cuts[1][1],
        stock_before=said_by[0][: cuts[0][2]],
        log_before=cuts[1][3],
        stock_ended=stock.ended,
        stock_status=stock.talk.process.poll(),
        last=number == len(stock.marks) - 1,
        usage=(stock.plan.options.usage_kib or 0) * 1024,
    )

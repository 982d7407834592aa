"""Which differences from stock are meant: one table, each rule with its row in the README."""

import re
import signal
from collections.abc import Callable
from dataclasses import dataclass

from tests.conformance.generated import Player
from tests.conformance.generated_plan import HOLDING_FAULTS
from tests.conformance.harness_text import split_line

SPACE = "No space left on device"
CRC_COMPLAINT = re.compile(r"; source server crc \(\S+\) and dest server crc \(\S+\) differ\)")


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

    def first(self) -> tuple[str, str]:
        """The first reply that differs, stock's and ours."""
        for stock, ours in zip([*self.stock, ""], [*self.ours, ""], strict=False):
            if stock != ours:
                return stock, ours
        return "", ""


Says = Callable[[Divided], bool]


@dataclass(frozen=True)
class Rule:
    """A meant difference: when it applies, and (part of) its row in the README."""

    row: str
    applies: Says


def said(lines: list[str], word: str) -> list[list[str]]:
    """The replies that begin with a word, as fields."""
    return [split_line(line)[1:] for line in lines if line.startswith(f"< {word} ")]


def gone_with(*tags: str) -> Says:
    """Stock is gone at a step with one of these tags."""
    return lambda at: at.stock_gone and any(tag in at.tags for tag in tags)


def twice_in_run(at: Divided) -> bool:
    """Stock took a volume for the second time in this run; ours did not."""
    labels = [words[3] for words in said([*at.stock_before, *at.stock], "NEW-TAPE")]
    new = [words[3] for words in said(at.stock, "NEW-TAPE")]
    if any(labels.count(label) > 1 for label in new):
        return True
    only = next((line for line in at.stock_log if line not in at.ours_log), "")
    busy = re.match(r"INFO taper Slot \S+, containing '(\S+)', is already in use ", only)
    return busy is not None and busy[1] in labels


def file_zero(at: Divided) -> bool:
    """Stock told of a part with file number 0."""
    reported = any(words[4] == "0" for words in said(at.stock, "PARTDONE"))
    return reported or any(
        re.match(r'PART(PARTIAL)? taper "\S+" "\S+" \S+ 0 ', line) for line in at.stock_log
    )


def on_empty_volume(at: Divided) -> bool:
    """Ours gave up where a part failed as the first file of a volume; stock asked for another."""
    stock, ours = at.first()
    failed = [line for line in at.ours_log if line.startswith("PARTPARTIAL ")]
    return bool(
        stock.startswith("< REQUEST-NEW-TAPE ")
        and re.match(r"< (PARTIAL|FAILED) \S+ \S+ INPUT-GOOD TAPE-ERROR ", ours)
        and failed
        and split_line(failed[-1])[5] == "1"
    )


def failed_twice(at: Divided) -> bool:
    """The same part failed twice, at different sizes."""
    failed = [split_line(line) for line in at.stock_log if line.startswith("PARTPARTIAL ")]
    sizes: dict[str, set[str]] = {}
    for words in failed:
        sizes.setdefault(words[9], set()).add(words[14])
    return any(len(found) > 1 for found in sizes.values())


def spare_volume(at: Divided) -> bool:
    """The first thing ours did otherwise was to look at a slot that it had reserved before."""
    line = next((line for line in at.ours_log if line not in at.stock_log), "")
    slot = re.match(r"INFO taper Slot \S+ ", line)
    return slot is not None and any(before.startswith(slot[0]) for before in at.log_before)


RULES: dict[str, Rule] = {
    "holding-file": Rule(
        "A holding file that is missing, damaged, looped or of another dump",
        gone_with(*HOLDING_FAULTS, "other-header"),
    ),
    "quit-busy": Rule("QUIT or end of file at any moment", gone_with("quit-busy")),
    "quit-busy-log": Rule(
        "QUIT or end of file at any moment",
        lambda at: bool({"quit-busy", "quit-header", "quit-status"} & at.tags) and at.last,
    ),
    "unknown-worker": Rule("An unknown worker, a second START-TAPER", gone_with("unknown-worker")),
    "started-again": Rule(
        "An unknown worker, a second START-TAPER",
        lambda at: (
            "started-again" in at.tags
            and at.first()[0].startswith(("< TAPER-OK ", "< TAPE-ERROR "))
            and at.first()[1].startswith("< BAD-COMMAND ")
        ),
    ),
    "permission-without-scan": Rule("NEW-TAPE without START-SCAN scans", gone_with("no-scan")),
    "failed-request": Rule(
        "FAILED while a volume is asked for leaves the worker usable",
        gone_with("after-failed-request"),
    ),
    "own-volume": Rule(
        "a worker that is to take its own volume",
        lambda at: (
            at.first()[0].startswith("< BAD-COMMAND ")
            and at.first()[1].endswith(': a worker cannot take its own scribe"')
        ),
    ),
    "spare-volume": Rule("A volume that was reserved and not used is found again", spare_volume),
    "lexical": Rule(
        "`lexical` reads the inventory again when its list of slots is used up",
        lambda at: any(
            line.startswith("FATAL ") and "/Scan/lexical.pm line 114" in line
            for line in at.stock_log
        ),
    ),
    "ring-without-header": Rule(
        "A shared-memory dump without a header ends at once",
        lambda at: at.stock_ended == "hung" and at.last and {"ring", "empty-header"} <= at.tags,
    ),
    "burst": Rule("Scans asked for at the same time wait for their turn", gone_with("burst")),
    "true-reason": Rule(
        "PARTPARTIAL tells the true reason unless it is space",
        lambda at: (
            "cancel" in at.tags
            and at.stock == at.ours
            and [line.replace(f'"{SPACE}"', '"dumper failed"') for line in at.stock_log]
            == at.ours_log
        ),
    ),
    "ended-before": Rule(
        "FAILED or a denial while data flow, an error of the volume, and QUIT end the dump at once",
        lambda at: (
            "cancel" in at.tags
            and "INPUT-GOOD TAPE-ERROR" in at.first()[1]
            and at.first()[0]
            == at.first()[1]
            .replace("INPUT-GOOD", "INPUT-ERROR")
            .replace(']" "" "', ']" "dumper failed" "')
        ),
    ),
    "denied-amid-data": Rule(
        "A dump that is denied while its data come is always answered",
        lambda at: (
            at.stock_gone
            and at.stock_status == -signal.SIGFPE
            and at.stock[-2].startswith("> NO-NEW-TAPE ")
        ),
    ),
    "open-connection": Rule(
        "FAILED or a denial while data flow, an error of the volume, and QUIT end the dump at once",
        lambda at: at.last and at.stock_ended == "hung" and "cancel" in at.tags,
    ),
    "empty-reason": Rule("NO-NEW-TAPE with an empty reason is a denial", gone_with("empty-reason")),
    "cancelled": Rule(
        "FAILED or a denial while data flow, an error of the volume, and QUIT end the dump at once",
        lambda at: (
            "failed-request" in at.tags and at.first()[1] == CRC_COMPLAINT.sub("", at.first()[0])
        ),
    ),
    "close-source": Rule(
        "CLOSE-SOURCE-VOLUME is always answered",
        lambda at: (
            "close-source" in at.tags and at.first()[1].startswith("< CLOSED-SOURCE-VOLUME ")
        ),
    ),
    "written-in-this-run": Rule("A volume is judged again at the moment", twice_in_run),
    "file-zero": Rule("No PART line and no PARTDONE for a part of which only", file_zero),
    "empty-volume": Rule("A part that fails on an empty volume ends the dump", on_empty_volume),
    "failed-twice": Rule("A part that fails again while it is repeated", failed_twice),
}


def find(at: Divided) -> str | None:
    """Name the rule that a difference falls under."""
    return next((name for name, rule in RULES.items() if rule.applies(at)), None)


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
                lines[said_from : end.said],
                logged[logged_from : end.logged],
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

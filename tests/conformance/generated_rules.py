"""Which differences from stock are meant: one table, each rule with its row in the README."""

import re
import signal
from collections.abc import Callable
from dataclasses import dataclass

from tests.conformance.generated import PROBE, PROBED, Player
from tests.conformance.generated_plan import HOLDING_FAULTS
from tests.conformance.generated_sources import PART_FAULTS, VOLUME_FAULTS
from tests.conformance.harness_files import BLOCK
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
    """A meant difference: when it applies, and (part of) its row in the README.

    :ivar goes_on: what comes after it must be alike again
    """

    row: str
    applies: Says
    goes_on: bool = False


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


def no_part(at: Divided) -> bool:
    """Stock told of a dump without any part that it was partial, ours that it failed."""
    stock, ours = at.first()
    empty = r'< PARTIAL (\S+ \S+ \S+ \S+) "00000000:0" "\[sec \S+ bytes 0 kps [^"]*" (.*)'
    told = re.match(empty, stock)
    failed = told is not None and ours == f"< FAILED {told[1]} {told[2]}"
    return failed and any(
        re.match(r"PARTIAL .* 0 \d+ \S+ \S+ \S+ \[", line) for line in at.stock_log
    )


def only_file_zero(at: Divided) -> bool:
    """All that stock told besides was of parts with file number 0."""
    told = [line for line in at.stock if not re.match(r"< PARTDONE \S+ \S+ \S+ 0 ", line)]
    log = [line for line in at.stock_log if not re.match(r"PART(PARTIAL)? (\S+ ){4}0 ", line)]
    return file_zero(at) and told == at.ours and log == at.ours_log


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


SOURCE_TROUBLE = re.compile(
    r'< (PARTIAL|FAILED) \S+ \S+ INPUT-ERROR TAPE-\S+ .*"[^"]*(is longer than the \d+ bytes|'
    r"is truncated: \d+ bytes|there is no such file on the volume|does not match expectations|"
    r"File \d+ not found|[Vv]olume '\S+' not found|expected volume label|is reserved)"
)


def bad_source(at: Divided) -> bool:
    """Ours told what is wrong with the source, where stock told nothing or something else."""
    stock, ours = ending(at.stock), ending(at.ours)
    faults = {*PART_FAULTS, *VOLUME_FAULTS, "own-source"} & at.tags
    return bool(faults and ours != stock and SOURCE_TROUBLE.match(ours))


def source_text(at: Divided) -> bool:
    """And nothing else was another than in stock, but for the words in which it told of it."""
    text = r' "[^"]*" ""$'
    result = re.sub(text, "", ending(at.stock))
    if not bad_source(at) or result != re.sub(text, "", ending(at.ours)):
        return False
    same = [line for line in at.stock if line not in at.ours] == [ending(at.stock)]
    return same and len(at.stock) == len(at.ours) and len(at.stock_log) == len(at.ours_log)


def ending(lines: list[str]) -> str:
    """The last result of a dump in a step."""
    results = ("< DONE ", "< PARTIAL ", "< FAILED ")
    return next((line for line in reversed(lines) if line.startswith(results)), "")


def kept_volume(at: Divided) -> bool:
    """In ours another worker than those that read gave up its source volume."""
    readers = {words[0] for words in said(at.ours, "OPENED-SOURCE-VOLUME")}
    closed = [words[0] for words in said(at.ours, "CLOSED-SOURCE-VOLUME")]
    told = [words[0] for words in said(at.stock, "CLOSED-SOURCE-VOLUME")]
    return bool(readers) and any(worker not in readers and worker not in told for worker in closed)


def padding(at: Divided) -> bool:
    """Stock copied the padding of the last block."""
    sizes = [re.search(r" bytes (\d+) ", ending(lines)) for lines in (at.stock, at.ours)]
    if "padded" not in at.tags or None in sizes or not ending(at.ours).startswith("< DONE "):
        return False
    stock, ours = (int(size[1]) for size in sizes if size)
    return 0 < stock - ours < BLOCK


def log_sum(at: Divided) -> bool:
    """Ours compared the checksum of the log; stock found nothing wrong with the source."""
    text = r"< (PARTIAL|FAILED) .* INPUT-ERROR .*source server crc \(\S+\) and input server crc "
    return (
        bool({"wrong-log-sum", "flipped"} & at.tags)
        and " INPUT-GOOD " in ending(at.stock)
        and re.match(text, ending(at.ours)) is not None
    )


def cached_sum(at: Divided) -> bool:
    """The checksum alone differs, after a part was repeated from a cache; ours is judged anyway."""
    stock, ours = at.first()
    told = r'"[0-9a-f]{8}:(\d+)"'
    repeated = "INFO taper Will request retry of failed split part." in at.stock_log
    return repeated and re.sub(told, r"\1", stock) == re.sub(told, r"\1", ours) != ours


def clerk_went_on(at: Divided) -> bool:
    """Stock died of the next volume, to read from or write on, which nobody wanted any more."""
    fatal = r"FATAL taper Value for 'handle' is undefined at \S+/Taper/Worker.pm line (521|626)\."
    return at.stock_gone and any(re.match(fatal, line) for line in at.stock_log)


def read_ahead(at: Divided) -> bool:
    """All that ours said besides: that it had changed the source volume before the dump ended."""
    more = list(at.ours)
    for line in at.stock:
        if line not in more:
            return False
        more.remove(line)
    return (
        bool(more)
        and not ending(at.ours).startswith("< DONE ")
        and all(re.match(r"< (OPENED|CLOSED)-SOURCE-VOLUME ", line) for line in more)
        and ("after:vault" not in at.tags or "vault" in at.tags)
    )


def sent_to_mover(at: Divided) -> bool:
    """In a dump that ended early stock counts what was sent to the mover, ours what is stored."""
    told = re.compile(r'"[0-9a-f]{8}:\d+" "\[sec \S+ bytes (\d+) ')
    stock, ours = at.first()
    found = told.search(stock), told.search(ours)
    if "direct" not in at.tags or not ours.startswith("< PARTIAL ") or None in found:
        return False
    return '"00000000:0"' in ours and told.sub("", stock) == told.sub("", ours)


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
        goes_on=True,
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
            and at.stock_status in (-signal.SIGFPE, -signal.SIGSEGV)
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
            "close-source" in at.tags
            and at.ours[: len(at.stock)] == at.stock
            and all(line.startswith("< CLOSED-SOURCE-VOLUME ") for line in at.ours[len(at.stock) :])
            and at.stock_log == at.ours_log
        ),
        goes_on=True,
    ),
    "written-in-this-run": Rule("A volume is judged again at the moment", twice_in_run),
    "only-file-zero": Rule(
        "No PART line and no PARTDONE for a part of which only", only_file_zero, goes_on=True
    ),
    "no-part": Rule("a dump without any part is FAILED", no_part),
    "file-zero": Rule("No PART line and no PARTDONE for a part of which only", file_zero),
    "empty-volume": Rule("A part that fails on an empty volume ends the dump", on_empty_volume),
    "failed-twice": Rule("A part that fails again while it is repeated", failed_twice),
    "crossed": Rule(
        "NEW-TAPE that crosses the end of its dump gets NO-NEW-TAPE",
        lambda at: (
            "cancel" in at.tags
            and [CRC_COMPLAINT.sub("", line) for line in at.stock]
            == [line for line in at.ours if not line.startswith("< NO-NEW-TAPE ")]
        ),
    ),
    "kept-volume": Rule("An idle worker gives up a source volume that another needs", kept_volume),
    "denied-direct": Rule(
        "A dump that is denied while its data come is always answered",
        lambda at: (
            at.last
            and at.stock_ended == "hung"
            and "direct" in at.tags
            and at.stock[-2].startswith("> NO-NEW-TAPE ")
        ),
    ),
    "sent-to-mover": Rule("A dump sent to a mover that ends early", sent_to_mover),
    "empty-direct": Rule(
        "An empty dump is a dump",
        lambda at: (
            {"direct", "empty"} <= at.tags and "unexpected NOTIFY_MOVER_HALT" in at.first()[0]
        ),
    ),
    "ring-to-mover": Rule(
        "SHM-WRITE to an `ndmp:` device",
        lambda at: at.stock_gone and {"direct", "ring"} <= at.tags,
    ),
    "source-storage": Rule(
        "A source storage that cannot be opened fails that dump", gone_with("no-storage")
    ),
    "source-text": Rule(
        "A source volume that is missing or another one, a wrong header", source_text, goes_on=True
    ),
    "bad-source": Rule(
        "A source volume that is missing or another one, a wrong header", bad_source
    ),
    "padding": Rule("Padding of the last block is cut where header or log tell", padding),
    "cached-sum": Rule("The checksum of a dump whose parts were repeated is", cached_sum),
    "clerk-went-on": Rule("A vaulted dump that ends early is read no further", clerk_went_on),
    "log-sum": Rule("The log's checksum is compared where the dump's header has none", log_sum),
    "read-ahead": Rule("Reading ahead goes on into the next source volume", read_ahead),
}


def find(at: Divided) -> str | None:
    """Name the rule that a difference falls under."""
    return next((name for name, rule in RULES.items() if rule.applies(at)), None)


def heard(lines: list[str]) -> list[str]:
    """What was said, in an order that is promised: source volumes come and go as data are read,
    which is ahead of what is written; and nothing about probes."""
    lines = [line for line in lines if line not in (f"> {PROBE}", f"< {PROBED}")]
    moving = re.compile(r"< (OPENED|CLOSED)-SOURCE-VOLUME ")
    return sorted(lines, key=lambda line: moving.match(line) is not None)


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

"""Which differences from stock are meant: each rule with its row in docs/differences.md."""

import re
import signal

from tests.conformance.generated_divided import Divided, Rule, ending, gone_with, said
from tests.conformance.generated_plan import HOLDING_FAULTS
from tests.conformance.generated_rules_more import VAULT_AND_DIRECT
from tests.conformance.harness_text import split_line

SPACE = "No space left on device"
CRC_COMPLAINT = re.compile(r"; source server crc \(\S+\) and dest server crc \(\S+\) differ\)")


def twice_in_run(at: Divided) -> bool:
    """Stock took a volume for the second time in this run; ours did not."""
    labels = [words[3] for words in said([*at.stock_before, *at.stock], "NEW-TAPE")]
    new = [words[3] for words in said(at.stock, "NEW-TAPE")]
    if any(labels.count(label) > 1 for label in new):
        return True
    only = next((line for line in at.stock_log if line not in at.ours_log), "")
    busy = re.match(r"INFO taper Slot \S+, containing '(\S+)', is already in use ", only)
    return busy is not None and busy[1] in labels


FILE_ZERO = re.compile(r'(< PARTDONE \S+ \S+ \S+ 0 |PART(PARTIAL)? taper "\S+" "\S+" \S+ 0 )')


def file_zero(at: Divided) -> bool:
    """The first that stock told otherwise was of a part with file number 0."""
    return FILE_ZERO.match(at.first()[0]) is not None or FILE_ZERO.match(at.first_log()) is not None


def no_part(at: Divided) -> bool:
    """Stock told of a dump without any part that it was partial, ours that it failed."""
    stock, ours = at.first()
    empty = r'< PARTIAL (\S+ \S+ \S+ \S+) "00000000:0" "\[sec \S+ bytes 0 kps [^"]*" (.*)'
    told = re.match(empty, stock)
    failed = told is not None and ours == f"< FAILED {told[1]} {told[2]}"
    return failed and any(
        re.match(r"PARTIAL .* 0 \d+ \S+ \S+ \S+ \[", line) for line in at.stock_log
    )


def ring_end(at: Divided) -> bool:
    """Stock took less out of a ring than ours did, and called it the whole."""
    stock, ours = at.first()
    part = re.compile(r"< PARTDONE (\S+ \S+ \S+ \d+) (\d+) ")
    short, full = part.match(stock), part.match(ours)
    return (
        "ring" in at.tags
        and short is not None
        and full is not None
        and short[1] == full[1]
        and int(short[2]) < int(full[2])
        and " INPUT-GOOD TAPE-GOOD " in ending(at.stock)
    )


def crossed(at: Divided) -> bool:
    """All that differs: what is said of the crossing, and of the checksum, in no certain order."""
    late = ("< NO-NEW-TAPE ", "< BAD-COMMAND \"command not appropriate in state 'idle' : 'writing'")
    stock, ours = (
        sorted(CRC_COMPLAINT.sub("", line) for line in lines if not line.startswith(late))
        for lines in (at.stock, at.ours)
    )
    return "cancel" in at.tags and stock == ours and bool(said(at.ours, "NO-NEW-TAPE"))


def until_quit(lines: list[str]) -> list[str]:
    """What was said before QUIT."""
    return lines[: lines.index("> QUIT")] if "> QUIT" in lines else lines


def parts_untold(at: Divided) -> bool:
    """All that differs: stock left the number of parts empty after a scribe was taken over."""
    parts = re.compile(r"^(PARTIAL taper .* \d{14}) \d* (\d+ )")
    untold = re.compile(r"^PARTIAL taper .* \d{14}  \d+ ")
    differ = [
        stock for stock, ours in zip(at.stock_log, at.ours_log, strict=False) if stock != ours
    ]
    masked = [[parts.sub(r"\1 N \2", line) for line in log] for log in (at.stock_log, at.ours_log)]
    return (
        "taken" in at.tags
        and at.stock == at.ours
        and masked[0] == masked[1]
        and all(untold.match(line) for line in differ)
    )


def only_file_zero(at: Divided) -> bool:
    """All that stock told besides was of parts with file number 0."""
    told = [line for line in at.stock if not FILE_ZERO.match(line)]
    log = [line for line in at.stock_log if not FILE_ZERO.match(line)]
    return told == at.ours and log == at.ours_log


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
    """The same part had failed twice, at different sizes, before anything differed in the log."""
    first = at.first_log()
    alike = at.stock_log[: at.stock_log.index(first)] if first else at.stock_log
    failed = [split_line(line) for line in alike if line.startswith("PARTPARTIAL ")]
    sizes: dict[str, set[str]] = {}
    for words in failed:
        sizes.setdefault(words[9], set()).add(words[14])
    return any(len(found) > 1 for found in sizes.values())


def spare_volume(at: Divided) -> bool:
    """The first thing ours did otherwise was to look at a slot that it had reserved before."""
    line = next((line for line in at.ours_log if line not in at.stock_log), "")
    slot = re.match(r"INFO taper Slot \S+ ", line)
    return slot is not None and any(before.startswith(slot[0]) for before in at.log_before)


def relabelled(at: Divided) -> bool:
    """Both said that they would relabel the volume that ours then took and stock left."""
    stock, ours = (
        [line for line in log if line.startswith("INFO taper Slot ")]
        for log in (at.stock_log, at.ours_log)
    )
    return bool(ours) and ours[-1].endswith(" will be relabeled") and stock[: len(ours)] == ours


RULES: dict[str, Rule] = {
    "holding-file": Rule(
        "A holding file that is missing, damaged, looped or of another dump",
        gone_with(*HOLDING_FAULTS, "other-header"),
    ),
    "quit-busy": Rule("QUIT or end of file at any moment", gone_with("quit-busy")),
    "quit-busy-log": Rule(
        "QUIT or end of file at any moment",
        lambda at: (
            at.last
            and bool({"quit-busy", "quit-header", "quit-status"} & at.tags)
            and "> QUIT" in at.stock
            and until_quit(at.stock) == until_quit(at.ours)
        ),
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
    "relabelled": Rule(
        "`lexical` and `oldest` relabel a volume of another configuration", relabelled
    ),
    "lexical": Rule(
        "`lexical` reads the inventory again when its list of slots is used up",
        lambda at: (
            at.stock_gone
            and any(
                line.startswith("FATAL ") and "/Scan/lexical.pm line 114" in line
                for line in at.stock_log
            )
        ),
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
            at.stock_gone and at.stock_status in (-signal.SIGFPE, -signal.SIGSEGV) and at.denied
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
            bool({"failed-request", "cancel"} & at.tags)
            and at.first()[1] == CRC_COMPLAINT.sub("", at.first()[0])
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
    "ring-end": Rule("The last bytes of a ring cannot be missed", ring_end),
    "parts-untold": Rule("A PARTIAL of a dump that took a scribe over", parts_untold, goes_on=True),
    "no-part": Rule("a dump without any part is FAILED", no_part),
    "file-zero": Rule("No PART line and no PARTDONE for a part of which only", file_zero),
    "empty-volume": Rule("A part that fails on an empty volume ends the dump", on_empty_volume),
    "failed-twice": Rule("A part that fails again while it is repeated", failed_twice),
    "crossed": Rule(
        "NEW-TAPE that crosses the end of its dump gets NO-NEW-TAPE",
        crossed,
    ),
    **VAULT_AND_DIRECT,
}


def find(at: Divided) -> str | None:
    """Name the rule that a difference falls under."""
    return next((name for name, rule in RULES.items() if rule.applies(at)), None)

"""Which differences from stock are meant where dumps are vaulted, or go straight to a drive."""

import re

from tests.conformance.generated_divided import MOVING, Divided, Rule, ending, gone_with, said
from tests.conformance.generated_sources import PART_FAULTS, VOLUME_FAULTS
from tests.conformance.harness_files import BLOCK

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


def kept_volume(at: Divided) -> bool:
    """In ours another worker than those that read gave up its source volume."""
    readers = {words[1] for words in said(at.ours, "OPENED-SOURCE-VOLUME")}
    closed = [words[1] for words in said(at.ours, "CLOSED-SOURCE-VOLUME")]
    told = [words[1] for words in said(at.stock, "CLOSED-SOURCE-VOLUME")]
    return bool(readers) and any(worker not in readers and worker not in told for worker in closed)


def padding(at: Divided) -> bool:
    """Stock copied the padding of a part's last block, or what else lay there."""
    sizes = [re.search(r" bytes (\d+) ", ending(lines)) for lines in (at.stock, at.ours)]
    longer = {"padded", "long-part"} & at.tags
    if not longer or None in sizes or not ending(at.ours).startswith("< DONE "):
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
    """The checksum alone differs, after a part was repeated from a cache, and what stock says of
    that; ours is judged anyway."""
    stock, ours = at.first()
    told = r'"[0-9a-f]{8}:(\d+)"'
    complaint = r'^< PARTIAL (.*) INPUT-ERROR (.*) "source server crc .* dest server crc .*" ""$'
    stock = re.sub(complaint, r'< DONE \1 INPUT-GOOD \2 "" ""', stock)
    repeated = "INFO taper Will request retry of failed split part." in at.stock_log
    return repeated and re.sub(told, r"\1", stock) == re.sub(told, r"\1", ours) != ours


def clerk_went_on(at: Divided) -> bool:
    """Stock died of the next volume, to read from or write on, which nobody wanted any more."""
    fatal = r"FATAL taper Value for 'handle' is undefined at \S+/Taper/Worker.pm line (521|626)\."
    return at.stock_gone and any(re.match(fatal, line) for line in at.stock_log)


def read_ahead(at: Divided) -> bool:
    """All that differs: how far reading was ahead, when a vaulted dump ended before its source."""
    said = [[line for line in lines if not MOVING.match(line)] for lines in (at.stock, at.ours)]
    early = not ending(at.ours).startswith("< DONE ")
    return "vault" in at.tags and early and said[0] == said[1] and at.stock_log == at.ours_log


def read_on(at: Divided) -> bool:
    """Ours was through with a source volume that stock still held when another dump wanted it."""
    stock, _ = at.first()
    held = r"< FAILED (\S+) (\S+) INPUT-ERROR .*\"Source volume '(\S+)' in slot \S+ is reserved\" "
    failed = re.match(held, stock)
    opened = [words[1:4] for words in said(at.ours, "OPENED-SOURCE-VOLUME")]
    return failed is not None and list(failed.groups()) in opened


def own_copy(at: Divided) -> bool:
    """Stock could not go on to a volume that it is writing itself; it gave no reason, or found
    checksums of what it had so far."""
    lost = r'< PARTIAL \S+ \S+ INPUT-\S+ TAPE-GOOD .* "(source server crc [^"]*)?" ""$'
    done = ending(at.ours).startswith("< DONE ")
    return "own-source" in at.tags and done and re.match(lost, ending(at.stock)) is not None


def sent_to_mover(at: Divided) -> bool:
    """In a dump that ended early stock counts what was sent to the mover, ours what is stored."""
    told = re.compile(r'"[0-9a-f]{8}:\d+" "\[sec \S+ bytes (\d+) ')
    stock, ours = at.first()
    found = told.search(stock), told.search(ours)
    if "direct" not in at.tags or not ours.startswith("< PARTIAL ") or None in found:
        return False
    return '"00000000:0"' in ours and told.sub("", stock) == told.sub("", ours)


def full_volume(at: Divided) -> bool:
    """Stock let the full volume listen, ours looked for the next one first, and found none."""
    stock, ours = at.first()
    return (
        "direct" in at.tags
        and stock.startswith("< PORT ")
        and ours.endswith(' "error; got_device failed: No acceptable volumes found"')
        and ending(at.stock).endswith(' "No acceptable volumes found"')
    )


VAULT_AND_DIRECT: dict[str, Rule] = {
    "full-volume": Rule("A full volume is given back before a device is to listen", full_volume),
    "kept-volume": Rule("An idle worker gives up a source volume that another needs", kept_volume),
    "denied-direct": Rule(
        "A dump that is denied while its data come is always answered",
        lambda at: at.last and at.stock_ended == "hung" and "direct" in at.tags and at.denied,
    ),
    "sent-to-mover": Rule("A dump sent to a mover that ends early", sent_to_mover),
    "empty-direct": Rule(
        "An empty dump is a dump",
        lambda at: (
            {"direct", "empty"} <= at.tags and "unexpected NOTIFY_MOVER_HALT" in at.first()[0]
        ),
    ),
    "old-post": Rule(
        "Notifications belong to one run of the mover",
        lambda at: (
            "direct" in at.tags
            and "unexpected NOTIFY_MOVER_HALT" in at.first()[0]
            and any(line.startswith("< FAILED ") for line in at.stock_before)
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
    "read-on": Rule("Reading ahead goes on into the next source volume", read_on),
    "own-copy": Rule("A volume that is being read is never chosen to be written on", own_copy),
}

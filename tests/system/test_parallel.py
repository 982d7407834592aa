"""Several workers of one taper on one changer: the driver hands volumes from one to another.

The same two nights are run with our taper and with Amanda's own. Which dump meets which volume is
a matter of moments, so volumes are compared by their sums.
"""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from tests.system.amanda import CONFIG, Amanda, Options
from tests.system.beside import Account, check_alike, play
from tests.system.conftest import MakeAmanda

pytestmark = pytest.mark.system

EXTRA = """
device-property "MAX_VOLUME_USAGE" "6291456"
device-property "LEOM" "true"
taper-parallel-write 4
define dumptype straight {
  auth "local"
  program "GNUTAR"
  compress none
  index yes
  holdingdisk never
}
"""
HELD = Options(
    disks=[(disk, "plain") for disk in "abcd"],
    slots=18,
    runtapes=18,
    tapecycle=19,
    length_mb=6,
    tapetype="part-size 2 mbytes",
    autoflush="yes",
    extra=EXTRA,
)
MIXED = replace(HELD, disks=[*HELD.disks, ("e", "straight"), ("f", "squeezed")])
CLOSING = replace(MIXED, extra=f"max-dle-by-volume 2\n{EXTRA}")
"""Volumes are closed in mid-run. For ours alone: the write after CLOSE-VOLUME scans while the
driver has another worker scan, and stock then dies (``Can only run one scan at a time``)."""
SIZES = {"a": 14, "b": 1, "c": 1, "d": 1, "e": 9, "f": 9}
BY_VOLUME = re.compile(
    r"were to tapes?|tapes Amanda expects|taper: (tape|Slot)|Parts Taped|SYS-\d\d "
)


def two_nights(amanda: Amanda) -> Account:
    """All of one night is held; the next flushes it beside dumps of its own."""
    account = Account()
    for disk, mib in SIZES.items():
        amanda.fill(disk, mib)
    amanda.run("amdump", CONFIG, "--no-taper")
    amanda.configure(CLOSING if amanda.ours else MIXED)
    amanda.ask("amdump")
    account.reported(amanda)
    account.closed(amanda)
    check_volumes(amanda)
    log = amanda.driver_log()
    for command in ("TAKE-SCRIBE-FROM", "CLOSE-VOLUME", "FILE-WRITE", "SHM-WRITE", "PORT-WRITE"):
        assert re.search(rf"send-cmd time \S+ to taper0: {command} worker0-", log), command
    closed_early = log.index("CLOSE-VOLUME") < log.rindex("-WRITE worker0-")
    assert closed_early is amanda.ours
    writers = set(re.findall(r"from taper0: PARTDONE (\S+)", log))
    assert len(writers) > 1
    return account


def check_volumes(amanda: Amanda) -> None:
    """What the log says of each volume at its end is the sum of its parts; none ends twice."""
    parts: dict[str, list[int]] = {}
    for line in amanda.trace_log("PART taper"):
        label, number = line.split()[4:6]
        size = re.search(r"bytes (\d+)", line)
        assert size is not None
        if int(number):  # stock's for a part of which only the header fitted
            parts.setdefault(label, []).append(int(size[1]))
            assert int(number) == len(parts[label]), line
    last = "\n".join(amanda.trace_log("INFO taper tape "))
    ends = re.findall(r"tape (\S+) kb (\d+) fm (\d+)", last)
    assert sorted(label for label, _, _ in ends) == sorted(parts)
    for label, kib, files in ends:
        only_header = int(files) - len(parts[label])
        assert only_header in (0, 1)
        assert abs(int(kib) - sum(parts[label]) / 1024) < 32
    numbers = [int(line.split()[-1]) for line in amanda.trace_log("START taper")]
    assert numbers == list(range(1, len(parts) + 1))


def test_volumes_are_handed_from_worker_to_worker(make_amanda: MakeAmanda) -> None:
    """Flushed, through shared memory, through a port: every dump comes back; the reports agree."""
    with ThreadPoolExecutor() as pool:
        played = play(pool, make_amanda, HELD, two_nights)
    amanda, ours, stock = played.amanda, played.ours.result(), played.stock.result()
    (one,), (other,) = ours.reports, stock.reports
    one, other = (
        [words for words in report if not BY_VOLUME.search(" ".join([*words, ""]))]
        for report in (one, other)
    )
    check_alike(one, other)
    assert ["exit", "0"] in one
    dumps = [
        {" ".join([*words[:5], words[-1]]) for words in account.found} for account in (ours, stock)
    ]
    assert dumps[0] == dumps[1]
    for disk in SIZES:
        amanda.check_restored(disk, amanda.fetch(disk, amanda.stamp()))
    older = min(line.split()[6] for line in amanda.trace_log("DONE taper"))
    for disk, _ in HELD.disks:
        amanda.check_restored(disk, amanda.fetch(disk, older))
    amanda.satisfied("amcheckdump")
    amanda.satisfied("amreport")
    amanda.check_ours()

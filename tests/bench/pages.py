"""How long a browser waits for a page of ``taperctl web`` where there are many dumps and volumes,
while a run adds to its log."""

from __future__ import annotations

import getpass
import http.client
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path

from taper.people.web.asked import address
from taper.people.web.library import FRESH
from tests.bench.figures import OURS, Figures, Round

DUMPS, VOLUMES, PARTS = 20_000, 1_000, 5
NEWEST = datetime(2026, 1, 9)
_STATS = "[sec 0.100000 bytes 1048576 kps 10240.000000 orig-kb 1024]"
_CRC = "6689cf21:3010560"
_POOL = '"ST:C" "POOL:C"'
_CONF = """
dumpuser "{user}"
logdir "{root}/log"
tapelist "{root}/tapelist"
tapecycle {kept}
tapetype T
define tapetype T {{
  length 800 mbytes
}}
define policy KEEP {{
  retention-tapes {kept}
  retention-full 2
  retention-recover 10
}}
define changer vtapes {{
  tpchanger "chg-disk:{root}/vtapes"
}}
define storage C {{
  tpchanger "vtapes"
  tapetype "T"
  policy "KEEP"
  labelstr "^V[0-9]+$"
}}
storage "C"
"""


def stamps(count: int) -> list[str]:
    """One a day, the newest first."""
    return [(NEWEST - timedelta(days=n)).strftime("%Y%m%d%H%M%S") for n in range(count)]


def make(root: Path, dumps: int = DUMPS, volumes: int = VOLUMES) -> None:
    """A configuration with so many dumps on so many volumes, each written in a night of its own."""
    for name in ("etc/C", "log", "tmp", "dbg", "state", "vtapes"):
        (root / name).mkdir(parents=True)
    text = _CONF.format(root=root, user=getpass.getuser(), kept=volumes // 2)
    (root / "etc/C/amanda.conf").write_text(text)
    each = dumps // volumes
    disks = [(f"host{n % 7}.example.com", f"/srv/data{n}") for n in range(each)]
    (root / "etc/C/disklist").write_text(
        "".join(f'{host} {disk} {{\n  program "GNUTAR"\n}}\n' for host, disk in disks)
    )
    tapelist = []
    for number, stamp in enumerate(stamps(volumes)):
        label = f"V{volumes - number:05d}"
        tapelist.append(f"{stamp} {label} reuse BLOCKSIZE:32 POOL:C STORAGE:C CONFIG:C\n")
        (root / f"log/log.{stamp}.0").write_text(_log(stamp, label, number, disks))
        (root / f"log/amdump.{stamp}").write_text(_told(stamp, label, disks))
    (root / "tapelist").write_text("".join(tapelist))


def _log(stamp: str, label: str, night: int, disks: Sequence[tuple[str, str]]) -> str:
    lines = ["INFO amdump amdump pid 1", *(f"DISK planner {host} {disk}" for host, disk in disks)]
    lines.append(f"START taper datestamp {stamp} {_POOL} label {label} tape 1")
    for number, (host, disk) in enumerate(disks):
        level = int((night + number) % 7 > 0)
        dump = f"{host} {disk} {stamp}"
        lines += [
            f"SUCCESS dumper {dump} {level} {_CRC} {_CRC} 00000000:0 {_STATS}",
            f"SUCCESS chunker {dump} {level} {_CRC} {_STATS}",
        ]
        for part in range(1, PARTS + 1):
            file = number * PARTS + part
            stats = f"[sec 0.1 bytes {(1 + (night + 3 * number) % 9) << 20} kps 1 orig-kb 1024]"
            lines.append(f"PART taper {_POOL} {label} {file} {dump} {part}/-1 {level} {stats}")
        lines.append(f"DONE taper {_POOL} {dump} {PARTS} {level} {_CRC} {_CRC} {_CRC} {_STATS}")
    lines += [f"FINISH driver date {stamp} time 900.0", "INFO amdump pid-done 1", ""]
    return "\n".join(lines)


def _told(stamp: str, label: str, disks: Sequence[tuple[str, str]]) -> str:
    lines = ["driver: start time 0.1 inparallel 4 diskspace 1024000  dir x"]
    for number, (host, disk) in enumerate(disks):
        begin, taper = number * 40.0, f"taper0: FILE-WRITE worker0-0 00-{number} /x {host} {disk} 0"
        lines += [
            f"driver: state time {begin:.3f} free kps: 1 space: {1024000 - number * 10000} taper",
            f"driver: send-cmd time {begin:.3f} to dumper{number % 4}: "
            f"PORT-DUMP 01-{number} 1 x 4 {host} ff {disk} NODEVICE 0",
            f"driver: result time {begin + 30:.3f} from dumper{number % 4}: DONE 01-{number}",
            f"driver: send-cmd time {begin + 30:.3f} to {taper} {stamp}",
        ]
        for part in range(1, PARTS + 1):
            when = begin + 30 + part * 2
            done = f"PARTDONE worker0-0 00-{number} {label} {part} 1024"
            lines.append(f'driver: result time {when:.3f} from taper0: {done} "{_STATS}"')
        lines.append(
            f"driver: result time {begin + 40:.3f} from taper0: DONE worker0-0 00-{number}"
        )
    return "\n".join((*lines, "driver: FINISHED time 900.0", ""))


def addresses(volumes: int = VOLUMES) -> list[str]:
    """Pages of each kind, at the beginning, in the middle and at the end of what there is."""
    found = ["/", "/errors", "/metrics", "/nights", "/style.css", "/dumps?page=999999"]
    found += [f"/{name}?page={page}" for name in ("volumes", "dumps", "nights") for page in (1, 9)]
    found.append("/volumes?find=99")
    all_stamps = stamps(volumes)
    for number in (0, volumes // 2, volumes - 1):
        stamp = all_stamps[number]
        found.append(address("/volume", label=f"V{volumes - number:05d}"))
        found.append(address("/night", run=stamp))
        for disk in (0, 5):
            host, level = f"host{disk % 7}.example.com", int((number + disk) % 7 > 0)
            words = {"host": host, "disk": f"/srv/data{disk}", "at": stamp, "level": level}
            found.append(address("/dump", **words, storage="C", written=stamp))
    found.append(address("/dumps", host="host3.example.com"))
    return found


@contextmanager
def served(root: Path) -> Iterator[int]:
    """Run ``taperctl web``. Gives its port."""
    environment = {
        **os.environ,
        "AMANDA_CONFIG_DIR": str(root / "etc"),
        "AMANDA_TMPDIR": str(root / "tmp"),
        "AMANDA_DBGDIR": str(root / "dbg"),
        "AMANDA_STATE_DIR": str(root / "state"),
    }
    command = [sys.executable, "-m", "taper.ctl", "web", "C", "--listen", "tcp:127.0.0.1:0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        try:
            assert process.stdout is not None
            said = process.stdout.readline()
            yield int(said.rstrip().rstrip("/").rpartition(":")[2])
        finally:
            process.terminate()


def ask(port: int, path: str) -> float:
    """Get a page. :return: the seconds it took"""
    began = time.monotonic()
    link = http.client.HTTPConnection("127.0.0.1", port)
    try:
        link.request("GET", path)
        reply = link.getresponse()
        reply.read()
    finally:
        link.close()
    assert reply.status == 200, (path, reply.status)
    return time.monotonic() - began


def round_of(number: int, dumps: int = DUMPS, volumes: int = VOLUMES) -> Round:
    """Each page, again and again while the newest log grows. :return: the slowest one"""
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory)
        make(root, dumps, volumes)
        (stamp,) = stamps(1)
        log = root / f"log/log.{stamp}.0"
        slowest = 0.0
        with served(root) as port:
            for turn in range(3):
                slowest = max(slowest, *(ask(port, path) for path in addresses(volumes)))
                with log.open("a") as file:
                    file.write(f"FAIL taper turn{turn} /of/round{number} {stamp} 0 [a test]\n")
                time.sleep(FRESH)  # so that it is read again, beside the pages of the next turn
    return {OURS: Figures(seconds=slowest)}

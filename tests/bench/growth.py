"""What grows over the years: trace logs, slots, and the files of one volume."""

from __future__ import annotations

import os
from datetime import datetime, timedelta

from crc32c import crc32c

from taper.run.log_index import NAME
from tests.conformance.harness import CONFIG, LOG, STAMP, TAPELIST, VTAPES, Options, World
from tests.conformance.harness_files import Dump, dump_header, label_header

LOGDIR = os.path.dirname(LOG)
DUMPS_IN_LOG = 100
SMALL = 64 * 1024
"""Bytes of one of many dumps."""

_LABELS = 'labelstr "^V[0-9]*$"\nautolabel "V%%%%%" empty'
_POLICY = f"""define policy KEEP {{
  retention-tapes 3
  retention-full 2
  retention-recover 10
}}
define storage {CONFIG} {{
  policy "KEEP"
  tpchanger "chg-disk:{VTAPES}"
  {_LABELS}
}}
storage "{CONFIG}"
"""
_CRC = "6689cf21:3010560"
_STATS = "[sec 0.100000 bytes 1048576 kps 10240.000000 orig-kb 1024]"
_POOL = f'"ST:{CONFIG}" "POOL:{CONFIG}"'


def _stamps(count: int) -> list[str]:
    """One a day, the newest first, all before that of the run."""
    first = datetime.strptime(STAMP, "%Y%m%d%H%M%S")
    return [(first - timedelta(days=n + 1)).strftime("%Y%m%d%H%M%S") for n in range(count)]


def _list_volumes(world: World, stamps: list[str]) -> None:
    tail = f"reuse BLOCKSIZE:32 POOL:{CONFIG} STORAGE:{CONFIG} CONFIG:{CONFIG}"
    lines = [f"{stamp} V{number:05d} {tail}\n" for number, stamp in enumerate(stamps, start=2)]
    world.write(TAPELIST, "".join(lines))


def make_logs(world: World, count: int, **knobs: object) -> None:
    """So many nights of 100 dumps each, a policy that looks at all of them, and one blank slot."""
    world.configure(Options(slots=1, labels="", extra=_POLICY, **knobs))  # type: ignore[arg-type]
    stamps = _stamps(count)
    for number, stamp in enumerate(stamps, start=2):
        label = f"V{number:05d}"
        lines = [f"START taper datestamp {stamp} {_POOL} label {label} tape 1"]
        for n in range(DUMPS_IN_LOG):
            dump = f"host{n % 7}.example.com /srv/data{n} {stamp}"
            level = int((number + n) % 7 > 0)
            lines += [
                f"SUCCESS dumper {dump} {level} {_CRC} {_CRC} 00000000:0 {_STATS}",
                f"SUCCESS chunker {dump} {level} {_CRC} {_STATS}",
                f"PART taper {_POOL} {label} {n + 1} {dump} 1/-1 {level} {_STATS}",
                f"DONE taper {_POOL} {dump} 1 {level} {_CRC} {_CRC} {_CRC} {_STATS}",
            ]
        path = world.write(f"{LOGDIR}/log.{stamp}.0", "\n".join(lines) + "\n")
        written = datetime.strptime(stamp, "%Y%m%d%H%M%S").timestamp()
        os.utime(world.path(path), (written, written))
    _list_volumes(world, stamps)


def make_slots(world: World, count: int, **knobs: object) -> None:
    """So many volumes none of which may be written, and a blank one in the last slot."""
    options = Options(slots=count, labels=_LABELS, tapecycle=2 * count, **knobs)  # type: ignore[arg-type]
    world.configure(options)
    stamps = _stamps(count - 1)
    for slot, stamp in enumerate(stamps, start=1):
        world.labelled(slot, f"V{slot + 1:05d}", stamp, None)
    _list_volumes(world, stamps)


def forget(world: World, *, index: bool) -> None:
    """Take away what a run has left, but not what was made for it.

    :param index: that of the logs too.
    """
    for rest in (LOG, f"{VTAPES}/state", f"{VTAPES}/data"):
        world.path(rest).unlink(missing_ok=True)
    if index:
        world.path(f"{LOGDIR}/{NAME}").unlink(missing_ok=True)


VOLUMES, PARTS_OF_DUMP, PAYLOAD = 100, 10, 16 * 1024
"""Vtapes at most, parts of a dump, and bytes of one."""


def make_parts(world: World, count: int, **knobs: object) -> None:
    """Vtapes with so many parts on them, of dumps that go over from one to the next; no tapelist
    and no log."""
    volumes = min(count, VOLUMES)
    world.configure(Options(slots=volumes, **knobs))  # type: ignore[arg-type]
    noise = os.urandom(PAYLOAD)
    for number in range(count):
        slot = number * volumes // count + 1
        directory = world.path(f"{VTAPES}/slot{slot}")
        files = len(list(directory.iterdir()))
        if not files:
            label = f"V{slot:05d}"
            world.write(f"{VTAPES}/slot{slot}/00000.{label}", label_header(label, STAMP))
            files = 1
        dump, part = Dump(f"/srv/data{number // PARTS_OF_DUMP}"), number % PARTS_OF_DUMP + 1
        of_this = min(PARTS_OF_DUMP, count - number + part - 1)
        crc = f"{crc32c(noise * of_this):08x}:{PAYLOAD * of_this}"
        header = dump_header(dump, "SPLIT_FILE", f"SERVER-CRC={crc}\n", f"part {part}/-1 ")
        name = f"{files:05d}.{dump.host}.{dump.disk.replace('/', '_')}.0"
        world.write(f"{VTAPES}/slot{slot}/{name}", header + noise)

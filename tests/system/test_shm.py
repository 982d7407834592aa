"""Dumps that go straight to a volume through shared memory: the stock dumper is the producer.

The same night is run with our taper and with Amanda's own, by both ways a client is reached.
"""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.system.amanda import ALARM, CONFIG, Amanda, Options, report_lines
from tests.system.bsdtcp import Client
from tests.system.conftest import MakeAmanda

pytestmark = pytest.mark.system

DISKS = {"home": 5, "srv": 7, "big": 60, "bare": 0}
LOCAL = 'auth "local"'
SHM = """
define dumptype straight {{
  {auth}
  program "GNUTAR"
  compress none
  index yes
  holdingdisk never
}}
define dumptype filtered {{
  straight
  compress client fast
}}
"""


def options(auth: str = LOCAL, **more: object) -> Options:
    disks = [(name, "straight") for name in DISKS]
    return Options(
        disks=disks,
        slots=3,
        tapecycle=3,
        tapetype="part-size 10 mbytes",
        extra=SHM.format(auth=auth),
        **more,  # type: ignore[arg-type]
    )


def left_in_memory(amanda: Amanda) -> list[str]:
    """What tapers of the night have left in shared memory."""
    pids = re.findall(r"INFO taper taper pid (\d+)", "\n".join(amanda.trace_log()))
    assert pids
    return [
        name for name in os.listdir("/dev/shm") if name.rsplit("-", 2)[-2:-1] in [[p] for p in pids]
    ]


@pytest.fixture(scope="module", params=["local", "bsdtcp"])
def nights(
    make_lasting_amanda: MakeAmanda, request: pytest.FixtureRequest
) -> Iterator[tuple[Amanda, Amanda]]:
    """The same night with ours and with stock."""
    with ExitStack() as stack:
        made = []
        for ours in (True, False):
            auth = LOCAL
            client = None
            if request.param == "bsdtcp":
                client = stack.enter_context(Client())
                auth = f'auth "bsdtcp"\n  client-port "{client.port}"'
            amanda = make_lasting_amanda(options(auth), ours=ours)
            if client is not None:
                client.enter(amanda, amanda.launcher)
            for disk, mib in DISKS.items():
                amanda.fill(disk, mib)
            amanda.ask("amdump")
            made.append(amanda)
        yield made[0], made[1]


@pytest.fixture
def ours(nights: tuple[Amanda, Amanda]) -> Amanda:
    return nights[0]


def test_every_dump_came_through_shared_memory(ours: Amanda) -> None:
    """Each with a ring of its own, DONE, and none by a port or a holding disk."""
    done = {line.split()[5].rpartition("/")[2] for line in ours.trace_log("DONE taper")}
    assert done == set(DISKS)
    log = ours.driver_log()
    names = re.findall(r"SHM-NAME \S+ \S+ \d+ (\S+)", log)
    assert len(set(names)) == len(DISKS)
    assert "PORT-WRITE" not in log
    assert "FILE-WRITE" not in log
    assert " exited with " not in log


def test_nothing_is_left_in_shared_memory(ours: Amanda) -> None:
    assert left_in_memory(ours) == []


def test_the_checksums_of_client_and_taper_agree(ours: Amanda) -> None:
    """What sendbackup counted is what we read and wrote [data-plane Q16]."""
    for line in ours.trace_log("DONE taper"):
        native, client, server = line.split()[9:12]
        assert native == client == server
        assert int(server.split(":")[1]) > 0


def test_the_taper_took_little(ours: Amanda) -> None:
    """No turn of its reactor over 50 ms, no more than 80 MiB of memory."""
    ours.check_ours()
    assert ours.read(f"{ALARM}.seen")


def words_of(report: str) -> list[list[str]]:
    """Words of the lines of a report, in any order, without times and rates."""
    without = re.sub(r"\d+:\d\d|\d+\.\d+(?=\s|$)|\b\d{6,}\b", "*", report)
    return sorted(line.split() for line in report_lines(without))


def test_amreport_says_the_same_of_both(nights: tuple[Amanda, Amanda]) -> None:
    """Sizes, counts, volumes and notes are those of a night with Amanda's own taper."""
    ours, stock = (words_of(amanda.report()) for amanda in nights)
    assert ours == stock


def test_amcheckdump_accepts_the_volume(ours: Amanda) -> None:
    """Every image validates."""
    text = f"All images ({len(DISKS)}) successfully validated"
    assert text in ours.satisfied("amcheckdump")


@pytest.mark.parametrize("disk", DISKS)
def test_amfetchdump_gives_every_file_back(ours: Amanda, disk: str) -> None:
    """All files, compared one by one."""
    ours.check_restored(disk, ours.fetch(disk))


def test_a_dump_over_several_volumes(make_amanda: MakeAmanda) -> None:
    """The producer waits in the ring while volumes are changed."""
    amanda = make_amanda(options(length_mb=25, runtapes=4))
    amanda.configure(
        Options(
            disks=[("big", "filtered")],
            slots=4,
            runtapes=4,
            tapecycle=5,
            length_mb=25,
            tapetype="part-size 10 mbytes",
            extra=SHM.format(auth=LOCAL),
        )
    )
    amanda.fill("big", 60)
    amanda.ask("amdump")
    assert "SHM-NAME" in amanda.driver_log()
    assert len(amanda.volumes()) == 3
    amanda.report()
    amanda.check_restored("big", amanda.fetch("big"))
    assert left_in_memory(amanda) == []
    amanda.check_ours()


@pytest.mark.parametrize("victim", [1, 2], ids=["dumper", "sendbackup"])
def test_a_producer_killed_in_the_middle(make_amanda: MakeAmanda, victim: int) -> None:
    """Noticed, and not waited out: the dump is no DONE, and driver has it made again in the same
    night."""
    amanda = make_amanda(
        Options(
            disks=[("large", "straight")],
            slots=3,
            tapecycle=3,
            length_mb=1000,
            tapetype="part-size 1 mbytes",
            extra="dtimeout 86400\n" + SHM.format(auth=LOCAL),
        )
    )
    amanda.fill("large", 250)
    running = amanda.start("amdump", CONFIG)
    while not (amanda.driver_log() and amanda.trace_log("PART taper")):
        assert running.poll() is None, "the run ended before any part was written"
        time.sleep(0.01)
    (line,) = amanda.trace_log("INFO taper taper pid")
    control = Path(f"/dev/shm/amanda_shm_control-{line.split()[4]}-0").read_bytes()
    at = 144 + 4 * victim
    os.kill(int.from_bytes(control[at : at + 4], "little"), signal.SIGKILL)
    assert running.wait(timeout=600) == 0
    ends = [
        line.split()[0] for line in amanda.trace_log() if re.match("(DONE|PARTIAL) taper", line)
    ]
    assert ends == ["PARTIAL", "DONE"]
    assert left_in_memory(amanda) == []
    amanda.check_restored("large", amanda.fetch("large"))
    amanda.check_ours()

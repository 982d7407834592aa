"""What our taper spread over twenty NDMP volumes comes back from Amanda's own device.

Volume by volume and by TAPE requests: stock's DirectTCP restore counts the stream wrongly as soon
as a part is read before it asks, and then seeks for ever (directtcp-and-ndmp 3.6).
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.conformance.harness import World
from tests.conformance.harness_talk import split_by
from tests.conformance.harness_text import payload
from tests.fakes import ndmp_runs
from tests.fakes.ndmjob import NdmJob, missing_ndmjob
from tests.fakes.ndmp_process import NdmpProcess
from tests.fakes.ndmp_runs import BLOCK, Client, begin, carry_on, close_volume, padded
from tests.system.ndmp_world import MakeWorld, make_world

__all__ = ["make_world"]
_REASON = missing_ndmjob()
pytestmark = [pytest.mark.system, pytest.mark.skipif(_REASON is not None, reason=_REASON or "")]

LIMITS = [9, 7, 8, 5, 13, 6, 4, 10, 12, 11, 9, 3, 7, 6, 8, 4, 14, 5, 10, 9, 100]
DATA = payload(112 * BLOCK + 777)
SCRIPT = Path(__file__).parents[1] / "fakes" / "stock_ndmp_blocks.pl"


def test_amanda_reads_twenty_volumes(make_world: MakeWorld) -> None:
    """Written on our strict server, read by Amanda's device from the real ndmjob."""
    with NdmpProcess(slots=[f"{limit}r" for limit in LIMITS], arguments=["--strict"]) as server:
        world = make_world()
        talk = begin(world, ndmp_runs.library(server.port), "-oruntapes=30", "-otapecycle=40")
        port, address = ndmp_runs.port_write(talk, split_by(5 * BLOCK - 1000))
        Client(address, DATA)
        ndmp_runs.send_header(port)
        outcome = carry_on(talk)
        assert outcome.word == "DONE", outcome.words
        close_volume(talk)
        with NdmJob() as job:
            for tape in server.tapes:
                job.blank(tape).write_bytes((server.directory / tape).read_bytes())
            said, found = read_by_stock(world, [job.url(tape) for tape in server.tapes])
    labels = [line.split()[1] for line in said if line.startswith("label")]
    parts = [int(line.split()[3]) for line in said if line.startswith("file")]
    assert labels == outcome.labels
    assert len(labels) > 20
    # a part of which only the header stood on a volume has its number again on the next
    assert sorted(set(parts)) == list(range(1, len(outcome.parts) + 1))
    assert found == padded(DATA)


def read_by_stock(world: World, names: list[str]) -> tuple[list[str], bytes]:
    """Let Amanda's device read volumes. :return: what was said, and the data of all files"""
    keeper = str(world.keeper.pid)
    user = ["setpriv", "--reuid=backup", "--regid=backup", "--init-groups"]
    done = subprocess.run(
        ["nsenter", "-t", keeper, "-m", *user, "perl", "-", "/tmp/amanda/found", *names],
        input=SCRIPT.read_text(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout.splitlines(), world.path("/tmp/amanda/found").read_bytes()

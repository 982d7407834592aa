"""What our taper spread over twenty NDMP volumes comes back from Amanda's own programs."""

from __future__ import annotations

import pytest

from tests.conformance.harness_talk import split_by
from tests.conformance.harness_text import payload
from tests.fakes import ndmp_runs
from tests.fakes.ndmjob import NdmJob, missing_ndmjob
from tests.fakes.ndmp_process import NdmpProcess
from tests.fakes.ndmp_runs import BLOCK, Client, begin, carry_on, close_volume, padded
from tests.system.amrestore import restore
from tests.system.ndmp_world import MakeWorld, make_world

__all__ = ["make_world"]
_REASON = missing_ndmjob()
pytestmark = [pytest.mark.system, pytest.mark.skipif(_REASON is not None, reason=_REASON or "")]

LIMITS = [9, 7, 8, 5, 13, 6, 4, 10, 12, 11, 9, 3, 7, 6, 8, 4, 14, 5, 10, 9, 100]
DATA = payload(112 * BLOCK + 777)


def test_amanda_reads_twenty_volumes(make_world: MakeWorld) -> None:
    """Written on our strict server, read by amrestore from the real ndmjob."""
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
            urls = [job.url(tape) for tape in server.tapes]
            labels, parts = restore(world.as_user, world.path, urls)
    assert labels == outcome.labels
    assert len(labels) > 20
    assert list(parts) == list(range(1, len(outcome.parts) + 1))
    assert b"".join(parts.values()) == padded(DATA)

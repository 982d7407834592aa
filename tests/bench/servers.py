"""The movers of tape servers themselves: ours onto a vtape, and Amanda's ndmjob onto its tape.

A client commands, a sender sends without copying; what the server's processes spend is measured.
"""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from protocols.ndmp import messages as m
from protocols.ndmp.auth import auth_data
from protocols.ndmp.codes import HaltReason, MoverMode, Mtio, TapeMode
from tests.bench import straight
from tests.bench.cases import KIB, NDMJOB_LARGE, NDMJOB_MOST, Case
from tests.bench.figures import OURS, Figures
from tests.bench.grounds import tasks
from tests.bench.machine import high_water
from tests.bench.sender import send
from tests.bench.talks import PATIENCE
from tests.conformance.harness import VTAPES, World
from tests.conformance.harness_files import dump_header, label_header
from tests.fakes.ndmjob import NdmJob
from tests.ndmp_conformance.talk import Talk
from tests.tapeserver.process import TapeServerProcess

TICK = os.sysconf("SC_CLK_TCK")
SLOT = f"{VTAPES}/slot1"
Served = tuple[int, str, int]
"""Port, drive, and the process group of the server."""


def stock_block(case: Case) -> int:
    """KiB of a record of ndmjob's."""
    return case.block if case.block <= NDMJOB_MOST else NDMJOB_LARGE


def run(world: World, case: Case, column: str) -> Figures:
    """Let a server write the stream, in records that it takes."""
    if column == OURS:
        with _ours(world, case.block) as served:
            return _stored(world, case, served)
    with _ndmjob(world) as served:
        return _stored(world, replace(case, block=stock_block(case)), served)


@contextmanager
def _ours(world: World, block: int) -> Iterator[Served]:
    path = world.path(SLOT)
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(parents=True)
    drive = f"[drive tape]\nvtape = {path}\nblock-size = {block * KIB}\n"
    with TapeServerProcess(drive) as server:
        yield server.port, "tape", server.pid


@contextmanager
def _ndmjob(world: World) -> Iterator[Served]:
    directory = world.path(VTAPES)
    with NdmJob(command=straight.inside(world), directory=directory, seen_as=VTAPES) as job:
        job.blank("tape")
        yield job.port, job.device("tape"), job.group
    (directory / "tape").unlink()


def _stored(world: World, case: Case, served: Served) -> Figures:
    port, drive, group = served
    (task,) = tasks(case)
    talk = Talk(("127.0.0.1", port), PATIENCE)
    block = case.block * KIB
    for request in (
        m.ConnectOpen(4),
        m.ConnectClientAuth(auth_data("text", "ndmp", "ndmp")),
        m.TapeOpen(drive, TapeMode.RDWR),
        m.TapeWrite(label_header("BENCH", "20260101000000").ljust(block, b"\0")),
        m.TapeMtio(Mtio.EOF, 1),
        m.TapeWrite(dump_header(task.dump).ljust(block, b"\0")),
        m.MoverSetRecordSize(block),
    ):
        _good(talk, request)
    listening = _good(talk, m.MoverListen(MoverMode.READ))
    data_port = listening.address.addresses[0].port
    before, began = _spent(group), time.monotonic()
    sender = threading.Thread(target=send, args=(str(world.path(task.path)), data_port))
    sender.start()
    post = talk.next_post(m.NotifyMoverHalted)
    seconds = time.monotonic() - began
    cpu = _spent(group) - before
    sender.join()
    assert post.reason == HaltReason.CONNECT_CLOSED, post
    moved = _good(talk, m.MoverGetState()).bytes_moved
    assert moved == -(-case.size // block) * block, f"{moved} bytes were stored"
    memory = max(map(_peak, _members(group)), default=0.0)
    talk.close()
    return Figures(seconds=seconds, rate=case.size / 1e6 / seconds, cpu=cpu, memory=memory)


def _good(talk: Talk, request: m.Request[m.Reply]) -> m.Reply:
    got = talk.request(request)
    assert not got.error, f"{request.label}: error {got.error}"
    talk.version = 4
    return got.body


def _members(group: int) -> list[Path]:
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if os.getpgid(int(path.name)) == group:
                found.append(path)
        except ProcessLookupError:
            continue
    return found


def _spent(group: int) -> float:
    """CPU seconds of all processes of a group until now."""
    ticks = 0
    for path in _members(group):
        words = (path / "stat").read_text().rpartition(")")[2].split()
        ticks += int(words[11]) + int(words[12])
    return ticks / TICK


def _peak(process: Path) -> float:
    return high_water((process / "status").read_text())

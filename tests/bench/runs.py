"""One run of one program: a fresh process, its dumps, its figures."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from tests.bench import buckets, readers, servers, straight
from tests.bench.cases import MIB, SMALL, Case, Ground, Way
from tests.bench.figures import LIMIT, LOOP, OURS, STOCK, Figures, Round
from tests.bench.grounds import BESIDE, LABEL, clean, first_of, pieces, settle, tasks
from tests.bench.machine import high_water
from tests.bench.readers import crc_of
from tests.bench.serving import SERVED, bare
from tests.bench.talks import PATIENCE, Flow, Moment, sender, write, write_many
from tests.conformance.harness import HOLDING, STAMP, USER, VTAPES, Program, World
from tests.conformance.harness_talk import Conversation
from tests.conformance.vaulting import Library
from tests.installation import ROOT


def limits(case: Case) -> dict[str, tuple[str, ...]]:
    """The plain loops beside a case, by column; of several the fastest counts."""
    if case.bucket:
        return {LOOP: ("put_object",)}
    if case.served:
        return {LIMIT: ("bare Python",)}
    if not case.large or case.restored or case.rait or case.way is Way.DIRECT:
        return {}
    if case.way in (Way.PORT, Way.MOVER):
        return {LIMIT: ("splice",), LOOP: ("receive",)}
    if case.way is Way.SHM:
        return {LIMIT: ("ring",), LOOP: ("ring, summed",)}
    if case.ground is Ground.XFS:
        return {LIMIT: ("clone", "clone, mapped"), LOOP: ("read",)}
    return {LIMIT: ("sendfile", "copy_file_range"), LOOP: ("read",)}


def round_of(world: World, programs: Sequence[Program], case: Case, *, back: bool) -> Round:
    """Run each program once, and each plain loop.

    :param back: in the opposite order, so that none always follows the same other
    :return: in the order of the columns; all have written the same bytes
    """
    if case.read:
        return _read(world, programs, case, back=back)
    loops = limits(case)
    found: Round = {}
    order = [OURS, STOCK, *loops]
    for column in reversed(order) if back else order:
        if case.served and column in loops:
            found[column] = bare(world, programs[0])
        elif column in loops:
            runs = [_loop(world, case, kind) for kind in loops[column]]
            found[column] = max(runs, key=lambda run: run.rate)
        elif case.way is Way.MOVER:
            found[column] = servers.run(world, case, column)
        else:
            found[column] = _taper(world, programs[order.index(column)], case)
    crcs = {figures.crc for figures in found.values() if figures.crc}
    assert len(crcs) <= 1, f"{case.name}: CRCs differ: {found}"
    return {column: found[column] for column in order}


def _read(world: World, programs: Sequence[Program], case: Case, *, back: bool) -> Round:
    """Let commands read what our taper has written before the first round."""
    if not case.grown and not readers.written(world):
        _life(world, programs[0], case)
    found = readers.round_of(world, programs[0], case, back=back)
    assert len({figures.crc for figures in found.values()}) == 1, f"{case.name}: {found}"
    return found


# a plain loop


def _loop(world: World, case: Case, kind: str) -> Figures:
    clean(world, case)
    if not case.bucket:
        return _loop_to(world, case, kind, None)
    with buckets.bucket(world) as bucket:
        return _loop_to(world, case, kind, bucket)


def _loop_to(world: World, case: Case, kind: str, bucket: buckets.Bucket | None) -> Figures:
    wanted = tasks(case)
    job = {
        "kind": kind,
        "part": case.part * MIB,
        "dumps": [
            (pieces(world, case, task), str(world.path(f"{BESIDE}/{task.worker}")))
            for task in wanted
        ],
        "bucket": None if bucket is None else bucket.for_loop(case.block),
    }
    command = [sys.executable, "-m", "tests.bench.loops"]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        question = json.dumps(job) + "\n"
        if case.way in (Way.PORT, Way.SHM, Way.MOVER):
            with sender(str(world.path(wanted[0].path))) as tell:
                process.stdin.write(question)
                process.stdin.flush()
                tell(*json.loads(process.stdout.readline()))
                answer = process.stdout.readline()
        else:
            process.stdin.write(question)
            process.stdin.flush()
            answer = process.stdout.readline()
    assert process.returncode == 0, f"{kind}: exit status {process.returncode}"
    seconds, cpu, crc = json.loads(answer)
    return Figures(seconds=seconds, rate=case.size / 1e6 / seconds, cpu=cpu, crc=crc)


# a taper


def _taper(world: World, program: Program, case: Case) -> Figures:
    clean(world, case)
    if case.bucket:
        with buckets.bucket(world) as bucket, buckets.able(program):
            world.configure(bucket.options(case.block))
            return _life(world, program, case)
    if case.way is not Way.DIRECT:
        figures = _life(world, program, case)
        return _restored(world, figures, case) if case.restored else figures
    with straight.drive(world, case.block) as url:
        world.configure(straight.options(url, case.block))
        return _life(world, program, case)


def _life(world: World, program: Program, case: Case) -> Figures:
    """From the start of a process to its end."""
    if case.way is Way.VAULT:
        world.tapelist_add(Library.entry(LABEL))
    world.program = program
    if case.served and not program.stock:
        return _conversation(world, case, SERVED)
    return _conversation(world, case)


def _conversation(world: World, case: Case, more: Sequence[str] = ()) -> Figures:
    """:param more: words of the command line"""
    talk = world.start(*more, held=True)
    talk.deadline = PATIENCE
    began = Moment.of(talk)
    talk.let_go()
    if case.way is Way.DIRECT:
        straight.begin(talk, STAMP)
    else:
        talk.start_taper()
    started = time.monotonic() - began.time
    flow = None if case.way is Way.IDLE else _dumps(world, talk, case)
    memory = peak_memory(talk.process.pid)
    life = _see_off(talk) - began.cpu
    talk.end()
    world.talks.remove(talk)  # by the end of a long case its number may be another process's
    if flow is None:
        return Figures(start=started, life=life, memory=memory)
    since = flow.ready if case.from_ready else flow.began
    count = case.many if case.grown else 1
    seconds = (flow.done[-1].time - since.time) / count
    return Figures(
        seconds=seconds,
        rate=(case.size or SMALL) / 1e6 / seconds,
        cpu=(flow.done[-1].cpu - since.cpu) / count,
        start=started,
        life=life,
        memory=memory,
        spread=flow.spread if case.workers > 1 else 0.0,
        crc=flow.crc,
    )


def _dumps(world: World, talk: Conversation, case: Case) -> Flow:
    """The dumps that are measured, each worker's after a small one that gets it its volume."""
    wanted = tasks(case)
    if case.way is Way.DIRECT:
        return write(world, talk, case, wanted)
    for number, task in enumerate(wanted):
        if number:
            talk.start_taper(task.worker)
        write(world, talk, case, [first_of(task)])
    if case.grown:
        return write_many(talk, first_of(wanted[0]), case.many)
    settle(world, case)
    return write(world, talk, case, wanted)


def _see_off(talk: Conversation) -> float:
    """QUIT. :return: CPU seconds of the process's whole life"""
    talk.send("QUIT")
    line = talk.read_line()
    assert line is None, f"expected the end of the conversation, got {line}"
    _, status, usage = os.wait4(talk.process.pid, 0)
    talk.process.returncode = os.waitstatus_to_exitcode(status)
    assert talk.process.returncode == 0, f"exit status {talk.process.returncode}"
    return usage.ru_utime + usage.ru_stime


def _restored(world: World, written: Figures, case: Case) -> Figures:
    """Let Amanda's own program read what was written, and see that it is the same."""
    user = ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--init-groups"]
    space = ["nsenter", "-t", str(world.keeper.pid), "-m", "--wd=/tmp/amanda"]
    command = [*space, *user, "amrestore", "-p", f"file:{VTAPES}/slot1", "^localhost$", "^/home$"]
    path = world.path(f"{HOLDING}/restored")
    began = time.monotonic()
    with path.open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
    seconds = time.monotonic() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    crc = crc_of(path)
    assert crc == written.crc, f"amrestore found {crc}, not {written.crc}"
    path.unlink()
    rate, cpu = case.size / 1e6 / seconds, usage.ru_utime + usage.ru_stime
    return Figures(seconds=seconds, rate=rate, cpu=cpu, crc=crc)


def peak_memory(pid: int) -> float:
    """MiB that a process has had in memory at most."""
    return high_water(Path(f"/proc/{pid}/status").read_text())

"""One run: a fresh taper process, one dump, its figures."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.bench import growth, sender, straight
from tests.conformance import producer
from tests.conformance.harness import ETC, HOLDING, LOG, STAMP, VTAPES, Options, Program, World
from tests.conformance.harness_files import Dump, dump_header
from tests.conformance.harness_talk import HANDLE, PLAIN, WORKER, Conversation, split_by
from tests.conformance.harness_text import split_line
from tests.conformance.vaulting import Library, opened, vault

MIB = 2**20
SHELF = f"{HOLDING}/shelf"
"""Where volumes to vault from lie."""
CHUNK = 64 * MIB
"""Payload of a chunk of the holding disk, where there are several."""
PATIENCE = 600.0
"""Seconds without a line from the taper after which a run has failed."""


@dataclass(frozen=True)
class Case:
    """What is dumped, and how.

    :ivar idle: nothing is dumped; the process starts and ends.
    :ivar port: by PORT-WRITE; else by FILE-WRITE.
    :ivar shm: by SHM-WRITE, from a producer that is a process of its own.
    :ivar vault: by VAULT-WRITE, from a volume that lies beside the holding disk.
    :ivar parts: parts this large in MiB, from holding files of chunks that do not fit them;
        0: one part from one file.
    :ivar grown: what there is much of, as :mod:`tests.bench.growth` makes it: ``logs``, ``slots``
        or ``dumps``; idle but for the last, where so many small dumps go onto one volume.
    :ivar anew: no log was ever read.
    :ivar block: by DirectTCP onto an NDMP drive, in blocks of so many KiB; 0: onto a vtape.
    :ivar rait: onto so many vtapes, of which the last has the parity.
    """

    name: str
    text: str
    idle: bool = False
    port: bool = False
    shm: bool = False
    vault: bool = False
    parts: int = 0
    grown: str = ""
    anew: bool = False
    block: int = 0
    rait: int = 0


CASES = (
    Case("start", "start and end of the process", idle=True),
    Case("logs", "start, with trace logs of years, known", idle=True, grown="logs"),
    Case("new-logs", "the same, none known", idle=True, grown="logs", anew=True),
    Case("slots", "start, with only the last slot of many usable", idle=True, grown="slots"),
    Case("dumps", "FILE-WRITE, many small dumps on one volume", grown="dumps"),
    Case("file", "FILE-WRITE, one part"),
    Case("rait", "FILE-WRITE, one part, onto three vtapes with parity", rait=3),
    Case("parts", "FILE-WRITE, chunks of 64 MiB into parts of 100 MiB", parts=100),
    Case("port", "PORT-WRITE", port=True),
    Case("shm", "SHM-WRITE", shm=True),
    Case("vault", "VAULT-WRITE, from parts of 64 MiB on one volume", vault=True),
    Case("ndmp-32", "DirectTCP, 32 KiB blocks, onto ndmjob", port=True, block=32),
    Case("ndmp-64", "DirectTCP, 64 KiB blocks, onto ndmjob", port=True, block=64),
    Case(
        "ndmp-128",
        "DirectTCP, 128 KiB blocks, onto our server (ndmjob takes 100 at most)",
        port=True,
        block=128,
    ),
    Case(
        "ndmp-256",
        "DirectTCP, 256 KiB blocks, onto our server (ndmjob takes 100 at most)",
        port=True,
        block=256,
    ),
)


@dataclass(frozen=True)
class Figures:
    """What one run cost.

    :ivar start: seconds from the start of the process to TAPER-OK.
    :ivar rate: MB/s from READY to DONE.
    :ivar cpu: seconds, user and system, of the whole process from start to exit.
    :ivar dump_cpu: of these, from TAPER-OK to DONE; in clock ticks of the kernel.
    :ivar memory: MiB, at most (VmHWM).
    :ivar crc: of the dump, as DONE has it.
    :ivar share: percent of one core that the process takes from READY to DONE.
    """

    start: float
    rate: float
    cpu: float
    dump_cpu: float
    memory: float
    crc: str
    share: float = 0.0


@contextmanager
def stage(case: Case, size: int, many: int) -> Iterator[World]:
    """A world with holding disk and vtapes on tmpfs, and the dump on the holding disk.

    :param size: bytes of the dump
    :param many: of what there is much of
    """
    world = World(Program("", "", False))
    try:
        # room for the dump and all its headers; what is not written takes no memory
        for room in (HOLDING, VTAPES):
            taken = many * 2 * size if case.grown == "dumps" else size + size // 16
            taken *= 2 if case.rait else 1
            world.mount_small(room, (taken + 64 * MIB) // 1024)
        knobs: dict[str, Any] = {"usage_kib": None, "leom": None, "tapetype": "length 1 tbytes"}
        if case.rait:
            knobs["changer"] = f'tpchanger "rait:file:{VTAPES}/slot{{1..{case.rait}}}"'
        if case.vault:
            library = Library(world, SHELF)
            library.configure(**knobs)
            write_volume(library, size)
        elif case.grown == "logs":
            growth.make_logs(world, many, **knobs)
        elif case.grown == "slots":
            growth.make_slots(world, many, **knobs)
        else:
            world.configure(Options(**knobs))
        if not case.idle and not case.vault:
            write_holding(world, size, CHUNK if case.parts else size)
        yield world
    finally:
        world.close()


def write_holding(world: World, size: int, chunk: int) -> None:
    """Put a dump on the holding disk, piece by piece: no gigabyte passes through here at once."""
    noise = os.urandom(MIB)
    done = number = 0
    while done < size or not number:
        piece = min(chunk, size - done)
        done += piece
        more = f"CONT_FILENAME={HOLDING}/dump.{number + 1}\n" if done < size else ""
        header = dump_header(Dump(), "CONT_FILE" if number else "FILE", more)
        path = f"{HOLDING}/dump.{number}" if number else f"{HOLDING}/dump"
        with open(world.path(path), "wb") as file:
            file.write(header)
            for at in range(0, piece, MIB):
                file.write(noise[: piece - at])
        world.own(path)
        number += 1


def write_volume(library: Library, size: int) -> None:
    """Put a dump on the volume SRC01, likewise."""
    noise = os.urandom(MIB)
    done = number = 0
    while done < size:
        piece = min(CHUNK, size - done)
        done += piece
        number += 1
        path = library.part("SRC01", number, b"", size=piece)
        with open(library.world.path(path), "ab") as file:
            for at in range(0, piece, MIB):
                file.write(noise[: piece - at])
    library.done(b"", number)


def clean(world: World) -> None:
    """Forget what the run before has written."""
    for path in world.path(VTAPES).iterdir():
        if not path.is_dir() or path.is_symlink():
            path.unlink()
            continue
        for file in path.iterdir():
            file.unlink()
    for name in (f"{ETC}/tapelist", f"{ETC}/tapelist.lock", LOG):
        world.path(name).unlink(missing_ok=True)
    for rest in world.path("/tmp/amanda").iterdir():
        shutil.rmtree(rest) if rest.is_dir() else rest.unlink()


def run(world: World, program: Program, case: Case, size: int, many: int) -> Figures:
    """Start a taper, let it write the dump, see it off."""
    if case.idle and case.grown:
        growth.forget(world, index=case.anew)
    else:
        clean(world)
    if not case.block:
        return _run(world, program, case, size, many)
    with straight.drive(world, case.block) as url:
        world.configure(straight.options(url, case.block))
        return _run(world, program, case, size, many)


def _run(world: World, program: Program, case: Case, size: int, many: int) -> Figures:
    if case.vault:
        world.tapelist_add(Library.entry("SRC01"))
    world.program = program
    began = time.monotonic()
    talk = world.start()
    talk.deadline = PATIENCE
    if case.block:
        straight.begin(talk, STAMP)
    else:
        talk.start_taper()
    started = time.monotonic()
    ticks = cpu_ticks(talk.process.pid)
    seconds, share, crc = _dump(world, talk, case, many)
    dump_ticks = cpu_ticks(talk.process.pid) - ticks
    memory = peak_memory(talk.process.pid)
    cpu = see_off(talk)
    talk.end()
    return Figures(
        start=started - began,
        rate=size / 1e6 / seconds,
        cpu=cpu,
        dump_cpu=dump_ticks / os.sysconf("SC_CLK_TCK"),
        memory=memory,
        crc=crc,
        share=share,
    )


Flow = tuple[float, float, str]
"""Seconds from READY to DONE, percent of a core in them, the CRC."""


def _dump(world: World, talk: Conversation, case: Case, many: int) -> Flow:
    """Let the dump be written."""
    if case.idle:
        return float("inf"), 0.0, ""
    split = split_by(case.parts * MIB) if case.parts else PLAIN
    if case.vault:
        vault(talk, split=split)
        opened(talk, "SRC01")
        return _until_done(talk)
    if not case.port and not case.shm:
        talk.file_write(f"{HOLDING}/dump", split)
        flow = _until_done(talk)
        return _again(talk, flow, many) if case.grown == "dumps" else flow
    path = str(world.path(f"{HOLDING}/dump"))
    if case.shm:
        return _through_shm(talk, path, split)
    command = [sys.executable, "-I", "-S", sender.__file__, path]
    with subprocess.Popen(command, stdin=subprocess.PIPE, text=True) as process:
        if case.block:
            header_port, data_port = straight.ports(talk, split, STAMP)
        else:
            dumper = talk.port_write(split)
            header_port, data_port = dumper.header_port, dumper.data_port
        assert process.stdin is not None
        process.stdin.write(f"{header_port} {data_port}\n")
        process.stdin.flush()
        return _until_done(talk)


def _through_shm(talk: Conversation, path: str, split: str) -> Flow:
    """Let a producer fill the ring with what follows the holding file's header."""
    dumper, name = talk.shm_write(split)
    command = [sys.executable, producer.__file__, name, path, str(sender.HEADER)]
    with subprocess.Popen(command) as process:
        with open(path, "rb") as file:
            dumper.header(file.read(sender.HEADER))
        found = _until_done(talk)
        assert process.wait(PATIENCE) == 0
        return found


def _until_done(talk: Conversation) -> Flow:
    talk.expect(f"REQUEST-NEW-TAPE {WORKER} {HANDLE}")
    talk.send(f"START-SCAN {WORKER} {HANDLE}", f"NEW-TAPE {WORKER} {HANDLE}")
    talk.expect(f"NEW-TAPE {WORKER} {HANDLE} <w>", f"READY {WORKER} {HANDLE}")
    ready, before = time.monotonic(), straight.cpu_seconds(talk.process.pid)
    while True:
        line = talk.read_line()
        now = time.monotonic()
        words = split_line(line or "")
        if words[0] == "DUMPER-STATUS":
            talk.send(f"DONE {WORKER} {HANDLE} 64 aaaaaaaa:1 bbbbbbbb:2 00000000:0")
        elif words[0] == "DONE":
            assert words[3:5] == ["INPUT-GOOD", "TAPE-GOOD"], line
            busy = straight.cpu_seconds(talk.process.pid) - before
            return now - ready, 100 * busy / (now - ready), words[5]
        else:
            assert words[0] == "PARTDONE", f"expected PARTDONE or DONE, got {line}"


def _again(talk: Conversation, first: Flow, many: int) -> Flow:
    """The same dump onto the same volume until there are so many.

    :return: seconds for a dump, on the average
    """
    began = time.monotonic()
    for number in range(1, many):
        handle = f"01-{number:05d}"
        talk.file_write(f"{HOLDING}/dump", PLAIN, handle)
        talk.expect(
            f"READY {WORKER} {handle}",
            f"PARTDONE {WORKER} {handle} <*>",
            f"DONE {WORKER} {handle} <*>",
        )
    return (first[0] + time.monotonic() - began) / many, first[1], first[2]


def cpu_ticks(pid: int) -> int:
    """User and system time that a process has taken so far, all its threads, in ticks."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def peak_memory(pid: int) -> float:
    """MiB that a process has had in memory at most."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise ValueError(f"process {pid} has no VmHWM")


def see_off(talk: Conversation) -> float:
    """QUIT. :return: CPU seconds of the process's whole life"""
    talk.send("QUIT")
    line = talk.read_line()
    assert line is None, f"expected the end of the conversation, got {line}"
    _, status, usage = os.wait4(talk.process.pid, 0)
    talk.process.returncode = os.waitstatus_to_exitcode(status)
    assert talk.process.returncode == 0, f"exit status {talk.process.returncode}"
    return usage.ru_utime + usage.ru_stime

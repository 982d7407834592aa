"""The file systems that holding disk and vtapes lie on, and the dumps on the holding disk."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from tests.bench import growth, readers
from tests.bench.cases import CHUNK, MIB, SMALL, Case, Ground, Way
from tests.bench.loops import HEADER, Piece
from tests.conformance.harness import ETC, HOLDING, LOG, VTAPES, Options, Program, World
from tests.conformance.harness_files import Dump, dump_header
from tests.conformance.harness_talk import HANDLE, WORKER
from tests.conformance.vaulting import DUMP, Library
from tests.small_disks import MAKE, trouble

ROOM = "/var/lib/amanda"
SHELF = f"{HOLDING}/shelf"
"""Where volumes to vault from lie."""
LABEL = "SRC01"
BESIDE = f"{VTAPES}/limit"
"""Where the plain loops write."""


@dataclass(frozen=True)
class Task:
    """One dump that a worker writes.

    :ivar path: its holding file; a volume to vault from: unused.
    :ivar size: bytes
    """

    worker: str
    handle: str
    dump: Dump
    path: str
    size: int


def tasks(case: Case) -> list[Task]:
    """The dumps that are measured, one for each worker."""
    if case.workers == 1:
        dump = DUMP if case.way is Way.VAULT else Dump()
        return [Task(WORKER, HANDLE, dump, f"{HOLDING}/dump", case.size)]
    return [
        Task(
            f"worker0-{number}",
            f"{number:02}-00001",
            Dump(f"/home{number}"),
            f"{HOLDING}/dump{number}",
            case.size // case.workers,
        )
        for number in range(case.workers)
    ]


def first_of(task: Task) -> Task:
    """A small dump for the same worker, which gets it its volume."""
    dump = Dump("/first", datestamp=task.dump.datestamp)
    return Task(task.worker, f"{task.handle[:3]}00000", dump, f"{HOLDING}/first", SMALL)


@cache
def obstacle(ground: Ground) -> str | None:
    """Why nothing can be measured there; None: it can."""
    if ground is Ground.XFS:
        return trouble("xfs")
    if ground is Ground.DISK and kind_of(tempfile.gettempdir()) == "tmpfs":
        return f"{tempfile.gettempdir()} is in memory; set TMPDIR to a directory on a disk"
    return None


def kind_of(path: str) -> str:
    """The type of the file system that a path is on."""
    command = ["findmnt", "-n", "-o", "FSTYPE", "-T", path]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def _mount(world: World, case: Case) -> None:
    """Put the file system there. What is not written takes no memory and no disk."""
    taken = 2 * case.many * SMALL if case.grown in ("dumps", "parts") else case.size
    room = 4 * taken + 512 * MIB
    if case.ground is Ground.TMPFS:
        world.mount_small(ROOM, room // 1024)
    elif case.ground is Ground.XFS:
        image = world.base / "disk"
        with image.open("wb") as file:
            file.truncate(room)
        subprocess.run([*MAKE["xfs"][1], str(image)], check=True, capture_output=True)
        world.inside("mount", "-o", "loop", str(image), ROOM)
        world.own(ROOM)
    world.mkdir(HOLDING)


def _configure(world: World, case: Case) -> None:
    knobs: dict[str, Any] = {
        "usage_kib": None,
        "leom": False if case.cache else None,
        "tapetype": "length 1 tbytes",
    }
    if case.block != 32:
        knobs["tapetype"] += f"\n  blocksize {case.block} kbytes"
    if case.rait:
        knobs["slots"] = case.rait
        knobs["changer"] = f'tpchanger "rait:file:{VTAPES}/slot{{1..{case.rait}}}"'
    if case.read:
        world.write(f"{ETC}/disklist", "")  # amfetchdump looks for one
    if case.workers > 1:
        knobs["slots"] = case.workers
        knobs["extra"] = f"taper-parallel-write {case.workers}"
    if case.way is Way.VAULT:
        Library(world, SHELF).configure(**knobs)
    elif case.grown == "logs":
        growth.make_logs(world, case.many, **knobs)
    elif case.grown == "parts":
        growth.make_parts(world, case.many, **knobs)
    elif case.grown == "slots":
        growth.make_slots(world, case.many, **knobs)
    else:
        world.configure(Options(**knobs))


@contextmanager
def stage(case: Case) -> Iterator[World]:
    """A world with holding disk and vtapes on the case's ground, and its dumps."""
    world = World(Program("", "", False))
    try:
        _mount(world, case)
        _configure(world, case)
        if case.way is Way.VAULT:
            _write_volume(world, case.size)
        elif case.way is not Way.IDLE:
            wanted = tasks(case)
            for task in {task.path: task for task in (first_of(wanted[0]), *wanted)}.values():
                _write_holding(world, task, CHUNK if case.chunks else task.size)
                if case.read:
                    readers.make_archive(world.path(task.path), task.size)
        settle(world, case)
        yield world
    finally:
        world.close()


def _fill(path: Path, size: int) -> None:
    """Append noise, piece by piece: no gigabyte passes through here at once."""
    noise = os.urandom(MIB)
    with path.open("ab") as file:
        for at in range(0, size, MIB):
            file.write(noise[: size - at])


def _write_holding(world: World, task: Task, chunk: int) -> None:
    done = number = 0
    while done < task.size or not number:
        piece = min(chunk, task.size - done)
        done += piece
        more = f"CONT_FILENAME={task.path}.{number + 1}\n" if done < task.size else ""
        header = dump_header(task.dump, "CONT_FILE" if number else "FILE", more)
        path = f"{task.path}.{number}" if number else task.path
        world.write(path, header)
        _fill(world.path(path), piece)
        number += 1


def _write_volume(world: World, size: int) -> None:
    library = Library(world, SHELF)
    first = Dump("/first", datestamp=DUMP.datestamp)
    for dump, whole in ((first, SMALL), (DUMP, size)):
        done = number = 0
        while done < whole:
            piece = min(CHUNK, whole - done)
            done += piece
            number += 1
            path = library.part(LABEL, number, b"", dump, size=piece)
            _fill(world.path(path), piece)
        library.done(b"", number, dump)


def pieces(world: World, case: Case, task: Task) -> list[Piece]:
    """Where the data of a dump lie, for a plain loop."""
    if case.way is Way.VAULT:
        found = sorted(world.path(f"{SHELF}/slot1").glob("*._home.0"))
    else:
        first = world.path(task.path)
        found = [first]
        while (more := Path(f"{first}.{len(found)}")).exists():
            found.append(more)
    return [(str(path), HEADER, path.stat().st_size - HEADER) for path in found]


def clean(world: World, case: Case) -> None:
    """Forget what the run before has written, but not what was made for it."""
    if case.way is Way.IDLE and case.grown:
        growth.forget(world, index=case.anew)
        return
    for path in world.path(VTAPES).iterdir():
        if path.is_symlink() or not path.is_dir():
            path.unlink()
            continue
        for rest in path.iterdir():
            shutil.rmtree(rest) if rest.is_dir() else rest.unlink()
    for name in (f"{ETC}/tapelist", f"{ETC}/tapelist.lock", LOG):
        world.path(name).unlink(missing_ok=True)
    for rest in world.path("/tmp/amanda").iterdir():
        shutil.rmtree(rest) if rest.is_dir() else rest.unlink()
    settle(world, case)


def settle(world: World, case: Case) -> None:
    """Let a disk become quiet: what one run has left to be written shall not disturb the next."""
    if case.ground is not Ground.TMPFS:
        for path in (world.path(ROOM), world.base):
            subprocess.run(["sync", "-f", str(path)], check=True)

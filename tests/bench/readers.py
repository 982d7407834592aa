"""Commands that read volumes which our taper has written: ours for people, beside Amanda's."""

from __future__ import annotations

import os
import shutil
import subprocess
import tarfile
import time
from collections.abc import Sequence
from pathlib import Path

from crc32c import crc32c

from tests.bench.cases import MIB, SMALL, Case
from tests.bench.figures import OURS, STOCK, Figures, Round
from tests.conformance.harness import CONFIG, HOLDING, USER, VTAPES, Program, World

HEADER = 32768
MADE = f"{HOLDING}/made"
TOLD = "/tmp/amanda/told"
"""Where the commands' outputs go, and what they say besides."""
STOCKS = {
    "restore": ("amfetchdump", "-a", "-p", CONFIG, "localhost", "^/home$"),
    "verify": ("amcheckdump", CONFIG),
}
WORDS = {
    "restore": ("restore", CONFIG, "localhost", "/home", "--to", "-"),
    "verify": ("verify", CONFIG, "--all"),
    "rebuild": ("verify", CONFIG, "--rebuild-catalogue", MADE),
}


def lacking(case: Case) -> str | None:
    """The program of Amanda's that is missing; None: none."""
    stock = STOCKS.get(case.read)
    return stock[0] if stock is not None and not shutil.which(stock[0]) else None


def make_archive(path: Path, size: int) -> None:
    """Let a holding file have an archive that tar can list: one large file of what is there."""
    member = tarfile.TarInfo("noise")
    member.size = size - 3 * tarfile.BLOCKSIZE
    with path.open("r+b") as file:
        file.seek(HEADER)
        file.write(member.tobuf())
        file.seek(HEADER + size - 2 * tarfile.BLOCKSIZE)
        file.write(bytes(2 * tarfile.BLOCKSIZE))


def written(world: World) -> bool:
    """There are volumes to be read."""
    return any(world.path(VTAPES).glob("slot*/00000.*"))


def round_of(world: World, ours: Program, case: Case, *, back: bool) -> Round:
    """Run our command, and Amanda's.

    :param back: in the opposite order
    """
    commands = {OURS: (str(Path(ours.path).with_name("taperctl")), *WORDS[case.read])}
    if case.read in STOCKS:
        commands[STOCK] = STOCKS[case.read]
    found: Round = {}
    for column in reversed(commands) if back else commands:
        found[column] = _run(world, commands[column], case)
    return {column: found[column] for column in commands}


def _run(world: World, command: Sequence[str], case: Case) -> Figures:
    user = ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--init-groups"]
    space = ["nsenter", "-t", str(world.keeper.pid), "-m", "--wd=/tmp/amanda"]
    out, told = world.path(f"{HOLDING}/out"), world.path(TOLD)
    shutil.rmtree(world.path(MADE), ignore_errors=True)
    began = time.monotonic()
    with out.open("wb") as stdout, told.open("wb") as stderr:
        process = subprocess.Popen(
            [*space, *user, *command], stdin=subprocess.PIPE, stdout=stdout, stderr=stderr
        )
        assert process.stdin is not None
        process.stdin.write(b"\n" * 9)  # yes, the volume is there
        process.stdin.close()
        _, status, usage = os.wait4(process.pid, 0)
    seconds = time.monotonic() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    crc = crc_of(out) if case.read == "restore" else ""
    said = "" if crc else out.read_text()
    assert process.returncode == 0, f"{command}: {said} {told.read_text()}"
    assert case.read != "verify" or "2 dumps: as it" in said or "(2) successfully" in said, said
    out.unlink()
    cpu = usage.ru_utime + usage.ru_stime
    return Figures(
        seconds=seconds,
        rate=(case.size or SMALL) / 1e6 / seconds,
        cpu=cpu,
        life=cpu,
        crc=crc,
    )


def crc_of(path: Path) -> str:
    """The checksum of a file, as Amanda writes it."""
    value = size = 0
    with path.open("rb") as file:
        while data := file.read(MIB):
            value, size = crc32c(data, value), size + len(data)
    return f"{value:08x}:{size}"

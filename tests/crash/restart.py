"""Starts our taper anew on an image: the next run, with a small dump, must go on."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from taper.run.setup import SetupFailed, StartFailed
from tests.crash.checker import Checker
from tests.crash.disk import Blob, Image, Node
from tests.crash.events import Heard, Told
from tests.crash.images import Crash
from tests.crash.night import Night, NotReady
from tests.crash.promises import Promises
from tests.crash.stage import Dumped, Here, Recording, Stage, payload, roll_log

NEXT = "20260201000000"
SMALL = 40_000


def put_down(image: Image, root: Path) -> None:
    """Make the files of an image."""
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir(parents=True)
    for path, node in image.nodes.items():
        where = root / path
        if node is None:
            where.mkdir()
        elif isinstance(node, str):
            where.symlink_to(node)
        else:
            where.write_bytes(node.data)


def pick_up(root: Path) -> Image:
    """The image that a directory is now."""
    nodes: dict[str, Node] = {}
    for where, directories, names in os.walk(root):
        for name in (*directories, *names):
            path = os.path.join(where, name)
            node: Node = None
            if os.path.islink(path):
                node = os.readlink(path)
            elif name in names:
                node = Blob(Path(path).read_bytes())
            nodes[os.path.relpath(path, root)] = node
    return Image(nodes)


class _Minutes:
    """Keeps what is said."""

    def __init__(self) -> None:
        self.said: list[Told | Heard] = []

    def told(self, line: str) -> None:
        self.said.append(Told(line))

    def heard(self, line: str) -> None:
        self.said.append(Heard(line))


async def faults_of_next_run(crash: Crash, recording: Recording, checker: Checker) -> list[str]:
    """Let a run follow the crash. :return: what is wrong then"""
    root = Path(recording.root)
    put_down(crash.image, root)
    return await faults_from_here(crash.told, recording, checker)


async def faults_from_here(
    told: Sequence[Told | Heard], recording: Recording, checker: Checker
) -> list[str]:
    """The same with what is on the disk."""
    root = Path(recording.root)
    if (root / "log/log").exists():
        roll_log(root, "20260101000000")  # as amcleanup does
    if recording.swap:
        (root / recording.swap).rename(root / f"{recording.swap}-before")
        (root / recording.swap).mkdir()
    minutes = _Minutes()
    dump = Dumped("99-00001", "/next", payload("next", SMALL))
    try:
        night = Night(Here(root), minutes)
    except (StartFailed, SetupFailed) as fault:
        return [f"the next run did not start: {fault}"]
    end = await _run(night, dump, _hold(recording, dump))
    found = [] if end.startswith("DONE") else [f"the next run ended with {end}"]
    dumps: Mapping[str, Dumped] = {**recording.dumps, dump.handle: dump}
    promises = Promises.made([*told, *minutes.said], dumps)
    return found + checker.faults(pick_up(root), promises, later=True)


async def _run(night: Night, dump: Dumped, holding: str) -> str:
    """:return: the reply that ended the run, well or not"""
    try:
        await night.talk.start(NEXT)
    except NotReady as fault:
        end = str(fault)
    else:
        end = await night.talk.file_write(dump, holding)
    await night.quit()
    return end


def _hold(recording: Recording, dump: Dumped) -> str:
    path = Path(f"{recording.root}.holding")
    path.mkdir(exist_ok=True)
    return Stage(recording.name, Path(recording.root)).hold(dump)

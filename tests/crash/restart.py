"""Starts our taper anew on an image: the next run, with a small dump, must go on."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path

from attrs import frozen

from taper.run.setup import SetupFailed, StartFailed
from tests.crash.checker import Checker
from tests.crash.disk import Blob, Image, Node
from tests.crash.events import Heard, Told
from tests.crash.images import Crash
from tests.crash.night import Night, NotReady, Witness
from tests.crash.promises import Promises
from tests.crash.stage import Dumped, Here, Recording, Stage, payload, roll_log

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
            if stat.S_ISSOCK(os.lstat(path).st_mode):
                continue  # it means nothing without its process
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


@frozen
class NextRun:
    """A run that follows a crash.

    :ivar number: how many runs ended in a crash before it.
    """

    recording: Recording
    number: int = 1

    @property
    def dump(self) -> Dumped:
        """The dump that it writes."""
        disk = f"/next{self.number}"
        return Dumped(f"99-{self.number:05d}", disk, payload(disk, SMALL))

    def prepare(self) -> str:
        """What others do before it. :return: the holding file"""
        root = Path(self.recording.root)
        if (root / "log/log").exists():
            roll_log(root, "20260101000000")  # as amcleanup does
        if self.recording.swap:
            drive = root / self.recording.swap
            drive.rename(f"{drive}-{self.number}")
            drive.mkdir()
        Path(f"{root}.holding").mkdir(exist_ok=True)
        return Stage(self.recording.name, root).hold(self.dump)

    async def play(self, holding: str, witness: Witness) -> str:
        """:return: what is wrong with it; nothing"""
        try:
            night = Night(Here(Path(self.recording.root)), witness)
        except (StartFailed, SetupFailed) as fault:
            return f"the next run did not start: {fault}"
        try:
            await night.talk.start(f"202602{self.number:02d}000000")
        except NotReady as fault:
            end = str(fault)
        else:
            end = await night.talk.file_write(self.dump, holding)
        await night.quit()
        return "" if end.startswith("DONE") else f"the next run ended with {end}"


async def faults_of_next_run(
    crash: Crash, recording: Recording, checker: Checker, number: int = 1
) -> list[str]:
    """Let a run follow the crash. :return: what is wrong then"""
    put_down(crash.image, Path(recording.root))
    return await faults_from_here(crash.told, recording, checker, number)


async def faults_from_here(
    told: Sequence[Told | Heard], recording: Recording, checker: Checker, number: int = 1
) -> list[str]:
    """The same with what is on the disk."""
    run, minutes = NextRun(recording, number), _Minutes()
    fault = await run.play(run.prepare(), minutes)
    dumps: Mapping[str, Dumped] = {**recording.dumps, run.dump.handle: run.dump}
    promises = Promises.made([*told, *minutes.said], dumps)
    image = pick_up(Path(recording.root))
    return [fault] * bool(fault) + checker.faults(image, promises, later=True)

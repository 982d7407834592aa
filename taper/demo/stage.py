"""The stage of the demonstration: directories, a configuration, and how to clear them away."""

from __future__ import annotations

import os
import pwd
import shutil
import stat
import sys
import time

from attrs import field, frozen

from devices.base import HEADER_SIZE
from taper.demo.screen import MIB, DemoFailed

KIB = 1024
BLOCK = 32 * KIB
CONFIG = "demo"

AMANDA_CONF = """\
# The configuration of taper's demonstration; its volumes are directories.
org "demo"
dumpuser "{user}"
logdir "{root}/log"
tapelist "{root}/etc/demo/tapelist"
tpchanger "chg-disk:{root}/vtapes"
tapetype VTAPE
tapecycle {volumes}
runtapes {volumes}
labelstr MATCH-AUTOLABEL
autolabel "DEMO-%%" any
device-property "MAX_VOLUME_USAGE" "{volume_size}"
define tapetype VTAPE {{
  length {length_kb} kbytes
}}
"""


@frozen(kw_only=True)
class Stage:
    """Where the demonstration plays.

    :ivar root: a directory of its own.
    :ivar volume_size: bytes that a volume holds, headers included.
    :ivar part_size: bytes of a part.
    :ivar chunk_size: bytes of a chunk on the holding disk.
    :ivar volumes: how many slots there are.
    :ivar stamp: datestamp of the run, by which volumes and trace log are found.
    """

    root: str
    volume_size: int
    part_size: int
    chunk_size: int
    volumes: int
    stamp: str = field(factory=lambda: time.strftime("%Y%m%d%H%M%S"))

    def path(self, *names: str) -> str:
        return os.path.join(self.root, *names)

    @property
    def trace_log(self) -> str:
        return self.path("log", f"log.{self.stamp}.0")

    @property
    def stderr(self) -> str:
        """What the taper writes to stderr, as the amdump log takes it in Amanda."""
        return self.path("log", "taper.stderr")

    def slots(self) -> list[str]:
        return [self.path("vtapes", f"slot{number}") for number in range(1, self.volumes + 1)]

    def build(self) -> None:
        """Make the directories and the configuration."""
        for path in self.slots():
            os.makedirs(path, mode=0o700)
        for name in ("etc/demo", "log", "tmp", "debug", "holding", "restored"):
            os.makedirs(self.path(name), mode=0o700)
        with open(self.path("etc", "demo", "amanda.conf"), "w", encoding="utf-8") as conf:
            conf.write(
                AMANDA_CONF.format(
                    user=_user_name(),
                    root=self.root,
                    volumes=self.volumes,
                    volume_size=self.volume_size,
                    length_kb=self.volume_size // KIB,
                )
            )

    def environment(self) -> dict[str, str]:
        """The environment that makes a taper play on this stage; no locale, as driver has it."""
        inherited = {
            name: value
            for name, value in os.environ.items()
            if name != "LANG" and not name.startswith("LC_")
        }
        return {
            **inherited,
            "AMANDA_CONFIG_DIR": self.path("etc"),
            "AMANDA_TMPDIR": self.path("tmp"),
            "AMANDA_DBGDIR": self.path("debug"),
            "AMANDA_STATE_DIR": self.path("debug"),
            # the source may be the very library that the taper imports
            "PYTHONDONTWRITEBYTECODE": "1",
        }

    def taper_command(self) -> list[str]:
        """The command line by which a driver starts the taper [protocol 1]."""
        taper = [sys.executable, "-m", "taper.cli"]
        return [*taper, CONFIG, "--storage", CONFIG, "--log-filename", self.trace_log]

    def stored(self) -> int:
        """Bytes of data that are on the volumes now, headers not counted."""
        total = 0
        for slot in self.slots():
            with os.scandir(slot) as files:
                sizes = [file.stat().st_size - HEADER_SIZE for file in files if file.is_file()]
            total += sum(size for size in sizes if size > 0)
        return total


def _user_name() -> str:
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        raise DemoFailed(f"user {os.getuid()} has no name, and a dump user needs one") from None


def stage_for(root: str, size: int) -> Stage:
    """A stage on which each of two dumps of about ``size`` bytes spans three volumes."""
    unit = MIB if size > 20 * MIB else BLOCK
    part_size = max(size // 10 // unit * unit, 8 * BLOCK)
    volume_size = 4 * part_size
    # a volume also holds headers, and stays a little below its limit
    volumes = -(-2 * size * 11 // 10 // (volume_size * 7 // 10)) + 2
    return Stage(
        root=root,
        volume_size=volume_size,
        part_size=part_size,
        chunk_size=max(size // 3 // BLOCK * BLOCK, 4 * BLOCK),
        volumes=volumes,
    )


def remove_tree(path: str) -> None:
    """Delete a directory with all that is in it, also what its owner may not write to."""
    for directory, names, _ in os.walk(path):
        for name in names:
            below = os.path.join(directory, name)
            if not stat.S_ISLNK(os.lstat(below).st_mode):
                os.chmod(below, 0o700)
    shutil.rmtree(path)

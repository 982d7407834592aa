"""Where the programs of ours are started, so that something there can be broken."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from attrs import define, field, frozen

from tests.run.sessions import Place, make_place

ROOT = Path(__file__).parents[2]
PATIENCE = 60
TWISTD = "from twisted.scripts.twistd import run; run()"
ALL = "taper, twistd, taperctl, amdirecttar"
TAPERS = "taper, twistd"
STATUSES = {0, 1, 2, 3}
"""What our programs end with; everything else is a signal, or the interpreter's."""


@define
class Scene:
    """Where programs are started.

    :ivar options: for taper and the daemon, in the same words
    :ivar more: for every program, after all others
    :ivar closed: descriptors that are not open
    :ivar streams: what is on descriptor 0, 1 or 2 instead of nothing and our own files
    :ivar limits: resource to number
    :ivar harmless: permissions of files count for root too
    """

    root: Path
    place: Place
    environment: dict[str, str]
    cwd: Path
    config: str = "C"
    storage: str = "C"
    log: str = ""
    endpoint: str = "stdio"
    options: list[str] = field(factory=list)
    more: list[str] = field(factory=list)
    closed: tuple[int, ...] = ()
    streams: dict[int, str] = field(factory=dict)
    limits: dict[int, int] = field(factory=dict)
    harmless: bool = False

    @property
    def conf(self) -> Path:
        return self.root / "etc/C/amanda.conf"

    def change(self, old: str, new: str) -> None:
        """Another text in amanda.conf."""
        text = self.conf.read_text()
        assert old in text
        self.conf.write_text(text.replace(old, new))

    def forbid(self, path: Path, mode: int = 0) -> None:
        """Take permissions away, from root too."""
        self.harmless = True
        path.chmod(mode)

    def programs(self) -> dict[str, list[str]]:
        """Every program and subcommand, by a name whose first word is in the tables."""
        root = str(self.root)
        python = [sys.executable, "-P"]
        ctl = [*python, "-m", "taper.ctl"]
        application = [*ctl, "application", f"--directory={root}/application"]
        tar = [*python, "-m", "taper.application.cli"]
        dumped = [f"--disk={root}/data", f"--device={root}/data", "--level=0", f"--host={root}"]
        kept = [f"--gnutar-listdir={root}/lists", f"--runtar-path={root}/no-runtar"]
        direct = ["--data-path=directtcp", "--direct-tcp=127.0.0.1:1", "--connect-timeout=1"]
        log = self.log or str(self.place.log)
        taper = [*python, "-m", "taper.cli", self.config, "--storage", self.storage]
        daemon = [*python, "-c", TWISTD, "-n", "--pidfile=", f"--logfile={root}/twistd.log"]
        daemon += ["taper", "-c", self.config, "-s", self.storage, "-d", self.endpoint]
        return {
            "taper": [*taper, "--log-filename", log, *self.options],
            "twistd": [*daemon, "-l", log, *self.options],
            "taperctl demo": [*ctl, "demo", "--source", f"{root}/none"],
            "taperctl install": [*ctl, "install", f"--taper={root}/stock/taper"],
            "taperctl uninstall": [*ctl, "uninstall", f"--taper={root}/stock/taper"],
            "taperctl status": [*ctl, "status", f"--taper={root}/stock/taper"],
            "taperctl application install": [*application, "install"],
            "taperctl application status": [*application, "status"],
            "taperctl application uninstall": [*application, "uninstall"],
            "amdirecttar support": [*tar, "support"],
            "amdirecttar selfcheck": [*tar, "selfcheck", *dumped, *kept],
            "amdirecttar estimate": [*tar, "estimate", *dumped, *kept],
            "amdirecttar backup": [*tar, "backup", *dumped, *kept, *direct],
            "amdirecttar restore": [*tar, "restore", *dumped, *kept, f"--target={root}/target"],
            "amdirecttar validate": [*tar, "validate", *dumped, *kept],
            "amdirecttar index": [*tar, "index", *dumped, *kept],
        }


@frozen
class Ended:
    """How a program ended."""

    name: str
    status: int
    said: str


def make_scene(root: Path) -> Scene:
    """All is well here."""
    place = make_place(root)
    for name in ("data", "lists", "target", "application", "stock", "bin", "work", "home", "temp"):
        (root / name).mkdir()
    (root / "data/file").write_text("x")
    (root / "stock/taper").write_text("#!/bin/sh\nexit 0\n")
    divert = root / "bin/dpkg-divert"  # the machine's package database is none of ours
    divert.write_text("#!/bin/sh\nexit 0\n")
    divert.chmod(0o755)
    paths = place.paths
    environment = {
        "PATH": f"{root}/bin:/usr/bin:/bin",
        "HOME": f"{root}/home",
        "TMPDIR": f"{root}/temp",
        "AMANDA_CONFIG_DIR": paths.config_root,
        "AMANDA_TMPDIR": paths.tmpdir,
        "AMANDA_DBGDIR": paths.dbgdir,
        "AMANDA_STATE_DIR": paths.statedir,
        "PYTHONPATH": str(ROOT),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    return Scene(root, place, environment, root / "work")


def play(scene: Scene, programs: str) -> list[Ended]:
    """Start programs with all their subcommands, side by side."""
    running = [
        (name, start(scene, command))
        for name, command in scene.programs().items()
        if name.split()[0] in programs.split(", ")
    ]
    return [end_of(name, process) for name, process in running]


def start(scene: Scene, command: list[str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [*_hands_tied(scene), *command, *scene.more],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=scene.environment,
        cwd=scene.root,
        preexec_fn=_breaker(scene),
    )


def end_of(name: str, process: subprocess.Popen[bytes]) -> Ended:
    said = process.communicate(timeout=PATIENCE)[0].decode("utf-8", "replace")
    return Ended(name, process.returncode, said)


def _hands_tied(scene: Scene) -> list[str]:
    """Root without its right to pass over permissions."""
    if not scene.harmless or os.geteuid():
        return []
    return ["setpriv", "--bounding-set=-dac_override,-dac_read_search", "--"]


def _breaker(scene: Scene) -> Callable[[], None]:
    """What is done in the new process, before the program is there."""

    def broken() -> None:
        here = scene.cwd
        if here.name == "gone":  # each program has one of its own to lose
            here = here.with_name(f"gone-{os.getpid()}")
            here.mkdir()
        os.chdir(here)
        if here != scene.cwd:
            os.rmdir(here)
        for what, limit in scene.limits.items():
            resource.setrlimit(what, (limit, limit))
        for descriptor, path in scene.streams.items():
            os.dup2(os.open(path, os.O_RDWR), descriptor)
        for descriptor in scene.closed:
            os.close(descriptor)

    return broken

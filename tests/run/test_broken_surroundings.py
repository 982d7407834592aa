"""Every program of ours, started where something is broken: a sentence, never a traceback.

Each row of the tables below breaks one thing. All programs are started there, side by side; those
that a row names must fail, and say the words of the row.
"""

from __future__ import annotations

import getpass
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
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
        (name, _start(scene, command))
        for name, command in scene.programs().items()
        if name.split()[0] in programs.split(", ")
    ]
    return [_end(name, process) for name, process in running]


def _start(scene: Scene, command: list[str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [*_hands_tied(scene), *command, *scene.more],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=scene.environment,
        cwd=scene.root,
        preexec_fn=_breaker(scene),
    )


def _end(name: str, process: subprocess.Popen[bytes]) -> Ended:
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


# -- what can be broken ---------------------------------------------------------------------------


@frozen
class Broken:
    """One row.

    :ivar how: breaks it
    :ivar fails: what must fail, separated by ", ": programs, or programs with a subcommand
    :ivar says: words of each of those
    """

    name: str
    how: Callable[[Scene], object]
    fails: str = ""
    says: str = ""


def _gone(scene: Scene) -> None:
    scene.cwd = scene.root / "gone"


def _gone_and_needed(scene: Scene) -> None:
    _gone(scene)
    scene.config = "."


def _gone_and_relative(scene: Scene) -> None:
    _gone(scene)
    scene.log = "log/log"


def _hidden(scene: Scene) -> None:
    scene.cwd = scene.root / "work/below"
    scene.cwd.mkdir()
    scene.forbid(scene.root / "work")


def _environment(**values: str | None) -> Callable[[Scene], None]:
    def how(scene: Scene) -> None:
        for name, value in values.items():
            if value is None:
                scene.environment.pop(name, None)
            else:
                scene.environment[name] = value.replace("ROOT", str(scene.root))

    return how


def _bare(scene: Scene) -> None:
    scene.environment = {
        name: value for name, value in scene.environment.items() if name.startswith("PYTHON")
    }


def _set(**values: object) -> Callable[[Scene], None]:
    def how(scene: Scene) -> None:
        for name, value in values.items():
            setattr(scene, name, value)

    return how


def _file_for(name: str) -> Callable[[Scene], None]:
    """A file where a directory should be."""

    def how(scene: Scene) -> None:
        shutil.rmtree(scene.root / name)
        (scene.root / name).write_text("")

    return how


def _directory_for(name: str) -> Callable[[Scene], None]:
    """A directory where a file should be."""

    def how(scene: Scene) -> None:
        (scene.root / name).unlink(missing_ok=True)
        (scene.root / name).mkdir()

    return how


def _without(name: str) -> Callable[[Scene], None]:
    def how(scene: Scene) -> None:
        path = scene.root / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()

    return how


def _unreadable(name: str) -> Callable[[Scene], None]:
    return lambda scene: scene.forbid(scene.root / name)


def _readonly(name: str) -> Callable[[Scene], None]:
    return lambda scene: scene.forbid(scene.root / name, 0o500)


def _text(name: str, text: str) -> Callable[[Scene], None]:
    def how(scene: Scene) -> None:
        (scene.root / name).write_bytes(text.encode("latin-1"))

    return how


def _link(name: str, target: str) -> Callable[[Scene], None]:
    def how(scene: Scene) -> None:
        (scene.root / name).unlink()
        (scene.root / name).symlink_to(target)

    return how


def _change(old: str, new: str) -> Callable[[Scene], None]:
    return lambda scene: scene.change(old, new)


def _changer(new: str) -> Callable[[Scene], None]:
    return lambda scene: scene.change(f"chg-disk:{scene.root}/vtapes", new)


def _full_log(scene: Scene) -> None:
    """Like a disk without room, and root is no exception."""
    scene.place.log.write_text("INFO amdump amdump pid 7\n" * 100)
    scene.limits[resource.RLIMIT_FSIZE] = 1024


def _taken(scene: Scene) -> None:
    """A socket of somebody who is there."""
    import socket

    listener = socket.socket(socket.AF_UNIX)
    listener.bind(f"{scene.root}/door")
    listener.listen()
    _open.append(listener)
    scene.endpoint = f"unix:{scene.root}/door"


_open: list[object] = []
"""Sockets that stay open."""

PROCESS = [
    Broken("working directory gone", _gone),
    Broken("working directory gone, and it is the configuration", _gone_and_needed, TAPERS, "'.'"),
    Broken(
        "working directory gone, and the log is relative", _gone_and_relative, TAPERS, "log/log"
    ),
    Broken("working directory hidden", _hidden),
    Broken("no standard input", _set(closed=(0,)), "taper, taperctl, amdirecttar", "descriptor 0"),
    Broken("no standard output", _set(closed=(1,)), "taper, taperctl, amdirecttar", "descriptor 1"),
    Broken("no standard error", _set(closed=(2,)), "taper, taperctl, amdirecttar"),
    Broken("no standard stream", _set(closed=(0, 1, 2)), "taper, taperctl, amdirecttar"),
    Broken(
        "standard output full",
        _set(streams={1: "/dev/full"}),
        "amdirecttar support",
        "standard output: No space left on device",
    ),
    Broken("standard error full", _set(streams={2: "/dev/full"})),
    Broken("both full", _set(streams={1: "/dev/full", 2: "/dev/full"}), "amdirecttar support"),
    Broken("an empty environment", _bare),
    Broken("a language that nobody has", _environment(LC_ALL="xx_XX.nonsense")),
    Broken("a language without letters", _environment(LC_ALL="C", PYTHONUTF8="0")),
    Broken("no PATH", _environment(PATH="")),
    Broken("no home", _environment(HOME="/no/such/home")),
    Broken("TMPDIR missing", _environment(TMPDIR="/no/such/directory")),
    Broken("all of Amanda's directories missing", _without("etc"), TAPERS, "could not open conf"),
    Broken("directory for debug logs is a file", _environment(AMANDA_DBGDIR="ROOT/tapelist")),
    Broken("directory for debug logs not ours", _readonly("dbg")),
    Broken("temporary directory is a file", _environment(AMANDA_TMPDIR="ROOT/tapelist")),
    Broken("temporary directory not ours", _unreadable("tmp")),
    Broken("state directory is a file", _environment(AMANDA_STATE_DIR="ROOT/tapelist")),
    Broken("directory of data, lists and applications gone", _without("application")),
    Broken(
        "an unknown option", _set(more=["--nosuch", "7"]), "taper, twistd, taperctl", "--nosuch"
    ),
    Broken("a word too much", _set(more=["excess"]), TAPERS),
    Broken("an empty word", _set(more=[""]), TAPERS),
    Broken("a word in no language", _set(more=["\udcff\udcfe"]), TAPERS),
    Broken("files may not grow", _set(limits={resource.RLIMIT_FSIZE: 0})),
    Broken("few files may be open", _set(limits={resource.RLIMIT_NOFILE: 7})),
]

CONFIGURATION = [
    Broken("amanda.conf missing", _without("etc/C/amanda.conf"), TAPERS, "amanda.conf"),
    Broken("amanda.conf is a directory", _directory_for("etc/C/amanda.conf"), TAPERS, "C/amanda."),
    Broken("amanda.conf unreadable", _unreadable("etc/C/amanda.conf"), TAPERS, "Permission denied"),
    Broken(
        "global amanda.conf unreadable", _directory_for("etc/amanda.conf"), TAPERS, "etc/amanda."
    ),
    Broken("amanda.conf is nonsense", _text("etc/C/amanda.conf", "\0\xff{{{\n"), TAPERS, "line 1"),
    Broken("amanda.conf is empty", _text("etc/C/amanda.conf", "")),
    Broken("a file to include is missing", _change("tapetype T\n", 'includefile "no"\n'), TAPERS),
    Broken("no such dump user", _change(getpass.getuser(), "no one"), TAPERS, "no one"),
    Broken("another dump user", _change(getpass.getuser(), "sys"), TAPERS, '"sys" user'),
    Broken("no such storage", _set(storage="nosuch")),
    Broken("no such configuration", _set(config="nosuch"), TAPERS, "etc/nosuch/amanda.conf"),
    Broken("an override without a value", _set(options=["-ox"]), TAPERS, "a value for x"),
    Broken("an override of nothing", _set(options=["-ox=1"]), TAPERS, "'x'"),
    Broken("an override of the wrong kind", _set(options=["-odtimeout=x"]), TAPERS),
    Broken("tapelist is nonsense", _text("tapelist", "nonsense\n"), TAPERS, "tapelist"),
    Broken("tapelist is a directory", _directory_for("tapelist"), TAPERS, "tapelist"),
    Broken("tapelist unreadable", _unreadable("tapelist"), TAPERS, "tapelist"),
    Broken("no directory for the log", _without("log"), TAPERS, "could not open log file"),
    Broken("a file where the log's directory is", _file_for("log"), TAPERS, "log file"),
    Broken("the log is a directory", _directory_for("log/log"), TAPERS, "log file"),
    Broken("the log may not be made", _readonly("log"), TAPERS, "Permission denied"),
    Broken("the log is full", _full_log, TAPERS, "log: File too large; every program"),
    Broken("the log is no file", _set(log="/dev/full"), TAPERS, "log file /dev/full"),
    Broken("no volumes", _without("vtapes")),
    Broken("a file where the volumes are", _file_for("vtapes")),
    Broken("volumes that may not be read", _unreadable("vtapes")),
    Broken("a changer that nobody knows", _changer("chg-dsk:/x")),
    Broken("a device that nobody knows", _changer("fil:/x")),
    Broken("the changer's state is nonsense", _text("vtapes/state", "$STATE = {")),
    Broken("no endpoint", _set(endpoint="nonsense"), "twistd", "nonsense"),
    Broken("an endpoint of nonsense", _set(endpoint="tcp:x:y:z"), "twistd", "tcp:x:y:z"),
    Broken("an endpoint nowhere", _set(endpoint="unix:/no/such/door"), "twistd", "/no/such/door"),
    Broken("an endpoint that is taken", _taken, "twistd", "Address already in use"),
]

CTL = [
    Broken("no taper at all", _without("stock/taper"), "taperctl status", "stock/taper"),
    Broken(
        "a directory in its place", _directory_for("stock/taper"), "taperctl status", "directory"
    ),
    Broken("a link in its place", _link("stock/taper", "/bin/true"), "taperctl status", "link"),
    Broken("no directory for it", _without("stock"), "taperctl status"),
    Broken("a file for its directory", _file_for("stock"), "taperctl status"),
    Broken("it may not be read", _unreadable("stock/taper"), "taperctl status", "denied"),
    Broken("its directory may not be read", _unreadable("stock"), "taperctl status", "denied"),
    Broken("a PATH that leads nowhere", _environment(PATH="/nowhere")),
    Broken("a dpkg-divert that fails", _text("bin/dpkg-divert", "#!/bin/false\n"), "", ""),
    Broken("no applications", _without("application"), "taperctl application install", "client"),
    Broken("a file for the applications", _file_for("application"), "", ""),
    Broken("applications not to be changed", _readonly("application"), "", ""),
    Broken("applications not to be read", _unreadable("application"), "", ""),
    Broken("somebody else's application", _text("application/amdirecttar", "x"), "", ""),
    Broken("a directory for the application", _directory_for("application/amdirecttar"), "", ""),
]

APPLICATION = [
    Broken("nothing to dump", _without("data")),
    Broken("a file to dump", _file_for("data")),
    Broken("nothing may be read", _unreadable("data")),
    Broken("no snapshots", _without("lists")),
    Broken("a file for the snapshots", _file_for("lists")),
    Broken("snapshots not to be changed", _readonly("lists")),
    Broken("nowhere to restore", _without("target"), "amdirecttar restore"),
    Broken("a file to restore into", _file_for("target"), "amdirecttar restore"),
    Broken("no tar", _set(more=["--gnutar-path=/no/tar"]), "amdirecttar restore", "/no/tar"),
    Broken("a tar that fails", _set(more=["--gnutar-path=/bin/false"]), "amdirecttar restore"),
    Broken("a level that is none", _set(more=["--level=x"]), "amdirecttar", "'x'"),
    Broken("a port that is none", _set(more=["--direct-tcp=x:y"]), "amdirecttar", "--direct-tcp"),
    Broken("a pattern that is none", _set(more=["--normal=("])),
    Broken("an option without a value", _set(more=["--config"]), "amdirecttar", "--config"),
]


def test_there_are_enough_rows() -> None:
    for table in (CONFIGURATION, CTL, APPLICATION):
        rows = [*PROCESS, *table]
        assert len({row.name for row in rows}) == len(rows) >= 40


def check(scene: Scene, row: Broken, programs: str) -> None:
    """Break what the row says, start the programs, and look at what each said and left."""
    row.how(scene)
    if scene.harmless and not os.geteuid() and shutil.which("setpriv") is None:
        pytest.skip("needs setpriv, to give up root's right to pass over permissions")
    ends = play(scene, programs)
    daemon = _text_of(scene.root / "twistd.log")
    assert "Traceback" not in daemon, daemon
    # once a process has the trace log, its last words go there, as stock's do
    logged = _text_of(scene.place.log)
    mute = 2 in scene.closed or 2 in scene.streams
    for end in ends:
        assert "Traceback" not in end.said, f"{end.name}:\n{end.said}"
        assert "internal error" not in end.said, f"{end.name}:\n{end.said}"
        assert end.status in STATUSES, f"{end.name} ended with {end.status}: {end.said}"
        assert end.said or logged or mute or not end.status, f"{end.name} failed without a word"
        if {end.name, end.name.split()[0]} & set(row.fails.split(", ")):
            assert end.status, f"{end.name} did not fail: {end.said}"
            assert mute or row.says in end.said + logged, f"{end.name}:\n{end.said}"


def _text_of(path: Path) -> str:
    return path.read_text(errors="replace") if os.path.isfile(path) else ""


@pytest.mark.parametrize("row", PROCESS, ids=lambda row: row.name)
def test_a_broken_process(tmp_path: Path, row: Broken) -> None:
    check(make_scene(tmp_path), row, ALL)


@pytest.mark.parametrize("row", CONFIGURATION, ids=lambda row: row.name)
def test_a_broken_configuration(tmp_path: Path, row: Broken) -> None:
    """The other programs read none."""
    check(make_scene(tmp_path), row, TAPERS)


@pytest.mark.parametrize("row", CTL, ids=lambda row: row.name)
def test_a_broken_place_for_taperctl(tmp_path: Path, row: Broken) -> None:
    check(make_scene(tmp_path), row, "taperctl")


@pytest.mark.parametrize("row", APPLICATION, ids=lambda row: row.name)
def test_a_broken_client(tmp_path: Path, row: Broken) -> None:
    check(make_scene(tmp_path), row, "amdirecttar")


def test_where_nothing_is_broken(tmp_path: Path) -> None:
    """The tables break what works: here only those fail whose surroundings are none of theirs.

    One after the other: side by side, one would meet what another is about to install or remove.
    """
    scene = make_scene(tmp_path)
    ends = [_end(name, _start(scene, command)) for name, command in scene.programs().items()]
    failed = {end.name: end.said for end in ends if end.status}
    assert set(failed) <= {
        "taperctl demo",  # there is no such source
        "taperctl install",  # not the machine's taper, or no root
        "taperctl uninstall",
        "amdirecttar backup",  # nobody listens
        "amdirecttar restore",  # nothing comes in
        "amdirecttar validate",
        "amdirecttar index",
    }, failed

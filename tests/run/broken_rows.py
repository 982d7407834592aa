"""What can be broken where a program is started, and what must be said of it: tables."""

from __future__ import annotations

import getpass
import resource
import shutil
from collections.abc import Callable

from attrs import frozen

from tests.run.broken_scene import TAPERS, Scene


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

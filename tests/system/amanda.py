"""One private Amanda installation: a configuration, disks to back up, vtapes, Amanda's programs.

Amanda's own driver starts the taper: ours, bind-mounted over Amanda's, or Amanda's own.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

from tests.namespace import Namespace

CONFIG = "SYS"
ETC = f"/etc/amanda/{CONFIG}"
LOGS = f"{ETC}/log"
VTAPES = "/var/lib/amanda/vtapes"
HOLDING = "/var/lib/amanda/holding"
SOURCE = "/var/lib/amanda/source"
TAPER = "/usr/lib/amanda/taper"
ALARM = "/tmp/amanda/alarm"
MEMORY_LIMIT = 80 * 1024
"""KiB that a taper of ours may ever use."""

COMPLAINT = re.compile(
    r"^\s*(FATAL|ERROR|WARNING)|can't|cannot|uninitialized|no such file|not found|missing",
    re.IGNORECASE,
)
HOLDING_RACE = re.compile(
    r"(planner|driver): WARNING: (Can't create|could not stat) '?/var/lib/amanda/holding/\d+\b"
)
"""Planner and driver may race for a night's directory on the holding disk and for the pid file in
it: a line about one of these is none of ours."""

CONF = """org "SYS"
dumpuser "backup"
send-amreport-on never
infofile "{ETC}/curinfo"
logdir "{ETC}/log"
indexdir "{ETC}/index"
tapelist "{ETC}/tapelist"
dumpcycle 0
reserve 0
runspercycle 1
tapecycle {tapecycle}
runtapes {runtapes}
inparallel 4
maxdumps 4
etimeout 60
dtimeout 60
autoflush {autoflush}
tpchanger "chg-disk:{VTAPES}"
tapetype T
labelstr "^SYS-[0-9][0-9]$"
autolabel "SYS-%%" EMPTY VOLUME-ERROR
{extra}
define tapetype T {{
  length {length_mb} mbytes
  {tapetype}
}}
{storages}
holdingdisk hd1 {{
  directory "{HOLDING}"
  use 1000 mbytes
  chunksize {chunk_mb} mbytes
}}
define dumptype plain {{
  auth "local"
  program "GNUTAR"
  compress none
  index yes
}}
define dumptype squeezed {{
  plain
  compress server fast
  index no
  holdingdisk never
}}
"""


@dataclass
class Options:
    """The knobs of an amanda.conf.

    :ivar disks: name and dumptype of each disklist entry; a name is a directory of the source
    """

    disks: Sequence[tuple[str, str]] = (("home", "plain"),)
    slots: int = 4
    runtapes: int = 1
    tapecycle: int = 2
    length_mb: int = 100
    chunk_mb: int = 4
    tapetype: str = ""
    autoflush: str = "no"
    extra: str = ""
    storages: str = ""

    def text(self) -> str:
        """The amanda.conf."""
        places = {"ETC": ETC, "VTAPES": VTAPES, "HOLDING": HOLDING}
        return CONF.format(**places, **{name: getattr(self, name) for name in vars(self)})


class Amanda(Namespace):
    """A namespace with one configuration in it.

    :param launcher: of our taper
    :ivar ours: the taper that runs start is ours
    """

    def __init__(self, launcher: Path, options: Options, *, ours: bool = True) -> None:
        super().__init__()
        self.launcher = launcher
        self.ours = False
        self.environment["TAPER_REACTOR_ALARM"] = ALARM
        for directory in (LOGS, HOLDING, SOURCE, "/var/lib/amanda/gnutar-lists"):
            self.mkdir(directory)
        self.write("/var/lib/amanda/amandates", "")
        self.configure(options)
        self.use(ours=ours)

    def configure(self, options: Options) -> None:
        """Write configuration and disklist; make the slots that are missing."""
        self.write(f"{ETC}/amanda.conf", options.text())
        disks = "".join(f"localhost {SOURCE}/{disk} {kind}\n" for disk, kind in options.disks)
        self.write(f"{ETC}/disklist", disks)
        for slot in range(1, options.slots + 1):
            self.mkdir(f"{VTAPES}/slot{slot}")

    def use(self, *, ours: bool) -> None:
        """Choose the taper of the runs to come."""
        if ours and not self.ours:
            self.inside("mount", "--bind", str(self.launcher), TAPER)
        if self.ours and not ours:
            self.inside("umount", TAPER)
        self.ours = ours

    # what is backed up

    def fill(self, disk: str, mib: int, seed: int = 0) -> None:
        """Make a directory to back up: ``mib`` MiB that no compressor can shrink, and oddities."""
        random = Random(f"{disk}{seed}")
        root = f"{SOURCE}/{disk}"
        for number in range(mib):
            self.write(f"{root}/part{number % 3}/file{number}.{seed}", random.randbytes(1 << 20))
        self.write(f"{root}/with blank and ü/Größe.txt", "words\n" * 1000)
        self.write(f"{root}/empty", b"")
        link = self.path(f"{root}/link")
        if not link.is_symlink():
            link.symlink_to("part0/nowhere")
            self.own(f"{root}/link")

    def fetch(self, disk: str, *more: str) -> str:
        """Let amfetchdump get a dump from the volumes and tar unpack it; the directory."""
        place = self.mkdir(f"/tmp/amanda/restore{len(list(self.path('/tmp/amanda').iterdir()))}")
        words = ("amfetchdump", "-a", "-p", CONFIG, "localhost", f"^{SOURCE}/{disk}$", *more)
        line = " ".join(f"'{word}'" for word in words)
        # tapes pad: tar has to read on behind the end of its archive, for amfetchdump to finish
        script = f"set -o pipefail; {line} 2>../fetch.log | tar -xipf -"
        done = self.run("bash", "-c", script, cwd=place)
        told = self.read("/tmp/amanda/fetch.log")
        assert done.returncode == 0, f"{done.stdout}\n{told}"
        return place

    def check_restored(self, disk: str, place: str) -> None:
        """Every file is there again, with its content, and nothing else."""
        wanted, found = (survey(self.path(path)) for path in (f"{SOURCE}/{disk}", place))
        assert wanted.keys() == found.keys()
        different = [name for name in wanted if wanted[name] != found[name]]
        assert not different, f"restored differently: {different}"

    # Amanda's programs

    def ask(self, program: str, *arguments: str, typed: str = "") -> str:
        """Run a program that must succeed; what it says."""
        done = self.run(program, CONFIG, *arguments, typed=typed)
        assert done.returncode == 0, f"{program} {arguments}: {done.returncode}\n{done.stdout}"
        return done.stdout

    def satisfied(self, program: str, *arguments: str) -> str:
        """Run a program that must find nothing to complain about; what it says."""
        told = self.ask(program, *arguments)
        for line in told.splitlines():
            about_taper = not (line.strip().startswith("planner: ") or HOLDING_RACE.search(line))
            assert not (about_taper and COMPLAINT.search(line)), f"{program}: {line}\n{told}"
        return told

    def start(self, *command: str) -> subprocess.Popen[bytes]:
        """Start a program and leave it running."""
        return subprocess.Popen(
            self.command(*command),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=self.environment,
        )

    def report(self, *, bad: bool = False) -> str:
        """What amreport says of the last run.

        :param bad: something went wrong in it, and amreport must say so
        """
        if not bad:
            return self.satisfied("amreport")
        done = self.run("amreport", CONFIG)
        assert done.returncode != 0
        assert "FAILURE DUMP SUMMARY" in done.stdout
        return done.stdout

    # what a run leaves

    def driver_log(self) -> str:
        """What driver said and heard in the last run of amdump or amflush, or in this one."""
        return self.read(f"{LOGS}/amdump") or self.read(f"{LOGS}/amdump.1")

    def stamp(self) -> str:
        """Timestamp of that run."""
        return self.driver_log().split("starttime ", 1)[1].split()[0]

    def trace_log(self, wanted: str = "") -> list[str]:
        """Lines of its trace log, those that begin with ``wanted``."""
        lines = self.read(f"{LOGS}/log.{self.stamp()}.0").splitlines()
        return [line for line in lines if line.startswith(wanted)]

    def tapelist(self) -> list[str]:
        """Labels, newest first."""
        return [line.split()[1] for line in self.read(f"{ETC}/tapelist").splitlines()]

    def volumes(self) -> dict[str, list[str]]:
        """Names of the dump files on each labelled volume."""
        found = {}
        for path in sorted(self.path(VTAPES).glob("slot*/00000.*")):
            others = sorted(file.name for file in path.parent.iterdir())
            found[path.name.removeprefix("00000.")] = others[1:]
        return found

    def held(self) -> list[str]:
        """Names of the files on the holding disk."""
        return sorted(path.name for path in self.path(HOLDING).glob("*/*"))

    def story(self) -> str:
        """What driver and taper said in the last run, for the reader of a failure."""
        told = self.driver_log().splitlines()
        lines = [line for line in told if "taper" in line and " state time " not in line][-60:]
        if told:
            lines += ["trace log:", *self.trace_log()]
        for path in sorted(self.path("/var/log/amanda/server").glob("**/taper*")):
            lines += [f"{path.name}:", *path.read_text(errors="replace").splitlines()[-12:]]
        return "\n".join(line.encode("utf-8", "backslashreplace").decode() for line in lines)

    # how ours behaved

    def check_turns(self) -> None:
        """No turn of the reactor of any taper of ours was too long."""
        complaints = self.read(ALARM)
        assert not complaints, complaints

    def check_ours(self, at_least: int = 1) -> None:
        """That, and none took too much memory; so many of them came to a good end."""
        self.check_turns()
        seen = [line.split() for line in self.read(f"{ALARM}.seen").splitlines()]
        assert len(seen) >= at_least, f"{len(seen)} tapers of ours ended well, not {at_least}"
        too_big = [words for words in seen if int(words[-1]) > MEMORY_LIMIT]
        assert not too_big, f"over {MEMORY_LIMIT} KiB: {too_big}"


def report_lines(report: str) -> list[str]:
    """The lines of a report that two nights can share: without rulers, and without races."""
    lines = report.splitlines()
    return [line for line in lines if not (line.startswith("---") or HOLDING_RACE.search(line))]


def survey(root: Path) -> dict[str, tuple[str, bytes]]:
    """Kind and content of everything below a directory, by its path."""
    found = {}
    for path in root.rglob("*"):
        name = str(path.relative_to(root))
        if path.is_symlink():
            found[name] = ("link", str(path.readlink()).encode())
        elif path.is_dir():
            found[name] = (f"directory {path.stat().st_mode:o}", b"")
        else:
            found[name] = (f"file {path.stat().st_mode:o}", path.read_bytes())
    return found

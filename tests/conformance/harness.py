"""One case's little world: a private mount namespace, a configuration, vtapes, a taper in it.

The machine's own Amanda directories are never seen: each case has a mount namespace where
/etc/amanda, /var/lib/amanda, /var/log/amanda and /tmp/amanda are directories of its own, so that
paths (and with them error texts) are the same for every taper and every case.
"""

import contextlib
import os
import pwd
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conformance import harness_files as files
from tests.conformance.harness_talk import DEADLINE, Conversation
from tests.conformance.harness_text import crc, in_order, matches
from tests.conformance.kind import VTAPES as VTAPES  # everybody has it from here
from tests.conformance.kind import Kind, limits
from tests.conformance.kinds import KINDS
from tests.namespace import make_temporary_directory

CONFIG = "PROTO"
STAMP = "20260101000000"
ETC = "/etc/amanda/PROTO"
HOLDING = "/var/lib/amanda/holding"
TAPELIST = f"{ETC}/tapelist"
LOG = "/var/log/amanda/log.20260101000000.0"
USER = "backup"

ROOMS = ("/etc/amanda", "/var/lib/amanda", "/var/log/amanda", "/tmp/amanda")
CONF = """org "conformance"
dumpuser "backup"
infofile "{ETC}/curinfo"
logdir "/var/log/amanda"
indexdir "{ETC}/index"
tapelist "{TAPELIST}"
tapecycle {tapecycle}
runtapes 4
dtimeout {dtimeout}
{volumes}
tapetype T
{labels}
{properties}
{extra}
define tapetype T {{
  length 100 mbytes
  {tapetype}
}}
"""


@dataclass(frozen=True)
class Program:
    """A taper under test: where it is, how the report calls it, whether it is Amanda's own."""

    path: str
    name: str
    stock: bool


@dataclass
class Options:
    """The knobs of a case's amanda.conf.

    :ivar slots: how many there are.
    :ivar usage_kib: where volumes end, about; None: nowhere.
    :ivar leom: they warn before; None: as they do by themselves.
    :ivar changer: its text; None: that of the kind of volumes.
    """

    slots: int = 4
    usage_kib: int | None = 4096
    leom: bool | None = False
    labels: str = 'labelstr "^PROTO[0-9][0-9]$"\nautolabel "PROTO%%" any'
    changer: str | None = None
    tapecycle: int = 20
    dtimeout: int = 30
    tapetype: str = ""
    properties: str = ""
    extra: str = ""

    def text(self, volumes: str) -> str:
        """Write the amanda.conf, with this text about the volumes."""
        return CONF.format(
            ETC=ETC,
            TAPELIST=TAPELIST,
            tapecycle=self.tapecycle,
            dtimeout=self.dtimeout,
            volumes=volumes,
            labels=self.labels,
            properties=self.properties,
            extra=self.extra,
            tapetype=self.tapetype,
        )


class World:
    """The namespace of one case; ends every process it started, removes what it made.

    :ivar kind: of its volumes.
    :ivar hopeless: this taper is known to fail the case, perhaps by waiting for ever.
    """

    def __init__(self, program: Program, kind: str = "file", *, hopeless: bool = False) -> None:
        self.program = program
        self.kind: Kind = KINDS[kind](self)
        self.hopeless = hopeless
        self.talks: list[Conversation] = []
        self.user = pwd.getpwnam(USER)
        self.base = Path(tempfile.mkdtemp(prefix="conformance."))
        self.base.chmod(0o755)
        make_temporary_directory()
        mounts = []
        for number, room in enumerate(ROOMS):
            (self.base / str(number)).mkdir(mode=0o700)
            shutil.chown(self.base / str(number), USER, USER)
            mounts.append(f"mount --bind {self.base}/{number} {room}")
        # cat keeps the namespace alive; it ends by itself when this process is gone
        self.keeper = subprocess.Popen(
            ["unshare", "-m", "sh", "-ec", "\n".join([*mounts, "echo ready", "exec cat"])],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        assert self.keeper.stdout is not None
        assert self.keeper.stdout.readline() == b"ready\n", "no private mount namespace"
        self.mkdir(ETC)
        self.mkdir(HOLDING)

    def close(self) -> None:
        """End what runs, remove what was made."""
        for talk in self.talks:
            talk.end()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.keeper.pid, signal.SIGKILL)
        self.keeper.communicate()
        shutil.rmtree(self.base)

    # files, by the path that the taper sees

    def path(self, path: str | bytes) -> Path:
        """Find a path of the namespace from outside of it."""
        text = path.decode("utf-8", "surrogateescape") if isinstance(path, bytes) else path
        return Path(f"/proc/{self.keeper.pid}/root{text}")

    def own(self, path: str) -> None:
        """Give a file to the dump user."""
        os.chown(self.path(path), self.user.pw_uid, self.user.pw_gid)

    def mkdir(self, path: str) -> None:
        """Make a directory of the dump user, parents too."""
        at = Path(path)
        for step in [*reversed(at.parents), at]:
            if not self.path(str(step)).exists():
                self.path(str(step)).mkdir(mode=0o755)
                self.own(str(step))

    def write(self, path: str, content: bytes | str, mode: int = 0o600) -> str:
        """Write a file of the dump user."""
        data = content.encode("utf-8", "surrogateescape") if isinstance(content, str) else content
        self.path(path).write_bytes(data)
        self.path(path).chmod(mode)
        self.own(path)
        return path

    def inside(self, *command: str) -> str:
        """Run a command as root in the namespace; its output."""
        done = subprocess.run(
            ["nsenter", "-t", str(self.keeper.pid), "-m", *command],
            capture_output=True,
            text=True,
            timeout=600,
        )
        assert done.returncode == 0, f"{command}: {done.stderr}"
        return done.stdout

    def as_user(self, *command: str) -> str:
        """Run a command as the dump user in the namespace; its output."""
        user = ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--init-groups"]
        return self.inside(*user, *command)

    def mount_small(self, path: str, kib: int) -> None:
        """Put a really small file system on a directory."""
        self.mkdir(path)
        self.inside("mount", "-t", "tmpfs", "-o", f"size={kib}k,mode=755", "tmpfs", path)
        self.own(path)

    # the taper

    def configure(self, options: Options) -> None:
        """Write the configuration and make as many slots as it says, no more."""
        if options.changer is not None and not isinstance(self.kind, KINDS["file"]):
            pytest.skip("this case has a changer of its own")
        volumes = self.kind.configure(options)
        if options.changer is not None:
            volumes = f"{limits(options.usage_kib, options.leom)}\n{options.changer}"
        self.write(f"{ETC}/amanda.conf", options.text(volumes))

    def start(
        self,
        *overrides: str,
        config: str = CONFIG,
        arguments: Sequence[str] | None = None,
        held: bool = False,
    ) -> Conversation:
        """Start the taper as driver does [protocol 1]; ``held``: see :class:`Conversation`."""
        words = ["--storage", config, "--log-filename", LOG] if arguments is None else arguments
        command = [self.program.path, config, *words, *overrides]
        talk = Conversation(command, self.keeper.pid, USER, self, held=held)
        self.talks.append(talk)
        return talk

    def log(self, wanted: str = "") -> list[str]:
        """Read the trace log; only the lines that begin with *wanted*."""
        path = self.path(LOG)
        if not path.exists():
            return []
        text = path.read_bytes().decode("utf-8", "surrogateescape")
        assert text.endswith("\n") or not text, "trace log ends in half a line"
        wanted = self.kind.named(wanted)
        return [line for line in text.split("\n")[:-1] if line.startswith(wanted)]

    def story(self) -> list[str]:
        """Read the trace log without the pid lines."""
        return [line for line in self.log() if not re.search(r" pid(-done)? \d+$", line)]

    def check_log(self, *templates: str) -> None:
        """Check that the trace log (without pid lines) is exactly this."""
        lines = self.story()
        templates = tuple(self.kind.named(template) for template in templates)
        for template, line in zip(templates, lines, strict=False):
            assert matches(template, line), f"log: expected\n  {template}\nfound\n  {line}"
        assert len(lines) == len(templates), f"log: expected {len(templates)} lines: {lines}"

    def check_logged(self, *templates: str) -> None:
        """Check that the trace log has these lines in this order, others between."""
        templates = tuple(self.kind.named(template) for template in templates)
        missing = in_order(templates, self.log())
        assert missing is None, f"log: no line\n  {missing}\n(in this order) in {self.log()}"

    def check_not_logged(self, template: str) -> None:
        """Check that no line of the trace log is like this."""
        template = self.kind.named(template)
        found = [line for line in self.log() if matches(template, line)]
        assert not found, f"log: did not expect {found}"

    def tapelist(self) -> list[str]:
        """Read the lines of the tapelist."""
        path = self.path(TAPELIST)
        return path.read_text().splitlines() if path.exists() else []

    def listed(self) -> list[str]:
        """Read the lines of the tapelist, without the barcodes that some kinds of volumes have."""
        return [re.sub(r" BARCODE:\S+", "", line) for line in self.tapelist()]

    def status_files(self) -> list[Path]:
        """List the status files that exist now."""
        return sorted(self.path("/tmp/amanda").glob("taper_status_file_*"))

    # volumes

    def slot(self, number: int, last: int | None = None) -> list[files.VolumeFile]:
        """Read the volume in a slot, up to a file where a taper may be writing the next."""
        return self.kind.files(number, last)

    def slot_path(self, number: int, name: str = "") -> str:
        """The directory of a volume, or a file in it; a case without directories is skipped."""
        place = self.kind.directory(number)
        return f"{place}/{name}" if name else place

    def volume(self, label: str, last: int | None = None) -> list[files.VolumeFile]:
        """Read the volume with this label, likewise."""
        for number in self.kind.slots():
            found = self.slot(number, last)
            name = files.volume_label(found)
            if name and name[0] == label:
                return found
        raise AssertionError(f"no volume {label} in the slots")

    def labelled(self, slot: int, label: str, stamp: str, entry: str | None = "reuse") -> None:
        """Put a labelled volume into a slot, and a line into the tapelist unless *entry* is None.

        Lines must be added newest first, as the tapelist is ordered.
        """
        self.kind.label(slot, label, stamp)
        if entry is not None:
            tail = f" BLOCKSIZE:32 POOL:{CONFIG} STORAGE:{CONFIG} CONFIG:{CONFIG}"
            self.tapelist_add(f"{stamp} {label} {entry}{tail}")

    def tapelist_add(self, line: str) -> None:
        """Append a line to the tapelist."""
        self.write(TAPELIST, "\n".join([*self.tapelist(), line]) + "\n")

    def holding(
        self,
        data: bytes,
        dump: files.Dump | None = None,
        chunk: int = 0,
        name: str = "",
        lines: str = "",
    ) -> str:
        """Put a dump on the holding disk; the path of its first chunk."""
        dump = dump or files.Dump()
        count = len(list(self.path(HOLDING).iterdir()))
        first = f"{HOLDING}/{name or f'dump{count}'}"
        for path, content in files.holding_chunks(dump, data, chunk, first, lines).items():
            self.write(path, content)
        return first

    def dumped(self, data: bytes) -> Conversation:
        """Start a taper and let it write a dump, as one part onto the new volume PROTO01."""
        talk = self.start()
        talk.start_taper()
        talk.file_write(self.holding(data))
        talk.grant("PROTO01")
        talk.ready()
        talk.part("PROTO01", 1, len(data))
        talk.done(crc(data))
        return talk

    def check_dump(self, handle: str, data: bytes, dump: files.Dump | None = None) -> None:
        """Check that the parts reported for a handle hold these bytes, each with its header."""
        dump = dump or files.Dump()
        parts = [part for talk in self.talks for part in talk.parts.get(handle, [])]
        assert parts, f"no part was reported for {handle}"
        found = b""
        for number, (label, fileno) in enumerate(parts, 1):
            by_number = {file.number: file for file in self.volume(label)}
            assert fileno in by_number, f"{label} has no file {fileno}, but it was reported"
            file = by_number[fileno]
            words = file.first_line[:12]
            name = [dump.datestamp, dump.host, dump.disk, "part", f"{number}/-1"]
            expected = ["AMANDA:", "SPLIT_FILE", *name, "lev", str(dump.level), "comp", "N"]
            assert words[:11] == expected, f"{file.name}: {words} is not {expected}"
            found += file.data
        if self.kind.pads and 0 < len(found) - len(data) < files.BLOCK:
            assert not found[len(data) :].strip(b"\0"), f"{handle}: no zeros fill the last block"
            found = found[: len(data)]
        assert found == data, f"{handle}: {len(found)} bytes on the volumes, not {len(data)} right"

    def wait_for_data(self, label: str, number: int) -> None:
        """Wait until the file of that number on a volume has some data behind its header."""

        def has_data() -> bool:
            return any(self.kind.has_data(slot, label, number) for slot in self.kind.slots())

        self.wait_for(f"data in file {number} of {label}", has_data)

    def wait_for(self, what: str, test: object, seconds: float = DEADLINE) -> None:
        """Wait until a condition (a callable) holds."""
        deadline = time.monotonic() + seconds
        assert callable(test)
        while not test():
            assert time.monotonic() < deadline, f"waited {seconds} s for {what}"
            time.sleep(0.02)

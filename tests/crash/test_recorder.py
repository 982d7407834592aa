"""Nothing that changes a file goes past the recorder, and what it tells is what the files hold."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import struct
import threading
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from tests.crash.conftest import record
from tests.crash.disk import Disk
from tests.crash.events import SyncBegun, Synced, Write
from tests.crash.recorder import BEGUN, ENDED, FICLONE, FICLONERANGE, Recorder, real
from tests.crash.restart import pick_up
from tests.crash.stage import Recording
from tests.run.test_durable import strace_is_missing


def replayed(recorder: Recorder) -> Disk:
    disk = Disk(recorder.tree)
    for event, _ in recorder.events:
        disk.happen(event)
    return disk


def check(recorder: Recorder, root: Path) -> None:
    """What was recorded makes the files that are there."""
    disk = replayed(recorder)
    assert disk.image(disk.namings, disk.now).digest == pick_up(root).digest


def test_all_ways_to_write(tmp_path: Path) -> None:
    """Own place and given place, appended, gathered, Python's files, from other descriptors."""
    root = tmp_path / "root"
    root.mkdir()
    (root / "old").write_bytes(b"old contents")
    (tmp_path / "source").write_bytes(bytes(range(256)) * 40)
    recorder = Recorder(str(root))
    with recorder.recording():
        source = os.open(tmp_path / "source", os.O_RDONLY)
        fd = os.open(root / "new", os.O_RDWR | os.O_CREAT | os.O_EXCL)
        os.write(fd, b"header")
        os.pwrite(fd, b"HEAD", 0)
        os.writev(fd, [b"one", b"two"])
        os.pwritev(fd, [b"x", b"yz"], 30)
        os.sendfile(fd, source, 0, 1000)
        os.copy_file_range(source, fd, 500, 20)
        reader, writer = os.pipe()
        os.splice(source, writer, 700)
        os.splice(reader, fd, 700)
        os.ftruncate(fd, 2000)
        os.posix_fallocate(fd, 0, 2100)
        os.fsync(fd)
        log = os.open(root / "old", os.O_WRONLY | os.O_APPEND)
        os.write(log, b", and more")
        with open(root / "text", "w") as file:
            file.write("lines\n" * 3000)
        with (root / "text").open("r+b") as both:
            both.seek(100)
            both.write(b"!")
            both.truncate(5000)
        os.truncate(root / "text", 4000)
        for one in (source, fd, log, reader, writer):
            os.close(one)
    check(recorder, root)
    assert (root / "new").stat().st_size == 2100


def test_all_ways_to_name(tmp_path: Path) -> None:
    """Made, linked, moved over another, taken away; relative to a directory, through a link."""
    root = tmp_path / "root"
    (root / "inner").mkdir(parents=True)
    (root / "inner/victim").write_bytes(b"victim")
    (root / "link").symlink_to("inner/victim")
    recorder = Recorder(str(root))
    with recorder.recording():
        directory = os.open(root / "inner", os.O_RDONLY)
        os.mkdir("below", dir_fd=directory)
        os.close(os.open("below/file", os.O_CREAT | os.O_WRONLY, dir_fd=directory))
        os.fsync(directory)
        os.close(directory)
        os.makedirs(root / "a/b")
        (root / "a/b/draft").write_text("draft")
        os.rename(root / "a/b/draft", root / "inner/victim")
        with (root / "link").open("ab") as through:
            through.write(b" grows")
        os.link(root / "inner/victim", root / "second")
        os.symlink("nowhere", root / "dangling")
        (root / "dangling").replace(root / "moved")
        os.unlink(root / "second")
        os.rmdir(root / "a/b")
        (root / "tmp").touch()
        os.remove(root / "tmp")
    check(recorder, root)


def test_a_clone_is_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where this file system can make none, one that answers so stands in for it."""
    root = tmp_path / "root"
    root.mkdir()
    (tmp_path / "source").write_bytes(bytes(range(256)) * 64)

    def clone(file: Any, request: int, argument: Any, flag: bool = True) -> int:
        fd = file if isinstance(file, int) else file.fileno()
        if request == FICLONE:
            real.pwrite(fd, (tmp_path / "source").read_bytes(), 0)
        else:
            source, place, size, offset = struct.unpack("=qQQQ", argument)
            real.pwrite(fd, os.pread(source, size or 1 << 20, place), offset)
        return 0

    monkeypatch.setattr("tests.crash.recorder.real.ioctl", clone)
    recorder = Recorder(str(root))
    with recorder.recording():
        source = os.open(tmp_path / "source", os.O_RDONLY)
        with (root / "new").open("wb") as file:
            fcntl.ioctl(file, FICLONERANGE, struct.pack("=qQQQ", source, 4096, 8192, 4096))
            fcntl.ioctl(file, FICLONERANGE, struct.pack("=qQQQ", source, 4096, 0, 16384))
        with (root / "whole").open("wb") as file:
            fcntl.ioctl(file.fileno(), FICLONE, source)
        os.close(source)
    check(recorder, root)
    assert [call.name for _, call in recorder.events].count("ioctl") == 3


def test_a_synchronisation_beside_other_writes(tmp_path: Path) -> None:
    """What is written while it goes on is not covered by it; threads do not stop each other."""
    root = tmp_path / "root"
    root.mkdir()
    recorder = Recorder(str(root))
    with recorder.recording():
        one = os.open(root / "one", os.O_WRONLY | os.O_CREAT)
        two = os.open(root / "two", os.O_WRONLY | os.O_CREAT)
        os.write(one, b"before")
        with pytest.MonkeyPatch.context() as patch:
            begun, go = threading.Event(), threading.Event()

            def slow(fd: int) -> None:
                begun.set()
                assert go.wait(60)

            patch.setattr("tests.crash.recorder.real.fsync", slow)
            thread = threading.Thread(target=os.fsync, args=(one,))
            thread.start()
            assert begun.wait(60)
            os.write(one, b"after")
            os.write(two, b"beside")
            go.set()
            thread.join(60)
        os.close(one)
        os.close(two)
    kinds = (SyncBegun, Synced, Write)
    events = [event for event, _ in recorder.events if isinstance(event, kinds)]
    assert [type(event) for event in events] == [Write, SyncBegun, Write, Write, Synced]
    disk = replayed(recorder)
    number = events[0].inode
    assert disk.durable(number).data == b"before"
    assert disk.now(number).data == b"beforeafter"


def test_a_failed_synchronisation_covers_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "root"
    root.mkdir()

    def fail(fd: int) -> None:
        raise OSError(errno.EIO, "no")

    monkeypatch.setattr("tests.crash.recorder.real.fdatasync", fail)
    recorder = Recorder(str(root))
    with recorder.recording(), (root / "one").open("wb") as file:
        file.write(b"data")
        file.flush()
        with pytest.raises(OSError):
            os.fdatasync(file.fileno())
    assert not any(isinstance(event, Synced) for event, _ in recorder.events)


# compared with what the kernel sees

CHANGING = (
    "write,writev,pwrite64,pwritev,pwritev2,sendfile,splice,copy_file_range,ioctl,vmsplice,"
    "truncate,ftruncate,fallocate,rename,renameat,renameat2,unlink,unlinkat,mkdir,mkdirat,rmdir,"
    "link,linkat,symlink,symlinkat,mknod,mknodat,fsync,fdatasync,syncfs,sync,open,openat,openat2,"
    "creat,mmap,msync,io_uring_setup,access,faccessat,faccessat2"
)
LINE = re.compile(r"(\d+) +(\w+)\((.*)\) += (-?\d+)(?:<.*>)?(?: .*)?$")
SIMPLE = {"pwritev2": "pwritev", "renameat2": "rename", "pwrite64": "pwrite64"}


def seen_by_strace(trace: str, root: str) -> tuple[dict[str, list[str]], set[str]]:
    """The changing calls for each path below ``root``, in order; paths opened to be made."""
    calls: dict[str, list[str]] = defaultdict(list)
    made: set[str] = set()
    begun: dict[str, str] = {}
    inside = re.compile(rf'["<]({root}(?:/[^">]*)?)[">]')
    recording = False
    for line in trace.splitlines():
        pid, _, rest = line.partition(" ")
        if line.endswith("<unfinished ...>"):
            begun[pid] = line.removesuffix("<unfinished ...>")
            continue
        if rest.lstrip().startswith("<... "):
            line = begun.pop(pid) + rest.partition(" resumed>")[2]
        if root not in line:
            continue
        recording = (recording or BEGUN in line) and ENDED not in line
        found = LINE.match(line)
        if not recording or found is None or found[4].startswith("-"):
            continue
        name, arguments = found[2], found[3]
        name = SIMPLE.get(name, name.removesuffix("at"))
        paths = [os.path.normpath(path) for path in inside.findall(arguments)]
        if not paths:
            continue
        if name == "unlink" and "AT_REMOVEDIR" in arguments:
            name = "rmdir"
        if name == "open":
            if "O_CREAT" in arguments:
                made.add(os.path.relpath(paths[-1], root))
        elif name in ("access", "faccess"):
            continue
        elif name == "mmap":
            assert "MAP_SHARED" not in arguments or "PROT_WRITE" not in arguments, line
        elif name == "ioctl":
            if "FICLONE" in arguments:
                calls[os.path.relpath(paths[0], root)].append(name)
        else:
            at = -1 if name in ("symlink", "link", "splice", "copy_file_range") else 0
            calls[os.path.relpath(paths[at], root)].append(name)
    return calls, made


def recorded(recording: Recording) -> tuple[dict[str, list[str]], set[str]]:
    calls: dict[str, list[str]] = defaultdict(list)
    made: set[str] = set()
    for event, call in zip(recording.events, recording.calls, strict=True):
        if call.name == "open":
            made.add(call.path)
        elif call.name and call.path and not isinstance(event, Synced):
            calls[call.path].append(call.name)
    return calls, made


SEVERAL = (
    "spanning_unwarned",
    "from_a_port_cached",
    "relabelling",
    "flat_volumes",
    "new_slots",
    "linked_tapelist",
    "two_workers",
    "vaulting",
)


def test_nothing_goes_past_the_recorder(stages: Path) -> None:
    """The kernel saw the same calls on each file, in the same order."""
    if missing := strace_is_missing():
        pytest.skip(missing)
    base = stages / "traced"
    base.mkdir()
    trace = base / "trace"
    words = ("strace", "-f", "-y", "-qq", "-s", "200", "-e", f"trace={CHANGING}", "-o", str(trace))
    found = record(base, *SEVERAL, prefix=words)
    text = trace.read_text(errors="replace")
    for name, recording in found.items():
        calls, made = seen_by_strace(text, str(base / name))
        own_calls, own_made = recorded(recording)
        assert own_calls == calls, name
        assert made - set(_paths(recording)) - own_made == set(), name
        assert own_made - made == set(), name
        assert sum(map(len, calls.values())) > 20


def _paths(recording: Recording) -> list[str]:
    disk = Disk(recording.tree)
    return list(disk.image((), disk.now).nodes)

"""What the driver is told is on the disk before: after a power cut the catalogue knows it, too."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from pytest_twisted import ensureDeferred
from twisted.internet import reactor

from protocols.driver.codec import decode_command, encode
from protocols.driver.messages import Message
from taper.run.session import Session
from tests.plane.dumping import write_holding
from tests.run.sessions import (
    HANDLE,
    PATIENCE,
    START,
    WORKER,
    Listener,
    Place,
    make_place,
    write_line,
)

DATA = bytes(range(256)) * 1000
LOGGED = {
    "NEW-TAPE": "START taper ",
    "PARTDONE": "PART taper ",
    "DONE": "DONE taper ",
    "PARTIAL": "PARTIAL taper ",
    "FAILED": "FAIL taper ",
}
"""The first words of the replies that a line of the trace log goes before, and of that line."""


class Watch:
    """What happens to the log, and what is told, in order.

    :ivar synced: lines of the log that are on the disk.
    :ivar stored: numbers of the files of volumes that came to the disk, in order.
    :ivar told: each reply that a line goes before, with the lines that were on the disk then.
    """

    def __init__(self, log: Path) -> None:
        self._log = log
        self.synced: list[str] = []
        self.stored: list[int] = []
        self.directories: list[str] = []
        self.told: list[tuple[str, list[str]]] = []
        self.threads: set[threading.Thread] = set()

    def sync(self, descriptor: int) -> None:
        self.threads.add(threading.current_thread())
        place = Path(os.readlink(f"/proc/self/fd/{descriptor}"))
        self.sync_file(place.name)
        if place == self._log:
            self.synced = place.read_text().splitlines()
        elif place.is_dir():
            self.directories.append(place.name)

    def sync_file(self, name: str) -> None:
        """A file of this name was synchronised."""
        number = name.split(".")[0]
        if len(number) == 5 and number.isdigit() and int(number):
            self.stored.append(int(number))

    def tell(self, line: str) -> None:
        words = line.split(" ")
        if words[0] in LOGGED:
            self.told.append((line, list(self.synced)))
        if words[0] == "PARTDONE":
            assert int(words[4]) in self.stored, f"{line} was told before it was on the disk"

    def check(self, *words: str) -> None:
        """These replies were told, and each after its line: as many lines as replies."""
        assert [line.split(" ")[0] for line, _ in self.told] == list(words)
        for number, (line, synced) in enumerate(self.told):
            word = line.split(" ")[0]
            wanted = [told.split(" ")[0] for told, _ in self.told[: number + 1]].count(word)
            found = [one for one in synced if one.startswith(LOGGED[word])]
            assert len(found) >= wanted, f"{line} was told before its line was on the disk"


class Watched(Listener):
    def __init__(self, watch: Watch) -> None:
        super().__init__()
        self._watch = watch

    def send(self, reply: Message) -> None:
        self._watch.tell(encode(reply).decode().rstrip("\n"))
        super().send(reply)


@ensureDeferred
async def test_the_log_is_on_the_disk_before_the_driver_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DONE, and FAILED for a dump that is not there; the disk is never waited for where the
    replies are written."""
    place = make_place(tmp_path)
    watch = Watch(place.log)
    monkeypatch.setattr(os, "fdatasync", watch.sync)
    monkeypatch.setattr(os, "fsync", watch.sync)
    heard = Watched(watch)
    session = Session(reactor, place.setup(), heard)
    session.begin()
    session.open()

    def say(line: str) -> None:
        message = decode_command(line.encode())
        assert isinstance(message, Message)
        assert session.controller is not None
        session.controller.command_received(message)

    ready = heard.hear("TAPER-OK")
    say(START)
    await ready
    holding = write_holding(str(tmp_path), DATA, 100_000)
    asked, done = heard.hear("REQUEST-NEW-TAPE"), heard.hear("DONE")
    say(in_parts(write_line(holding)))
    await asked
    say(f"NEW-TAPE {WORKER} {HANDLE}")
    await done
    failed = heard.hear("FAILED")
    say(write_line(str(tmp_path / "nosuch"), "00-00002"))
    await failed
    await session.quit()
    watch.check("NEW-TAPE", "PARTDONE", "PARTDONE", "PARTDONE", "DONE", "FAILED")
    assert watch.directories.count("log") == 1
    assert threading.main_thread() not in watch.threads


def in_parts(line: str) -> str:
    """The command, with parts of three blocks, which makes three."""
    split = '"" "" "" 1 98304 "" "" ""'
    assert line.count('"" "" "" "" "" "" "" ""') == 1
    return line.replace('"" "" "" "" "" "" "" ""', split)


def strace_is_missing() -> str:
    """Why the system calls of a process cannot be seen, or nothing."""
    if shutil.which("strace") is None:
        return "needs strace"
    probe = subprocess.run(["strace", "-f", "-o", os.devnull, "true"], capture_output=True)
    return "" if probe.returncode == 0 else "strace may not trace here"


CALL = re.compile(r"\d+ +(?:<\.\.\. )?(\w+)(?:\(\d+<(.*?)>(?:, \"((?:[^\"\\]|\\.)*)\")?| resumed>)")


def completed(trace: str) -> list[tuple[str, str, str]]:
    """The calls in the order in which synchronising ended and writing began: name, file, text."""
    calls, begun = [], {}
    for line in trace.splitlines():
        found = CALL.match(line)
        if found is None:
            continue
        pid, sync = line.split(" ")[0], "sync" in found[1]
        if sync and line.endswith("<unfinished ...>"):
            begun[pid] = found[2]
        elif sync and " resumed>" in line:
            calls.append((found[1], begun.pop(pid), ""))
        elif " resumed>" not in line:
            calls.append((found[1], found[2], found[3] or ""))
    return calls


def converse(place: Place, trace: Path, holding: str, *injected: str) -> list[str]:
    """One dump in three parts by a taper whose system calls are written to ``trace``.

    :param injected: what else strace is told.
    :return: the replies
    """
    places = {
        "AMANDA_CONFIG_DIR": place.paths.config_root,
        "AMANDA_TMPDIR": place.paths.tmpdir,
        "AMANDA_DBGDIR": place.paths.dbgdir,
        "AMANDA_STATE_DIR": place.paths.statedir,
    }
    words = ["strace", "-f", "-y", "-s", "600", "-e", "trace=write,fdatasync,fsync", *injected]
    replies: list[str] = []
    program = [str(Path(sys.executable).parent / "taper"), "--log-filename", str(place.log), "C"]
    with subprocess.Popen(
        [*words, "-o", str(trace), *program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, **places},
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        watchdog = threading.Timer(5 * PATIENCE, process.kill)
        watchdog.start()
        answers = {
            "TAPER-OK": in_parts(write_line(holding)),
            "REQUEST-NEW-TAPE": f"NEW-TAPE {WORKER} {HANDLE}",
        }
        print(START, file=process.stdin, flush=True)
        for line in process.stdout:
            replies.append(line.rstrip("\n"))
            word = line.split(" ")[0]
            if word in ("DONE", "PARTIAL", "FAILED"):
                break
            if word in answers:
                print(answers[word], file=process.stdin, flush=True)
        print("QUIT", file=process.stdin, flush=True)
        process.stdin.close()
        process.stdout.read()
        watchdog.cancel()
    assert process.returncode == 0
    return replies


def test_a_process_says_nothing_before_it_is_on_the_disk(tmp_path: Path) -> None:
    """The same, as the kernel sees it."""
    if missing := strace_is_missing():
        pytest.skip(missing)
    place, trace = make_place(tmp_path), tmp_path / "trace"
    converse(place, trace, write_holding(str(tmp_path), DATA, 100_000))
    watch = Watch(place.log)
    written: list[str] = []
    for name, file, text in completed(trace.read_text()):
        if name == "write" and file == str(place.log):
            written.append(text)
        elif name == "write":
            for line in text.split(r"\n"):
                watch.tell(line)
        elif file == str(place.log):
            watch.synced = [line for text in written for line in text.split(r"\n")]
        elif name == "fdatasync":
            watch.sync_file(os.path.basename(file))
        elif file == str(place.log.parent):
            watch.directories.append("log")
    watch.check("NEW-TAPE", "PARTDONE", "PARTDONE", "PARTDONE", "DONE")
    assert watch.stored == [1, 2, 3]
    assert watch.directories == ["log"]


def stored_parts(place: Place) -> bytes:
    """The dump, by the PART lines of the log."""
    data = b""
    for line in place.log.read_text().splitlines():
        words = line.split(" ")
        if words[:2] == ["PART", "taper"]:
            label, number = words[4], int(words[5])
            (found,) = place.root.glob(f"vtapes/slot*/00000.{label}")
            (file,) = found.parent.glob(f"{number:05d}.*")
            data += file.read_bytes()[32768:]
    return data


def test_a_part_that_the_disk_does_not_take_comes_again(tmp_path: Path) -> None:
    """In a process, by the kernel's own word: the next part was written meanwhile, and does not
    count either; both are on the next volume, and no byte is lost or doubled."""
    if missing := strace_is_missing():
        pytest.skip(missing)
    place = make_place(tmp_path)
    lost = str(tmp_path / "vtapes/slot1/00002.localhost._srv.0")
    replies = converse(
        place,
        tmp_path / "trace",
        write_holding(str(tmp_path), DATA, 100_000),
        *("-P", lost, "-e", "inject=fdatasync:error=EIO"),
    )
    assert [line.split(" ")[0] for line in replies if "PART" in line or "DONE" in line] == [
        "PARTDONE",
        "PARTDONE",
        "PARTDONE",
        "DONE",
    ]
    assert [line.split(" ")[3:5] for line in replies if line.startswith("PARTDONE")] == [
        ["C01", "1"],
        ["C02", "1"],
        ["C02", "2"],
    ]
    (failed,) = [line for line in place.log.read_text().splitlines() if "PARTPARTIAL" in line]
    assert failed.endswith(': Input/output error"')
    assert stored_parts(place) == DATA


@ensureDeferred
async def test_writing_does_not_wait_for_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk takes the first part only once all parts are written; then they are told."""
    place = make_place(tmp_path)
    heard = Listener()
    volume = tmp_path / "vtapes/slot1"
    told_early: list[str] = []
    fdatasync = os.fdatasync

    def patient(descriptor: int) -> None:
        name = os.path.basename(os.readlink(f"/proc/self/fd/{descriptor}"))
        deadline = time.monotonic() + PATIENCE
        while name.startswith("00001.") and not list(volume.glob("00003.*")):
            assert time.monotonic() < deadline, "the third part was never begun"
            time.sleep(0.01)
        if name.startswith("00001."):
            told_early.extend(line for line in heard.lines if line.startswith("PARTDONE"))
        fdatasync(descriptor)

    monkeypatch.setattr(os, "fdatasync", patient)
    session = Session(reactor, place.setup(), heard)
    session.begin()
    session.open()

    def say(line: str) -> None:
        message = decode_command(line.encode())
        assert isinstance(message, Message)
        assert session.controller is not None
        session.controller.command_received(message)

    ready, asked, done = (heard.hear(word) for word in ("TAPER-OK", "REQUEST-NEW-TAPE", "DONE"))
    say(START)
    await ready
    say(in_parts(write_line(write_holding(str(tmp_path), DATA, 100_000))))
    await asked
    say(f"NEW-TAPE {WORKER} {HANDLE}")
    await done
    await session.quit()
    assert told_early == []
    assert sum(line.startswith("PARTDONE") for line in heard.lines) == 3
    assert stored_parts(place) == DATA

"""The driver that holds generated conversations with any taper, and judges how it did.

What the driver model does depends on the plan and on the replies alone. So two tapers that answer
alike hear the same words.
"""

import contextlib
import socket
import threading
import time
from dataclasses import dataclass, field, replace

import posix_ipc

from tests.conformance.generated_plan import CACHE, WORKERS, Plan, Step
from tests.conformance.harness import World
from tests.conformance.harness_files import Dump, dump_header, quote
from tests.conformance.harness_talk import STAMP, Conversation, Dumper
from tests.conformance.harness_text import split_line
from tests.conformance.producer import Cancelled, Producer

PROBE = "TAPER-OK probe probe"
PROBED = "BAD-COMMAND \"unhandled command 'TAPER-OK'\""
LAST_WORDS = ("DONE", "PARTIAL", "FAILED", "BAD-COMMAND")


@dataclass
class Mark:
    """Where a step ended: how many lines of transcript and log there were."""

    name: str
    said: int
    logged: int
    tags: frozenset[str]


class Ended(Exception):
    """The conversation is over before the plan is: ``died``, ``hung`` or ``quit``."""


@dataclass
class Player:
    """The driver model: plays a plan to a taper and keeps what a judge must know."""

    world: World
    plan: Plan
    talk: Conversation = field(init=False)
    marks: list[Mark] = field(default_factory=list)
    tags: set[str] = field(default_factory=set)
    states: dict[str, str] = field(default_factory=dict)
    dumps: dict[str, tuple[bytes, Dump, str]] = field(default_factory=dict)
    rings: set[str] = field(default_factory=set)
    open_data: dict[str, socket.socket] = field(default_factory=dict)
    tainted: set[str] = field(default_factory=set)
    ended: str = ""

    def play(self) -> None:
        """Hold the whole conversation."""
        self.world.configure(self.plan.options)
        self.world.mkdir(CACHE)
        for slot, label, stamp, entry in self.plan.slots:
            self.world.labelled(slot, label, stamp, entry)
        self.talk = self.world.start()
        try:
            for step in self.plan.steps:
                self.step(step)
                self.mark(f"{step.kind} {step.handle}")
            self.finish(self.plan.end)
        except Ended as ended:
            self.ended = str(ended)
        self.mark("end")

    def mark(self, name: str) -> None:
        """Note where the step ended."""
        said, logged = len(self.talk.transcript), len(self.world.log())
        self.marks.append(Mark(name, said, logged, frozenset(self.tags)))
        self.tags = {f"after:{tag}" for tag in self.tags if not tag.startswith("after:")}

    def read(self) -> str:
        """Read a line; the end of the taper, or its silence, ends the conversation."""
        harmless = {"ring", "after:ring", "taken", "own-scan", "early-scan"}
        hopeless = self.world.program.stock and self.tags - harmless
        self.talk.deadline = 3 if hopeless else 12
        try:
            line = self.talk.read_line()
        except AssertionError as error:
            self.talk.transcript.append(f"! {error}")
            raise Ended("hung") from None
        if line is None:
            self.talk.process.wait(10)
            raise Ended("died")
        return line

    def finish(self, end: str = "QUIT") -> None:
        """Send QUIT, or the end of file, and read to the end."""
        if end == "QUIT":
            self.talk.send("QUIT")
        else:
            self.talk.socket.shutdown(socket.SHUT_WR)
        try:
            while True:
                self.read()
        except Ended as ended:
            raise Ended("quit" if str(ended) == "died" else "hung") from None

    def step(self, step: Step) -> None:
        """Do one step; writes for a worker that does not exist are left out."""
        state = self.states.get(step.worker, "")
        if step.worker in self.tainted:
            self.tags.add("after-failed-request")
        if step.kind == "start":
            self.start(step)
        elif step.kind == "burst":
            self.burst()
        elif step.kind == "noise":
            self.noise(step)
        elif state not in ("idle", "error"):
            return
        elif step.kind == "close":
            self.talk.send(f"CLOSE-VOLUME {step.worker}")
            self.read()
        elif step.kind == "scan":
            self.talk.send(f"START-SCAN {step.worker} {step.handle}")
            self.tags.add("own-scan")
            self.probe()
            time.sleep(0.5)  # nobody says when it has ended
        else:
            self.write(step)

    def start(self, step: Step) -> None:
        """START-TAPER; a worker may be there already."""
        if self.states.get(step.worker):
            if step.number % 4:
                return
            self.tags.add("started-again")
        self.talk.send(f"START-TAPER taper0 {step.worker} PROTO {STAMP}")
        words = split_line(self.read())
        if words[0] in ("TAPER-OK", "TAPE-ERROR"):
            self.states[step.worker] = "idle" if words[0] == "TAPER-OK" else "error"
        if words[0] == "TAPE-ERROR":
            self.probe()  # stock logs only after it has answered

    def burst(self) -> None:
        """Start both workers in one breath."""
        self.tags.add("burst")
        self.talk.send(*(f"START-TAPER taper0 {worker} PROTO {STAMP}" for worker in WORKERS))
        for _ in WORKERS:
            words = split_line(self.read())
            self.states[words[1]] = "idle" if words[0] == "TAPER-OK" else "error"
        self.probe()

    def noise(self, step: Step) -> None:
        """Send a line that has no business here, then see that the taper still answers."""
        text = step.text.format(w=step.worker, h=step.handle)
        unknown = not self.states.get(step.worker) and "{w}" in step.text
        if unknown and step.number % 5:
            return
        if unknown or "nobody" in text:
            self.tags.add("unknown-worker")
        if text.startswith("CLOSE-SOURCE-VOLUME"):
            self.tags.add("close-source")
        self.talk.send(text)
        self.probe()

    def probe(self) -> None:
        """Read all that is under way."""
        self.talk.send(PROBE)
        while self.read() != PROBED:
            pass

    def write(self, step: Step) -> None:
        """Ask for a dump and follow it to its end."""
        taper, worker = self.states, step.worker
        before, taper[worker] = taper[worker], "writing"
        whole = step.data
        data = whole[: step.kept] if step.fault == "cut" else whole
        if step.fault:
            self.tags.add(step.fault)
        self.dumps[step.handle] = (data, step.dump, step.fault)
        if step.kind == "file":
            self.ask_file(step, data)
        else:
            who = f"{step.dump.host} {quote(step.dump.disk)} {step.dump.level} {STAMP}"
            verb = "SHM-WRITE" if step.kind == "shm" else "PORT-WRITE"
            if step.kind == "shm":
                self.tags.add("ring")
                self.rings.add(f"localhost {quote(step.dump.disk)} ")
            self.talk.send(f"{verb} {worker} {step.handle} {who} {step.split} AMANDA")
        self.follow(step, data)
        taper[worker] = "error" if before == "error" else "idle"

    def ask_file(self, step: Step, data: bytes) -> None:
        """Put the holding file down, spoil it, send FILE-WRITE."""
        lines = {"wrong-crc": "SERVER-CRC=12345678:1\n", "partial": "PARTIAL=YES\n"}
        dump = Dump("/other") if step.fault == "wrong-header" else step.dump
        path = self.world.holding(data, dump, step.chunk, lines=lines.get(step.fault, ""))
        first = self.world.path(path)
        if step.fault == "missing-file":
            first.unlink()
        elif step.fault == "short-header":
            first.write_bytes(first.read_bytes()[:1000])
        elif step.fault == "missing-chunk":
            others = sorted(first.parent.glob(f"{first.name}.*"))
            if others:
                others[step.kept % len(others)].unlink()
        self.talk.file_write(path, step.split, step.handle, step.worker, step.dump)

    def follow(self, step: Step, data: bytes) -> None:
        """React to the replies about a dump until its last one."""
        answers = iter(step.answers)
        while True:
            words = split_line(self.read())
            if words[0] == "REQUEST-NEW-TAPE":
                self.answer(step, next(answers, "deny"))
            elif words[0] == "PORT":
                self.deliver(step, data, Dumper(int(words[3]), int(words[4].split(":")[1])))
            elif words[0] == "SHM-NAME":
                self.deliver(step, data, Dumper(int(words[3])), words[4])
            elif words[0] == "READY" and step.handle in self.open_data:
                self.cancel(step)
            elif words[0] == "DUMPER-STATUS":
                if step.fault == "quit-status":
                    self.finish()
                bad = step.fault in ("failed", "cut")
                numbers = f"{step.size // 1024} 00000000:0 00000000:0 00000000:0"
                who = f"{step.worker} {step.handle}"
                self.talk.send(f"FAILED {who}" if bad else f"DONE {who} {numbers}")
            elif words[0] in LAST_WORDS:
                return

    def cancel(self, step: Step) -> None:
        """Let the dumper fail amid its data: first its result is told, then the data ends."""
        time.sleep(0.4)
        self.tainted.add(step.worker)
        self.talk.send(f"FAILED {step.worker} {step.handle}")
        time.sleep(0.2)
        self.open_data.pop(step.handle).close()

    def deliver(self, step: Step, data: bytes, dumper: Dumper, ring: str = "") -> None:
        """Play the dumper."""
        if step.fault == "quit-header":
            self.finish()
        header = dump_header(Dump("/other") if step.fault == "other-header" else step.dump)
        dumper.header(b"" if step.fault == "empty-header" else header)
        if step.fault not in ("empty-header", "other-header"):
            if ring:
                threading.Thread(target=fill, args=(ring, data), daemon=True).start()
            elif step.fault == "cancel":
                link = self.open_data[step.handle] = dumper.connect()
                threading.Thread(target=send, args=(link, data), daemon=True).start()
            else:
                dumper.data(data)

    def answer(self, step: Step, choice: str) -> None:
        """Answer a request for a volume."""
        who = f"{step.worker} {step.handle}"
        other = WORKERS[step.worker == WORKERS[0]]
        if choice == "inner":
            for inner in step.inner:
                if inner.kind == "busy-noise":
                    self.noise(replace(inner, worker=step.worker))
                elif inner.worker != step.worker and inner.handle not in self.dumps:
                    self.step(inner)
        if choice == "take" and self.states.get(other) == "idle":
            del self.states[other]
            self.tags.add("taken")
            self.talk.send(f"TAKE-SCRIBE-FROM {who} {other}")
        elif choice in ("deny", "empty-reason"):
            if choice == "empty-reason":
                self.tags.add(choice)
            reason = '""' if choice == "empty-reason" else '"2 tapes filled; runtapes=2"'
            self.talk.send(f"NO-NEW-TAPE {who} {reason}")
        elif choice == "failed" and step.kind == "port":
            self.tags.add("failed-request")
            self.tainted.add(step.worker)
            self.talk.send(f"FAILED {who}")
        elif choice == "quit":
            self.tags.add("quit-busy")
            self.finish()
        elif choice == "no-scan":
            self.tags.add("no-scan")
            self.talk.send(f"NEW-TAPE {who}")
        elif choice == "early-scan":
            self.tags.add(choice)
            self.talk.send(f"START-SCAN {who}")
            self.probe()
            self.talk.send(f"NEW-TAPE {who}")
        else:
            self.talk.send(f"START-SCAN {who}", f"NEW-TAPE {who}")


def fill(name: str, data: bytes) -> None:
    """Send data through a ring; a taper that does not want it is found out elsewhere."""
    with contextlib.suppress(Cancelled, AssertionError, OSError, posix_ipc.Error):
        Producer(name).send(data)


def send(link: socket.socket, data: bytes) -> None:
    """Send data and leave the connection open."""
    with contextlib.suppress(OSError):
        link.sendall(data)


def parts_of(player: Player) -> dict[str, bytes]:
    """Gather, for each handle, the bytes of the parts that were reported; all must be there."""
    found = {}
    volumes = {}
    world = player.world
    for handle, parts in player.talk.parts.items():
        content = b""
        for number, (label, fileno) in enumerate(parts, 1):
            if label not in volumes:
                volumes[label] = {file.number: file for file in world.volume(label)}
            file = volumes[label].get(fileno)
            assert file is not None, f"{label} has no file {fileno}, but it was reported"
            dump = player.dumps[handle][1]
            name = [dump.datestamp, dump.host, dump.disk, "part", f"{number}/-1"]
            assert file.first_line[2:7] == name, f"{file.name} is {file.first_line}, not {name}"
            content += file.data
        found[handle] = content
    return found


def judge(player: Player) -> None:
    """Check that a taper has ended well: exit 0, and no byte of what it reported is lost."""
    talk = player.talk
    assert player.ended == "quit", f"the taper {player.ended} at {player.marks[-2:]}"
    assert talk.process.wait(10) == 0, f"exit status {talk.process.returncode}"
    written = parts_of(player)
    for line in talk.transcript:
        words = split_line(line)
        if words[0] != "<" or words[1] not in ("DONE", "PARTIAL"):
            continue
        data = player.dumps[words[3]][0]
        got = written.get(words[3], b"")
        if words[1] == "DONE":
            assert got == data, f"{words[3]} DONE: {len(got)} of {len(data)} bytes are right"
        assert data.startswith(got), f"{words[3]}: {len(got)} bytes on volumes are not the dump's"
    for handle, got in written.items():
        assert player.dumps[handle][0].startswith(got), f"{handle}: wrong bytes on the volumes"

"""Conversations made from a seed, and the driver that holds them with any taper.

A plan is fixed before the taper speaks; what the driver model does next depends on the plan and
on the replies alone. So two tapers that answer alike hear the same words.
"""

import contextlib
import random
import socket
import threading
import time
from dataclasses import dataclass, field, replace

import posix_ipc

from tests.conformance.harness import Options, World
from tests.conformance.harness_files import BLOCK, Dump, dump_header, quote
from tests.conformance.harness_talk import (
    NO_SPLIT,
    PLAIN,
    STAMP,
    Conversation,
    Dumper,
    split_by,
    split_by_dle,
)
from tests.conformance.harness_text import payload, split_line
from tests.conformance.producer import Cancelled, Producer

WORKERS = ("worker0-0", "worker0-1")
CACHE = "/var/lib/amanda/cache"
PROBE = "TAPER-OK probe probe"
PROBED = "BAD-COMMAND \"unhandled command 'TAPER-OK'\""
LAST_WORDS = ("DONE", "PARTIAL", "FAILED", "BAD-COMMAND")
REQUESTS = 8
HOLDING_FAULTS = ("missing-chunk", "missing-file", "wrong-header", "short-header")
FILE_FAULTS = (*HOLDING_FAULTS, "wrong-crc", "partial", "cut")
PORT_FAULTS = (
    "empty-header",
    "other-header",
    "failed",
    "cut",
    "cancel",
    "quit-header",
    "quit-status",
)
SHM_FAULTS = tuple(fault for fault in PORT_FAULTS if fault != "cancel")
WRITES = {"file": FILE_FAULTS, "port": PORT_FAULTS, "shm": SHM_FAULTS}
ANSWERS = ("deny", "take", "inner", "no-scan", "early-scan", "empty-reason", "quit", "failed")
WEIGHTS = (7, 8, 12, 2, 6, 1, 1, 3)
NOISE = (
    "GARBAGE foo",
    "",
    "0",
    "START-TAPER taper0",
    "START-TAPER taper0 worker0-9 PROTO 20260101000000 extra",
    "NEW-TAPE {w} {h}",
    "NO-NEW-TAPE {w} {h} why",
    "DONE {w} {h} 1 00000000:0 00000000:0 00000000:0",
    "FAILED {w} 09-09999",
    "QUIT now",
    "close-volume",
    " CLOSE-VOLUME {w}",
    "FILE-WRITE {w} {h} /nowhere",
    "TAKE-SCRIBE-FROM {w} {h} {w}",
    "CLOSE-SOURCE-VOLUME {w}",
    "START-SCAN nobody 00-00001",
)
KINDS = ("file", "port", "shm", "close", "noise", "start", "scan")
KIND_WEIGHTS = (9, 5, 4, 3, 3, 1, 1)
BUSY_NOISE = (
    "CLOSE-VOLUME {w}",
    f"FILE-WRITE {{w}} {{h}} /nowhere localhost /x 0 {STAMP} {PLAIN} 1",
    f"PORT-WRITE {{w}} {{h}} localhost /x 0 {STAMP} {PLAIN} AMANDA",
    "FAILED {w} {h}",
    "CLOSE-SOURCE-VOLUME {w}",
    "START-TAPER taper0",
)


@dataclass(frozen=True)
class Step:
    """One intention of the driver; *answers* are used up by the taper's requests, in order."""

    kind: str
    worker: str
    number: int
    size: int = 0
    chunk: int = 0
    split: str = PLAIN
    fault: str = ""
    kept: int = 0
    answers: tuple[str, ...] = ()
    text: str = ""
    inner: tuple["Step", ...] = ()

    @property
    def handle(self) -> str:
        """The handle of a dump."""
        return f"{self.number % 10:02d}-{self.number:05d}"

    @property
    def dump(self) -> Dump:
        """Who the dump is."""
        return Dump(f"/disk {self.number}", level=self.number % 3)

    @property
    def data(self) -> bytes:
        """The bytes of the dump, before any fault."""
        return payload(self.size, self.number)


@dataclass(frozen=True)
class Plan:
    """A conversation: configuration, what lies in the slots, steps, and how it ends."""

    seed: int
    options: Options
    slots: tuple[tuple[int, str, str, str | None], ...]
    steps: tuple[Step, ...]
    end: str


def make_plan(seed: int) -> Plan:
    """Make the conversation of a seed."""
    dice = random.Random(seed)
    slots = dice.randint(1, 7)
    options = Options(
        slots=slots,
        usage_kib=32 * dice.choice([4, 8, 9, 16, 24, 32, 64]),
        leom=dice.choice([True, False]),
        tapecycle=dice.choice([1, 2, 3, 20, 20]),
        extra=scan_algorithm(dice.choice(["traditional", "traditional", "oldest", "lexical"])),
    )
    old = [slot for slot in range(1, slots + 1) if dice.random() < 0.2]
    volumes = tuple(
        (
            slot,
            dice.choice([f"PROTO{20 + slot}", f"PROTO{20 + slot}", f"ALIEN{slot}"]),
            f"202501{30 - slot:02d}000000",
            dice.choice(["reuse", "reuse", "no-reuse", None]),
        )
        for slot in old
    )
    numbers = iter(range(1, 100))
    steps = [Step("start", WORKERS[0], next(numbers))]
    if dice.random() < 0.4:
        steps.append(Step("start", WORKERS[1], next(numbers)))
    for _ in range(dice.randint(1, 5)):
        steps.append(make_step(dice, next(numbers), numbers, options))
    return Plan(seed, options, volumes, tuple(steps), dice.choice(["QUIT", "QUIT", "EOF"]))


def scan_algorithm(plugin: str) -> str:
    """Write the part of the configuration that chooses a scan."""
    return f'define taperscan scan {{\n  plugin "{plugin}"\n}}\ntaperscan "scan"'


def make_step(
    dice: random.Random, number: int, numbers: "object", options: Options, depth: int = 0
) -> Step:
    """Roll one step; *numbers* gives those of the steps inside of it."""
    worker = WORKERS[dice.random() < 0.3 if not depth else 1]
    kind = dice.choices(KINDS, KIND_WEIGHTS)[0]
    if depth and (kind == "scan" or dice.random() < 0.4):
        return Step("busy-noise", "", number, text=dice.choice(BUSY_NOISE))
    if kind not in WRITES:
        return Step(kind, worker, number, text=dice.choice(NOISE))
    faults = WRITES[kind]
    room = (options.usage_kib or 1024) * 1024
    size = dice.choice(
        [
            0,
            dice.randrange(200_000),
            dice.randrange(1_200_000),
            BLOCK * dice.randint(1, 20),
            room - BLOCK * dice.randint(0, 3),
            room + dice.randint(-40_000, 40_000),
        ]
    )
    answers = [
        dice.choices(ANSWERS, WEIGHTS)[0] if dice.random() < 0.35 else "grant"
        for _ in range(REQUESTS)
    ]
    inner: tuple[Step, ...] = ()
    if "inner" in answers and not depth:
        inner = (make_step(dice, next(numbers), numbers, options, 1),)  # type: ignore[call-overload]
    return Step(
        kind,
        worker,
        number,
        size=size,
        chunk=dice.choice([0, 0, 40_000, 65_536, 300_000]),
        split=make_split(dice),
        fault=dice.choice(faults) if dice.random() < 0.2 else "",
        kept=dice.randrange(size + 1),
        answers=tuple(answers),
        inner=inner,
    )


def make_split(dice: random.Random) -> str:
    """Roll the eight splitting fields."""
    size = dice.choice([32_768, 65_536, 131_072, 262_144, 500_000, 1_000_000])
    limit = str(dice.choice(['""', '""', 65_536, 262_144]))
    return dice.choice(
        [
            PLAIN,
            NO_SPLIT,
            split_by(size),
            split_by(size, "none"),
            split_by(size, "memory", '""', limit),
            split_by(size, "disk", CACHE, limit),
            split_by_dle(size),
            split_by_dle(size, CACHE, limit),
        ]
    )


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
        hopeless = self.world.program.stock and self.tags - {"ring", "after:ring", "taken"}
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

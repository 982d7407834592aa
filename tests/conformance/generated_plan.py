"""Conversations made from a seed: the plan, fixed before the taper speaks."""

import random
from collections.abc import Iterator
from dataclasses import dataclass

from tests.conformance.harness import Options
from tests.conformance.harness_files import BLOCK, Dump
from tests.conformance.harness_talk import NO_SPLIT, PLAIN, STAMP, split_by, split_by_dle
from tests.conformance.harness_text import payload

WORKERS = ("worker0-0", "worker0-1")
CACHE = "/var/lib/amanda/cache"
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
    if dice.random() < 0.05:
        steps = [Step("burst", WORKERS[0], next(numbers))]
    elif dice.random() < 0.4:
        steps.append(Step("start", WORKERS[1], next(numbers)))
    for _ in range(dice.randint(1, 5)):
        steps.append(make_step(dice, next(numbers), numbers, options))
    return Plan(seed, options, volumes, tuple(steps), dice.choice(["QUIT", "QUIT", "EOF"]))


def scan_algorithm(plugin: str) -> str:
    """Write the part of the configuration that chooses a scan."""
    return f'define taperscan scan {{\n  plugin "{plugin}"\n}}\ntaperscan "scan"'


def make_step(
    dice: random.Random, number: int, numbers: Iterator[int], options: Options, depth: int = 0
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
        inner = (make_step(dice, next(numbers), numbers, options, 1),)
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

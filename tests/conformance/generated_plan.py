"""Conversations made from a seed: the plan, fixed before the taper speaks.

The dice are ``random.Random(seed)`` and not hypothesis. What a run wants to know is where each of
a thousand conversations parts from stock's, by which rule; hypothesis ends at the first failure,
cannot be cut into batches for several processes or be asked for the one plan of a number, and its
examples change with its version. What it would give, failing plans made small, is done by
``generated_smaller``.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from tests.conformance.generated_sources import Shelf, make_shelf
from tests.conformance.harness import Options
from tests.conformance.harness_files import BLOCK, Dump
from tests.conformance.harness_talk import NO_SPLIT, PLAIN, STAMP, split_by, split_by_dle
from tests.conformance.harness_text import payload

WORKERS = ("worker0-0", "worker0-1", "worker0-2", "worker0-3")
CACHE = "/var/lib/amanda/cache"
REQUESTS = 8
HOLDING_FAULTS = ("missing-chunk", "missing-file", "wrong-header", "short-header")
FILE_FAULTS = (*HOLDING_FAULTS, "wrong-crc", "partial", "cut")
PORT_FAULTS = (
    "other-header",
    "failed",
    "cut",
    "cancel",
    "quit-header",
    "quit-status",
)
SHM_FAULTS = tuple(fault for fault in PORT_FAULTS if fault != "cancel")
VAULT_FAULTS = ("nowhere", "nowhere", "no-storage")
DIRECT_FAULTS = ("other-header", "failed", "cut", "quit-status")
WRITES = {
    "file": FILE_FAULTS,
    "port": PORT_FAULTS,
    "shm": SHM_FAULTS,
    "vault": VAULT_FAULTS,
    "direct": DIRECT_FAULTS,
}
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
KINDS = {
    "file": 9,
    "port": 5,
    "shm": 4,
    "vault": 1,
    "close": 3,
    "close-source": 1,
    "noise": 3,
    "start": 2,
    "scan": 1,
}
VAULTING = {**KINDS, "file": 4, "port": 2, "shm": 2, "vault": 14, "close-source": 3}
"""How often each kind comes; and where there is a storage to vault from."""
DIRECT = {"direct": 12, "file": 6, "shm": 1, "close": 4, "noise": 2, "start": 1}
"""The same onto a drive with a mover."""
BUSY_NOISE = (
    "CLOSE-VOLUME {w}",
    f"FILE-WRITE {{w}} {{h}} /nowhere localhost /x 0 {STAMP} {PLAIN} 1",
    f"PORT-WRITE {{w}} {{h}} localhost /x 0 {STAMP} {PLAIN} AMANDA",
    f"VAULT-WRITE {{w}} {{h}} SRC SRC SRC01 localhost /x 0 {STAMP} {PLAIN} 1",
    "FAILED {w} {h}",
    "CLOSE-SOURCE-VOLUME {w}",
    "START-TAPER taper0",
)


@dataclass(frozen=True)
class Step:
    """One intention of the driver; *answers* are used up by the taper's requests, in order.

    :ivar pick: which of those that there are: of sources to vault, of workers to take from
    """

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
    pick: int = 0

    @property
    def handle(self) -> str:
        """The handle of a dump."""
        return f"{self.number % 10:02d}-{self.number:05d}"

    @property
    def dump(self) -> Dump:
        """Who the dump is; one that is vaulted was somebody before."""
        return Dump(f"/disk {self.number}", level=self.number % 3)

    @property
    def data(self) -> bytes:
        """The bytes of the dump, before any fault."""
        return payload(self.size, self.number)


@dataclass(frozen=True)
class Drive:
    """A tape drive with a mover, and the one tape in it.

    :ivar limit: bytes of the tape, None: without end
    """

    indirect: bool
    limit: int | None


@dataclass(frozen=True)
class Plan:
    """A conversation: configuration, what lies in the slots, steps, and how it ends.

    :ivar shelf: what can be vaulted, besides the dumps of this run
    :ivar drive: what is written on, if not slots
    """

    seed: int
    options: Options
    slots: tuple[tuple[int, str, str, str | None], ...]
    steps: tuple[Step, ...]
    end: str
    shelf: Shelf | None = None
    drive: Drive | None = None


def make_plan(seed: int) -> Plan:
    """Make the conversation of a seed; one in eight is with a drive with a mover."""
    dice = random.Random(seed)
    return make_direct_plan(dice, seed) if seed % 8 == 5 else make_slots_plan(dice, seed)


def make_direct_plan(dice: random.Random, seed: int) -> Plan:
    """Roll a conversation about a drive with a mover."""
    drive = Drive(dice.random() < 0.5, dice.choice([None, None, 400_000, 800_000, 1_500_000]))
    options = Options(slots=0, usage_kib=None, leom=None, tapecycle=dice.choice([1, 2, 20]))
    numbers = iter(range(1, 100))
    dealer = Dealer(dice, numbers, options, WORKERS[:1], DIRECT)
    steps = [Step("start", WORKERS[0], next(numbers))]
    steps += [dealer.step() for _ in range(dice.randint(1, 4))]
    return Plan(seed, options, (), tuple(steps), dice.choice(["QUIT", "QUIT", "EOF"]), None, drive)


def make_slots_plan(dice: random.Random, seed: int) -> Plan:
    """Roll a conversation about volumes in slots."""
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
    shelf = None
    if dice.random() < 0.5:
        free = [slot for slot in range(1, slots + 1) if slot not in old]
        shared = len(free) > 1 and dice.random() < 0.3
        places = free[: dice.randint(1, len(free) - 1)] if shared else range(1, 4)
        shelf = make_shelf(dice, places, shared)
        options = replace(options, extra=shelf.configuration + options.extra)
    numbers = iter(range(1, 100))
    count = dice.choice([1, 1, 1, 2, 2, 3, 4])
    workers = WORKERS[:count]
    steps = [Step("start", worker, next(numbers)) for worker in workers]
    if dice.random() < 0.05:
        workers = WORKERS[: max(count, 2)]
        steps = [Step("burst", WORKERS[0], next(numbers), pick=len(workers))]
    dealer = Dealer(dice, numbers, options, workers, VAULTING if shelf else KINDS)
    steps += [dealer.step() for _ in range(dice.randint(1, 6))]
    return Plan(seed, options, volumes, tuple(steps), dice.choice(["QUIT", "QUIT", "EOF"]), shelf)


def scan_algorithm(plugin: str) -> str:
    """Write the part of the configuration that chooses a scan."""
    return f'define taperscan scan {{\n  plugin "{plugin}"\n}}\ntaperscan "scan"'


@dataclass(frozen=True)
class Dealer:
    """Rolls the steps of a conversation.

    :ivar numbers: of the steps
    :ivar workers: those that are started; at times another one is meant
    :ivar kinds: how often each kind comes
    """

    dice: random.Random
    numbers: Iterator[int]
    options: Options
    workers: Sequence[str]
    kinds: dict[str, int]

    def step(self, busy: tuple[str, ...] = ()) -> Step:
        """Roll a step.

        :param busy: the workers that wait for an answer meanwhile
        """
        dice, number = self.dice, next(self.numbers)
        pool = WORKERS if dice.random() < 0.1 else self.workers
        free = [worker for worker in pool if worker not in busy] or [WORKERS[-1]]
        worker = dice.choice(free)
        kind = dice.choices(list(self.kinds), list(self.kinds.values()))[0]
        if busy and (kind == "scan" or dice.random() < 0.3):
            return Step("busy-noise", busy[-1], number, text=dice.choice(BUSY_NOISE))
        if kind not in WRITES:
            return Step(kind, worker, number, text=dice.choice(NOISE))
        # no dumper connects before it has data, and ours waits for one that has
        least = 1 if kind == "port" else 0
        size = max(self.size(), least)
        answers = [
            dice.choices(ANSWERS, WEIGHTS)[0] if dice.random() < 0.35 else "grant"
            for _ in range(REQUESTS)
        ]
        inner: list[Step] = []
        if "inner" in answers and len(busy) < 2:
            inner = [self.step((*busy, worker)) for _ in range(dice.choice([1, 1, 2]))]
        return Step(
            kind,
            worker,
            number,
            size=size,
            chunk=dice.choice([0, 0, 40_000, 65_536, 300_000]),
            split=self.split(),
            fault=dice.choice(WRITES[kind]) if dice.random() < 0.2 else "",
            kept=dice.randrange(least, size + 1),
            answers=tuple(answers),
            inner=tuple(inner),
            pick=dice.randrange(60),
        )

    def size(self) -> int:
        """Roll the bytes of a dump; many at the edge of a block or of a volume."""
        dice, room = self.dice, (self.options.usage_kib or 1024) * 1024
        least = 0 if self.options.slots or dice.random() < 0.2 else 1
        return dice.choice(
            [
                least,
                dice.randrange(200_000),
                dice.randrange(1_200_000),
                BLOCK * dice.randint(1, 20),
                room - BLOCK * dice.randint(0, 3),
                room + dice.randint(-40_000, 40_000),
            ]
        )

    def split(self) -> str:
        """Roll the eight splitting fields."""
        dice = self.dice
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

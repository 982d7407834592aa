"""What a generated conversation vaults from: dumps of long ago, and what became of them."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.conformance.harness import VTAPES, World
from tests.conformance.harness_files import BLOCK, Dump, dump_header, label_header
from tests.conformance.harness_text import crc, payload
from tests.conformance.vaulting import OLD, SOURCE, STORAGE, Library

VOLUME_FAULTS = ("lost-volume", "other-volume", "held-volume", "rewritten")
PART_FAULTS = ("no-part", "short-part", "long-part", "wrong-part", "no-header")
LOG_FAULTS = ("partial-source", "logged-partial", "written-twice")
SUM_FAULTS = ("wrong-header-sum", "wrong-log-sum", "flipped", "padded")
SOURCE_FAULTS = (*VOLUME_FAULTS, *PART_FAULTS, *LOG_FAULTS, *SUM_FAULTS)
NEVER_DONE = frozenset({"wrong-header-sum", "wrong-log-sum", "flipped", "logged-partial"})
"""The bytes are those that lie on the volumes, and yet nobody may call the dump done."""
HELD = "$STATE = {{ 'drives' => {{ 'drive7' => {{ 'slot' => 'slot{}', 'pid' => '1' }} }} }};\n"


@dataclass(frozen=True)
class Source:
    """A dump on old volumes.

    :ivar pieces: label and bytes of each part
    :ivar sums: where its checksum is told: ``header``, ``log``, ``both`` or nowhere
    :ivar at: which part, or whose volume, the fault hits, from 0
    :ivar kept: how much of that part is left, or comes on top of it
    """

    number: int
    pieces: tuple[tuple[str, int], ...]
    sums: str = ""
    fault: str = ""
    at: int = 0
    kept: int = 0

    @property
    def dump(self) -> Dump:
        """Who the dump is."""
        return Dump(f"/old {self.number}", level=self.number % 3, datestamp=OLD)

    @property
    def data(self) -> bytes:
        """Its bytes, as they lie on the volumes but for parts that are cut or gone."""
        size = sum(size for _, size in self.pieces)
        data = payload(size, 1000 + self.number)
        if self.fault == "flipped":
            at = sum(size for _, size in self.pieces[: self.at]) + self.kept
            return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
        return data

    @property
    def labels(self) -> set[str]:
        """The volumes that it lies on."""
        return {label for label, _ in self.pieces}

    @property
    def bad_volume(self) -> str:
        """The volume that its fault hits, if it is one of volumes."""
        return self.pieces[self.at][0] if self.fault in VOLUME_FAULTS else ""


@dataclass(frozen=True)
class Shelf:
    """The source storage of a plan.

    :ivar shared: its volumes are in the changer that is written to
    """

    shared: bool
    sources: tuple[Source, ...]

    @property
    def directory(self) -> str:
        """Where the slots are."""
        return VTAPES if self.shared else SOURCE

    @property
    def configuration(self) -> str:
        """The storage's part of amanda.conf."""
        return STORAGE.replace(SOURCE, self.directory)

    def faults(self, source: Source) -> set[str]:
        """What is wrong with a dump; the volumes of others may be its own."""
        on_volumes = {s.fault for s in self.sources if s.bad_volume in source.labels}
        return on_volumes | ({source.fault} if source.fault else set())

    def put_down(self, world: World) -> dict[Path, bytes]:
        """Write volumes, tapelist and log, then spoil them.

        :return: what nobody may change: the files of the volumes that are what they seem
        """
        library = Library(world, self.directory)
        for source in self.sources:
            lay(library, source)
        for source in self.sources:
            spoil(library, source)
        bad = {source.bad_volume for source in self.sources}
        return {
            path: path.read_bytes()
            for label in sorted(set(library.files) - bad)
            for path in world.path(library.slot(label)).iterdir()
            if path.is_file()
        }


def lay(library: Library, source: Source) -> None:
    """Store a dump as stock does, or did; its log may be wrong already."""
    data, at = source.data, 0
    true = payload(len(data), 1000 + source.number)
    wrong = source.fault in ("wrong-header-sum", "wrong-log-sum")
    told = f"12345678:{len(data)}" if wrong else crc(true)
    lines = f"SERVER-CRC={told}\n" if source.sums in ("header", "both") else ""
    if source.fault == "partial-source":
        lines += "PARTIAL=YES\n"
    for number, (label, size) in enumerate(source.pieces, 1):
        part, at = data[at : at + size], at + size
        if number == source.at + 1 and source.fault == "written-twice":
            library.part(label, number, part[::-1][: source.kept], source.dump, lines)
        if number == len(source.pieces) and source.fault == "padded":
            part += bytes(-len(part) % BLOCK)
        library.part(label, number, part, source.dump, lines)
    word = "PARTIAL" if source.fault == "logged-partial" else "DONE"
    server = told if source.sums in ("log", "both") else ""
    library.done(data, len(source.pieces), source.dump, word, server)


def spoil(library: Library, source: Source) -> None:
    """Damage a part, or its volume."""
    world, label = library.world, source.pieces[source.at][0]
    slot = library.slot(label)
    start = world.path(f"{slot}/00000.{label}")
    if source.fault == "lost-volume":
        start.unlink(missing_ok=True)
    elif source.fault == "other-volume":
        start.unlink(missing_ok=True)
        world.write(f"{slot}/00000.ALIEN9", label_header("ALIEN9", OLD))
    elif source.fault == "held-volume":
        world.write(f"{library.directory}/state", HELD.format(int(label[3:])))
    elif source.fault == "rewritten":
        lines = [line.replace(f"{OLD} {label} ", f"20250102000000 {label} ")
                 for line in world.tapelist()]  # fmt: skip
        world.write("/etc/amanda/PROTO/tapelist", "".join(f"{line}\n" for line in lines))
    elif source.fault in PART_FAULTS:
        damage(part_file(library, source), source)


def part_file(library: Library, source: Source) -> Path:
    """The file of the part that a fault hits."""
    disk = source.dump.disk.replace("/", "_")
    label = source.pieces[source.at][0]
    found = sorted(library.world.path(library.slot(label)).glob(f"*{disk}.{source.dump.level}"))
    return found[[name for name, _ in source.pieces[: source.at]].count(label)]


def damage(path: Path, source: Source) -> None:
    """Damage the file of a part."""
    content = path.read_bytes()
    if source.fault == "no-part":
        path.unlink()
    elif source.fault == "short-part":
        path.write_bytes(content[: BLOCK + source.kept])
    elif source.fault == "long-part":
        path.write_bytes(content + payload(source.kept + 1, 7))
    elif source.fault == "no-header":
        path.write_bytes(content[: source.kept % BLOCK])
    else:
        header = dump_header(source.dump, "SPLIT_FILE", part=f"part {source.at + 7}/-1 ")
        path.write_bytes(header + content[BLOCK:])


def make_shelf(dice: random.Random, slots: Sequence[int], shared: bool) -> Shelf:
    """Roll a source storage.

    :param slots: where its volumes may be
    """
    labels = [f"SRC{slot:02d}" for slot in slots]
    return Shelf(
        shared, tuple(make_source(dice, number, labels) for number in range(dice.randint(1, 4)))
    )


def make_source(dice: random.Random, number: int, labels: Sequence[str]) -> Source:
    """Roll a dump on some of these volumes."""
    count = dice.choice([1, 1, 2, 3, 4])
    sizes = [
        dice.choice([dice.randrange(1, 400_000), BLOCK * dice.randint(1, 10)]) for _ in range(count)
    ]
    if dice.random() < 0.05:
        sizes = [0]
    where = [dice.choice(labels) for _ in sizes]
    if dice.random() < 0.8:
        where.sort()
    at = dice.randrange(len(sizes))
    fault = dice.choice(SOURCE_FAULTS) if dice.random() < 0.45 else ""
    sums = dice.choice(["", "header", "log", "both"])
    if not sizes[0] and fault in ("flipped", "short-part", "wrong-header-sum", "wrong-log-sum"):
        fault = ""  # nothing to spoil, and the checksum of nothing is no checksum
    if fault in ("flipped", "padded"):
        sums = dice.choice(["header", "log", "both"])
    elif fault == "wrong-header-sum":
        sums = "header"
    elif fault == "wrong-log-sum":
        sums = "log"
    return Source(
        number,
        tuple(zip(where, sizes, strict=True)),
        sums,
        fault,
        at,
        dice.randrange(sizes[at]) if sizes[at] else 0,
    )

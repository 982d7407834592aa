"""What is measured: one :class:`Case` for each line of figures."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

KIB, MIB, GIB = 2**10, 2**20, 2**30
NDMJOB_MOST = 100
"""KiB of ndmjob's stream buffer: it takes no larger records."""
NDMJOB_LARGE = 64
"""KiB of the largest records of a usual size that it takes: beside larger ones of ours, these."""
SMALL = 64 * KIB
"""Bytes of one of many dumps, and of the dump before the one that is measured."""
CHUNK = 64 * MIB
"""Payload of a chunk of the holding disk, and of a part on a volume to vault from."""


class Way(Enum):
    """How a dump comes to the taper; ``IDLE``: none comes, the process starts and ends; ``TAPE``:
    in virtual time, see :mod:`tests.bench.tapes`; ``MOVER``: there is no taper, the tape servers
    themselves are measured, see :mod:`tests.bench.servers`. ``CHANGE_...``: what is measured is how
    long the source stands still, see :mod:`tests.bench.changes`. ``PAGE``: a browser waits for
    pages, see :mod:`tests.bench.pages`."""

    @property
    def changes(self) -> bool:
        """What counts is the change of volumes."""
        return self in (Way.CHANGE_HELD, Way.CHANGE_MET)

    IDLE = "idle"
    FILE = "FILE-WRITE"
    PORT = "PORT-WRITE"
    SHM = "SHM-WRITE"
    VAULT = "VAULT-WRITE"
    DIRECT = "DirectTCP"
    TAPE = "tape"
    MOVER = "mover"
    CHANGE_HELD = "FILE-WRITE over devices that share no connection"
    CHANGE_MET = "the same by rendezvous"
    PAGE = "page"


class Ground(Enum):
    """The file system on which holding disk and vtapes lie, beside each other."""

    TMPFS = "tmpfs"
    DISK = "the ordinary disk"
    XFS = "xfs with reflinks, on a loop device"

    @property
    def short(self) -> str:
        """In a word."""
        return self.name.lower()


@dataclass(frozen=True)
class Case:
    """What is dumped, and how.

    :ivar ground: for a drive: where its server keeps the tape.
    :ivar size: bytes of the dump, of all dumps together where there are several workers; 0: as
        the command line says.
    :ivar part: MiB; 0: one part.
    :ivar chunks: the holding disk has chunks of 64 MiB.
    :ivar workers: so many dumps at once, each of its share of ``size``, each onto its own volume.
    :ivar block: KiB of a block or record.
    :ivar cache: the part cache: ``memory``, ``disk`` or ``none``, on volumes that end without a
        warning; empty: the volumes warn, nobody asks for a cache.
    :ivar rait: onto so many vtapes, of which the last has the parity; 0: onto one.
    :ivar bucket: onto a volume in a bucket of a local store.
    :ivar restored: what was written is read by Amanda's amrestore, and that is measured.
    :ivar read: what is measured is no taper, but a command for people that reads volumes of ours,
        as :mod:`tests.bench.readers` has them: ``restore``, ``verify`` or ``rebuild``.
    :ivar grown: what there is much of, as :mod:`tests.bench.growth` makes it: ``logs``, ``slots``,
        ``parts`` or ``dumps``; idle but for the last, where so many small dumps go onto one volume.
    :ivar many: of that; 0: as the command line says.
    :ivar anew: no log was ever read.
    :ivar served: by a daemon that is there already, if the taper is ours.
    :ivar mib: of its dump, whatever the command line says; 0: as that says.
    :ivar quick: measured where only a quick look is wanted, too.
    """

    name: str
    text: str
    way: Way = Way.IDLE
    ground: Ground = Ground.TMPFS
    size: int = 0
    part: int = 0
    chunks: bool = False
    workers: int = 1
    block: int = 32
    cache: str = ""
    rait: int = 0
    bucket: bool = False
    restored: bool = False
    read: str = ""
    grown: str = ""
    many: int = 0
    anew: bool = False
    served: bool = False
    mib: int = 0
    quick: bool = False

    @property
    def large(self) -> bool:
        """Its dump is as large as the command line says; others have none, or small ones."""
        small = self.way in (Way.IDLE, Way.TAPE, Way.PAGE) or self.way.changes
        return not small and not self.grown and not self.mib

    @property
    def from_ready(self) -> bool:
        """Its dump is measured from READY on, for a dumper takes part in what is before; others
        are from the command on."""
        return self.way in (Way.PORT, Way.SHM, Way.DIRECT)


PART = 128
"""MiB of a part where writing is durable."""

_OUR_SERVER = "onto our server (too large for ndmjob)"


def _movers() -> Iterator[Case]:
    """Of records of each size, onto the disk and in memory."""
    for block in (32, 64, 128, 256, 1024):
        beside = "" if block <= NDMJOB_MOST else f", beside ndmjob's of {NDMJOB_LARGE} KiB"
        size = "1 MiB" if block == 1024 else f"{block} KiB"
        text = f"the tape server's mover, {size} records{beside}"
        for ground, name in ((Ground.DISK, "ndmp-tape-disk"), (Ground.TMPFS, "ndmp-tape")):
            quick = block == 1024 or (block == 32 and ground is Ground.DISK)
            yield Case(f"{name}-{block}", text, Way.MOVER, ground, block=block, quick=quick)


CASES = (
    Case("start", "start and end of the process", quick=True),
    Case("served", "start and end of the process, served by a daemon", served=True, quick=True),
    Case("logs", "start, with trace logs of years, known", grown="logs"),
    Case("new-logs", "the same, none known", grown="logs", anew=True),
    Case("slots", "start, with only the last slot of many usable", grown="slots"),
    Case("dumps", "FILE-WRITE, many small dumps on one volume", Way.FILE, grown="dumps"),
    Case("file", "FILE-WRITE, one part", Way.FILE, quick=True),
    Case("file-128", "FILE-WRITE, blocks of 128 KiB", Way.FILE, block=128),
    Case("file-512", "FILE-WRITE, blocks of 512 KiB", Way.FILE, block=512),
    Case("file-1024", "FILE-WRITE, blocks of 1 MiB", Way.FILE, block=1024),
    Case(
        "parts",
        "FILE-WRITE, chunks of 64 MiB into parts of 100 MiB",
        Way.FILE,
        part=100,
        chunks=True,
    ),
    Case("port", "PORT-WRITE, one part", Way.PORT, quick=True),
    Case("port-128", "PORT-WRITE, blocks of 128 KiB", Way.PORT, block=128),
    Case("port-1024", "PORT-WRITE, blocks of 1 MiB", Way.PORT, block=1024),
    Case("uncached", "PORT-WRITE, parts of 64 MiB, no cache", Way.PORT, part=64, cache="none"),
    Case("memory", "PORT-WRITE, parts of 64 MiB, in memory", Way.PORT, part=64, cache="memory"),
    Case("cached", "PORT-WRITE, parts of 64 MiB, on disk", Way.PORT, part=64, cache="disk"),
    Case("shm", "SHM-WRITE, one part", Way.SHM, quick=True),
    Case("vault", "VAULT-WRITE, from parts of 64 MiB on one volume", Way.VAULT, quick=True),
    Case("four", "FILE-WRITE, 4 dumps at once", Way.FILE, workers=4),
    Case("sixteen", "FILE-WRITE, 16 dumps at once", Way.FILE, workers=16),
    Case("disk-file", "FILE-WRITE, parts of 128 MiB", Way.FILE, Ground.DISK, part=PART, quick=True),
    Case("disk-port", "PORT-WRITE, parts of 128 MiB", Way.PORT, Ground.DISK, part=PART),
    Case("clone", "FILE-WRITE, parts of 128 MiB", Way.FILE, Ground.XFS, part=PART, quick=True),
    Case("rait", "FILE-WRITE, onto three vtapes with parity", Way.FILE, rait=3),
    Case(
        "s3",
        "FILE-WRITE, into a bucket, blocks of 10 MiB",
        Way.FILE,
        block=10240,
        bucket=True,
        quick=True,
    ),
    Case("tape", "bursts onto a simulated drive, in virtual time", Way.TAPE, quick=True),
    Case("pages", "the slowest page, of 20,000 dumps on 1,000 volumes", Way.PAGE, quick=True),
    Case("amrestore", "read by amrestore, which FILE-WRITE wrote", Way.FILE, restored=True),
    Case(
        "restore",
        "taperctl restore, beside amfetchdump",
        Way.FILE,
        part=64,
        read="restore",
        quick=True,
    ),
    Case("restore-whole", "the same of one part", Way.FILE, read="restore", quick=True),
    Case(
        "restore-parts", "the same of parts of 2 MiB", Way.FILE, part=2, read="restore", quick=True
    ),
    Case("restore-small", "the same of a small dump", Way.FILE, read="restore", mib=1, quick=True),
    Case(
        "verify",
        "taperctl verify, beside amcheckdump",
        Way.FILE,
        part=64,
        read="verify",
        quick=True,
    ),
    Case(
        "rebuild", "a catalogue made anew, on 100 vtapes", grown="parts", read="rebuild", quick=True
    ),
    Case("ndmp-32", "DirectTCP, 32 KiB records, onto ndmjob", Way.DIRECT, quick=True),
    Case("ndmp-64", "DirectTCP, 64 KiB records, onto ndmjob", Way.DIRECT, block=64),
    Case("ndmp-128", f"DirectTCP, 128 KiB records, {_OUR_SERVER}", Way.DIRECT, block=128),
    Case("ndmp-256", f"DirectTCP, 256 KiB records, {_OUR_SERVER}", Way.DIRECT, block=256),
    Case(
        "ndmp-1024", f"DirectTCP, 1 MiB records, {_OUR_SERVER}", Way.DIRECT, block=1024, quick=True
    ),
    Case(
        "change-file",
        "FILE-WRITE, a volume's end: two NDMP servers, vtapes",
        Way.CHANGE_HELD,
        quick=True,
    ),
    Case("change-met", "by rendezvous, a volume's end: the same", Way.CHANGE_MET, quick=True),
    *_movers(),
)

"""Where a scenario plays: a configuration, its volumes, and the recorder that watches."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from random import Random

from attrs import define, field, frozen

from protocols.header import Header, HeaderType, build_header
from taper.run.debug_log import DebugLog
from taper.run.options import Options
from taper.run.paths import Paths
from taper.run.setup import Setup, make_setup
from tests.crash.events import Call, Event, Tree
from tests.crash.recorder import Recorder
from tests.run.sessions import Place, make_place

BLOCK = 32768
DUMPED = "20261123000000"
"""When the dumps were made that tonight's taper writes."""


def nights() -> list[str]:
    """Timestamps of runs, each later than the one before."""
    return [f"202601{day:02d}000000" for day in range(1, 29)]


def payload(name: str, size: int) -> bytes:
    """Bytes that are like no others."""
    return Random(name).randbytes(size)


@frozen
class Dumped:
    """A dump that a driver asks for.

    :ivar whole: False: who sends it fails, so the log must not call it done.
    """

    handle: str
    disk: str
    data: bytes
    datestamp: str = DUMPED
    whole: bool = True


@frozen(kw_only=True)
class Recording:
    """What a scenario did, and what it promises to hold.

    :ivar root: where it played; images must stand there, for their files name it.
    :ivar dumps: by handle.
    :ivar kept: labels of volumes that nobody may touch.
    :ivar expendable: those of them that may be written over in the next run.
    :ivar erased: labels of volumes that the scenario lets be erased after they were told.
    :ivar log_fails: dumps may end badly that the log does not know; the driver must be answered.
    :ivar swap: the directory of the only volume, in whose place another is put for the next run.
    """

    name: str
    root: str
    tree: Tree
    events: Sequence[Event]
    calls: Sequence[Call]
    dumps: Mapping[str, Dumped]
    kept: frozenset[str]
    expendable: frozenset[str]
    erased: frozenset[str]
    swap: str
    log_fails: bool


class Here(Place):
    """Directories of one configuration; the debug log, which nobody reads, is not among them."""

    @property
    def paths(self) -> Paths:
        root = str(self.root)
        return Paths(
            config_root=f"{root}/etc",
            tmpdir=f"{root}/tmp",
            dbgdir=f"{root}.debug",
            statedir=f"{root}/state",
        )

    def setup(self, **options: object) -> Setup:
        debug = DebugLog(self.paths.dbgdir, 1_780_000_000.0)
        wanted = Options(config_name="C", **options)  # type: ignore[arg-type]
        return make_setup(wanted, self.paths, debug, str(self.log))


@define
class Stage:
    """One scenario's configuration.

    :ivar place: once :meth:`configure` is over.
    """

    name: str
    root: Path
    place: Here = field(init=False)
    recorder: Recorder = field(init=False)
    dumps: dict[str, Dumped] = field(factory=dict)
    kept: set[str] = field(factory=set)
    expendable: set[str] = field(factory=set)
    erased: set[str] = field(factory=set)
    swap: str = ""
    log_fails: bool = False

    def __attrs_post_init__(self) -> None:
        self.recorder = Recorder(str(self.root))

    # before the recording

    def configure(self, more: str = "", top: str = "", slots: int = 4) -> None:
        """Make directories and configuration.

        :param more: lines of the storage
        :param top: of the whole configuration
        """
        self.root.mkdir(parents=True)
        Path(f"{self.root}.debug").mkdir(exist_ok=True)
        make_place(self.root, slots=slots, more=more.format(root=self.root))
        Path(f"{self.root}.holding").mkdir(exist_ok=True)
        with (self.root / "etc/C/amanda.conf").open("a") as file:
            file.write(top.format(root=self.root))
        self.place = Here(self.root)

    def volume(
        self,
        where: str,
        label: str,
        stamp: str,
        disks: Mapping[str, int],
        storage: str = "C",
        kept: bool = True,
    ) -> None:
        """A volume that somebody wrote long ago, with its lines in tapelist and log.

        :param where: a directory, or a file that shall be the volume
        :param disks: sizes of the dumps on it, one part each
        """
        path = self.root / where
        flat = not path.is_dir()
        start = Header(type=HeaderType.TAPESTART, datestamp=stamp, label=label)
        pieces = [(f"00000.{label}", build_header(start, BLOCK, BLOCK))]
        lines = [
            f'START taper datestamp {stamp} "ST:{storage}" "POOL:{storage}" label {label} tape 1'
        ]
        for number, (disk, size) in enumerate(disks.items(), 1):
            header = Header(
                type=HeaderType.SPLIT_DUMPFILE,
                datestamp=stamp,
                host="localhost",
                disk=disk,
                program="/usr/bin/tar",
                partnum=1,
                totalparts=-1,
            )
            data = payload(disk, size)
            name = f"{number:05d}.localhost.{disk.replace('/', '_')}.0"
            pieces.append((name, build_header(header, BLOCK, BLOCK) + data))
            lines += _logged(storage, label, number, disk, stamp, size)
        if flat:
            path.write_bytes(b"".join(content for _, content in pieces))
        else:
            for name, content in pieces:
                (path / name).write_bytes(content)
        with (self.root / f"log/log.{stamp}.0").open("a") as log:
            log.write("".join(f"{line}\n" for line in lines))
        tapelist = self.root / "tapelist"
        entry = f"{stamp} {label} reuse BLOCKSIZE:32 POOL:{storage} STORAGE:{storage} CONFIG:C\n"
        tapelist.write_text("".join(sorted([entry, *tapelist.open()], reverse=True)))
        if kept:
            self.kept.add(label)

    # while it is recorded

    def dump(
        self, size: int, *, disk: str = "", datestamp: str = DUMPED, whole: bool = True
    ) -> Dumped:
        """A dump of so many bytes."""
        number = len(self.dumps) + 1
        disk = disk or f"/disk{number}"
        one = Dumped(f"00-{number:05d}", disk, payload(disk, size), datestamp, whole)
        self.dumps[one.handle] = one
        return one

    def hold(self, dump: Dumped, chunk: int = 1_000_000) -> str:
        """Put a dump on the holding disk. :return: its first file"""
        name = f"{self.root}.holding/localhost.{dump.disk.replace('/', '_')}.0"
        count = max(-(-len(dump.data) // chunk), 1)
        paths = [name, *(f"{name}.{number}" for number in range(1, count))]
        for number, path in enumerate(paths):
            header = Header(
                type=HeaderType.CONT_DUMPFILE if number else HeaderType.DUMPFILE,
                datestamp=dump.datestamp,
                host="localhost",
                disk=dump.disk,
                program="/usr/bin/tar",
                cont_filename=paths[number + 1] if number + 1 < count else "",
            )
            piece = dump.data[number * chunk : (number + 1) * chunk]
            Path(path).write_bytes(build_header(header, BLOCK, None) + piece)
        return name

    def roll_log(self, stamp: str) -> None:
        """What amdump does after a run; it waits for no disk."""
        roll_log(self.root, stamp)

    def recorded(self) -> Recording:
        """What was done."""
        return Recording(
            name=self.name,
            root=str(self.root),
            tree=self.recorder.tree,
            events=[event for event, _ in self.recorder.events],
            calls=[call for _, call in self.recorder.events],
            dumps=self.dumps,
            kept=frozenset(self.kept),
            expendable=frozenset(self.expendable),
            erased=frozenset(self.erased),
            swap=self.swap,
            log_fails=self.log_fails,
        )


def roll_log(root: Path, stamp: str) -> None:
    """Give the log of a run the name under which it is kept."""
    taken = set(os.listdir(root / "log"))
    number = next(n for n in range(100) if f"log.{stamp}.{n}" not in taken)
    os.rename(root / "log/log", root / f"log/log.{stamp}.{number}")


def _logged(storage: str, label: str, number: int, disk: str, stamp: str, size: int) -> list[str]:
    where = f'"ST:{storage}" "POOL:{storage}"'
    stats = f"[sec 1.000000 bytes {size} kps 1.000000 orig-kb 64]"
    crcs = "00000000:0 00000000:0 00000000:0"
    return [
        f"PART taper {where} {label} {number} localhost {disk} {stamp} 1/-1 0 {stats}",
        f"DONE taper {where} localhost {disk} {stamp} 1 0 {crcs} {stats}",
    ]

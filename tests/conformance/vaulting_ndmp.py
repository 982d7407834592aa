"""A storage to vault from whose volumes are tapes of an NDMP server."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.conformance.harness import ETC, STAMP, Options, World
from tests.conformance.harness_files import Dump, label_header
from tests.conformance.harness_talk import WORKER, Conversation
from tests.conformance.harness_text import payload
from tests.conformance.vaulting import OLD, Library
from tests.fakes.medium import Medium
from tests.fakes.ndmjob import give_to_dump_user
from tests.fakes.ndmp_process import NdmpProcess

BLOCK = 32768
WHOLE = payload(6 * BLOCK)
"""A dump of whole records."""
SOURCE = """
define storage SRC {{
  tpchanger "{changer}"
  tapetype "T"
  tapepool "SRC"
  labelstr "^SRC[0-9][0-9]$"
}}
"""
DRIVE = """
define changer {name} {{
  tpchanger "chg-single:{url}"
  device-property "INDIRECT" "{indirect}"
}}
"""
ROBOT = """
define changer {name} {{
  tpchanger "chg-ndmp:127.0.0.1:{port}@robot"
  property "tape-device" {drives}
  changerfile "{etc}/{name}"
  device-property "INDIRECT" "{indirect}"
}}
"""


def drive(name: str, url: str, *, indirect: bool = True) -> str:
    """A changer that is one drive."""
    return DRIVE.format(name=name, url=url, indirect=str(indirect).lower())


def robot(name: str, port: int, *, indirect: bool = True, drives: int = 2) -> str:
    """A changer with the drives ``d0``, ... of a server."""
    devices = " ".join(f'"{n}=ndmp:127.0.0.1:{port}@d{n}"' for n in range(drives))
    return ROBOT.format(
        name=name, port=port, drives=devices, etc=ETC, indirect=str(indirect).lower()
    )


@dataclass
class TapeLibrary(Library):
    """Volumes on tapes.

    :ivar tapes: the tape of each label
    """

    tapes: dict[str, Path] = field(default_factory=dict)

    def setup(self, source: str, changers: str, destination: str | None = None) -> None:
        """Write the configuration.

        :param source: changer of SRC
        :param changers: definitions
        :param destination: changer of PROTO; None: chg-disk
        """
        extra = changers + SOURCE.format(changer=source)
        if destination is None:
            self.world.configure(Options(extra=extra, usage_kib=None, leom=None))
            return
        self.world.configure(
            Options(
                slots=0,
                usage_kib=None,
                leom=None,
                extra=extra,
                changer=f'tpchanger "{destination}"',
            )
        )

    def store_label(self, label: str) -> None:
        self._append(label, [label_header(label, OLD)])

    def store_file(self, label: str, fileno: int, dump: Dump, header: bytes, data: bytes) -> None:
        records = [data[at : at + BLOCK] for at in range(0, len(data), BLOCK)]
        self._append(label, [header, *(record.ljust(BLOCK, b"\0") for record in records)])

    def _append(self, label: str, records: list[bytes]) -> None:
        medium = Medium.in_file(self.tapes[label])
        medium.forward_filemarks(1000)
        for record in records:
            medium.write(record)
        medium.write_filemark()
        medium.close()
        give_to_dump_user(self.tapes[label])


def tape_files(path: Path) -> list[list[bytes]]:
    """The records of each file of a tape."""
    medium = Medium.in_file(path)
    try:
        return medium.files()
    finally:
        medium.close()


def on_tape(path: Path) -> bytes:
    """The data of all dump files of a tape."""
    return b"".join(b"".join(records[1:]) for records in tape_files(path)[1:])


OTHER = Dump("/other", datestamp=OLD)
PART = 3 * BLOCK
MOVER, DISK = "mover", "disk"
SECOND = "'SRC01' file 2"


@dataclass
class Vaulting:
    """A robot with the volumes SRC01, ..., and a disk or another server's drive to vault to.

    :ivar to: ``DISK`` or ``MOVER``
    """

    world: World
    to: str
    source: NdmpProcess
    target: NdmpProcess
    library: TapeLibrary

    def start(self, *, indirect: bool = True) -> Conversation:
        """Start the taper and a worker."""
        changers = robot("from", self.source.port)
        changers += drive("to", self.target.url("t"), indirect=indirect)
        self.library.setup("from", changers, "to" if self.to == MOVER else None)
        return worker(self.world)

    def stored(self) -> bytes:
        """What is on the volume that was written."""
        if self.to == MOVER:
            return on_tape(self.target.directory / "t")
        return b"".join(file.data for file in self.world.volume("PROTO01")[1:])


def worker(world: World, *overrides: str) -> Conversation:
    """Start the taper and a worker, whose scan finds a volume."""
    talk = world.start(*overrides)
    talk.send(f"START-TAPER taper0 {WORKER} PROTO {STAMP}")
    talk.expect(f"TAPER-OK {WORKER} <*>")
    return talk


@contextlib.contextmanager
def vaulting(
    world: World, to: str, fill: Callable[[TapeLibrary], object], *, limit: str = ""
) -> Iterator[Vaulting]:
    """Servers and volumes.

    :param fill: writes the source volumes
    :param limit: of the tape to write on
    """
    source = NdmpProcess(slots=["", "", ""], arguments=["--conforming"])
    target = NdmpProcess({"t": limit}, arguments=["--conforming"])
    tapes = {f"SRC{n:02}": source.directory / f"s{n}" for n in (1, 2, 3)}
    library = TapeLibrary(world, tapes=tapes)
    fill(library)
    with target, source:
        yield Vaulting(world, to, source, target, library)


def whole(library: TapeLibrary, second: str = "SRC02") -> None:
    """Two parts of whole records."""
    library.dump(WHOLE, [("SRC01", PART), (second, len(WHOLE) - PART)])


def two_dumps(library: TapeLibrary) -> None:
    """Two parts in two files of one volume, and another dump of one part."""
    whole(library, "SRC01")
    library.dump(WHOLE[:PART], [("SRC01", PART)], OTHER)


def too_short(library: TapeLibrary) -> None:
    """The second part has less than the log says."""
    library.part("SRC01", 1, WHOLE[:PART])
    library.part("SRC01", 2, WHOLE[PART:-BLOCK], size=len(WHOLE) - PART)
    library.done(WHOLE, 2)


def too_long(library: TapeLibrary) -> None:
    """The second part has more than the log says."""
    library.part("SRC01", 1, WHOLE[:PART])
    library.part("SRC01", 2, WHOLE[PART:], size=len(WHOLE) - PART - BLOCK)
    library.done(WHOLE, 2)


def wrong_header(library: TapeLibrary) -> None:
    """The second file says that it is another part."""
    library.part("SRC01", 1, WHOLE[:PART])
    library.part("SRC01", 2, WHOLE[PART:], said=9)
    library.done(WHOLE, 2)


def wrong_volume(library: TapeLibrary) -> None:
    """The second volume has another label than the log says."""
    nowhere, second = library.tapes["SRC01"].with_name("nowhere"), library.tapes["SRC02"]
    library.tapes.update(SRC02=nowhere, SRC03=second)
    library.store_label("SRC03")
    whole(library)


def no_file(library: TapeLibrary) -> None:
    """The second file was never written."""
    library.part("SRC01", 1, WHOLE[:PART])
    tape = library.tapes["SRC01"]
    library.tapes["SRC01"] = tape.with_name("nowhere")
    library.part("SRC01", 2, WHOLE[PART:])
    library.done(WHOLE, 2)
    library.tapes["SRC01"] = tape


def check_input_error(line: str, text: str) -> None:
    """The source is to blame, and nothing else."""
    assert line.split()[0] in ("PARTIAL", "FAILED"), line
    assert " INPUT-ERROR TAPE-GOOD " in line, line
    assert text in line, line

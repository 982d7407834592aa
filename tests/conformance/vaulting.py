"""A storage to vault from: volumes, tapelist and log that somebody wrote long ago."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.conformance.harness import Options, World
from tests.conformance.harness_files import Dump, dump_header, label_header, quote
from tests.conformance.harness_talk import HANDLE, PLAIN, WORKER, Conversation
from tests.conformance.harness_text import crc, payload

SOURCE = "/var/lib/amanda/source"
OLD = "20250101000000"
OLD_LOG = f"/var/log/amanda/log.{OLD}.0"
DUMP = Dump(datestamp=OLD)
H2 = "00-00002"
W1 = "worker0-1"
DATA = payload(600_000)
SMALL = payload(65_536)
TWO_VOLUMES = [("SRC01", 327_680), ("SRC02", 272_320)]
"""Where the parts of DATA are, and their sizes."""
STORAGE = f"""
define storage SRC {{
  tpchanger "chg-disk:{SOURCE}"
  tapetype "T"
  tapepool "SRC"
  labelstr "^SRC[0-9][0-9]$"
}}
"""


def pieces(data: bytes, size: int) -> list[bytes]:
    """Cut a dump into parts."""
    return [data[at : at + size] for at in range(0, max(len(data), 1), size)]


@dataclass
class Library:
    """Volumes SRC01, SRC02, ... of storage SRC, in slots 1, 2, ...

    :ivar directory: where the slots are
    """

    world: World
    directory: str = SOURCE
    files: dict[str, int] = field(default_factory=dict)

    def configure(self, extra: str = "", **knobs: int | bool | str | None) -> None:
        """Write the configuration: PROTO to vault to, SRC to vault from."""
        options = {"extra": STORAGE.replace(SOURCE, self.directory) + extra, **knobs}
        self.world.configure(Options(**options))  # type: ignore[arg-type]

    def slot(self, label: str) -> str:
        """The directory of a volume."""
        return f"{self.directory}/slot{int(label[3:])}"

    @staticmethod
    def entry(label: str) -> str:
        """The tapelist line of a volume."""
        return f"{OLD} {label} reuse BLOCKSIZE:32 POOL:SRC STORAGE:SRC CONFIG:PROTO"

    def store_label(self, label: str) -> None:
        """Write the beginning of a volume."""
        self.world.mkdir(self.slot(label))
        self.world.write(f"{self.slot(label)}/00000.{label}", label_header(label, OLD))

    def store_file(self, label: str, fileno: int, dump: Dump, header: bytes, data: bytes) -> None:
        """Append a file to a volume."""
        self.world.write(self.path(label, fileno, dump), header + data)

    def volume(self, label: str) -> None:
        """Make a volume."""
        self.store_label(label)
        self.world.tapelist_add(self.entry(label))
        self.files[label] = 0
        number = len(self.files)
        self.log(f'START taper datestamp {OLD} "ST:SRC" "POOL:SRC" label {label} tape {number}')

    def log(self, *lines: str) -> None:
        """Append to the log of old."""
        path = self.world.path(OLD_LOG)
        old = path.read_text(errors="surrogateescape") if path.exists() else ""
        self.world.write(OLD_LOG, old + "".join(f"{line}\n" for line in lines))

    def path(self, label: str, fileno: int, dump: Dump = DUMP) -> str:
        """The file of a part."""
        disk = dump.disk.replace("/", "_")
        return f"{self.slot(label)}/{fileno:05}.{dump.host}.{disk}.{dump.level}"

    def part(
        self,
        label: str,
        number: int,
        data: bytes,
        dump: Dump = DUMP,
        lines: str = "",
        size: int | None = None,
        said: int | None = None,
    ) -> str:
        """Append a part to a volume.

        :param size: that of the log, if it is another than that of the data
        :param said: the number in its header, if it is another
        :return: its file
        """
        if label not in self.files:
            self.volume(label)
        self.files[label] += 1
        fileno = self.files[label]
        header = dump_header(dump, "SPLIT_FILE", lines, part=f"part {said or number}/-1 ")
        self.store_file(label, fileno, dump, header, data)
        self.log(
            f'PART taper "ST:SRC" "POOL:SRC" {label} {fileno} {dump.host} {quote(dump.disk)} '
            f"{dump.datestamp} {number}/-1 {dump.level} "
            f"[sec 1.000000 bytes {len(data) if size is None else size} kps 1.000000 orig-kb 64]"
        )
        return self.path(label, fileno, dump)

    def done(
        self, data: bytes, parts: int, dump: Dump = DUMP, word: str = "DONE", server: str = ""
    ) -> None:
        """Log the end of a dump."""
        self.log(
            f'{word} taper "ST:SRC" "POOL:SRC" {dump.host} {quote(dump.disk)} {dump.datestamp} '
            f"{parts} {dump.level} 00000000:0 00000000:0 {server or '00000000:0'} "
            f"[sec 1.000000 bytes {len(data)} kps 1.000000 orig-kb 64]"
        )

    def dump(
        self,
        data: bytes,
        plan: Sequence[tuple[str, int]],
        dump: Dump = DUMP,
        lines: str = "",
        server: str = "",
    ) -> None:
        """Store a dump: label and size of each part, in order."""
        at = 0
        for number, (label, size) in enumerate(plan, 1):
            self.part(label, number, data[at : at + size], dump, lines)
            at += size
        assert at == len(data)
        self.done(data, len(plan), dump, server=server)


def vault(
    talk: Conversation,
    dump: Dump = DUMP,
    split: str = PLAIN,
    handle: str = HANDLE,
    worker: str = WORKER,
    storage: str = "SRC",
) -> None:
    """Ask for a dump to be copied."""
    talk.send(
        f"VAULT-WRITE {worker} {handle} {storage} SRC SRC01 {dump.host} {quote(dump.disk)} "
        f"{dump.level} {dump.datestamp} {split} 64"
    )


def opened(talk: Conversation, label: str, handle: str = HANDLE, worker: str = WORKER) -> None:
    """Expect the source volume to be opened."""
    talk.expect(f"OPENED-SOURCE-VOLUME {worker} {handle} {label}")


def not_found(world: World, talk: Conversation) -> None:
    """Expect that the catalogue lacks the dump: no volume's fault, as stock 3.5.4 has it too."""
    if world.program.stock:
        talk.expect(f'FAILED {WORKER} {HANDLE} INPUT-GOOD TAPE-ERROR "" "error; Dump not found"')
    else:
        talk.expect(f'FAILED {WORKER} {HANDLE} INPUT-ERROR TAPE-GOOD "Dump not found" ""')


def server_crc(data: bytes) -> str:
    """The header line that names a dump's checksum."""
    return f"SERVER-CRC={crc(data)}\n"


def started(world: World, **knobs: Any) -> tuple[Library, Conversation]:
    """A library, and a taper with one worker."""
    library = Library(world)
    library.configure(**knobs)
    talk = world.start()
    talk.start_taper()
    return library, talk


def written(talk: Conversation, data: bytes, sizes: list[int], handle: str = HANDLE) -> None:
    """Follow a dump onto the first volume, to a good end; source volumes may be changed."""
    fileno = 0
    while fileno < len(sizes):
        line = talk.expect("<w> <*>")
        if line.startswith("PARTDONE"):
            fileno += 1
            assert line.split()[4:5] == [str(fileno)], line
            assert f" bytes {sizes[fileno - 1]} " in line, line
        else:
            assert "-SOURCE-VOLUME " in line, line
    talk.done(crc(data), handle=handle)


def ending(talk: Conversation, handle: str = HANDLE, worker: str = WORKER) -> str:
    """The reply that ends a dump; volumes asked for before it are granted."""
    while True:
        line = talk.expect("<w> <*>")
        if line.startswith("REQUEST-NEW-TAPE"):
            talk.send(f"START-SCAN {worker} {handle}", f"NEW-TAPE {worker} {handle}")
        if line.split()[0] in ("DONE", "PARTIAL", "FAILED"):
            return line

"""Whole dumps onto NDMP volumes: the driver's, the dumper's and the client's side, and a model."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from tests.conformance.harness import ETC, STAMP, VTAPES, Options, World
from tests.conformance.harness_files import Dump, dump_header
from tests.conformance.harness_talk import HANDLE, WORKER, Conversation
from tests.conformance.harness_text import split_line
from tests.fakes.ndmp_process import NdmpProcess

BLOCK = 32768
POOL = '"ST:PROTO" "POOL:PROTO"'
HOME = f"localhost /home {STAMP}"
NO_CRC = "00000000:0"
ENDLESS = "length 1 tbytes"
"""Of a tape that a tapetype is defined for."""
INDIRECT = "255.255.255.255:"
LIBRARY = """
define changer library {{
  tpchanger "chg-ndmp:127.0.0.1:{port}@{robot}"
  property "tape-device" {drives}
  changerfile "{etc}/library"
  device-property "INDIRECT" "{indirect}"
}}
tpchanger "library"
"""


def options(changer: str, *, indirect: bool | None = None, **more: object) -> Options:
    """The configuration of a case with a changer of its own; None: INDIRECT is left alone."""
    properties = "" if indirect is None else f'device-property "INDIRECT" "{_word(indirect)}"\n'
    properties += str(more.pop("properties", ""))
    return Options(
        slots=0,
        usage_kib=None,
        leom=None,
        changer=changer,
        properties=properties,
        **more,  # type: ignore[arg-type]
    )


def _word(value: bool) -> str:
    return "true" if value else "false"


def library(port: int, *, indirect: bool = True, robot: str = "robot", drives: int = 2) -> Options:
    """The configuration of a robot with two drives, ``d0`` and ``d1``."""
    devices = " ".join(f'"{n}=ndmp:127.0.0.1:{port}@d{n}"' for n in range(drives))
    text = LIBRARY.format(port=port, robot=robot, drives=devices, etc=ETC, indirect=_word(indirect))
    return options("", extra=text)


def by_turns(servers: Sequence[NdmpProcess], count: int, usage: int) -> str:
    """A changer ``shelf`` of so many volumes: by turns a tape of one server, of another, each from
    ``t0`` on, and a directory, which share no connection.

    :param usage: bytes that a directory takes
    """
    names, text = [], ""
    for slot in range(1, count + 1):
        turn, number = slot % 3, (slot - 1) // 3
        if turn:
            names.append(servers[turn - 1].url(f"t{number}"))
            continue
        names.append(f"dir{slot}")
        text += f"""
define device dir{slot} {{
  tapedev "file:{VTAPES}/slot{slot}"
  device-property "MAX_VOLUME_USAGE" "{usage}"
  device-property "LEOM" "true"
}}
"""
    return f'''{text}
define changer shelf {{
  tpchanger "chg-multi:{{{",".join(names)}}}"
  changerfile "{ETC}/shelf"
}}
tpchanger "shelf"
'''


def begin(world: World, chosen: Options, *overrides: str, take: bool = False) -> Conversation:
    """Start a taper on this configuration and a worker in it.

    :param take: other workers may take its scribe
    """
    world.configure(chosen)
    talk = world.start(*overrides)
    talk.send(f"START-TAPER taper0 {WORKER} PROTO {STAMP}")
    talk.expect(f"TAPER-OK {WORKER} {'ALLOW' if take else 'NO'}-TAKE-SCRIBE-FROM")
    return talk


def port_write(talk: Conversation, split: str, path: str = "DIRECTTCP") -> tuple[int, str]:
    """Ask for a dump. :return: the header port, the data addresses"""
    talk.send(f"PORT-WRITE {WORKER} {HANDLE} localhost /home 0 {STAMP} {split} {path}")
    words = split_line(talk.expect(f'PORT {WORKER} {HANDLE} <n> "<*>"'))
    return int(words[3]), words[4]


def send_header(port: int) -> None:
    """As a dumper of 3.5.3: the header, and the end."""
    with socket.create_connection(("127.0.0.1", port), 10) as link:
        link.sendall(dump_header(Dump()))


def where_to(address: str) -> tuple[str, int]:
    """The place to connect to, asked for if the address is an indirect one."""
    first = address.split(";")[0]
    if first.startswith(INDIRECT):
        with socket.create_connection(("127.0.0.1", int(first.split(":")[1])), 30) as link:
            link.settimeout(60)
            first = link.makefile().read().split(" ")[0]
    host, _, port = first.rpartition(":")
    return host, int(port)


class Client:
    """The application: connects, sends, ends; in the background, as it must wait at times.

    :param stop_at: it stops after so many bytes and does not end until :meth:`finish`,
        :meth:`kill` or :meth:`reset`
    :ivar fault: what it met.
    :ivar sent: bytes that its kernel has taken.
    """

    def __init__(self, address: str, data: bytes, *, stop_at: int | None = None) -> None:
        self.sent = 0
        self.fault: OSError | None = None
        self._address, self._data, self._stop_at = address, data, stop_at
        self._stopped = threading.Event()
        self._go = threading.Event()
        self._how = "finish"
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self) -> None:
        try:
            with socket.create_connection(where_to(self._address), 30) as link:
                link.settimeout(60)
                end = len(self._data) if self._stop_at is None else self._stop_at
                while self.sent < end:
                    self.sent += link.send(self._data[self.sent : min(end, self.sent + 65536)])
                self._stopped.set()
                if self._stop_at is not None:
                    self._go.wait(60)
                    if self._how == "reset":
                        link.setsockopt(
                            socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
                        )
                    elif self._how == "finish":
                        link.sendall(self._data[end:])
        except (OSError, ValueError) as fault:
            self.fault = fault if isinstance(fault, OSError) else OSError(str(fault))
        finally:
            self._stopped.set()

    def stopped(self) -> None:
        """Wait until it has sent as much as it should."""
        assert self._stopped.wait(30), "the client could not send"

    def finish(self) -> None:
        """Send the rest and end."""
        self._end("finish")

    def kill(self) -> None:
        """End as a killed process does: the kernel closes the connection in good order."""
        self._end("kill")

    def reset(self) -> None:
        """End with a reset."""
        self._end("reset")

    def _end(self, how: str) -> None:
        self._how = how
        self._go.set()
        self.thread.join(60)


@dataclass
class Outcome:
    """What the taper said of one dump.

    :ivar parts: label, file number and bytes of each PARTDONE.
    :ivar labels: of the granted volumes.
    :ivar words: of the last line.
    """

    parts: list[tuple[str, int, int]] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)
    words: list[str] = field(default_factory=list)

    @property
    def word(self) -> str:
        return self.words[0]

    @property
    def size(self) -> int:
        return sum(size for _, _, size in self.parts)


DONE = f"DONE {WORKER} {HANDLE} 64 aaaaaaaa:1 bbbbbbbb:2 00000000:0"
FAILED = f"FAILED {WORKER} {HANDLE}"


def carry_on(
    talk: Conversation,
    *,
    dumper: str | Callable[[], str] = DONE,
    on_request: Callable[[int], object] = lambda number: None,
    on_part: Callable[[int], object] = lambda number: None,
) -> Outcome:
    """Be the driver until the dump is over.

    :param dumper: the answer to DUMPER-STATUS, or makes it
    :param on_request: called with the number of each REQUEST-NEW-TAPE, from 1, before the answer
    :param on_part: called with the number of each PARTDONE, from 1
    """
    outcome = Outcome()
    requests = 0
    while True:
        line = talk.read_line()
        assert line is not None, "the taper ended"
        words = split_line(line)
        if words[0] == "REQUEST-NEW-TAPE":
            requests += 1
            on_request(requests)
            talk.send(f"START-SCAN {WORKER} {HANDLE}", f"NEW-TAPE {WORKER} {HANDLE}")
        elif words[0] == "NEW-TAPE":
            outcome.labels.append(words[3])
        elif words[0] == "PARTDONE":
            outcome.parts.append((words[3], int(words[4]), int(words[6].split()[3])))
            on_part(len(outcome.parts))
        elif words[0] == "DUMPER-STATUS":
            talk.send(dumper if isinstance(dumper, str) else dumper())
        elif words[0] in ("DONE", "PARTIAL", "FAILED"):
            outcome.words = words
            return outcome
        else:
            assert words[0] in ("READY", "NO-NEW-TAPE") or "-SOURCE-VOLUME" in words[0], line


def close_volume(talk: Conversation) -> None:
    """Let the volume be given back, then QUIT."""
    talk.send(f"CLOSE-VOLUME {WORKER}")
    talk.expect(f"CLOSED-VOLUME {WORKER}")
    talk.quit()


def padded(data: bytes, block: int = BLOCK) -> bytes:
    """With the padding of the last record."""
    return data.ljust(-(-len(data) // block) * block, b"\0")


def on_tapes(outcome: Outcome, tapes: Sequence[list[list[bytes]]], stamp: str = STAMP) -> bytes:
    """What the reported parts hold, in order; each must have its header and its size.

    :param tapes: the files of every tape
    :param stamp: of the dump
    """
    by_label = {}
    for files in tapes:
        if files and files[0]:
            by_label[files[0][0].split(b"\n")[0].split(b" ")[-1].decode()] = files
    found = []
    for number, (label, fileno, size) in enumerate(outcome.parts, 1):
        assert label in by_label, f"no tape {label}"
        assert fileno < len(by_label[label]), f"{label} has no file {fileno}"
        header, *records = by_label[label][fileno]
        name = f"AMANDA: SPLIT_FILE {stamp} localhost /home  part {number}/-1  lev 0 "
        assert header.startswith(name.encode()), header[:100]
        data = b"".join(records)
        assert len(data) == size, f"{label} file {fileno}: {len(data)} bytes, {size} reported"
        found.append(data)
    return b"".join(found)


def expected_parts(limits: Sequence[int], part: int, blocks: int) -> list[tuple[int, int, int]]:
    """Where parts come to stand on volumes that warn once, after so many records of the volume.

    :param limits: records before the early warning, the label's counted
    :param part: records of a part
    :param blocks: records of the dump
    :return: volume from 0, file number, records
    """
    found = []
    for volume, limit in enumerate(limits):
        at, fileno, warned = 1, 0, limit == 0
        while blocks:
            fileno += 1
            if at >= limit and not warned:
                break  # the header was warned; it is written, and the volume is full
            at += 1
            room = blocks if warned else min(blocks, limit - at)
            size = min(part, room, blocks)
            if size:
                found.append((volume, fileno, size))
            blocks -= size
            at += size
            if size < part:
                break  # the warning came in mid-part, or the dump is over
        if not blocks:
            return found
    raise AssertionError(f"{blocks} records are left")

"""The driver that holds generated conversations with any taper.

What the driver model does depends on the plan and on the replies alone. So two tapers that answer
alike hear the same words.
"""

import contextlib
import socket
import threading
from dataclasses import dataclass, field, replace
from pathlib import Path

import posix_ipc

from tests.conformance.generated_listener import Ended, Listener
from tests.conformance.generated_plan import CACHE, WORKERS, Step
from tests.conformance.harness import VTAPES
from tests.conformance.harness_files import Dump, dump_header, quote, read_volume
from tests.conformance.harness_talk import STAMP, Dumper
from tests.conformance.harness_text import crc, split_line
from tests.conformance.producer import Cancelled, Producer
from tests.conformance.test_differential import volumes
from tests.conformance.vaulting import vault

LAST_WORDS = ("DONE", "PARTIAL", "FAILED", "BAD-COMMAND")


@dataclass
class Player(Listener):
    """The driver model: plays a plan to a taper and keeps what a judge must know."""

    dumps: dict[str, tuple[bytes, Dump, set[str]]] = field(default_factory=dict)
    rings: set[str] = field(default_factory=set)
    open_data: dict[str, socket.socket] = field(default_factory=dict)
    tainted: set[str] = field(default_factory=set)
    done: list[str] = field(default_factory=list)
    vaulted: set[str] = field(default_factory=set)
    untouchable: dict[Path, bytes] = field(default_factory=dict)
    ended: str = ""

    def play(self) -> None:
        """Hold the whole conversation."""
        self.prepare()
        self.talk = self.world.start()
        try:
            for step in self.plan.steps:
                self.step(step)
                self.mark(f"{step.kind} {step.handle}")
            self.finish(self.plan.end)
        except Ended as ended:
            self.ended = str(ended)
        self.mark("end")

    def prepare(self) -> None:
        """Write the configuration, and what there was before."""
        self.world.configure(self.plan.options)
        self.world.mkdir(CACHE)
        for slot, label, stamp, entry in self.plan.slots:
            self.world.labelled(slot, label, stamp, entry)
        if self.plan.shelf is not None:
            self.untouchable = self.plan.shelf.put_down(self.world)

    # what there is afterwards

    def stored(self, label: str) -> dict[int, tuple[list[str], bytes]]:
        """The files of a volume, by number: the words of the header, the payload."""
        found = list(self.world.path(VTAPES).glob(f"slot*/00000.{label}"))
        assert len(found) == 1, f"{len(found)} volumes {label}"
        files = read_volume(found[0].parent)
        return {file.number: (file.first_line, file.data) for file in files}

    def volumes(self) -> object:
        """All that is on volumes, to be compared."""
        return volumes(self.world)

    def on_medium(self, data: bytes) -> bytes:
        """The data of a dump, as the medium keeps them."""
        return data

    def sums(self, data: bytes, size: int) -> set[str]:
        """The checksums that may be told of so many bytes of a dump on volumes."""
        return {crc(data[:size])}

    # listening

    def step(self, step: Step) -> None:
        """Do one step; writes for a worker that does not exist are left out."""
        state = self.states.get(step.worker, "")
        if step.worker in self.tainted:
            self.tags.add("after-failed-request")
        if step.kind == "start":
            self.start(step)
        elif step.kind == "burst":
            self.burst(WORKERS[: step.pick])
        elif step.kind == "busy-noise":
            self.noise(step)
        elif state == "writing":
            return
        elif step.kind == "noise":
            self.noise(step)
        elif state not in ("idle", "error"):
            return
        elif step.kind == "close":
            self.talk.send(f"CLOSE-VOLUME {step.worker}")
            self.hear(step.worker)
        elif step.kind == "close-source":
            self.close_source(step.worker)
        elif step.kind == "scan":
            self.talk.send(f"START-SCAN {step.worker} {step.handle}")
            self.tags.add("own-scan")
            self.probe()
            self.settle()
        elif step.kind == "vault":
            self.vault(step)
        else:
            self.write(step)

    def start(self, step: Step) -> None:
        """START-TAPER; a worker may be there already."""
        if self.states.get(step.worker):
            if step.number % 4:
                return
            self.tags.add("started-again")
        self.talk.send(f"START-TAPER taper0 {step.worker} PROTO {STAMP}")
        words = self.hear(step.worker)
        if words[0] in ("TAPER-OK", "TAPE-ERROR"):
            self.states[step.worker] = "idle" if words[0] == "TAPER-OK" else "error"
        if words[0] == "TAPE-ERROR":
            self.probe()  # stock logs only after it has answered

    def burst(self, workers: tuple[str, ...]) -> None:
        """Start several workers in one breath."""
        self.tags.add("burst")
        self.talk.send(*(f"START-TAPER taper0 {worker} PROTO {STAMP}" for worker in workers))
        for _ in workers:
            words = split_line(self.read())
            self.states[words[1]] = "idle" if words[0] == "TAPER-OK" else "error"
        self.probe()

    def close_source(self, worker: str) -> None:
        """CLOSE-SOURCE-VOLUME: stock answers those that have vaulted."""
        self.talk.send(f"CLOSE-SOURCE-VOLUME {worker}")
        self.tags.add("close-source")
        while worker in self.vaulted and self.states[worker] == "idle":
            words = split_line(self.read())
            if words[:2] == ["CLOSED-SOURCE-VOLUME", worker]:
                return
            self.keep(words)
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

    def vault(self, step: Step) -> None:
        """Ask for a dump to be copied, of long ago or of this run, and follow it to its end."""
        shelf, worker, storage = self.plan.shelf, step.worker, "SRC"
        if shelf is None or (self.done and step.pick % 5 == 0):
            if not self.done:
                return
            data, dump, _ = self.dumps[self.done[step.pick % len(self.done)]]
            faults, storage = {"own-source"}, "PROTO"
        else:
            source = shelf.sources[step.pick % len(shelf.sources)]
            data, dump, faults = source.data, source.dump, shelf.faults(source)
        asked = replace(dump, level=dump.level + 1) if step.fault == "nowhere" else dump
        if step.fault == "no-storage":
            storage = "NOSUCH"
        self.tags |= {"vault", *faults, *([step.fault] if step.fault else [])}
        self.dumps[step.handle] = (data, dump, faults | {step.fault})
        before, self.states[worker] = self.states[worker], "writing"
        vault(self.talk, asked, step.split, step.handle, worker, storage)
        if self.follow(step, data) != "BAD-COMMAND" and storage != "NOSUCH":
            self.vaulted.add(worker)
        self.states[worker] = before
        self.probe()  # an answer may have crossed the end of the dump

    def write(self, step: Step) -> None:
        """Ask for a dump and follow it to its end."""
        taper, worker = self.states, step.worker
        before, taper[worker] = taper[worker], "writing"
        whole = step.data
        data = whole[: step.kept] if step.fault == "cut" else whole
        self.tags |= {step.fault} if step.fault else set()
        if self.plan.drive is not None:
            self.tags |= {"direct"} if data else {"direct", "empty"}
        self.dumps[step.handle] = (data, step.dump, {step.fault})
        if step.kind == "file":
            self.ask_file(step, data)
        else:
            who = f"{step.dump.host} {quote(step.dump.disk)} {step.dump.level} {STAMP}"
            verb = "SHM-WRITE" if step.kind == "shm" else "PORT-WRITE"
            if step.kind == "shm":
                self.tags.add("ring")
                self.rings.add(f"localhost {quote(step.dump.disk)} ")
            path = "DIRECTTCP" if step.kind == "direct" and step.pick % 3 else "AMANDA"
            self.talk.send(f"{verb} {worker} {step.handle} {who} {step.split} {path}")
        self.follow(step, data)
        taper[worker] = "error" if before == "error" else "idle"
        if step.fault == "cancel":
            self.probe()  # an answer may have crossed the end of the dump

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

    def follow(self, step: Step, data: bytes) -> str:
        """React to the replies about a dump until its last one; the word of that."""
        answers = iter(step.answers)
        self.kept[step.worker].clear()
        while True:
            words = self.hear(step.worker)
            if words[0] == "REQUEST-NEW-TAPE":
                self.answer(step, next(answers, "deny"))
            elif words[0] in ("PORT", "SHM-NAME"):
                self.deliver(step, data, int(words[3]), words[4])
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
                if words[0] == "DONE":
                    self.done.append(step.handle)
                return words[0]

    def cancel(self, step: Step) -> None:
        """Let the dumper fail amid its data: first its result is told, then the data ends."""
        self.settle()
        self.tainted.add(step.worker)
        self.talk.send(f"FAILED {step.worker} {step.handle}")
        self.probe()
        self.open_data.pop(step.handle).close()

    def deliver(self, step: Step, data: bytes, port: int, where: str) -> None:
        """Play the dumper: the header to a port, the data to an address or a ring."""
        if step.fault == "quit-header":
            self.finish()
        header = dump_header(Dump("/other") if step.fault == "other-header" else step.dump)
        Dumper(port).header(header)
        if step.fault != "other-header":
            self.send_data(step, data, where)

    def send_data(self, step: Step, data: bytes, where: str) -> None:
        """Let the data flow, in the background."""
        if where.startswith("/"):
            threading.Thread(target=fill, args=(where, data), daemon=True).start()
            return
        dumper = Dumper(0, int(where.split(":")[1]))
        if step.fault == "cancel":
            link = self.open_data[step.handle] = dumper.connect()
            threading.Thread(target=send, args=(link, data), daemon=True).start()
        else:
            dumper.data(data)

    def answer(self, step: Step, choice: str) -> None:
        """Answer a request for a volume."""
        who = f"{step.worker} {step.handle}"
        idle = [worker for worker in WORKERS if self.states.get(worker) == "idle"]
        if choice == "inner":
            for inner in step.inner:
                if inner.handle not in self.dumps:
                    self.step(inner)
        if choice == "take" and idle:
            other = idle[step.pick % len(idle)]
            del self.states[other]
            self.vaulted.discard(other)
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

"""The conversation with one taper process: lines out, lines in, never without a deadline."""

import contextlib
import os
import select
import signal
import socket
import subprocess
import tempfile
import threading
import time
from typing import Any

from tests.conformance.harness_files import Dump, quote
from tests.conformance.harness_text import matches, split_line, stats

WORKER = "worker0-0"
HANDLE = "00-00001"
STAMP = "20260101000000"
NO_SPLIT = '"" "" "" 0 "" "" "" ""'
PLAIN = '"" "" "" "" "" "" "" ""'
QUICK = 0.02
"""Seconds between connecting and speaking. A dumper has more to do than that, and ours lets one
wait who has hung up before it could look; a second more is no fault, only slow."""
DEADLINE = float(os.environ.get("CONFORMANCE_DEADLINE", "60"))
"""Seconds for anything that must come. Only a failure waits for so long, so it may be long: the
machine may be busy."""
SOON = 25.0
"""Seconds for what must not wait for any timeout; the shortest is the data timeout of 30 s."""
HOPELESS = 10.0
"""Seconds where stock is known to fail the case."""


def split_by(part_size: int, cache: str = '""', directory: str = '""', limit: str = '""') -> str:
    """Write the eight splitting fields for the tapetype's values [protocol 3.1]."""
    return f'"" "" "" 1 {part_size} {cache} {directory} {limit}'


def split_by_dle(size: int, directory: str = '""', fallback: str = '""') -> str:
    """Write the eight splitting fields for the dumptype's values."""
    return f'{size} {directory} {fallback} 1 "" "" "" ""'


def shared_memory(pid: int) -> list[str]:
    """Names of the objects of a taper in shared memory."""
    return [name for name in os.listdir("/dev/shm") if f"-{pid}-" in name]


class Conversation:
    """A running taper, spoken to as driver does; keeps a transcript for failure messages.

    :param held: it is there but for the last step, in which it becomes the program of this command;
        :meth:`let_go` lets it take that.
    """

    def __init__(
        self,
        command: list[str],
        namespace: int,
        user: str,
        world: Any,
        *,
        held: bool = False,
    ) -> None:
        self.world = world
        self.gate: socket.socket | None = None
        self.transcript: list[str] = []
        self.parts: dict[str, list[tuple[str, int]]] = {}
        self.buffer = b""
        self.exit: int | None = None
        self.deadline = HOPELESS if world.hopeless else DEADLINE
        self.socket, theirs = socket.socketpair()
        # a file and not a pipe: nobody has to read it while the taper writes
        self.errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed in end()
        drop = ["setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups"]
        # as driver's exec: argv[0] is the word taper; --norc, as bash takes a socket for a login
        script = 'program=$1; shift; exec -a taper "$program" "$@"'
        held_by = []
        if held:
            self.gate, end = socket.socketpair()
            held_by.append(end)
            there = end.fileno()
            script = f"echo >&{there}; read <&{there}; exec {there}>&-; {script}"
        launch = ["bash", "--norc", "-c", script, "-", *command]
        environment = {k: v for k, v in os.environ.items() if not k.startswith(("LC_", "LANG"))}
        self.process = subprocess.Popen(
            ["nsenter", "-t", str(namespace), "-m", "--wd=/", *drop, *launch],
            stdin=theirs.fileno(),
            stdout=theirs.fileno(),
            stderr=self.errors,
            env=environment,
            start_new_session=True,
            pass_fds=[end.fileno() for end in held_by],
        )
        for end in (theirs, *held_by):
            end.close()
        if self.gate is not None:
            self.gate.settimeout(self.deadline)
            assert self.gate.recv(1) == b"\n", "it has ended before it began"

    def let_go(self) -> None:
        """Let a program begin that was held."""
        assert self.gate is not None
        with self.gate:
            self.gate.sendall(b"\n")

    def hopeless_after(self, seconds: float) -> None:
        """Wait no longer than this if the taper is known to hang in this case."""
        if self.world.hopeless:
            self.deadline = seconds

    # raw talk

    def send(self, *lines: str) -> None:
        """Send whole lines in one go."""
        self.transcript.extend(f"> {line}" for line in lines)
        text = "".join(f"{line}\n" for line in lines)
        self.send_bytes(text.encode("utf-8", "surrogateescape"))

    def send_bytes(self, data: bytes) -> None:
        """Send raw bytes; a taper that is gone already is found out by the next expect."""
        self.socket.settimeout(self.deadline)
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.socket.sendall(data)

    def read_line(self, timeout: float | None = None) -> str | None:
        """Return the next line, None at the end of the conversation; fails at the deadline."""
        limit = self.deadline if timeout is None else timeout
        deadline = time.monotonic() + limit
        while b"\n" not in self.buffer:
            self.socket.settimeout(max(deadline - time.monotonic(), 0.001))
            try:
                data = self.socket.recv(65536)
            except TimeoutError:
                raise AssertionError(f"nothing from the taper in {limit} s") from None
            except ConnectionResetError:
                data = b""
            if not data:
                assert not self.buffer, f"half a line at the end: {self.buffer!r}"
                self.transcript.append("< (eof)")
                return None
            self.buffer += data
        line, self.buffer = self.buffer.split(b"\n", 1)
        text = line.decode("utf-8", "surrogateescape")
        self.transcript.append(f"< {text}")
        words = split_line(text)
        if words[0] == "PARTDONE":
            self.parts.setdefault(words[2], []).append((words[3], int(words[4])))
        return text

    def expect(self, *templates: str, timeout: float | None = None) -> str:
        """Read one line for each template; the last line."""
        line: str | None = ""
        for template in map(self.world.kind.named, templates):
            line = self.read_line(timeout)
            assert line is not None, f"the taper ended, expected {template}"
            assert matches(template, line), f"expected\n  {template}\ngot\n  {line}"
        return line or ""

    def expect_end(self, status: int | None = 0, timeout: float | None = None) -> None:
        """Read the end of the conversation, then the exit status (None: any)."""
        line = self.read_line(timeout)
        assert line is None, f"expected the end of the conversation, got {line}"
        self.exit = self._see_off(timeout or self.deadline)
        if status is not None:
            assert self.exit == status, f"exit status {self.exit}, expected {status}"

    def expect_silence(self, seconds: float = 0.3) -> None:
        """Check that nothing comes for a while."""
        self.socket.settimeout(seconds)
        try:
            data = self.socket.recv(65536)
        except TimeoutError:
            return
        self.buffer += data
        raise AssertionError(f"expected silence, got {self.buffer!r}")

    def still_there(self) -> None:
        """Check that the taper lives and answers."""
        self.send("XYZZY")
        self.expect('BAD-COMMAND "<*>"')

    def heard(self) -> list[str]:
        """Wait until the taper has read all that was sent: by then it answers a line that is none
        of its commands. What it says before that."""
        self.send("TAPER-OK probe probe")
        said: list[str] = []
        while (line := self.read_line()) != "BAD-COMMAND \"unhandled command 'TAPER-OK'\"":
            assert line is not None, "the taper ended"
            said.append(line)
        return said

    def quit(self) -> None:
        """Send QUIT and see the taper off, status 0."""
        self.send("QUIT")
        self.expect_end(0)

    def _see_off(self, seconds: float) -> int:
        """Wait for the end of the process, and kill what it leaves behind.

        Only while the process is not waited for is its number, which is that of its group, surely
        no other's.
        """
        if self.process.returncode is None:
            leader = os.pidfd_open(self.process.pid)
            try:
                over, _, _ = select.select([leader], [], [], seconds)
            finally:
                os.close(leader)
            assert over, f"the taper did not end in {seconds} s"
            self._kill()
        return self.process.wait(60)

    def _kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)

    def end(self) -> None:
        """Kill what is left."""
        if self.process.returncode is None:
            self._kill()
        self.process.wait(60)
        self.socket.close()
        for name in shared_memory(self.process.pid):
            os.unlink(f"/dev/shm/{name}")

    def stderr(self) -> list[str]:
        """Read what the taper wrote to stderr so far."""
        self.errors.seek(0)
        return self.errors.read().decode("utf-8", "surrogateescape").splitlines()

    # the usual steps

    def start_taper(self, worker: str = WORKER, stamp: str = STAMP) -> None:
        """Start a worker; its scan finds a volume."""
        self.send(f"START-TAPER taper0 {worker} PROTO {stamp}")
        self.expect(f"TAPER-OK {worker} ALLOW-TAKE-SCRIBE-FROM")

    def grant(self, label: str, handle: str = HANDLE, worker: str = WORKER) -> None:
        """Wait for the request of a volume, scan and grant it; it gets this label."""
        self.expect(f"REQUEST-NEW-TAPE {worker} {handle}")
        self.send(f"START-SCAN {worker} {handle}", f"NEW-TAPE {worker} {handle}")
        self.expect(f"NEW-TAPE {worker} {handle} {label}")

    def deny(self, reason: str, handle: str = HANDLE, worker: str = WORKER) -> None:
        """Wait for the request of a volume and refuse it."""
        self.expect(f"REQUEST-NEW-TAPE {worker} {handle}")
        self.send(f"NO-NEW-TAPE {worker} {handle} {quote(reason)}")

    def file_write(
        self,
        path: str,
        split: str = PLAIN,
        handle: str = HANDLE,
        worker: str = WORKER,
        dump: Dump | None = None,
        orig: str = "64",
    ) -> None:
        """Ask for a holding file to be written."""
        dump = dump or Dump()
        who = f"{dump.host} {quote(dump.disk)} {dump.level} {dump.datestamp}"
        self.send(f"FILE-WRITE {worker} {handle} {quote(path)} {who} {split} {orig}")

    def port_write(
        self,
        split: str = PLAIN,
        handle: str = HANDLE,
        worker: str = WORKER,
        dump: Dump | None = None,
        path: str = "AMANDA",
    ) -> "Dumper":
        """Ask for a dump by TCP; a dumper that knows the ports."""
        dump = dump or Dump()
        who = f"{dump.host} {quote(dump.disk)} {dump.level} {dump.datestamp}"
        self.send(f"PORT-WRITE {worker} {handle} {who} {split} {path}")
        line = self.expect(f'PORT {worker} {handle} <n> "127.0.0.1:<n>"')
        words = split_line(line)
        return Dumper(int(words[3]), int(words[4].split(":")[1]))

    def shm_write(
        self,
        split: str = PLAIN,
        handle: str = HANDLE,
        worker: str = WORKER,
        dump: Dump | None = None,
    ) -> "tuple[Dumper, str]":
        """Ask for a dump by shared memory; a dumper that knows the header port, and the name."""
        dump = dump or Dump()
        who = f"{dump.host} {quote(dump.disk)} {dump.level} {dump.datestamp}"
        self.send(f"SHM-WRITE {worker} {handle} {who} {split} AMANDA")
        line = self.expect(f"SHM-NAME {worker} {handle} <n> /amanda_shm_control-<n>-<n>")
        words = split_line(line)
        return Dumper(int(words[3])), words[4]

    def ready(self, handle: str = HANDLE, worker: str = WORKER) -> None:
        """Expect READY."""
        self.expect(f"READY {worker} {handle}")

    def part(
        self,
        label: str,
        fileno: int,
        size: int,
        orig: str | None = "64",
        handle: str = HANDLE,
        worker: str = WORKER,
    ) -> None:
        """Expect a good part of *size* bytes."""
        text = f'PARTDONE {worker} {handle} {label} {fileno} {size // 1024} "{stats(size, orig)}"'
        self.expect(text)

    def done(
        self,
        crc: str,
        orig: str | None = "64",
        handle: str = HANDLE,
        worker: str = WORKER,
    ) -> None:
        """Expect DONE with both sides good and this CRC."""
        size = int(crc.split(":")[1])
        text = f'DONE {worker} {handle} INPUT-GOOD TAPE-GOOD "{crc}" "{stats(size, orig)}" "" ""'
        self.expect(text)

    def dumper_done(self, handle: str = HANDLE, worker: str = WORKER, orig: str = "64") -> None:
        """Answer DUMPER-STATUS with the dumper's DONE."""
        self.expect(f"DUMPER-STATUS {worker} {handle}")
        self.send(f"DONE {worker} {handle} {orig} aaaaaaaa:1 bbbbbbbb:2 00000000:0")


class Dumper:
    """The dumper's two connections [protocol 5.2]."""

    def __init__(self, header_port: int, data_port: int = 0) -> None:
        self.header_port = header_port
        self.data_port = data_port

    def header(self, block: bytes) -> None:
        """Connect to the header port, send the block, close."""
        with self.connect_header() as link:
            time.sleep(QUICK)
            link.sendall(block)

    def connect_header(self) -> socket.socket:
        """Open the header connection and keep it."""
        return socket.create_connection(("127.0.0.1", self.header_port), 10)

    def connect(self) -> socket.socket:
        """Open the data connection and keep it."""
        return socket.create_connection(("127.0.0.1", self.data_port), 10)

    def data(self, data: bytes) -> threading.Thread:
        """Send the data and close, in the background: the taper may let it wait for a volume."""

        def run() -> None:
            # a taper that has died meanwhile is found out by the conversation, not here
            with contextlib.suppress(OSError), self.connect() as link:
                time.sleep(QUICK)
                link.settimeout(None)
                link.sendall(data)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        return thread

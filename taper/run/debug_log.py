"""The debug log of one process [protocol 6.5], [config 5.4]. Nobody parses it.

It tells what a process did and why. Whoever has something to tell uses ``logging``, or the
:meth:`DebugLog.write` that it was given; how much is kept is for ``debug-taper``,
``debug-protocol``, ``debug-holding`` and ``debug-event`` of amanda.conf to say.
"""

from __future__ import annotations

import logging
import os
import resource
import sys
import threading
import time
from collections.abc import Sequence
from queue import SimpleQueue
from typing import TYPE_CHECKING

from protocols.errorcode import INTERNAL, coded, known_code
from taper.run.paths import give, give_directories, make_private
from taper.run.tidying import tidy
from taper.version import OURS, amanda

if TYPE_CHECKING:
    from protocols.conf.settings import GlobalSettings

SECONDS_A_DAY = 86400
TRIES = 1000
MOST_WAITING = 4 * 1024 * 1024
"""Bytes of texts that a disk may be behind with; more are left out, and counted."""
FLUSH_SECONDS = 2.0
"""How long a disk that takes none may keep us from ending."""


class DebugLog:
    """A debug file; where none can be made, what is debugged is lost, and stderr says so once.

    :ivar path: of the file, or None.
    """

    def __init__(self, directory: str, now: float, program: str = "taper") -> None:
        """Create ``DIRECTORY/server/PROGRAM.TIMESTAMP[NNN].debug``."""
        self._program = program
        self._root = directory
        self._file: int | None = None
        self._lost = False
        self._left_out = 0
        self._waiting: SimpleQueue[bytes | None] = SimpleQueue()
        self._backlog = 0
        self._counting = threading.Lock()  # lanes write here as well
        self._writer: threading.Thread | None = None
        self.path: str | None = None
        self._made: list[str] = []
        try:
            self._create(os.path.join(directory, "server"), now)
        except OSError as fault:
            sys.stderr.write(coded(f"{program}: no debug file: {fault}\n", fault))

    def _create(self, directory: str, now: float) -> None:
        self._made = make_private(directory)
        stamp = time.strftime("%Y%m%d%H%M%S", time.localtime(now))
        for number in range(-1, TRIES):
            suffix = "" if number < 0 else f"{number:03d}"
            path = os.path.join(directory, f"{self._program}.{stamp}{suffix}.debug")
            try:
                descriptor = os.open(
                    path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o640
                )
            except FileExistsError:
                continue
            os.fchmod(descriptor, 0o640)  # whatever the umask is
            give(descriptor)
            self.path = path
            self._file = descriptor
            return
        raise FileExistsError(f"too many debug files taper.{stamp}*.debug in {directory}")

    def begin(self, arguments: Sequence[str]) -> None:
        """The first lines: who writes this."""
        version = f"version {amanda()}, {OURS}"
        who = f"pid {os.getpid()} ruid {os.getuid()} euid {os.geteuid()}"
        self.write(f"{who} {version}: start at {time.ctime()}")
        self.write(f"Arguments: {' '.join(arguments)}")

    def write_from_now_on_beside(self) -> None:
        """Write in a thread of our own: from now on a slow disk must hold up nobody."""
        if self._file is None or self._writer is not None:
            return
        writer = threading.Thread(target=self._write_waiting, name="debug log", daemon=True)
        try:
            writer.start()
        except RuntimeError as fault:
            self.write(f"no thread for the debug log: {fault}")
            return
        self._writer = writer

    def write(self, text: str) -> None:
        """Add a text of one or more lines."""
        if self._file is None:
            return
        now = time.time()
        stamp = time.strftime("%a %b %d %H:%M:%S", time.localtime(now))
        year = time.strftime("%Y", time.localtime(now))
        fraction = f"{now % 1:.9f}"[1:]
        thread = threading.get_ident()
        head = f"{stamp}{fraction} {year}: pid {os.getpid()}: thd-0x{thread:x}: {self._program}: "
        # one write, since lanes write here as well
        lines = "".join(f"{head}{line}\n" for line in text.splitlines())
        data = lines.encode("utf-8", "surrogateescape")
        if self._writer is None:
            self._put(data)
            return
        with self._counting:
            if self._backlog + len(data) > MOST_WAITING:
                self._left_out += 1
                return
            self._backlog += len(data)
        self._waiting.put(data)

    def _write_waiting(self) -> None:
        while (data := self._waiting.get()) is not None:
            self._put(data)
            with self._counting:
                self._backlog -= len(data)

    def _put(self, data: bytes) -> None:
        assert self._file is not None, "it was open when the text came"
        try:
            os.write(self._file, data)
        except OSError as fault:
            # no dump ends because nobody can read later how it went
            if not self._lost:
                sys.stderr.write(coded(f"taper: debug file {self.path}: {fault}\n", fault))
            self._lost = True

    def move_to(self, config_name: str, dumpuser: str | None = None) -> None:
        """Move the file to the directory of the configuration, now that it is known, as is who is
        to own what root makes."""
        if self.path is None or self._file is None:
            return
        safe = config_name.translate(str.maketrans("/:\\", "___"))
        directory = os.path.join(self._root, "server", safe)
        target = os.path.join(directory, os.path.basename(self.path))
        try:
            give_directories(self._made, dumpuser)
            give(self._file, dumpuser)
            make_private(directory, dumpuser)
            if not os.path.exists(target):
                os.rename(self.path, target)
                self.path = target
        except OSError as fault:
            self.write(f"debug file stays where it is: {fault}")

    def close(self, keep_days: int, now: float) -> None:
        """Close the file and remove those of ours that are older than ``keep_days``."""
        used = resource.getrusage(resource.RUSAGE_SELF)
        self.write(
            f"user {used.ru_utime:.3f} s, system {used.ru_stime:.3f} s, most memory "
            f"{used.ru_maxrss} KiB, major faults {used.ru_majflt}"
        )
        if self._left_out:
            self.write(f"{self._left_out} texts are missing above: the disk was too slow")
        self.write(f"pid {os.getpid()} finish time {time.ctime(now)}")
        if self._file is None or self.path is None:
            return
        if self._writer is not None:
            self._waiting.put(None)
            self._writer.join(FLUSH_SECONDS)
            if self._writer.is_alive():
                return  # the disk hangs; whatever we would do there would hang too
            self._writer = None
        os.close(self._file)
        self._file = None
        oldest = time.strftime("%Y%m%d%H%M%S", time.localtime(now - keep_days * SECONDS_A_DAY))
        directory = os.path.dirname(self.path)
        try:
            old = expired(os.listdir(directory), f"{self._program}.{oldest}.debug")
            tidy(old, lambda name: os.unlink(os.path.join(directory, name)))
        except OSError as fault:
            sys.stderr.write(coded(f"taper: cannot remove old debug files: {fault}\n", fault))


class DebugHandler(logging.Handler):
    """Takes what is logged to the debug log, and tells the code of an error that it speaks of;
    there is no worse thing that it could do."""

    def __init__(self, debug: DebugLog) -> None:
        super().__init__()
        self._debug = debug

    def emit(self, record: logging.LogRecord) -> None:
        try:
            text = self.format(record)
            code = _code_in(record)
            if code is not None:
                text = coded(text, code)
        except Exception as fault:  # whatever the arguments do when they are formatted
            text = f"{record.msg!r} cannot be formatted: {fault!r}"
        level = "" if record.levelno < logging.WARNING else f"{record.levelname.lower()}: "
        self._debug.write(f"{record.name}: {level}{text}")


def _code_in(record: logging.LogRecord) -> int | None:
    """The code of the first error of ours among the arguments, or of the one that was handled."""
    said = record.args if isinstance(record.args, tuple) else ()
    handled = record.exc_info[1] if record.exc_info else None
    for one in (*said, handled):
        code = known_code(one) if isinstance(one, BaseException) else None
        if code is not None:
            return code
    return INTERNAL if handled is not None else None


def levels(general: GlobalSettings) -> dict[str, int]:
    """From which level on each logger tells its story, by the names of loggers.

    :param general: has ``debug-taper`` for everything of ours, ``debug-protocol`` for what we say
        to tape servers and what they answer, as ``debug-taper`` alone does from 2 on, and
        ``debug-holding`` for the chain of holding files.
    """
    ours = logging.DEBUG if general.debug_taper > 0 else logging.INFO
    peers = general.debug_protocol > 0 or general.debug_taper > 1
    return {
        "taper": ours,
        "devices": ours,
        "devices.ndmp_control": logging.DEBUG if peers else logging.INFO,
        "taper.plane.sources": logging.DEBUG if general.debug_holding > 0 else ours,
        "protocols": logging.DEBUG if peers else logging.INFO,
        "twisted": logging.WARNING,
    }


TOP_LOGGERS = ("taper", "devices", "protocols", "twisted")


def is_conversation_kept(general: GlobalSettings) -> bool:
    """Whether the driver's commands and our replies are kept, as they are."""
    return general.debug_taper > 0 or general.debug_event > 0


def keep_what_is_logged(debug: DebugLog, general: GlobalSettings) -> None:
    """Let everything that this process logs go to its debug log, and nowhere else."""
    for name in TOP_LOGGERS:
        logger = logging.getLogger(name)
        for handler in [each for each in logger.handlers if isinstance(each, DebugHandler)]:
            logger.removeHandler(handler)
        logger.addHandler(DebugHandler(debug))
    for name, level in levels(general).items():
        logger = logging.getLogger(name)
        if logger.level != level:  # to set one makes all loggers forget what they know
            logger.setLevel(level)


def expired(names: Sequence[str], oldest: str) -> list[str]:
    """Our debug files whose names sort below ``oldest``; other programs' are none of ours."""
    program = oldest.partition(".")[0]
    return [
        name
        for name in names
        if name.startswith(f"{program}.2") and name.endswith(".debug") and name < oldest
    ]

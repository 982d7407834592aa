"""``python -m tests.slowly COMMAND...``: run it, with every process of its tree stopped at random.

A test that supposes a moment ("by now it has begun") passes on an idle machine and fails on a busy
one. Here each process that descends from the command, whoever its user is, runs and is stopped
(SIGSTOP) by turns, independently of all others, so that things happen in every order that they
can. The exit status is the command's.

    python -m tests.slowly python -m pytest tests/conformance --taper .venv/bin/taper
    python -m tests.slowly --busy 4 --seed 7 python -m pytest tests/run
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import heapq
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

_LOOK = 0.02
"""Seconds between two looks for new processes."""
_STOP_WITH_CHILD = frozenset({"runuser", "su", "sudo"})
"""Programs that stop themselves when their child is stopped, and wait for a shell to go on."""
_PR_SET_CHILD_SUBREAPER = 36


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.slowly",
        description="Run a command with every process of its tree stopped at random.",
    )
    add = parser.add_argument
    add("--seed", type=int, help="of the random times; default: another each time, which is told")
    add("--least", type=int, default=50, metavar="MS", help="shortest stop (default 50)")
    add("--most", type=int, default=500, metavar="MS", help="longest stop (default 500)")
    add("--run", type=int, default=1000, metavar="MS", help="longest run between (default 1000)")
    add("--busy", type=int, default=0, metavar="N", help="so many processes that burn CPU beside")
    add("command", nargs=argparse.REMAINDER)
    options = parser.parse_args(arguments)
    options.command = options.command[options.command[:1] == ["--"] :]
    if not options.command:
        parser.error("which command?")
    if not 0 < options.least <= options.most or options.run < 1 or options.busy < 0:
        parser.error("0 < --least <= --most, --run is at least 1, --busy at least 0")
    return options


def descendants(pid: int) -> Iterator[int]:
    """All processes below one, itself left out."""
    with contextlib.suppress(OSError):
        for task in os.listdir(f"/proc/{pid}/task"):
            for child in Path(f"/proc/{pid}/task/{task}/children").read_text().split():
                yield int(child)
                yield from descendants(int(child))


def state_of(pid: int) -> tuple[str, str]:
    """Name of the program and letter of the state; a process that is gone is dead."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return "", "X"
    name, _, rest = text.partition("(")[2].rpartition(")")
    return name, rest.split()[0]


class Stopper:
    """Who runs and who is stopped.

    :ivar stops: how many there were.
    """

    def __init__(self, chance: random.Random, least: int, most: int, run: int) -> None:
        self.stops = 0
        self._chance = chance
        self._least, self._most, self._run = least / 1000, most / 1000, run / 1000
        self._plan: list[tuple[float, int]] = []
        self._known: set[int] = set()
        self._stopped: set[int] = set()

    def meet(self, pids: set[int], now: float) -> None:
        """These are all that there are now."""
        for pid in sorted(pids - self._known):
            heapq.heappush(self._plan, (now + self._chance.uniform(0, self._run), pid))
        self._known = pids

    def turn(self, now: float) -> None:
        """Stop and let go whose time has come."""
        while self._plan and self._plan[0][0] <= now:
            _, pid = heapq.heappop(self._plan)
            if pid in self._stopped:
                self._let_go(pid)
                shortest, longest = 0.0, self._run
            elif pid not in self._known:
                continue
            elif self._stop(pid):
                shortest, longest = self._least, self._most
            else:
                shortest = longest = self._least
            heapq.heappush(self._plan, (now + self._chance.uniform(shortest, longest), pid))

    def _stop(self, pid: int) -> bool:
        """Stop one, unless somebody else has."""
        name, state = state_of(pid)
        if state in "Tt" and name in _STOP_WITH_CHILD:
            _send(pid, signal.SIGCONT)  # it took our stop of its child for a user's
        if state in "TtZX" or not _send(pid, signal.SIGSTOP):
            return False
        self.stops += 1
        self._stopped.add(pid)
        return True

    def _let_go(self, pid: int) -> None:
        self._stopped.discard(pid)
        _send(pid, signal.SIGCONT)

    def release(self) -> None:
        """Let all go."""
        for pid in tuple(self._stopped):
            self._let_go(pid)


def _send(pid: int, number: int) -> bool:
    try:
        os.kill(pid, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def reap_orphans(ours: set[int]) -> None:
    """Wait for the dead that nobody else does, as process 1 would; who looks for one must not find
    it undead."""
    while True:
        try:
            dead = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return
        if dead is None or dead.si_pid in ours:
            return
        os.waitpid(dead.si_pid, 0)


def main(arguments: Sequence[str]) -> int:
    """Run it. :return: the exit status"""
    options = parse(arguments)
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(10**6)
    stopper = Stopper(random.Random(seed), options.least, options.most, options.run)
    # orphans of the command stay below us
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    burn = [sys.executable, "-S", "-c", "while True: pass"]
    busy = [subprocess.Popen(burn) for _ in range(options.busy)]
    spared = {process.pid for process in busy}
    print(f"slowly: --seed {seed}", file=sys.stderr, flush=True)
    command = subprocess.Popen(options.command)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, frame: command.send_signal(number))
    try:
        while command.poll() is None:
            reap_orphans(spared | {command.pid})
            now = time.monotonic()
            stopper.meet(set(descendants(os.getpid())) - spared, now)
            stopper.turn(now)
            time.sleep(_LOOK)
    finally:
        stopper.release()
        for process in busy:
            process.kill()
            process.wait()
    print(f"slowly: --seed {seed}: {stopper.stops} stops", file=sys.stderr, flush=True)
    return command.returncode if command.returncode >= 0 else 128 - command.returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

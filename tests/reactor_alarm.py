"""Measures how long each turn keeps the reactor thread; for the system tests.

Switched on by an environment variable that names a file, ``TAPER_REACTOR_ALARM``, for which the
launcher of :mod:`tests.installation` looks. A turn is all that happens between two waits of the
reactor.
What comes before the first wait (imports, configuration, opening the changer) is not measured:
no one is served yet, so no one is kept waiting by it.

The rule: a turn is too long when it lasts over :data:`LIMIT` seconds, *not counting* the time in
which a thread of this process was ready to run and got no processor, nor what the host of a
virtual machine took away. The kernel counts the first per thread (``schedstat``, second figure),
the second per machine (``steal`` in ``/proc/stat``). Threads other than the reactor's count,
since one of them may starve while it holds the interpreter lock that the reactor waits for. What
is left is our own doing: computing, a file, a lock, or the interpreter lock. One thing more is not:
a page of the program itself that the kernel had dropped and had to read from a busy disk (a major
fault; we map no file of data), which stops all threads if it is met under the interpreter lock.
So a turn with such a fault, into which not even the watching thread could look, is excused; and so
is one in which a thread ran that has ended since, and has not told how long it starved, as threads
of Python do.
Nor does the time count for which somebody stopped the process (SIGSTOP): the signal that lets it go
on is counted, and the watching thread knows for how long it could not look.
"""

from __future__ import annotations

import os
import resource
import signal
import sys
import threading
import time
import traceback
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

LIMIT = 0.050
"""Seconds that a turn may last."""

_WATCH = 0.010
_ENDED = 0.010
"""Seconds by which the kernel may count less for a thread that runs at the moment."""
_TASKS = "/proc/self/task"
_TICK = 1 / os.sysconf("SC_CLK_TCK")


class Scheduled(NamedTuple):
    """What the kernel has counted for a thread so far, in seconds.

    :ivar ran: it had a processor.
    :ivar starved: it was ready to run, and had none.
    """

    ran: float
    starved: float


def scheduled_by_thread() -> dict[str, Scheduled]:
    """What became of each living thread of this process."""
    found = {}
    for task in os.listdir(_TASKS):
        try:
            found[task] = _scheduled(f"{_TASKS}/{task}/schedstat")
        except (FileNotFoundError, ProcessLookupError):
            continue  # a thread that ended just now
    return found


def _scheduled(path: str) -> Scheduled:
    with open(path) as file:
        ran, starved = file.read().split()[:2]
    return Scheduled(int(ran) / 1e9, int(starved) / 1e9)


def stolen() -> float:
    """Seconds, since the machine started, in which its host ran others, over all processors."""
    with open("/proc/stat") as file:
        return int(file.readline().split()[8]) * _TICK


def peak_memory() -> int:
    """KiB that this process had in memory at most (``VmHWM``), libraries included."""
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmHWM:"))


class Starvation:
    """How long this process was kept from running since :meth:`begin`."""

    def __init__(self) -> None:
        self._over: dict[str, Scheduled] = {}
        self.begin()

    def begin(self) -> None:
        """Remember the counters."""
        self._over = {}
        self._threads = scheduled_by_thread()
        self._stolen = stolen()
        self._usage = resource.getrusage(resource.RUSAGE_SELF)
        self._cpu = time.process_time()

    def since(self) -> float:
        """Seconds since then; too much rather than too little, as threads starve side by side."""
        return (stolen() - self._stolen) + sum(thread.starved for thread in self._deltas().values())

    def note_end(self) -> None:
        """The thread that calls this is about to end."""
        found = _scheduled("/proc/thread-self/schedstat")
        self._over[str(threading.get_native_id())] = found

    def paged(self) -> bool:
        """A page of this process came from the disk since then."""
        return resource.getrusage(resource.RUSAGE_SELF).ru_majflt > self._usage.ru_majflt

    def ended(self) -> float:
        """Seconds that threads ran since then which are no more, and have not told their end; how
        long they starved, perhaps with the interpreter lock in their hands, nobody knows."""
        living = sum(thread.ran for thread in self._deltas().values())
        return max(time.process_time() - self._cpu - living, 0.0)

    def evidence(self) -> str:
        """What every thread has done since then, for who looks for the cause of a long turn."""
        usage = resource.getrusage(resource.RUSAGE_SELF)
        lines = [
            f"  major faults {usage.ru_majflt - self._usage.ru_majflt}, "
            f"waits {usage.ru_nvcsw - self._usage.ru_nvcsw}, "
            f"preemptions {usage.ru_nivcsw - self._usage.ru_nivcsw}",
        ]
        lines.append(f"  threads that have ended: ran {self.ended():.3f} s")
        names = {str(thread.native_id): thread.name for thread in threading.enumerate()}
        lines += [
            f"  {names.get(task, task)}: ran {thread.ran:.3f} s, starved {thread.starved:.3f} s"
            for task, thread in self._deltas().items()
        ]
        return "\n".join(lines) + "\n"

    def _deltas(self) -> dict[str, Scheduled]:
        none = Scheduled(0.0, 0.0)
        deltas = {}
        for task, now in {**self._over, **scheduled_by_thread()}.items():
            before = self._threads.get(task, none)
            deltas[task] = Scheduled(now.ran - before.ran, now.starved - before.starved)
        return deltas


class Alarm:
    """Judges the turns of one thread.

    :param complain: is given a text, of several lines, for each turn that was too long
    :param starvation: measures what a turn is excused for
    :param clock: monotonic seconds
    :ivar stops: how often this process was stopped and went on; whoever is told of it counts
    :ivar turns: how many were measured
    :ivar longest: seconds, of the longest turn, excuses taken off
    """

    def __init__(
        self,
        complain: Callable[[str], None],
        starvation: Any = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.turns = 0
        self.stops = 0
        self.longest = 0.0
        self._complain = complain
        self.starvation = starvation or Starvation()
        self._clock = clock
        self._thread = threading.get_ident()
        self._began: float | None = None
        self._stack = ""
        self._lock = threading.Lock()
        self._looked = self._clock()
        self._stops = 0
        self._unseen = 0.0

    def begin_turn(self) -> None:
        """The wait is over."""
        self.starvation.begin()
        with self._lock:
            self._stack = ""
            self._unseen = 0.0
            self._stops = self.stops
            self._began = self._looked = self._clock()

    def end_turn(self) -> None:
        """The next wait begins."""
        began, self._began = self._began, None
        if began is None:
            return
        self.turns += 1
        wall = own = self._clock() - began
        if wall > LIMIT:
            own = max(wall - self._stopped_by_now() - self.starvation.since(), 0.0)
        if own > LIMIT and not self._stack and self._is_excused():
            own = 0.0
        self.longest = max(self.longest, own)
        if own > LIMIT:
            stack = self._stack or "  (not seen: something held the interpreter lock)\n"
            self._complain(
                f"reactor blocked for {own:.3f} s (turn of {wall:.3f} s, from {began:.3f}):\n"
                f"{stack}{self.starvation.evidence()}"
            )

    def _is_excused(self) -> bool:
        return bool(self.starvation.paged() or self.starvation.ended() > _ENDED)

    def look(self) -> None:
        """From another thread: keep the stack of a turn that is getting long."""
        stopped = self._stopped_by_now()
        began = self._began
        if began is None or self._stack or self._clock() - began - stopped < LIMIT / 2:
            return
        frame = sys._current_frames().get(self._thread)
        if frame is not None:
            self._stack = "".join(traceback.format_stack(frame))

    def _stopped_by_now(self) -> float:
        """Seconds of this turn, at most, in which the process was stopped. Which thread goes on
        first is not known, so that it was stopped may be known only when somebody has looked."""
        with self._lock:
            now = self._clock()
            if now - self._looked > 2 * _WATCH:
                self._unseen += now - self._looked
            self._looked = now
            return self._unseen if self.stops != self._stops else 0.0


class WatchedPoller:
    """The reactor's poller, telling the alarm where turns begin and end."""

    def __init__(self, poller: Any, alarm: Alarm) -> None:
        self._poller = poller
        self._alarm = alarm

    def poll(self, *args: Any) -> Any:
        """Wait, as the poller does."""
        self._alarm.end_turn()
        try:
            return self._poller.poll(*args)
        finally:
            self._alarm.begin_turn()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._poller, name)


def arm(path: str) -> None:
    """Let the taper that is about to start be watched, from when it has its reactor."""
    from taper.run import process

    import_reactor = process.import_reactor

    def import_and_watch() -> None:
        import_reactor()
        from twisted.internet import reactor

        watch(reactor, path)

    process.import_reactor = import_and_watch


def watch(reactor: Any, path: str) -> None:
    """Watch this reactor until it stops. Call it in the reactor's thread, before it runs.

    Turns that were too long are appended to the file ``path``. ``path`` with ``.seen`` gets one
    line when the reactor stops: process, turns, longest turn, peak memory.
    """

    def complain(text: str) -> None:
        _append(path, f"taper {os.getpid()}: {text}")

    alarm = Alarm(complain)
    _let_threads_tell(alarm.starvation)

    def count_stop(*_: object) -> None:
        alarm.stops += 1

    signal.signal(signal.SIGCONT, count_stop)
    reactor._poller = WatchedPoller(reactor._poller, alarm)
    stopping = threading.Event()

    def look_now_and_then() -> None:
        while not stopping.wait(_WATCH):
            alarm.look()

    def summarize() -> None:
        alarm.end_turn()
        stopping.set()
        seen = f"turns {alarm.turns} longest {alarm.longest:.3f} kib {peak_memory()}"
        _append(f"{path}.seen", f"{os.getpid()} {seen}\n")

    reactor.addSystemEventTrigger("after", "shutdown", summarize)
    threading.Thread(target=look_now_and_then, name="alarm", daemon=True).start()


def _let_threads_tell(starvation: Starvation) -> None:
    """Let each thread say at its end how long it has starved."""
    thread: Any = threading.Thread
    inner = thread._bootstrap_inner

    def to_its_end(one: threading.Thread) -> None:
        try:
            inner(one)
        finally:
            starvation.note_end()

    thread._bootstrap_inner = to_its_end


def _append(path: str, text: str) -> None:
    with open(path, "a") as file:
        file.write(text)

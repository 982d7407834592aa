"""The machine, the programs, and whether anybody else is at work: the head of a report."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from resource import RUSAGE_CHILDREN, RUSAGE_SELF, getrusage

from tests.bench.cases import Case, Ground
from tests.installation import ROOT

FLAGS = (
    *("sse4_2", "pclmulqdq", "vpclmulqdq", "avx2", "avx512f", "erms", "fsrm"),
    *("hypervisor", "crc32", "pmull", "asimd"),
)
"""Of the processor: what checksums and copies are made faster by, and whether it is a virtual
machine's."""
LIBRARIES = ("Twisted", "crc32c", "zope.interface", "attrs", "posix-ipc")
LOOK = 1.0
"""Seconds that the machine is looked at."""
BUSY_LOAD = 0.5
"""A load average of the last minute above which a machine is not idle."""
BUSY_SHARE = 0.1
"""The same for the share of all cores' time that is used, or stolen, while it is looked at."""


def processor(cpuinfo: str) -> tuple[str, list[str]]:
    """Model and interesting flags, from the text of ``/proc/cpuinfo``."""
    fields: dict[str, str] = {}
    for line in cpuinfo.splitlines():
        name, _, value = line.partition(":")
        fields[name.strip()] = value.strip()
    model = fields.get("model name") or fields.get("CPU part") or "unknown"
    flags = (fields.get("flags") or fields.get("Features") or "").split()
    return model, [flag for flag in FLAGS if flag in flags]


def memory(meminfo: str) -> dict[str, int]:
    """MiB by name, from the text of ``/proc/meminfo``."""
    found = re.findall(r"^(\w+): +(\d+) kB$", meminfo, re.MULTILINE)
    return {name: int(value) // 1024 for name, value in found}


def available_memory() -> int:
    """MiB that can be had without swapping."""
    return memory(Path("/proc/meminfo").read_text())["MemAvailable"]


def used(stat: str) -> tuple[int, int]:
    """Ticks of all cores together, in use or stolen, and in all, from ``/proc/stat``."""
    user, nice, system, idle, wait, irq, soft, stolen = map(
        int, stat.split("\n", 1)[0].split()[1:9]
    )
    busy = user + nice + system + irq + soft + stolen
    return busy, busy + idle + wait


def activity() -> tuple[float, float]:
    """Load average of the last minute, and the share of all cores' time that is used just now."""
    before = used(Path("/proc/stat").read_text())
    time.sleep(LOOK)
    after = used(Path("/proc/stat").read_text())
    return os.getloadavg()[0], (after[0] - before[0]) / max(after[1] - before[1], 1)


@dataclass(frozen=True)
class Spent:
    """Seconds of all cores together. :ivar busy: in use; :ivar total: in all; :ivar ours: of this
    process and of all that it has started, and that have ended"""

    busy: float
    total: float
    ours: float

    @classmethod
    def now(cls) -> Spent:
        """So far."""
        ticks = os.sysconf("SC_CLK_TCK")
        busy, total = used(Path("/proc/stat").read_text())
        ours = [getrusage(who) for who in (RUSAGE_SELF, RUSAGE_CHILDREN)]
        return cls(busy / ticks, total / ticks, sum(one.ru_utime + one.ru_stime for one in ours))

    def by_others(self, since: Spent) -> float:
        """The share of all time since then that others used, and the kernel for itself."""
        others = (self.busy - since.busy) - (self.ours - since.ours)
        return max(others, 0.0) / max(self.total - since.total, 1.0)


def is_idle(load: float, share: float) -> bool:
    """Whether what is measured now can be judged."""
    return load <= BUSY_LOAD and share <= BUSY_SHARE


def _said(*command: str) -> str:
    """What a command prints, in one line; empty if it cannot."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=60)
    except OSError:
        return ""
    return " ".join(done.stdout.split()) if done.returncode == 0 else ""


def package_of(path: str) -> str:
    """The package that a program is from, and its version; empty: from none that is known."""
    name = _said("dpkg-query", "-S", path).partition(":")[0]
    return _said("dpkg-query", "-W", "-f", "${Package} ${Version}", name) if name else ""


def _our_version() -> str:
    commit = _said("git", "describe", "--always", "--dirty", "--abbrev=10")
    version = importlib.metadata.version("twisted-taper")
    return f"{version}, commit {commit}" if commit else version


def describe(ours: str | None, stock: str, cases: list[Case]) -> dict[str, str]:
    """What somebody must know who is to believe the figures.

    :param ours: its path; None: the working tree, installed
    """
    model, flags = processor(Path("/proc/cpuinfo").read_text())
    size = memory(Path("/proc/meminfo").read_text())["MemTotal"]
    load, share = activity()
    grounds = {case.ground for case in cases}
    places = ["tmpfs"] if Ground.TMPFS in grounds else []
    if grounds & {Ground.DISK, Ground.XFS}:
        device = _said("findmnt", "-n", "-o", "SOURCE,FSTYPE,OPTIONS", "-T", tempfile.gettempdir())
        places.append(f"the ordinary disk: {device}")
    return {
        "machine": f"{model}, {os.cpu_count()} cores, {size} MiB of memory",
        "processor flags": " ".join(flags),
        "kernel": f"{platform.system()} {platform.release()} {platform.machine()}",
        "file systems": "; ".join(places),
        "Python": f"{platform.python_version()}, {platform.python_compiler()}",
        "libraries": ", ".join(f"{name} {importlib.metadata.version(name)}" for name in LIBRARIES),
        "ours": f"{_our_version()}; {ours or 'installed from the working tree'}",
        "stock": f"{package_of(stock) or 'of no package'}; {stock}",
        "measured": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "load at start": f"{load:.2f}, {100 * share:.0f} % of all cores in use",
        "idle": "yes" if is_idle(load, share) else "no",
    }


def head(about: dict[str, str]) -> str:
    """The head of a report."""
    return "\n".join(f"{name + ':':<18}{text}" for name, text in about.items())


def high_water(status: str) -> float:
    """MiB that a process has had in memory at most, of the text of ``/proc/PID/status``.

    :raise ValueError: it is not there
    """
    for line in status.splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise ValueError("no VmHWM")

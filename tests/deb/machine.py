"""Machines: rooms in which systemd is the first process. All that it manages is theirs alone, the
kernel is the one that runs here.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.deb.rooms import Failed, Room, clean_environment, room

SECONDS = 120
"""How long systemd may take to start, and how long anything in a machine is waited for."""
_SPACES = ("--mount", "--pid", "--uts", "--ipc", "--net", "--cgroup")
_OUTSIDE = """
set -e
room=$1
groups=$room/mnt
mount --make-rprivate /
mount -t cgroup2 cgroup2 "$groups"
group=$groups$(sed -n s/^0:://p /proc/self/cgroup)/taper-deb.$$
mkdir "$group"
trap 'find "$group" -depth -type d -exec rmdir "{}" ";"' EXIT
shift
sh -ec 'echo $$ >"$0/cgroup.procs"; exec unshare "$@"' "$group" "$@" "$room/start" "$room" &
echo $!
wait $! || true
"""
"""systemd writes into the control group in which it finds itself, so it gets one of its own."""
_INSIDE = """
mount --make-rprivate /
umount "$1/mnt"
mount --bind "$1" "$1"
cd "$1"
mount -t proc proc proc
mount -t sysfs sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount -t tmpfs -o mode=755 tmpfs run
mount -t tmpfs -o mode=755 tmpfs dev
mkdir dev/pts dev/shm run/outside
mount -t devpts -o newinstance,ptmxmode=0666 devpts dev/pts
mount -t tmpfs -o mode=1777 tmpfs dev/shm
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
for device in null zero full random urandom tty; do
    touch dev/$device
    mount --bind /dev/$device dev/$device
done
pivot_root . run/outside
umount -l /run/outside
exec env -i container=taper-deb PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd --system
"""


class Machine(Room):
    """A room with a running systemd.

    :param first: number of that process, as seen from outside
    """

    def __init__(self, path: Path, first: int) -> None:
        super().__init__(path)
        self._first = first

    def command(self, *command: str) -> list[str]:
        """See :meth:`Room.command`."""
        return ["nsenter", f"--target={self._first}", *_SPACES, "--", *command]

    def until(self, script: str, text: str = "") -> str:
        """Wait until a script ends well, and says this.

        :raise Failed: it never does
        """
        end = time.monotonic() + SECONDS
        while True:
            try:
                said = self.shell(script)
                if text in said:
                    return said
                fault = Failed(f"{script}\nnever said {text!r}, but\n{said}")
            except Failed as failed:
                fault = failed
            if time.monotonic() > end:
                raise fault
            time.sleep(0.2)

    def property(self, unit: str, name: str) -> str:
        """What systemd knows of a unit."""
        return self.run("systemctl", "show", "--value", f"--property={name}", unit).rstrip("\n")

    def drop_in(self, unit: str, name: str, text: str) -> None:
        """Change a unit, as ``systemctl edit`` does."""
        place = self.path / "etc/systemd/system" / f"{unit}.d"
        place.mkdir(parents=True, exist_ok=True)
        (place / f"{name}.conf").write_text(text)
        self.run("systemctl", "daemon-reload")


@contextmanager
def machine(tar: Path) -> Iterator[Machine]:
    """A new machine of what is in a tar, which has systemd; in the end it is gone."""
    with room(tar) as place:
        start = place.path / "start"
        start.write_text(f"#!/bin/sh\nset -e\n{_INSIDE}")
        start.chmod(0o700)
        outside = subprocess.Popen(
            [
                *("unshare", "--mount", "sh", "-c", _OUTSIDE, "sh", str(place.path)),
                *(*_SPACES, "--fork", "--kill-child"),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=clean_environment(),
        )
        first = None
        try:
            first = _first(outside)
            found = Machine(place.path, first)
            found.until("systemctl is-system-running || true", "running\n")
            try:
                yield found
            except Failed as fault:
                with suppress(Failed):
                    fault.add_note(found.shell("journalctl --no-pager --lines=60"))
                raise
        finally:
            # with the process that all others are below
            subprocess.run(["kill", "-KILL", f"{first or outside.pid}"], check=False)
            outside.wait()


def _first(outside: subprocess.Popen[str]) -> int:
    """The process that starts systemd, once it is there.

    :raise Failed: it never is
    """
    assert outside.stdout is not None
    line = outside.stdout.readline()
    end = time.monotonic() + SECONDS
    while line.strip().isdigit():
        starter = line.strip()
        try:
            children = Path(f"/proc/{starter}/task/{starter}/children").read_text().split()
            if children and Path(f"/proc/{children[0]}/comm").read_text() == "systemd\n":
                return int(children[0])
        except FileNotFoundError:
            break
        if time.monotonic() > end:
            break
        time.sleep(0.05)
    raise Failed(f"systemd was not started: {line}{outside.stdout.read()}")

"""``chg-disk`` on a disk that is mounted for it, and unmounted."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import pytest

from devices.changers import removable
from devices.errors import ChangerError, ChangerReason
from devices.interfaces import LoadRequest
from tests.devices.disk_world import disk, make_root
from tests.fakes.scarce import ScarceThreads

# removable disks


@pytest.fixture
def root(tmp_path):
    return make_root(tmp_path)


class Mounts:
    """Stands for mount and umount: the root is on another device while mounted."""

    def __init__(self, monkeypatch, root, works=True):
        self.mounted = False
        self.works = works
        self.commands = []
        monkeypatch.setattr(removable, "_run", self.run)
        monkeypatch.setattr(removable.RemovableRoot, "_mounted", lambda _: self.mounted)

    def run(self, command, stop):
        self.commands.append(os.path.basename(command[0]))
        self.mounted = self.works and command[0] == "/bin/mount"


def test_a_removable_root_must_be_another_device(root):
    """Without a disk in the drive the changer cannot be used, and no slot is made on the host."""
    with pytest.raises(ChangerError) as caught:
        disk(root, removable="yes", auto_create_slot="yes")
    assert caught.value.message == f"No removable disk mounted on '{root}'"
    assert caught.value.reason is ChangerReason.NOTFOUND


def test_a_disk_is_mounted_and_unmounted_at_the_end(root, tmp_path, monkeypatch):
    """mount for the first use; umount when the changer is closed and nothing is held."""
    mounts = Mounts(monkeypatch, root)
    changer = disk(
        root, removable="yes", mount="yes", umount="yes", umount_lockfile=str(tmp_path / "lock")
    )
    changer.load(LoadRequest(slot="1")).release()
    assert mounts.commands == ["mount"]
    changer.close()
    assert mounts.commands == ["mount", "umount"]


def test_an_idle_disk_is_unmounted_and_mounted_again(root, tmp_path, monkeypatch):
    """umount-idle 0: unmounted after each use, not while a slot is held, and mounted again."""
    mounts = Mounts(monkeypatch, root)
    lock = str(tmp_path / "lock")
    properties = {"removable": "yes", "mount": "yes", "umount": "yes", "umount_idle": "0"}
    changer = disk(root, **properties, umount_lockfile=lock)
    changer.info()
    assert mounts.commands == ["mount", "umount"]
    reservation = changer.load(LoadRequest(slot="1"))
    changer.inventory()
    other = disk(root, **properties, umount_lockfile=lock)
    other.close()
    assert mounts.commands == ["mount", "umount", "mount"]
    reservation.release()
    assert mounts.commands == ["mount", "umount", "mount", "umount"]


def test_the_idle_time_is_in_seconds(root, tmp_path, monkeypatch):
    """The wait before unmounting is what the manual says, and a new use calls it off."""
    mounts = Mounts(monkeypatch, root)
    timers = []

    class Timer(threading.Timer):
        def start(self):
            timers.append(self)

    monkeypatch.setattr(threading, "Timer", Timer)
    changer = disk(
        root,
        removable="yes",
        mount="yes",
        umount="yes",
        umount_idle="30",
        umount_lockfile=str(tmp_path / "lock"),
    )
    changer.info()
    assert timers[-1].interval == 30
    changer.info()
    assert len(timers) == 2
    assert timers[0].finished.is_set()
    assert mounts.commands == ["mount"]
    timers[1].interval = 0
    threading.Thread.start(timers[1])
    timers[1].join()
    assert mounts.commands == ["mount", "umount"]
    changer.info()
    assert mounts.commands == ["mount", "umount", "mount"]
    changer.close()
    assert mounts.commands == ["mount", "umount", "mount", "umount"]


def test_without_a_thread_for_the_wait_a_disk_is_unmounted_at_once(root, tmp_path, monkeypatch):
    """Nobody would do it later."""
    mounts = Mounts(monkeypatch, root)
    scarce = ScarceThreads(monkeypatch, lambda number: True)
    scarce.begin()
    lock = str(tmp_path / "lock")
    changer = disk(
        root, removable="yes", mount="yes", umount="yes", umount_idle="30", umount_lockfile=lock
    )
    for uses in (1, 2):
        changer.load(LoadRequest(slot="1")).release()
        assert mounts.commands == ["mount", "umount"] * uses


@pytest.mark.parametrize("command", ["mount", "umount"])
def test_a_mount_that_hangs_is_not_waited_for_at_the_end(monkeypatch, command):
    """It goes on without us once the stop event is set."""
    monkeypatch.setattr(removable, "COMMAND_GRACE", 0.0)
    stop = threading.Event()
    stop.set()
    script = "import signal; signal.pause()"
    begun = []
    real = subprocess.Popen

    def popen(words, **pipes):
        begun.append(real([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=-1))
        return begun[0]

    monkeypatch.setattr(subprocess, "Popen", popen)
    removable._run([f"/bin/{command}", "/disk"], stop)
    assert begun[0].poll() is None
    begun[0].kill()
    begun[0].wait()


def test_a_disk_another_process_uses_stays_mounted(root, tmp_path, monkeypatch):
    """The lock file, shared by all users, keeps the last but one from unmounting."""
    mounts = Mounts(monkeypatch, root)
    lock = tmp_path / "lock"
    holder = (
        "import fcntl, sys\nfile = open(sys.argv[1], 'ab+')\nfcntl.lockf(file, fcntl.LOCK_SH)\n"
        "print('locked', flush=True)\nsys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", holder, str(lock)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        other.stdout.readline()
        changer = disk(root, removable="yes", mount="yes", umount="yes", umount_lockfile=str(lock))
        changer.info()
        changer.close()
    assert mounts.commands == ["mount"]


def test_a_mount_that_does_not_help(root, tmp_path, monkeypatch):
    """When mounting brings nothing the text says that no disk is there, and no lock is kept."""
    Mounts(monkeypatch, root, works=False)
    lock = tmp_path / "lock"
    changer = disk(root, removable="yes", mount="yes", umount_lockfile=str(lock))
    with pytest.raises(ChangerError, match="No removable disk mounted on"):
        changer.load(LoadRequest(slot="1"))
    assert removable._SharedLock._held == {}

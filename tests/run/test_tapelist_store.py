"""The tapelist file under Amanda's lock."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from twisted.internet.defer import CancelledError, Deferred, execute
from twisted.internet.task import Clock
from zope.interface.verify import verifyObject

from devices.tapelist_file import read_tapelist
from protocols.tapelist import Tapelist, TapelistEntry, TapelistError, parse_tapelist
from taper.core.interfaces import ITapelistStore
from taper.run import tapelist_store
from taper.run.tapelist_store import TapelistStore, try_update

GOOD = b"20260102120000 B reuse POOL:p\n0 A reuse\n"
NEW = TapelistEntry(datestamp="1", label="NEW", reuse=False)

HOLD_LOCK = """
import fcntl, os, sys
lock = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT, 0o600)
fcntl.lockf(lock, fcntl.LOCK_EX)
print("locked", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def path(tmp_path: Path) -> str:
    file = tmp_path / "tapelist"
    file.write_bytes(GOOD)
    return str(file)


def at_once(function: Callable[..., Any], *args: Any) -> Deferred[Any]:
    """Calls as a lane would, but here and now."""
    return execute(function, *args)


def store_on(
    path: str, clock: Clock | None = None, notes: list[str] | None = None
) -> TapelistStore:
    note: Callable[[str], object] = (lambda text: None) if notes is None else notes.append
    return TapelistStore(path, at_once, clock or Clock(), note)


def outcome(deferred: Deferred[Any]) -> Any:
    """What it fired with; None while it waits."""
    results: list[Any] = []
    deferred.addBoth(results.append)
    return results[0] if results else None


def add_new(tapelist: Tapelist) -> Tapelist:
    return tapelist.adding(NEW)


@contextmanager
def locked_by_another(path: str) -> Iterator[None]:
    """Another process holds the lock."""
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD_LOCK, f"{path}.lock"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"locked\n"
        yield
    finally:
        holder.communicate()


def others_can_lock(path: str) -> bool:
    """Would another process get the lock now?"""
    script = "import fcntl,os,sys; fcntl.lockf(os.open(sys.argv[1], os.O_RDWR), 6)"
    run = subprocess.run([sys.executable, "-c", script, f"{path}.lock"], capture_output=True)
    return run.returncode == 0


def test_it_provides_the_interface(path: str) -> None:
    """The core sees no more than that."""
    verifyObject(ITapelistStore, store_on(path))


def test_reading_needs_no_lock(path: str) -> None:
    """Not even while somebody else holds it; a missing list is an empty one."""
    with locked_by_another(path):
        assert outcome(store_on(path).read()).format() == GOOD
    assert outcome(store_on(path + "-missing").read()) == Tapelist()


def test_an_update_replaces_the_file_as_stock_does(path: str) -> None:
    """New file by rename, mode 0600, link with our pid, empty lock file, nothing left over."""
    os.symlink("1", f"{path}.last_write")
    before = os.stat(path).st_ino
    new = outcome(store_on(path).update(add_new))
    assert new.lookup("NEW") == NEW
    assert Path(path).read_bytes() == (
        b"20260102120000 B reuse POOL:p\n1 NEW no-reuse\n0 A reuse\n"
    )
    assert os.stat(path).st_ino != before
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    assert os.readlink(f"{path}.last_write") == str(os.getpid())
    assert os.stat(f"{path}.lock").st_size == 0
    assert stat.S_IMODE(os.stat(f"{path}.lock").st_mode) == 0o600
    assert sorted(os.listdir(os.path.dirname(path))) == [
        "tapelist",
        "tapelist.last_write",
        "tapelist.lock",
    ]
    assert others_can_lock(path)


def test_a_change_that_changes_nothing_writes_nothing(path: str) -> None:
    """As when the permission to overwrite is asked for."""
    before = os.stat(path)
    assert outcome(store_on(path).update(lambda tapelist: tapelist)).format() == GOOD
    assert os.stat(path) == before
    assert not os.path.lexists(f"{path}.last_write")


def test_the_lock_is_held_while_changing(path: str) -> None:
    """By a record lock that every Amanda program obeys, against this process too."""
    seen = []

    def change(tapelist: Tapelist) -> Tapelist:
        seen.append((others_can_lock(path), try_update(path, add_new)))
        return tapelist

    outcome(store_on(path).update(change))
    assert seen == [(False, None)]


def test_waiting_for_a_busy_lock(path: str) -> None:
    """Tried again and again, and never after a long pause; somebody is told once."""
    clock = Clock()
    notes: list[str] = []
    with locked_by_another(path):
        waiting = store_on(path, clock, notes).update(add_new)
        for _ in range(20):
            clock.advance(0.2)
            assert not waiting.called
            assert len(clock.getDelayedCalls()) == 1
    clock.advance(0.2)
    assert outcome(waiting).lookup("NEW") == NEW
    assert notes == [f"{path}.lock is locked by another process, waiting for it"]


def test_the_wait_can_be_given_up(path: str) -> None:
    """At once, with nothing changed, and the next update takes its turn."""
    clock = Clock()
    store = store_on(path, clock)
    with locked_by_another(path):
        waiting, queued, last = (store.update(add_new) for _ in range(3))
        queued.cancel()
        waiting.cancel()
        assert outcome(waiting).check(CancelledError)
        assert outcome(queued).check(CancelledError)
        assert Path(path).read_bytes() == GOOD
    clock.advance(1)
    assert outcome(last).lookup("NEW") == NEW
    assert not clock.getDelayedCalls()


def test_a_change_that_has_begun_is_made(path: str) -> None:
    """Giving up comes too late then: it is told only after the change, and the lock is free."""
    calls: list[tuple[Deferred[Any], Callable[[], Any]]] = []

    def later(function: Callable[..., Any], *args: Any) -> Deferred[Any]:
        calls.append((Deferred(), lambda: function(*args)))
        return calls[-1][0]

    updating = TapelistStore(path, later, Clock()).update(add_new)
    over: list[Any] = []
    updating.addBoth(over.append)
    updating.cancel()
    assert not over
    deferred, change = calls.pop()
    deferred.callback(change())
    assert over[0].check(CancelledError)
    assert read_tapelist(path).lookup("NEW") == NEW
    assert others_can_lock(path)


def test_at_the_end_no_lock_is_waited_for_long(path: str) -> None:
    """QUIT: three seconds more, and then one try each."""
    clock = Clock()
    store = store_on(path, clock)
    with locked_by_another(path):
        waiting, queued = store.update(add_new), store.update(add_new)
        store.hurry()
        clock.advance(2)
        assert not waiting.called
        clock.advance(1)
        for update in (waiting, queued, store.update(add_new)):
            failure = outcome(update)
            assert failure.check(TapelistError)
            assert str(failure.value) == f"{path}.lock is locked by another process"
    assert outcome(store.update(add_new)).lookup("NEW") == NEW


def test_updates_happen_in_the_order_of_asking(path: str) -> None:
    """Even when the first has to wait."""
    clock = Clock()
    store = store_on(path, clock)
    order: list[int] = []

    def change(number: int) -> Callable[[Tapelist], Tapelist]:
        def apply(tapelist: Tapelist) -> Tapelist:
            order.append(number)
            return tapelist

        return apply

    with locked_by_another(path):
        for number in range(4):
            store.update(change(number))
    clock.advance(1)
    assert order == [0, 1, 2, 3]


@pytest.mark.parametrize("error", [ValueError("no"), BlockingIOError("not the lock")])
def test_what_the_change_raises_arrives(path: str, error: Exception) -> None:
    """With the file untouched and unlocked."""

    def change(tapelist: Tapelist) -> Tapelist:
        raise error

    assert outcome(store_on(path).update(change)).value is error
    assert Path(path).read_bytes() == GOOD
    assert others_can_lock(path)


def test_a_damaged_list_is_never_replaced(path: str) -> None:
    """Stock may write back what little it understood."""
    Path(path).write_bytes(GOOD + b"not a line\n")
    failure = outcome(store_on(path).update(add_new))
    assert failure.check(TapelistError)
    assert path in str(failure.value)
    assert Path(path).read_bytes() == GOOD + b"not a line\n"
    assert others_can_lock(path)


def test_a_list_that_cannot_be_read_is_no_empty_list(tmp_path: Path) -> None:
    """Stock takes it for one, and all labels in it for free."""
    (tmp_path / "tapelist").mkdir()
    with pytest.raises(OSError):
        read_tapelist(str(tmp_path / "tapelist"))
    assert outcome(store_on(str(tmp_path / "tapelist")).update(add_new)).check(OSError)


@pytest.mark.parametrize("step", ["fsync", "unlink", "rename"])
def test_a_failed_step_keeps_the_old_list(
    path: str, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Disk full, or whatever: the old list stays, the lock goes, nothing is left over."""
    real = getattr(os, step)
    os.symlink("1", f"{path}.last_write")

    def fail(*args: Any) -> None:
        monkeypatch.setattr(os, step, real)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, step, fail)
    assert outcome(store_on(path).update(add_new)).check(OSError)
    assert Path(path).read_bytes() == GOOD
    assert not [name for name in os.listdir(os.path.dirname(path)) if "-new-" in name]
    assert others_can_lock(path)
    assert outcome(store_on(path).update(add_new)).lookup("NEW") == NEW


def test_a_list_whose_name_is_not_stored_is_a_failure(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A power cut could bring the old list back, by which tonight's volume may be an old one."""
    real = os.fsync

    def fail(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EIO, "Input/output error")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fail)
    assert outcome(store_on(path).update(add_new)).check(OSError)
    assert read_tapelist(path).lookup("NEW") == NEW  # it is for the caller not to rely on it
    assert others_can_lock(path)


def test_a_missing_link_is_no_failure(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The list is in place by then, and without a link everybody reads it."""

    def fail(*args: Any) -> None:
        raise OSError(errno.EPERM, "no links here")

    os.symlink("1", f"{path}.last_write")
    monkeypatch.setattr(os, "symlink", fail)
    assert outcome(store_on(path).update(add_new)).lookup("NEW") == NEW
    assert not os.path.lexists(f"{path}.last_write")
    assert read_tapelist(path).lookup("NEW") == NEW


def test_a_lock_file_that_cannot_be_opened_fails_the_update(tmp_path: Path) -> None:
    """Stock would go on without lock and die later, or wait for ever."""
    failure = outcome(store_on(str(tmp_path / "nowhere" / "tapelist")).update(add_new))
    assert failure.check(FileNotFoundError)


@pytest.mark.parametrize("step", ["open", "fsync", "unlink", "rename", "symlink"])
def test_killed_in_mid_update_leaves_a_good_list(path: str, step: str) -> None:
    """Old or new, whole, unlocked; and the next update works."""
    os.symlink("1", f"{path}.last_write")
    script = f"""
import os, signal, sys
from protocols.tapelist import TapelistEntry
from taper.run.tapelist_store import try_update
real = os.{step}
def die(*args):
    if {step!r} != "open" or "-new-" in str(args[0]):
        os.kill(os.getpid(), signal.SIGKILL)
    return real(*args)
os.{step} = die
try_update(sys.argv[1], lambda t: t.adding(TapelistEntry(datestamp="1", label="NEW", reuse=False)))
"""
    run = subprocess.run([sys.executable, "-c", script, path], cwd=os.getcwd())
    assert run.returncode == -9
    assert others_can_lock(path)
    expected = add_new(read_old()) if step == "symlink" else read_old()
    assert read_tapelist(path) == expected
    later = evolve(NEW, label="LATER")
    assert outcome(store_on(path).update(lambda t: t.adding(later))).lookup("LATER") == later


def read_old() -> Tapelist:
    return parse_tapelist(GOOD)


def test_two_stores_of_one_process_exclude_each_other(path: str) -> None:
    """Record locks would not."""
    clock = Clock()
    one, two = store_on(path, clock), store_on(path, clock)
    inner: list[Deferred[Tapelist]] = []

    def change(tapelist: Tapelist) -> Tapelist:
        inner.append(two.update(add_new))
        return tapelist.removing("A")

    outcome(one.update(change))
    assert not inner[0].called
    clock.advance(1)
    assert outcome(inner[0]).lookup("A") is None
    assert not tapelist_store._held


# a tapelist that is a symbolic link


@pytest.fixture(params=["absolute", "relative", "dangling", "two links"])
def linked(tmp_path: Path, request: pytest.FixtureRequest) -> tuple[str, Path]:
    """A tapelist that is a link, and what it leads to."""
    real = tmp_path / "real" / "list"
    real.parent.mkdir()
    path = tmp_path / "config" / "tapelist"
    path.parent.mkdir()
    if request.param == "two links":
        (tmp_path / "between").symlink_to(real)
        path.symlink_to("../between")
    else:
        path.symlink_to("../real/list" if request.param == "relative" else real)
    if request.param != "dangling":
        real.write_bytes(GOOD)
    return str(path), real


def test_a_link_stays_and_its_target_is_replaced(linked: tuple[str, Path]) -> None:
    """By rename, with nothing left over; both names tell who wrote last."""
    path, real = linked
    target = os.readlink(path)
    for name in (path, str(real)):
        os.symlink("1", f"{name}.last_write")
    assert outcome(store_on(path).update(add_new)).lookup("NEW") == NEW
    assert os.readlink(path) == target
    assert not real.is_symlink()
    assert read_tapelist(str(real)).lookup("NEW") == NEW
    assert sorted(os.listdir(real.parent)) == ["list", "list.last_write", "list.lock"]
    assert sorted(os.listdir(os.path.dirname(path))) == [
        "tapelist",
        "tapelist.last_write",
        "tapelist.lock",
    ]
    for name in (path, str(real)):
        assert os.readlink(f"{name}.last_write") == str(os.getpid())
        assert others_can_lock(name)


@pytest.mark.parametrize("by", ["link", "target"])
def test_the_lock_beside_the_link_and_beside_the_target_count(
    linked: tuple[str, Path], by: str
) -> None:
    """Stock programs of this configuration know the first, those of others perhaps the second."""
    path, real = linked
    before = real.read_bytes() if real.exists() else None
    with locked_by_another(path if by == "link" else str(real)):
        assert try_update(path, add_new) is None
        assert (real.read_bytes() if real.exists() else None) == before
    held: list[bool] = []

    def change(tapelist: Tapelist) -> Tapelist:
        held.extend(not others_can_lock(name) for name in (path, str(real)))
        return tapelist

    assert try_update(path, change) is not None
    assert held == [True, True]
    assert not tapelist_store._held


@pytest.mark.parametrize("kind", ["linked directory", "linked lock"])
def test_one_lock_by_two_names_is_taken_once(tmp_path: Path, kind: str) -> None:
    """Closed once too often it would be lost."""
    real = tmp_path / "real"
    real.mkdir()
    (real / "tapelist").write_bytes(GOOD)
    if kind == "linked directory":
        (tmp_path / "config").symlink_to("real")
    else:
        (tmp_path / "config").mkdir()
        for name in ("tapelist", "tapelist.lock"):
            (tmp_path / "config" / name).symlink_to(f"../real/{name}")
    path = str(tmp_path / "config" / "tapelist")
    held: list[bool] = []

    def change(tapelist: Tapelist) -> Tapelist:
        held.append(not others_can_lock(str(real / "tapelist")))
        return add_new(tapelist)

    assert try_update(path, change) is not None
    assert held == [True]
    assert read_tapelist(str(real / "tapelist")).lookup("NEW") == NEW


# what killed programs leave


def test_drafts_of_killed_programs_go(linked: tuple[str, Path]) -> None:
    """Beside link and target; nothing else, and nothing while somebody may be writing."""
    path, real = linked
    for name in (path, str(real)):
        for end in ("-new-1764444444", "-new-", "-new-1x", "-old-1"):
            Path(name + end).write_bytes(b"0 half a li")
        Path(f"{name}-new-5").symlink_to("nowhere")
        Path(f"{name}-new-6").mkdir()
    with locked_by_another(path):
        assert outcome(store_on(path).sweep()) == []
    drafts = [f"{name}-new-1764444444" for name in (path, str(real))]
    assert outcome(store_on(path).sweep()) == sorted(drafts)
    assert not any(os.path.exists(draft) for draft in drafts)
    for name in (path, str(real)):
        assert Path(f"{name}-new-1x").exists()
        assert Path(f"{name}-new-5").is_symlink()


def test_a_start_without_drafts_leaves_the_lock_alone(path: str) -> None:
    assert outcome(store_on(path).sweep()) == []
    assert not os.path.exists(f"{path}.lock")


def test_drafts_that_cannot_be_looked_for_are_noted(tmp_path: Path) -> None:
    notes: list[str] = []
    path = f"{tmp_path}/none/tapelist"
    assert outcome(store_on(path, notes=notes).sweep()) == []
    assert notes == [
        "cannot remove drafts of the tapelist: "
        f"[Errno 2] No such file or directory: '{tmp_path}/none'"
    ]

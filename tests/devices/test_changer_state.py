"""The state file: locked as stock locks it, never damaged, never waited for without end."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.changers import holders
from devices.changers.state import StateFile, WaitCancelled, lookup, subhash
from devices.changers.unsaved import Unsaved
from devices.errors import ChangerError
from devices.processes import is_alive
from protocols.perldata import format_perl_data, parse_perl_data

HOLD_LOCK = """
import fcntl, sys
file = open(sys.argv[1], "ab+")
fcntl.lockf(file, fcntl.LOCK_EX)
print("locked", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "state")


@pytest.fixture
def locked_by_other(path):
    """Another process holds the lock; call the result to let it go."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD_LOCK, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout.readline() == b"locked\n"

        def let_go():
            other.stdin.close()
            other.wait()

        yield let_go
        if other.poll() is None:
            let_go()


class Clock:
    """Time that passes only by waiting; also the stop event whose wait is recorded."""

    def __init__(self, give_way=lambda: None, after=10**9):
        self.now = 0.0
        self.waits = []
        self.give_way = give_way
        self.after = after

    def __call__(self):
        return self.now

    def is_set(self):
        return False

    def wait(self, timeout):
        self.now += timeout
        self.waits.append(round(timeout, 3))
        if len(self.waits) == self.after:
            self.give_way()
        return False


def contents(path):
    with open(path, "rb") as file:
        return file.read()


def read(path):
    return parse_perl_data(contents(path))


def test_changes_are_written_back(path):
    """What the body changes is in the file afterwards; what it leaves alone is kept."""
    with open(path, "wb") as file:
        file.write(b"$STATE = { 'mine' => { 'deep' => [ 1, undef ] }, 'current' => 'slot1' };\n")
    with StateFile(path).locked() as state:
        state["current"] = "slot2"
    assert read(path) == {"mine": {"deep": [1, None]}, "current": "slot2"}


@pytest.mark.parametrize(
    "data",
    [
        b"$STATE = { 'a' => 1, };\n",
        b"$STATE = { 'a' => bless( {}, 'X' ), 'b' => \"\\x{3a9}\" };\n",
    ],
)
def test_a_file_that_says_the_same_is_not_written(path, data):
    """In whatever form it stands there."""
    with open(path, "wb") as file:
        file.write(data)
    with StateFile(path).locked() as state:
        state["b"], state["b"] = 1, state.get("b")
        if state["b"] is None:
            del state["b"]
    assert contents(path) == data


def test_the_file_stays_the_same_file(path):
    """It is rewritten in place, whatever its new length, since others wait for this very inode."""
    with open(path, "wb") as file:
        file.write(b"$STATE = {};\n")
    inode = os.stat(path).st_ino
    for value in ("x" * 3000, "short"):
        with StateFile(path).locked() as state:
            state["v"] = value
        assert read(path) == {"v": value}
    assert os.stat(path).st_ino == inode


def test_a_missing_file_and_its_directory_are_made(tmp_path):
    """One missing directory level is made for the owner only."""
    path = tmp_path / "new" / "state"
    with StateFile(str(path)).locked() as state:
        assert state == {}
        state["a"] = 1
    assert read(path) == {"a": 1}
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_changes_survive_an_error_of_the_body(path):
    """As with stock, the state is written whether the section succeeds or fails."""
    with pytest.raises(ZeroDivisionError), StateFile(path).locked() as state:
        state["a"] = 1 / (state.setdefault("b", 0))
    assert read(path) == {"b": 0}
    with StateFile(path).locked() as state:
        assert state == {"b": 0}


@pytest.mark.parametrize("damage", [b'{"a":1}', b"$STATE = { 'a' => ", b"\xff\x00", b"$STATE = 1;"])
def test_a_damaged_file_is_an_empty_state(path, damage, caplog):
    """A file that a crash left damaged starts afresh, with a warning."""
    with open(path, "wb") as file:
        file.write(damage)
    with StateFile(path).locked() as state:
        assert state == {}
    assert read(path) == {}
    assert "is damaged" in caplog.text


class Disk:
    """Room for a state file, as the system calls that need it tell.

    :ivar room: bytes the file may have; None: any
    :ivar in_place: what is there can be rewritten without room
    """

    def __init__(self, monkeypatch, room=None):
        self.room = room
        self.in_place = True
        pwrite, open_ = os.pwrite, os.open

        def limited_pwrite(descriptor, data, offset):
            end = offset + len(data)
            new = end > os.fstat(descriptor).st_size or not self.in_place
            if new and self.room is not None and end > self.room:
                if offset < self.room:
                    return pwrite(descriptor, data[: self.room - offset], offset)
                raise OSError(errno.ENOSPC, "No space left on device")
            return pwrite(descriptor, data, offset)

        def limited_open(path, flags, *more, **named):
            if self.room == -1 and flags & os.O_CREAT and not os.path.exists(path):
                raise OSError(errno.EDQUOT, "Disk quota exceeded")
            return open_(path, flags, *more, **named)

        monkeypatch.setattr(os, "pwrite", limited_pwrite)
        monkeypatch.setattr(os, "open", limited_open)


def told(caplog):
    """What was said of room for the state."""
    return [text for text in caplog.messages if "room" in text or "again" in text]


@pytest.mark.parametrize("in_place", [True, False])
def test_a_full_disk_leaves_the_old_state_whole(path, monkeypatch, caplog, in_place):
    """What there is no room for stays in memory, for every user in the process; it is written once
    there is room. Both is said once."""
    with StateFile(path).locked() as state:
        state["a"] = 1
    before = contents(path)
    disk = Disk(monkeypatch, len(before) if in_place else 5)
    disk.in_place = in_place
    for number in range(3):
        with StateFile(path).locked() as state:
            assert len(state) == number + 1
            state[f"b{number}"] = "x" * 1000
        if in_place:
            assert contents(path) == before
    assert told(caplog) == [f"no room for state file '{path}': going on with the state in memory"]
    disk.room = None
    with StateFile(path).locked() as state:
        assert sorted(state) == ["a", "b0", "b1", "b2"]
    assert sorted(read(path)) == ["a", "b0", "b1", "b2"]
    assert told(caplog)[1:] == [f"state file '{path}' is written again"]


@pytest.mark.parametrize("room", [-1, 0])
def test_a_disk_without_room_for_the_file_itself(path, monkeypatch, caplog, room):
    """Not even an empty one, on some file systems: then the state is in memory as a whole."""
    disk = Disk(monkeypatch, room)
    for number in range(2):
        with StateFile(path).locked() as state:
            assert len(state) == number
            state[str(number)] = {}
    assert os.path.exists(path) is (room == 0)
    assert len(told(caplog)) == 1
    disk.room = None
    with StateFile(path).locked():
        pass
    assert read(path) == {"0": {}, "1": {}}


def test_what_others_write_meanwhile_stays(path, monkeypatch):
    """Their entries and ours, each as a whole."""
    disk = Disk(monkeypatch, 0)
    with StateFile(path).locked() as state:
        state["current"] = "slot1"
        state["drives"] = {
            "drive0": {"slot": "slot1", "pid": 1, "mark": "ours"},
            "drive1": {"a": 1},
        }
    with open(path, "wb") as file:
        file.write(format_perl_data({"meta": "M", "drives": {"drive0": {"slot": "s2", "pid": 2}}}))
    with StateFile(path).locked() as state:
        assert state == {
            "meta": "M",
            "current": "slot1",
            "drives": {"drive0": {"slot": "s2", "pid": 2}, "drive1": {"a": 1}},
        }
        del state["drives"]["drive1"]
    disk.room = None
    with StateFile(path).locked() as state:
        assert state["drives"] == {"drive0": {"slot": "s2", "pid": 2}}
        assert state["current"] == "slot1"


def test_another_error_of_the_disk_is_told(path, monkeypatch):
    def broken(*_):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "pwrite", broken)
    with (
        pytest.raises(ChangerError, match=r"Error writing .*Input/output error"),
        StateFile(path).locked() as state,
    ):
        state["b"] = 1


JSON = st.recursive(
    st.integers(0, 3), lambda inner: st.dictionaries(st.sampled_from("abc"), inner), max_leaves=8
)
STATES = st.dictionaries(st.sampled_from("abc"), JSON)


@given(STATES, STATES, STATES)
def test_putting_states_together(base, ours, theirs):
    """Nobody else changed anything: ours. We changed nothing: theirs. Each key is somebody's."""
    assert Unsaved(base, ours).onto(base) == ours
    assert Unsaved(base, base).onto(theirs) == theirs
    both = Unsaved(base, ours).onto(theirs)
    assert set(both) <= set(ours) | set(theirs)
    for key, value in both.items():
        mixed = isinstance(ours.get(key), dict) and isinstance(theirs.get(key), dict)
        assert mixed or value in (ours.get(key), theirs.get(key))


def test_every_crash_while_writing_leaves_a_readable_file(path, monkeypatch):
    """Stopped before any system call of the rewrite, the file is the old state or the new one."""
    for old, new in (("x" * 500, "y"), ("y", "x" * 500), ("a" * 50, "b" * 50)):
        for fatal in range(3):
            monkeypatch.undo()
            with open(path, "wb"):
                pass
            with StateFile(path).locked() as state:
                state["v"] = old
            calls = iter(range(99))

            def crash(real, calls=calls, fatal=fatal):
                def call(*args):
                    if next(calls) == fatal:
                        raise SystemExit
                    return real(*args)

                return call

            monkeypatch.setattr(os, "pwrite", crash(os.pwrite))
            monkeypatch.setattr(os, "ftruncate", crash(os.ftruncate))
            try:
                with StateFile(path).locked() as state:
                    state["v"] = new
            except SystemExit:
                pass
            assert read(path)["v"] in (old, new)


def test_waits_end_with_the_time(path, locked_by_other):
    """A busy file is tried again and again until lock-timeout has passed."""
    clock = Clock()
    file = StateFile(path, lock_timeout=0.5, stop=clock, clock=clock)
    with pytest.raises(ChangerError) as caught, file.locked():
        pass
    assert clock.waits == [0.05, 0.1, 0.2, 0.15]
    assert caught.value.fatal
    assert caught.value.message == (
        f"Timeout trying to lock '{path}': Resource temporarily unavailable"
    )


def test_a_wait_is_never_long(path, locked_by_other):
    """A file that is free for a moment now and then is met in such a moment."""
    clock = Clock()
    with (
        pytest.raises(ChangerError),
        StateFile(path, stop=clock, clock=clock).locked(),
    ):
        pass
    assert max(clock.waits) == 0.2
    assert sum(clock.waits) == pytest.approx(1000)


def test_the_lock_is_taken_when_the_other_lets_go(path, locked_by_other):
    """Waiting ends as soon as a try finds the file free."""
    clock = Clock(give_way=locked_by_other, after=3)
    with StateFile(path, stop=clock, clock=clock).locked() as state:
        state["a"] = 1
    assert clock.waits == [0.05, 0.1, 0.2]
    assert read(path) == {"a": 1}


def test_a_wait_can_be_cancelled(path, locked_by_other):
    """Setting the stop event ends the wait at once; a free file may still be taken."""
    stop = threading.Event()
    stop.set()
    with pytest.raises(WaitCancelled), StateFile(path, stop=stop).locked():
        pass
    locked_by_other()
    with StateFile(path, stop=stop).locked() as state:
        state["a"] = 1
    assert read(path) == {"a": 1}


def test_threads_of_one_process_take_turns(path):
    """Record locks do not part threads, so a guard does; no update is lost."""

    def count():
        file = StateFile(path)
        for _ in range(25):
            with file.locked() as state:
                state["n"] = state.get("n", 0) + 1

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert read(path) == {"n": 100}


def test_locking_twice_in_one_thread_is_told_at_once(path):
    """A nested section is a mistake of ours and must not wait a quarter of an hour."""
    with (
        StateFile(path).locked(),
        pytest.raises(RuntimeError, match="twice"),
        StateFile(path).locked(),
    ):
        pass


def test_a_file_that_cannot_be_opened_fails_at_once(tmp_path):
    """Not a file, or no such directory: an error with the system's text, and no waiting."""
    clock = Clock()
    for path in (str(tmp_path), str(tmp_path / "a" / "b" / "state"), "/dev/null"):
        with (
            pytest.raises(ChangerError, match=f"^Error locking '{path}': ") as caught,
            StateFile(path, stop=clock, clock=clock).locked(),
        ):
            pass
        assert caught.value.fatal
    assert clock.waits == []


def test_a_file_of_another_user_fails_at_once(path, monkeypatch):
    """Stock waits 1000 s for a file it may not open; ours says so [changers quirk 19]."""

    def refuse(name, *rest):
        raise PermissionError(13, "Permission denied", name)

    monkeypatch.setattr(os, "open", refuse)
    clock = Clock()
    with (
        pytest.raises(ChangerError) as caught,
        StateFile(path, stop=clock, clock=clock).locked(),
    ):
        pass
    assert caught.value.message == f"Error locking '{path}': Permission denied"
    assert clock.waits == []


def test_look_ups_leave_no_traces():
    """Looking for a key makes nothing; asking for a hash replaces what is none."""
    state = {"a": None, "b": {"c": 1}}
    assert lookup(state, "x", "y") is None
    assert lookup(state, "b", "c") == 1
    assert lookup(state, "b", "c", "d") is None
    assert state == {"a": None, "b": {"c": 1}}
    subhash(state, "a", "z")["k"] = 1
    assert state["a"] == {"z": {"k": 1}}


# who holds a slot


def test_liveness():
    """Ourselves and pid 1 live; nonsense, a zombie and a thread's number do not."""
    assert is_alive(os.getpid())
    assert is_alive(1)
    assert not any(map(is_alive, (0, -1, 2**31, 2**40)))
    zombie = os.fork()
    if zombie == 0:
        os._exit(0)
    os.waitid(os.P_PID, zombie, os.WEXITED | os.WNOWAIT)
    assert not is_alive(zombie)
    assert not holders.holder_is_alive({"pid": zombie})
    os.waitpid(zombie, 0)
    assert not is_alive(zombie)
    stay = threading.Event()
    thread = threading.Thread(target=stay.wait)
    thread.start()
    assert not is_alive(thread.native_id)
    stay.set()
    thread.join()


def test_another_users_process_is_alive(monkeypatch):
    """Not being allowed to signal a process does not make it dead [changers quirk 21]."""

    def refuse(pid, signal):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "kill", refuse)
    assert is_alive(1)


def test_a_recycled_pid_holds_nothing():
    """A holder is known by pid and start; stock's entries by the pid alone."""
    ours = holders.own_mark()
    assert holders.holder_is_alive(ours)
    assert holders.holder_is_alive({**ours, "pid": str(ours["pid"])})
    assert not holders.holder_is_alive({**ours, "started": "elsewhen"})
    assert not holders.holder_is_alive({"pid": os.getpid()})  # we always write the mark
    assert holders.holder_is_alive({"pid": 1})
    assert not any(map(holders.holder_is_alive, ({}, {"pid": "x"}, {"pid": None}, {"pid": "0"})))


def test_without_proc_the_pid_has_to_do(monkeypatch):
    """Where the system tells no start times, any living process of that pid counts."""
    monkeypatch.setattr(holders, "start_mark", lambda pid: None)
    assert holders.own_mark() == {"pid": os.getpid()}
    assert holders.holder_is_alive({"pid": os.getpid(), "started": "elsewhen"})
